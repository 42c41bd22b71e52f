# Page frames: zones, watermarks, buddy allocator, per-CPU lists. mm/page_alloc.c of 2.6.5; fact sheet linux-2004 1.4,
# 7.6.
#
# Boot touches no frame: each zone keeps [bump, end_pfn) as free memory never used, handed to the buddy lists a block of
# 2^(MAX_ORDER-1) pages at a time, upwards. Frames [start_pfn, start_pfn + reserved) belong to the kernel's image and
# mem_map. A free block's head has PG_BUDDY and its order; blocks of one order are a doubly linked list through priv
# (next) and lru (prev).
from libc.stdint cimport uint32_t, uint64_t, int32_t
from vmcore._fast.records cimport PG_ANON, PG_DIRECT, PG_SWAPCACHE, machine_t, frame_t, ZONE_NORMAL, ZONE_HIGHMEM

cdef enum:
    GFP_DMA_ = 0x01             # __GFP_DMA
    GFP_HIGHMEM_ = 0x02         # __GFP_HIGHMEM
    GFP_WAIT_ = 0x10
    GFP_HIGH_ = 0x20
    GFP_IO_ = 0x40
    GFP_FS_ = 0x80
    GFP_COLD_ = 0x100
    GFP_REPEAT_ = 0x400
    GFP_NOFAIL_ = 0x800
    GFP_NORETRY_ = 0x1000
    GFP_ATOMIC = 0x20
    GFP_NOFS = 0x50
    GFP_KERNEL = 0xD0
    GFP_HIGHUSER = 0xD2
    GFP_HIGHUSER_COLD = 0x1D2

cdef inline int pfn_zone(machine_t *m, uint32_t pfn) noexcept nogil:
    if pfn < m.zones[1].start_pfn:
        return 0
    if m.nr_zones == 3 and pfn >= m.zones[2].start_pfn:
        return 2
    return 1

cdef inline int32_t page_count(machine_t *m, uint32_t pfn) noexcept nogil:
    return m.frames[pfn].refs + <int32_t>m.mapcount[pfn]

cdef inline int page_mapped(machine_t *m, uint32_t pfn, const frame_t *f) noexcept nogil:
    """mapcount > 0, told from the frame record where a design's flags say it: a cache line less for most pages that
    reclaim looks at."""
    if f.flags & <uint32_t>(PG_ANON | PG_DIRECT):
        return 1
    return m.mapcount[pfn] != 0

cdef inline int has_mapping(const frame_t *f) noexcept nogil:
    """page_mapping() is not NULL: a file, or the swap cache."""
    return (f.flags & <uint32_t>PG_SWAPCACHE) != 0 or (f.mapping != 0 and not f.flags & <uint32_t>PG_ANON)

cdef inline void get_page(machine_t *m, uint32_t pfn) noexcept nogil:
    m.frames[pfn].refs += 1

# Zones, watermarks, reserved frames; needs m.rules and m.nr_frames. -ENOMEM if mem_map does not fit its zone.
cdef int frame_init(machine_t *m) noexcept nogil
# __alloc_pages: 2^order frames with refs = 1, flags 0 and no links; 0 if there are none (killed, interrupted, or not
# allowed to wait). May reclaim, wait, kill. Counts pgalloc_*.
cdef uint32_t alloc_pages(machine_t *m, uint32_t gfp, uint32_t order) noexcept nogil
# Free a block whose count is 0; order 0 goes through the per-CPU lists. Checks that nothing holds it (BUG_FREE_*).
cdef void free_pages_ok(machine_t *m, uint32_t pfn, uint32_t order) noexcept nogil
cdef void free_hot_cold_page(machine_t *m, uint32_t pfn, int cold) noexcept nogil
# Give the per-CPU lists back to the buddy allocator (drain_local_pages).
cdef void drain_pcp(machine_t *m) noexcept nogil
# Free pages of all zones, buddy and bump (nr_free_pages); per-CPU pages are not counted, as in the kernel.
cdef uint64_t nr_free_pages(machine_t *m) noexcept nogil
cdef void wakeup_kswapd(machine_t *m, int zone) noexcept nogil

# ---- for a policy with an allocation of its own (reclaim_ops.alloc)
cdef int top_zone(machine_t *m, uint32_t gfp) noexcept nogil            # the highest zone that may serve gfp
# 2^order frames of one zone, whatever its marks say, not prepared; 0 if it has none.
cdef uint32_t buffered_rmqueue(machine_t *m, int z, uint32_t order, int cold) noexcept nogil
cdef uint32_t prepare(machine_t *m, uint32_t pfn, int z, uint32_t order) noexcept nogil
cdef uint32_t alloc_failed(machine_t *m) noexcept nogil
cdef int current_dying(machine_t *m) noexcept nogil
cdef int only_low_is_short(machine_t *m, int top) noexcept nogil
