# The kernel's locks on these paths, as named inline calls that compile to nothing.
#
# A trylock succeeds, unless the machine was made with `trylock_rate` > 0: then it fails that often (of 1024), drawn
# from the machine's own splitmix64, so that every AGAIN and FAIL path is walked by tests. Order of the locks: fact
# sheet linux-2004 12.4.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef inline uint64_t splitmix64(uint64_t *state) noexcept nogil:
    state[0] += <uint64_t>0x9E3779B97F4A7C15
    cdef uint64_t z = state[0]
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)

cdef inline int trylock(machine_t *m) noexcept nogil:
    if m.trylock_rate == 0:
        return 1
    return <uint32_t>(splitmix64(&m.trylock_state) & 1023) >= m.trylock_rate

# mm.page_table_lock, reclaim side
cdef inline int spin_trylock_ptl(machine_t *m, uint32_t mm) noexcept nogil:
    return trylock(m)
cdef inline void spin_lock_ptl(machine_t *m, uint32_t mm) noexcept nogil:
    pass
cdef inline void spin_unlock_ptl(machine_t *m, uint32_t mm) noexcept nogil:
    pass

# address_space.i_shared_sem (2.6.0 to 2.6.6), reclaim side
cdef inline int down_trylock_i_shared(machine_t *m, uint32_t file) noexcept nogil:
    return trylock(m)
cdef inline void down_i_shared(machine_t *m, uint32_t file) noexcept nogil:
    pass
cdef inline void up_i_shared(machine_t *m, uint32_t file) noexcept nogil:
    pass

# anon_vma.lock: a plain spin lock, also in reclaim
cdef inline void spin_lock_anon_vma(machine_t *m, uint32_t anon_vma) noexcept nogil:
    pass
cdef inline void spin_unlock_anon_vma(machine_t *m, uint32_t anon_vma) noexcept nogil:
    pass

# the lock of a fork tree of anon_vmas (2.6.36), reclaim side
cdef inline int down_read_trylock_anon_root(machine_t *m, uint32_t root) noexcept nogil:
    return trylock(m)

# PG_maplock / PG_chainlock: the per-page bit lock
cdef inline void page_map_lock(machine_t *m, uint32_t pfn) noexcept nogil:
    pass
cdef inline void page_map_unlock(machine_t *m, uint32_t pfn) noexcept nogil:
    pass

# PG_locked taken without waiting by do_wp_page, zap and reclaim; the bit itself is the caller's to set
cdef inline int trylock_page(machine_t *m, uint32_t pfn) noexcept nogil:
    return trylock(m)

# zone.lru_lock, mmap_sem, swap locks
cdef inline void spin_lock_lru(machine_t *m, uint32_t zone) noexcept nogil:
    pass
cdef inline void spin_unlock_lru(machine_t *m, uint32_t zone) noexcept nogil:
    pass
cdef inline void down_mmap_sem(machine_t *m, uint32_t mm) noexcept nogil:
    pass
cdef inline void up_mmap_sem(machine_t *m, uint32_t mm) noexcept nogil:
    pass
