# Pools: arrays of equal records over memory that never moves.
#
# A pool reserves its greatest size as anonymous memory that the host commits only when touched, so pointers and numpy
# views stay valid. Records are handed out by a bump index, freed ones come back first (LIFO, linked through the first
# u32 of the record). Host memory is granted in steps (`limit`): pool_reserve() at a safe point asks the host for enough
# records for all that may happen before the next safe point, so pool_alloc() between safe points cannot fail for want
# of host memory. It does return 0 at the end of the reservation (2^23 tables and the like): callers treat that as
# ENOMEM.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t, pool_t

cdef enum:
    POOL_HUGE = 1           # ask for huge pages
    POOL_SAFE_TABLES = 2048     # records that one stretch between safe points may take (touches: 4096 faults a stretch
    POOL_SAFE_OTHERS = 16384    # are cut short by touch.pyx as soon as a pool's headroom is half used)

cdef inline uint32_t pool_alloc(machine_t *m, int id) noexcept nogil:
    """Take a record: 0 if the reservation or the granted part of it is used up. The record is not cleared."""
    cdef pool_t *p = &m.pools[id]
    cdef uint32_t i = p.free
    if i != 0:
        p.free = (<uint32_t *>(p.base + i * p.stride))[0]
    elif p.next < p.limit:
        i = <uint32_t>p.next
        p.next += 1
    else:
        return 0
    p.live += 1
    return i

cdef inline void pool_free(machine_t *m, int id, uint32_t i) noexcept nogil:
    """Give a record back; the caller has marked it free in its own field (vma.mm = 0, ...)."""
    cdef pool_t *p = &m.pools[id]
    (<uint32_t *>(p.base + i * p.stride))[0] = p.free
    p.free = i
    p.live -= 1

# Reserve address space for `max` records of `stride` bytes. -ENOMEM if the host refuses the reservation.
cdef int pool_init(pool_t *p, uint64_t stride, uint64_t max, uint32_t flags) noexcept nogil
# Give the reservation back (tests; a machine's pools belong to Region objects, which views keep alive).
cdef void pool_destroy(pool_t *p) noexcept nogil
# Make sure that `n` more records can be taken; -ENOMEM (and m.host_error |= HOST_NOMEM) if the host has no more.
cdef int pool_reserve(machine_t *m, int id, uint64_t n) noexcept nogil
# Headroom in every pool for one stretch between safe points; called by every boundary entry and safe point.
cdef int pool_reserve_all(machine_t *m) noexcept nogil
# Bytes that the host, our cgroups and RLIMIT_RSS still have for us, now.
cdef uint64_t host_available() noexcept nogil
# A safe point: host signals (Ctrl-C), then pool_reserve_all. 0, or negative with m.host_error set: unwind, change
# nothing more.
cdef int safe_point(machine_t *m) noexcept nogil
# Half of one, for what only looks and takes no records: whether there was a host signal; m.host_error says so too.
cdef bint interrupted(machine_t *m) noexcept nogil
