"""Verification of the simulated kernel's own objects, of the ledger and of the commit charge.

Each object that the engine holds in a pool is an object of a slab cache (fact sheet linux-2004, 1.7): the counts must
be those of the pools, and the frames of the slabs, those of the ledger.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.check_base cimport (
    CHECK_COMMITTED, CHECK_LEDGER, CHECK_SLAB, CHECK_SLAB_COUNT, OWN_SLAB, check_t, fail)
from vmcore._fast.check_frames cimport own_block
from vmcore._fast.records cimport (
    CACHE_ANON_VMA, CACHE_ANONMM, CACHE_AVC, CACHE_DENTRY, CACHE_FILP, CACHE_FS, CACHE_INODE, CACHE_MM, CACHE_PGD,
    CACHE_PTE_CHAIN, CACHE_RADIX, CACHE_TASK, CACHE_VMA, NR_CACHES, POOL_ANON_VMA, POOL_ANONMM, POOL_AVC,
    POOL_MM, POOL_PTE_CHAIN, POOL_SLAB, POOL_VMA, cache_t, machine_t, slab_t)
from vmcore._fast.slab cimport (
    LEDGER_ANON_VMA, LEDGER_ANON_VMA_CHAIN, LEDGER_ANONMM, LEDGER_IMAGE, LEDGER_MEM_MAP, LEDGER_MM,
    LEDGER_PAGE_CACHE, LEDGER_PAGE_TABLES, LEDGER_PTE_CHAIN, LEDGER_SLAB_OTHER, LEDGER_STACK, LEDGER_UPPER_TABLES,
    LEDGER_VMA, cache_pool)


cdef int check_cache(check_t *c, int id) noexcept nogil:
    cdef machine_t *m = c.m
    cdef cache_t *k = &m.caches[id]
    cdef slab_t *s
    cdef uint64_t i
    cdef uint64_t active = 0
    cdef uint64_t slabs = 0
    cdef uint64_t empty = 0
    cdef uint64_t limit = k.map + k.map_max
    if limit > m.pools[<int>POOL_SLAB].max or k.num == 0 or k.order > 5:
        return fail(c, CHECK_SLAB, id, k.map, k.map_max)
    # the extent has room for all that the pool could ever hold; behind its bump index nothing was ever used
    if limit > k.map + m.pools[cache_pool(id)].next // k.num + 1:
        limit = k.map + m.pools[cache_pool(id)].next // k.num + 1
    for i in range(k.map, limit):
        s = &m.slabs[i]
        if s.frame == 0:
            if s.inuse != 0:
                return fail(c, CHECK_SLAB, id, i, s.inuse)
            continue
        if s.cache != <uint32_t>id or s.inuse > k.num:
            return fail(c, CHECK_SLAB, id, i, s.inuse)
        if own_block(c, s.frame, k.order, OWN_SLAB) < 0:
            return -1
        slabs += 1
        active += s.inuse
        empty += s.inuse == 0
    if slabs != k.slabs or empty > 1:
        return fail(c, CHECK_SLAB, id, slabs, k.slabs)
    if active != k.active:
        return fail(c, CHECK_SLAB_COUNT, id, active, k.active)
    return 0


cdef int check_slabs(check_t *c) noexcept nogil:
    cdef int id
    for id in range(NR_CACHES):
        if check_cache(c, id) < 0:
            return -1
    return 0


cdef int expect(check_t *c, int cache, uint64_t objects) noexcept nogil:
    if c.m.caches[cache].active != objects:
        return fail(c, CHECK_SLAB_COUNT, cache, objects, c.m.caches[cache].active)
    return 0


cdef int check_objects(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    if (expect(c, CACHE_VMA, m.pools[<int>POOL_VMA].live) < 0
            or expect(c, CACHE_MM, m.pools[<int>POOL_MM].live) < 0
            or expect(c, CACHE_ANON_VMA, m.pools[<int>POOL_ANON_VMA].live) < 0
            or expect(c, CACHE_ANONMM, m.pools[<int>POOL_ANONMM].live) < 0
            or expect(c, CACHE_AVC, m.pools[<int>POOL_AVC].live) < 0
            or expect(c, CACHE_PTE_CHAIN, m.pools[<int>POOL_PTE_CHAIN].live) < 0
            or expect(c, CACHE_TASK, c.tasks) < 0
            or expect(c, CACHE_FS, c.tasks) < 0
            or expect(c, CACHE_RADIX, 0 if m.rules.page_hash else c.radix_nodes + c.swap_nodes) < 0
            or expect(c, CACHE_INODE, c.files) < 0
            or expect(c, CACHE_DENTRY, c.files) < 0
            or expect(c, CACHE_FILP, c.files) < 0):
        return -1
    return expect(c, CACHE_PGD, c.upper_tables - c.upper_frames)


cdef int line(check_t *c, int consumer, uint64_t frames) noexcept nogil:
    if c.m.any_used[consumer] != frames:
        return fail(c, CHECK_LEDGER, consumer, frames, c.m.any_used[consumer])
    if c.m.lowmem_used[consumer] > frames or c.m.peak_used[consumer] < frames:
        return fail(c, CHECK_LEDGER, consumer, frames, c.m.lowmem_used[consumer])
    return 0


cdef uint64_t slab_frames(machine_t *m, int cache) noexcept nogil:
    return m.caches[cache].slabs << m.caches[cache].order


cdef int check_sums(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t reserved = 0
    cdef uint64_t other = 0
    cdef int z
    if check_objects(c) < 0:
        return -1
    for z in range(<int>m.nr_zones):
        reserved += m.zones[z].reserved
    if m.any_used[<int>LEDGER_MEM_MAP] > reserved:
        return fail(c, CHECK_LEDGER, LEDGER_MEM_MAP, reserved, m.any_used[<int>LEDGER_MEM_MAP])
    other = (slab_frames(m, CACHE_TASK) + slab_frames(m, CACHE_FS) + slab_frames(m, CACHE_RADIX)
             + slab_frames(m, CACHE_INODE) + slab_frames(m, CACHE_FILP) + slab_frames(m, CACHE_DENTRY))
    if (line(c, LEDGER_IMAGE, reserved - m.any_used[<int>LEDGER_MEM_MAP]) < 0
            or line(c, LEDGER_PAGE_TABLES, c.leaf_tables) < 0
            or line(c, LEDGER_UPPER_TABLES, c.upper_frames + slab_frames(m, CACHE_PGD)) < 0
            or line(c, LEDGER_PTE_CHAIN, slab_frames(m, CACHE_PTE_CHAIN)) < 0
            or line(c, LEDGER_VMA, slab_frames(m, CACHE_VMA)) < 0
            or line(c, LEDGER_ANON_VMA, slab_frames(m, CACHE_ANON_VMA)) < 0
            or line(c, LEDGER_ANONMM, slab_frames(m, CACHE_ANONMM)) < 0
            or line(c, LEDGER_ANON_VMA_CHAIN, slab_frames(m, CACHE_AVC)) < 0
            or line(c, LEDGER_MM, slab_frames(m, CACHE_MM)) < 0
            or line(c, LEDGER_STACK, 2 * c.tasks) < 0
            or line(c, LEDGER_SLAB_OTHER, other) < 0
            or line(c, LEDGER_PAGE_CACHE, m.nr_pagecache) < 0):
        return -1
    if m.committed != c.accounted + c.shmem_pages:
        return fail(c, CHECK_COMMITTED, c.accounted, c.shmem_pages, m.committed)
    return 0
