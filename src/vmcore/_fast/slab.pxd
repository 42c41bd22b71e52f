# The simulated kernel's own objects and the ledger of who holds its memory. mm/slab.c of 2.6.5; fact sheet linux-2004
# 1.7.
#
# An object is known by its number in the cache, which is its index in the engine's pool (vma, anon_vma, radix node,
# chain node; mm, file for what hangs on those). Object k lies in slab (k - 1) // num. A slab takes its frames in lowmem
# (GFP_KERNEL) when its first object is taken, and gives them back when the last one goes. Because pools hand out freed
# indexes first, partial slabs fill before new ones.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.counters cimport ALLOC_REFUSALS
from vmcore._fast.records cimport machine_t

cdef enum:
    # ledger consumers; names in LEDGER_NAMES (slab.pyx): keys of the JSON ledger
    LEDGER_MEM_MAP = 0
    LEDGER_PAGE_TABLES = 1      # leaf tables
    LEDGER_UPPER_TABLES = 2
    LEDGER_PTE_CHAIN = 3
    LEDGER_VMA = 4
    LEDGER_ANON_VMA = 5
    LEDGER_ANON_VMA_CHAIN = 6
    LEDGER_ANONMM = 7
    LEDGER_MM = 8
    LEDGER_STACK = 9
    LEDGER_SLAB_OTHER = 10
    LEDGER_PAGE_CACHE = 11
    LEDGER_IMAGE = 12
    NR_LEDGER = 13

# Geometry of slabs: objects a slab and its order for raw object size s. align: 0 word, 1 SLAB_HWCACHE_ALIGN, 2
# SLAB_MUST_HWCACHE_ALIGN. Returns objects a slab; *objsize gets the size after alignment, *order the order.
cdef uint32_t slab_geometry(uint32_t size, uint32_t align, uint32_t l1_line, uint32_t word, uint32_t *objsize,
                    uint32_t *order) noexcept nogil
# The pool whose indexes number the cache's objects.
cdef int cache_pool(int cache) noexcept nogil
# Set up the caches from m.rules; needs the pools.
cdef int slab_init(machine_t *m) noexcept nogil
# Object `obj` of `cache` comes into use / goes. cache_alloc: 0, or -ENOMEM if no frames were to be had (gfp as in
# alloc_pages).
cdef int cache_alloc(machine_t *m, int cache, uint32_t obj, uint32_t gfp) noexcept nogil
cdef void cache_free(machine_t *m, int cache, uint32_t obj) noexcept nogil
# 2.4's reclaim asks for empty slabs: pages that came back.
cdef uint32_t slab_reap(machine_t *m) noexcept nogil

cdef inline void ledger_note(machine_t *m, int consumer, uint32_t pfn, int n) noexcept nogil:
    """n frames of `consumer`, the first of which is pfn, came (n > 0) or went (n < 0); lowmem and peaks are kept."""
    m.any_used[consumer] += n
    if m.nr_zones != 3 or pfn < m.zones[2].start_pfn:
        m.lowmem_used[consumer] += n
        if m.lowmem_used[consumer] > m.low_peak_used[consumer]:
            m.low_peak_used[consumer] = m.lowmem_used[consumer]
    if m.any_used[consumer] > m.peak_used[consumer]:
        m.peak_used[consumer] = m.any_used[consumer]

cdef inline void ledger_refusal(machine_t *m, int consumer, uint64_t before) noexcept nogil:
    """An allocation for `consumer` is over; `before` is what ALLOC_REFUSALS was. In the end it may have had its page:
    then somebody was killed for it."""
    if m.counters[ALLOC_REFUSALS] != before:
        m.low_refused[consumer] += 1
