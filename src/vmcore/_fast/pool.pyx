"""Pools: reservation, host check, safe points. See pool.pxd for the contract.

Host memory is asked for in steps of at least 16 MiB, against MemAvailable of /proc/meminfo and the limit of the memory
cgroup, and 3 % of it (at least 64 MiB) is always left to others: the engine is refused before the host's own OOM killer
would have to choose.
"""
from libc.errno cimport EINTR, ENOMEM
from libc.stdint cimport uint32_t, uint64_t
from libc.stdio cimport FILE, fclose, fgets, fopen, sscanf
from libc.string cimport strncmp

from vmcore._fast.records cimport (
    HOST_NOMEM, POOL_ANON_VMA, POOL_ANONMM, POOL_AVC, POOL_EVENT, POOL_FRAME, POOL_LRU_CHUNK, POOL_MM, POOL_PTE,
    POOL_PTE_CHAIN,
    POOL_RADIX, POOL_TABLE, POOL_VMA, machine_t, pool_t,
)

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)
    int madvise(void *addr, size_t length, int advice)
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MADV_HUGEPAGE
    void *MAP_FAILED

cdef enum:
    HUGE = 2 << 20
    STEP = 16 << 20
    MARGIN = 64 << 20


cdef int pool_init(pool_t *p, uint64_t stride, uint64_t max, uint32_t flags) noexcept nogil:
    cdef uint64_t want = stride * max
    cdef uint64_t bytes = (want + 2 * HUGE - 1) & ~(<uint64_t>HUGE - 1)     # one huge page more: room to align the base
    cdef uint64_t at, head, tail
    cdef void *a
    if max == 0 or want // stride != max or bytes < want:
        return -ENOMEM
    a = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if a == MAP_FAILED:
        return -ENOMEM
    at = (<uint64_t>a + HUGE - 1) & ~(<uint64_t>HUGE - 1)
    head = at - <uint64_t>a
    tail = bytes - head - ((want + 4095) & ~<uint64_t>4095)
    if head:
        munmap(a, head)
    if tail:
        munmap(<void *>(<uint64_t>a + bytes - tail), tail)
    p.base = <char *>at
    p.bytes = bytes - head - tail
    p.stride = stride
    p.max = max
    p.limit = 1
    p.next = 1              # record 0 is null
    p.live = 0
    p.free = 0
    p.flags = flags
    if flags & POOL_HUGE:
        madvise(p.base, p.bytes, MADV_HUGEPAGE)     # harmless where the host has none
    return 0


cdef void pool_destroy(pool_t *p) noexcept nogil:
    if p.base != NULL:
        munmap(p.base, p.bytes)
        p.base = NULL


cdef uint64_t read_number(const char *path, const char *prefix) noexcept nogil:
    """The number after `prefix` at the start of a line of a file (prefix "" = first line); ~0 if there is none."""
    cdef char line[256]
    cdef unsigned long long v = 0
    cdef uint64_t found = ~<uint64_t>0
    cdef size_t n = 0
    cdef FILE *f = fopen(path, "r")
    if f == NULL:
        return found
    while prefix[n] != 0:
        n += 1
    while fgets(line, 256, f) != NULL:
        if strncmp(line, prefix, n) == 0:
            if sscanf(line + n, " %llu", &v) == 1:
                found = v
            break
    fclose(f)
    return found


cdef uint64_t host_available() noexcept nogil:
    cdef uint64_t avail = read_number("/proc/meminfo", "MemAvailable:")
    cdef uint64_t limit = read_number("/sys/fs/cgroup/memory.max", "")
    cdef uint64_t used = read_number("/sys/fs/cgroup/memory.current", "")
    if avail == ~<uint64_t>0:
        avail = <uint64_t>1 << 62       # a host that does not say: let mmap decide
    else:
        avail <<= 10
    if limit != ~<uint64_t>0 and used != ~<uint64_t>0:
        if limit <= used:
            return 0
        if limit - used < avail:
            avail = limit - used
    return avail


cdef int pool_reserve(machine_t *m, int id, uint64_t n) noexcept nogil:
    cdef pool_t *p = &m.pools[id]
    cdef uint64_t goal, bytes, avail
    if p.limit >= p.next + n or p.limit == p.max:
        return 0
    goal = p.next + n
    if (goal - p.limit) * p.stride < STEP:
        goal = p.limit + STEP // p.stride
    if goal > p.max:
        goal = p.max
    bytes = (goal - p.limit) * p.stride
    avail = host_available()
    if bytes + MARGIN + avail // 32 > avail:
        m.host_error |= HOST_NOMEM
        return -ENOMEM
    p.limit = goal
    return 0


cdef int pool_reserve_all(machine_t *m) noexcept nogil:
    if pool_reserve(m, POOL_PTE, 3 * POOL_SAFE_TABLES) != 0 or pool_reserve(m, POOL_TABLE, 3 * POOL_SAFE_TABLES) != 0:
        return -ENOMEM
    if pool_reserve(m, POOL_FRAME, 8 * POOL_SAFE_OTHERS) != 0 or pool_reserve(m, POOL_PTE_CHAIN, POOL_SAFE_OTHERS) != 0:
        return -ENOMEM
    if pool_reserve(m, POOL_LRU_CHUNK, 256) != 0 or pool_reserve(m, POOL_RADIX, POOL_SAFE_OTHERS) != 0:
        return -ENOMEM
    if pool_reserve(m, POOL_VMA, POOL_SAFE_OTHERS) != 0 or pool_reserve(m, POOL_ANON_VMA, POOL_SAFE_OTHERS) != 0:
        return -ENOMEM
    if m.rules.avc_size != 0 and pool_reserve(m, POOL_AVC, POOL_SAFE_OTHERS) != 0:
        return -ENOMEM
    if pool_reserve(m, POOL_EVENT, POOL_SAFE_OTHERS) != 0 or pool_reserve(m, POOL_MM, 16) != 0:
        return -ENOMEM
    if pool_reserve(m, POOL_ANONMM, 16) != 0:
        return -ENOMEM
    return 0


cdef int safe_point(machine_t *m) noexcept nogil:
    if m.host_error != 0 or (m.up.poll != NULL and m.up.poll(m) < 0):
        return -EINTR
    return pool_reserve_all(m)
