"""The simulated kernel's own objects: slab geometry, slabs' frames, and the ledger of who holds the machine's memory.

mm/slab.c of 2.6.5; fact sheet linux-2004 1.5, 1.7. A slab that becomes empty is kept if no other empty one of its cache
is (the kernel keeps a few free slabs as well), else its frames go back at once.

Sizes: vm_area_struct, anon_vma, pte_chain, struct page and mm_struct come with the preset (fact sheet 1.1, 1.6). Those
marked [M] there or absent are ours, from memory of the era: radix_tree_node 276 / 536, inode 448 / 800, dentry 144 /
240, file 128 / 256, one lump of 2048 / 3072 for files_struct, fs_struct, signal and sighand of a task.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.counters cimport ALLOC_REFUSALS, SLAB_PAGES_ALLOCATED, SLAB_PAGES_FREED, SLAB_REAPED, count_n
from vmcore._fast.frame cimport GFP_HIGHMEM_, alloc_pages, free_pages_ok
from vmcore._fast.records cimport (
    CACHE_ANON_VMA, CACHE_ANONMM, CACHE_AVC, CACHE_DENTRY, CACHE_FILP, CACHE_FS, CACHE_INODE, CACHE_MM, CACHE_PGD,
    CACHE_PTE_CHAIN, CACHE_RADIX, CACHE_TASK, CACHE_VMA, NR_CACHES, PG_SLAB, POOL_ANON_VMA, POOL_ANONMM,
    POOL_AVC, POOL_FILE,
    POOL_MM, POOL_PTE_CHAIN, POOL_RADIX, POOL_SLAB, POOL_VMA, cache_t, machine_t, slab_t)

LEDGER_NAMES = ("mem_map", "page_tables", "upper_tables", "pte_chain", "vma", "anon_vma", "anon_vma_chain", "anonmm",
                "mm", "stack",
                "slab_other", "page_cache", "image")
CACHE_NAMES = ("vm_area_struct", "mm_struct", "anon_vma", "pte_chain", "task_struct", "radix_tree_node",
               "inode_cache", "filp",
               "dentry_cache", "pgd", "task_files_signals", "anonmm", "anon_vma_chain")

cdef enum:
    NO_SLAB = 0xFFFFFFFF


cdef uint32_t slab_geometry(uint32_t size, uint32_t align, uint32_t l1_line, uint32_t word, uint32_t *objsize,
                    uint32_t *order) noexcept nogil:
    cdef uint32_t desc = 24 if word == 4 else 40
    cdef uint32_t a = word
    cdef uint32_t num = 0
    cdef uint32_t o = 0
    cdef uint32_t off, used, slab
    if align == 1:
        a = l1_line
        while a > word and size <= a // 2:
            a //= 2
    elif align == 2:
        a = l1_line
    size = (size + a - 1) // a * a
    off = size >= 512
    while True:
        slab = <uint32_t>4096 << o
        if off:
            num = slab // size
            used = num * size
        else:
            num = slab // size
            while num > 0 and num * size + (desc + 4 * num + l1_line - 1) // l1_line * l1_line > slab:
                num -= 1
            used = num * size + (desc + 4 * num + l1_line - 1) // l1_line * l1_line
        if o >= 5:
            break
        if num != 0 and (o >= 1 or (slab - used) * 8 <= slab):
            break
        o += 1
    objsize[0] = size
    order[0] = o
    return num


def geometry(uint32_t size, uint32_t align, uint32_t l1_line, uint32_t word):
    """(size after alignment, objects a slab, pages a slab) of a cache; align as in slab.pxd."""
    cdef uint32_t objsize, order
    cdef uint32_t num
    if not (0 < size <= 65536 and align <= 2 and l1_line in (16, 32, 64, 128) and word in (4, 8)):
        raise ValueError(f"no cache has size={size}, align={align}, l1_line={l1_line}, word={word}")
    num = slab_geometry(size, align, l1_line, word, &objsize, &order)
    return objsize, num, 1 << order


cdef void cache_init(machine_t *m, int cache, uint32_t size, uint32_t align, uint64_t objects,
                    uint64_t *at) noexcept nogil:
    cdef cache_t *c = &m.caches[cache]
    c.rawsize = size
    c.num = slab_geometry(size, align, m.rules.l1_line, m.rules.word_size, &c.objsize, &c.order)
    c.map = at[0]
    c.map_max = objects // c.num + 2
    c.free = NO_SLAB
    at[0] += c.map_max


cdef int slab_init(machine_t *m) noexcept nogil:
    cdef uint64_t at = 1
    cdef bint wide = m.rules.word_size == 8
    cache_init(m, CACHE_VMA, m.rules.vma_size, 1 if m.rules.vma_hwalign else 0, m.pools[POOL_VMA].max, &at)
    cache_init(m, CACHE_MM, m.rules.mm_size, 1, m.pools[POOL_MM].max, &at)
    cache_init(m, CACHE_ANON_VMA, m.rules.anon_vma_size if m.rules.anon_vma_size else 12, 0,
               m.pools[POOL_ANON_VMA].max, &at)
    cache_init(m, CACHE_ANONMM, m.rules.anonmm_size if m.rules.anonmm_size else 24, 0, m.pools[POOL_ANONMM].max, &at)
    cache_init(m, CACHE_AVC, m.rules.avc_size if m.rules.avc_size else 48, 0, m.pools[POOL_AVC].max, &at)
    cache_init(m, CACHE_PTE_CHAIN, m.rules.l1_line, 2, m.pools[POOL_PTE_CHAIN].max, &at)
    cache_init(m, CACHE_TASK, m.rules.task_size_bytes, 0, m.pools[POOL_MM].max, &at)
    cache_init(m, CACHE_FS, 3072 if wide else 2048, 0, m.pools[POOL_MM].max, &at)
    cache_init(m, CACHE_PGD, 32, 0, m.pools[POOL_MM].max, &at)
    cache_init(m, CACHE_RADIX, 536 if wide else 276, 0, m.pools[POOL_RADIX].max, &at)
    cache_init(m, CACHE_INODE, 800 if wide else 448, 0, m.pools[POOL_FILE].max, &at)
    cache_init(m, CACHE_FILP, 256 if wide else 128, 1, m.pools[POOL_FILE].max, &at)
    cache_init(m, CACHE_DENTRY, 240 if wide else 144, 0, m.pools[POOL_FILE].max, &at)
    if at > m.pools[POOL_SLAB].max:
        return -ENOMEM
    m.pools[POOL_SLAB].next = 1
    return 0


cdef int cache_pool(int cache) noexcept nogil:
    if cache == CACHE_VMA:
        return POOL_VMA
    if cache == CACHE_ANON_VMA:
        return POOL_ANON_VMA
    if cache == CACHE_ANONMM:
        return POOL_ANONMM
    if cache == CACHE_AVC:
        return POOL_AVC
    if cache == CACHE_PTE_CHAIN:
        return POOL_PTE_CHAIN
    if cache == CACHE_RADIX:
        return POOL_RADIX
    if cache == CACHE_INODE or cache == CACHE_FILP or cache == CACHE_DENTRY:
        return POOL_FILE
    return POOL_MM


cdef int consumer(int cache) noexcept nogil:
    if cache == CACHE_VMA:
        return LEDGER_VMA
    if cache == CACHE_ANON_VMA:
        return LEDGER_ANON_VMA
    if cache == CACHE_PTE_CHAIN:
        return LEDGER_PTE_CHAIN
    if cache == CACHE_ANONMM:
        return LEDGER_ANONMM
    if cache == CACHE_AVC:
        return LEDGER_ANON_VMA_CHAIN
    if cache == CACHE_MM:
        return LEDGER_MM
    if cache == CACHE_PGD:
        return LEDGER_UPPER_TABLES
    return LEDGER_SLAB_OTHER


cdef void slab_release(machine_t *m, cache_t *c, int cache, slab_t *s) noexcept nogil:
    cdef uint32_t pfn = s.frame
    s.frame = 0
    c.slabs -= 1
    m.frames[pfn].flags &= ~<uint32_t>PG_SLAB
    m.frames[pfn].refs = 0
    ledger_note(m, consumer(cache), pfn, -(1 << c.order))
    count_n(m, SLAB_PAGES_FREED, <uint64_t>1 << c.order)
    free_pages_ok(m, pfn, c.order)


cdef int cache_alloc(machine_t *m, int cache, uint32_t obj, uint32_t gfp) noexcept nogil:
    cdef cache_t *c = &m.caches[cache]
    cdef uint32_t k = (obj - 1) // c.num        # numbers begin at 1
    cdef slab_t *s = &m.slabs[c.map + k]
    cdef uint32_t pfn
    cdef uint64_t refusals = m.counters[ALLOC_REFUSALS]
    if s.frame == 0:
        pfn = alloc_pages(m, gfp & ~<uint32_t>GFP_HIGHMEM_, c.order)
        ledger_refusal(m, consumer(cache), refusals)
        if pfn == 0:
            return -ENOMEM
        if s.frame != 0:            # reclaim, while we waited, took an object of the same slab
            m.frames[pfn].refs = 0
            free_pages_ok(m, pfn, c.order)
        else:
            m.frames[pfn].flags |= PG_SLAB
            s.frame = pfn
            s.cache = cache
            c.slabs += 1
            if c.slabs > c.peak:
                c.peak = c.slabs
            if c.map + k >= m.pools[POOL_SLAB].next:
                m.pools[POOL_SLAB].next = c.map + k + 1
            ledger_note(m, consumer(cache), pfn, 1 << c.order)
            count_n(m, SLAB_PAGES_ALLOCATED, <uint64_t>1 << c.order)
    elif c.free == k:
        c.free = NO_SLAB
    s.inuse += 1
    c.active += 1
    return 0


cdef void cache_free(machine_t *m, int cache, uint32_t obj) noexcept nogil:
    cdef cache_t *c = &m.caches[cache]
    cdef uint32_t k = (obj - 1) // c.num        # numbers begin at 1
    cdef slab_t *s = &m.slabs[c.map + k]
    s.inuse -= 1
    c.active -= 1
    if s.inuse == 0:
        if c.free == NO_SLAB:
            c.free = k
        else:
            slab_release(m, c, cache, s)


cdef uint32_t slab_reap(machine_t *m) noexcept nogil:
    """kmem_cache_reap of 2.4: one cache a call gives back half of its empty slabs, and none keeps more than one here.
    The cache with most pages to give, looking round from where the last call stopped. Returns the pages."""
    cdef uint32_t i, id
    cdef uint32_t best = NR_CACHES
    cdef cache_t *c
    for i in range(NR_CACHES):
        id = (m.reap_next + i) % NR_CACHES
        c = &m.caches[id]
        if c.free != NO_SLAB and (best == NR_CACHES or c.order > m.caches[best].order):
            best = id
    if best == NR_CACHES:
        return 0
    m.reap_next = (best + 1) % NR_CACHES
    c = &m.caches[best]
    i = c.free
    c.free = NO_SLAB
    slab_release(m, c, best, &m.slabs[c.map + i])
    count_n(m, SLAB_REAPED, <uint64_t>1 << c.order)
    return <uint32_t>1 << c.order
