"""Page frames: zones, watermarks, the buddy allocator and the per-CPU lists.

mm/page_alloc.c of 2.6.5; fact sheet linux-2004 1.3, 1.4, 7.6. Order of allocation: a zone's buddy lists first (head of
the lowest order that fits, the lower half is returned), then its never-used frames, upwards. Boot touches no frame
record.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_DOUBLE_FREE, BUG_FREE_ANON, BUG_FREE_MAPPED, bug
from vmcore._fast.clock cimport wait_event
from vmcore._fast.counters cimport (
    ALLOC_FAILURES, ALLOC_LIVELOCK, ALLOC_REFUSALS, OOM_KILLS, PGALLOC_HIGH, PGFREE, count, count_n, count_zone,
)
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.records cimport (
    MAX_ORDER, MAX_ZONES, PCP_RING, PF_KSWAPD, PF_MEMALLOC, PF_SWAPOFF_FAILED, PG_ACTIVE, PG_ANON, PG_BUDDY, PG_LOCKED,
    PG_LRU, PG_ORDER_SHIFT, PG_PCP, PG_RECLAIM, PG_RESERVED, PG_SWAPCACHE, PG_WRITEBACK, POOL_FRAME, TASK_ALIVE,
    ZONE_DMA, ZONE_HIGHMEM, ZONE_NORMAL, frame_t, free_area_t, machine_t, pcp_t, zone_t,
)
from vmcore._fast.slab cimport LEDGER_IMAGE, LEDGER_MEM_MAP, ledger_note

cdef enum:
    DMA_PAGES = 4096        # 16 MiB
    IMAGE_PAGES = 1024      # the first 4 MiB: BIOS hole and a 3 MiB kernel image
    BLOCK = 1 << (MAX_ORDER - 1)
    HZ_50 = 20000000        # HZ/50 in ns
    SECONDS_10 = 10
    PCP_AHEAD = 6           # allocations from now whose frame record is prefetched

cdef enum:
    PG_BAD_FREE = PG_LRU | PG_ACTIVE | PG_LOCKED | PG_SWAPCACHE | PG_WRITEBACK | PG_RECLAIM | PG_RESERVED
    PG_FREE = PG_BUDDY | PG_PCP


# ---------------------------------------------------------------- boot

cdef uint64_t isqrt(uint64_t x) noexcept nogil:
    cdef uint64_t r = 0
    cdef uint64_t bit = <uint64_t>1 << 62
    while bit > x:
        bit >>= 2
    while bit:
        if x >= r + bit:
            x -= r + bit
            r = (r >> 1) + bit
        else:
            r >>= 1
        bit >>= 2
    return r


cdef void setup_watermarks(machine_t *m) noexcept nogil:
    cdef uint64_t low = m.zones[ZONE_DMA].present + m.zones[ZONE_NORMAL].present
    cdef uint64_t share, pages_min
    cdef int z
    cdef zone_t *zone
    if m.min_free_kbytes == 0:
        m.min_free_kbytes = <uint32_t>isqrt(low * 4)
        if m.min_free_kbytes < m.rules.min_free_min:
            m.min_free_kbytes = m.rules.min_free_min
        if m.min_free_kbytes > m.rules.min_free_max:
            m.min_free_kbytes = m.rules.min_free_max
    pages_min = m.min_free_kbytes >> 2
    m.total_pages = 0
    for z in range(<int>m.nr_zones):
        zone = &m.zones[z]
        if z == ZONE_HIGHMEM:
            share = zone.present // 1024
            if share < 32:
                share = 32
            if share > 128:
                share = 128
        else:
            share = pages_min * zone.present // low
        zone.pages_min = <uint32_t>share
        zone.pages_low = <uint32_t>share * 2
        zone.pages_high = <uint32_t>share * 3
        if zone.present > zone.pages_high:
            m.total_pages += zone.present - zone.pages_high
    if m.rules.classzone:
        setup_classzones(m)


cdef void setup_classzones(machine_t *m) noexcept nogil:
    """2.4: a zone's marks go by its size alone; an allocation that prefers a higher zone must leave more in the lower
    ones, a 256th (DMA) or a 32nd (NORMAL) of what lies between (7.2)."""
    cdef uint64_t between
    cdef int cz, z
    cdef zone_t *zone
    for z in range(<int>m.nr_zones):
        zone = &m.zones[z]
        zone.pages_min = zone.present // 128
        if zone.pages_min < 20:
            zone.pages_min = 20
        if zone.pages_min > 255:
            zone.pages_min = 255
        zone.pages_low = zone.pages_min * 2
        zone.pages_high = zone.pages_min * 3
    for cz in range(<int>m.nr_zones):
        between = m.zones[cz].present
        for z in range(cz - 1, -1, -1):
            m.zones[z].class_reserve[cz] = <uint32_t>(between // (256 if z == ZONE_DMA else 32))
            between += m.zones[z].present


cdef void setup_pcp(zone_t *zone) noexcept nogil:
    cdef uint32_t batch = zone.present // 1024
    if batch > 64:
        batch = 64
    batch //= 4
    if batch < 1:
        batch = 1
    zone.pcp[0].low = 2 * batch
    zone.pcp[0].high = 6 * batch
    zone.pcp[0].batch = batch
    zone.pcp[1].low = 0
    zone.pcp[1].high = 2 * batch
    zone.pcp[1].batch = batch


cdef int frame_init(machine_t *m) noexcept nogil:
    cdef uint64_t ends[3]
    cdef uint64_t at = 0
    cdef uint64_t mem_map = (m.nr_frames * m.rules.struct_page_size + 4095) >> 12
    cdef uint64_t image = IMAGE_PAGES
    cdef int z
    cdef zone_t *zone
    m.nr_zones = m.rules.nr_zones
    ends[0] = DMA_PAGES
    ends[1] = m.rules.lowmem_pages if m.nr_zones == 3 else m.nr_frames
    ends[2] = m.nr_frames
    for z in range(MAX_ZONES):
        zone = &m.zones[z]
        if ends[z] > m.nr_frames:
            ends[z] = m.nr_frames
        zone.start_pfn = <uint32_t>at
        zone.end_pfn = <uint32_t>(ends[z] if z < <int>m.nr_zones else at)
        zone.present = zone.end_pfn - zone.start_pfn
        at = zone.end_pfn
        zone.lruvec = 0 if m.rules.global_lru else z
        zone.prev_priority = 12
        zone.temp_priority = 12
        zone.reserved = 0
        setup_pcp(zone)
    m.zones[0].reserved = <uint32_t>image
    # mem_map: bootmem takes it above the DMA zone where there is room
    z = ZONE_NORMAL if m.zones[ZONE_NORMAL].present > mem_map else ZONE_DMA
    m.zones[z].reserved += <uint32_t>mem_map
    for z in range(MAX_ZONES):
        zone = &m.zones[z]
        if zone.present != 0 and zone.reserved + 64 > zone.present:
            return -ENOMEM
        zone.bump = zone.start_pfn + zone.reserved
        zone.free_pages = zone.present - zone.reserved
    m.zero_pfn = 257                # in the image; its record is the only one that boot writes
    m.frames[m.zero_pfn].flags = PG_RESERVED
    m.frames[m.zero_pfn].refs = 1
    ledger_note(m, LEDGER_IMAGE, 1, <int>image)
    ledger_note(m, LEDGER_MEM_MAP, DMA_PAGES if m.zones[ZONE_NORMAL].reserved else 1, <int>mem_map)
    setup_watermarks(m)
    return 0


# ---------------------------------------------------------------- buddy lists

cdef inline void area_add(machine_t *m, zone_t *zone, uint32_t pfn, uint32_t order) noexcept nogil:
    cdef free_area_t *a = &zone.area[order]
    cdef frame_t *f = &m.frames[pfn]
    f.flags = PG_BUDDY | (order << PG_ORDER_SHIFT)
    f.priv = a.head
    f.lru = 0
    if a.head != 0:
        m.frames[a.head].lru = pfn
    a.head = pfn
    a.nr += 1


cdef inline void area_del(machine_t *m, zone_t *zone, uint32_t pfn, uint32_t order) noexcept nogil:
    cdef free_area_t *a = &zone.area[order]
    cdef frame_t *f = &m.frames[pfn]
    if f.lru != 0:
        m.frames[f.lru].priv = f.priv
    else:
        a.head = f.priv
    if f.priv != 0:
        m.frames[f.priv].lru = f.lru
    f.flags = 0
    a.nr -= 1


cdef int bump_block(machine_t *m, zone_t *zone) noexcept nogil:
    """Hand the next stretch of never-used frames, up to a block boundary, to the buddy lists. 0 if there is none."""
    cdef uint32_t at = zone.bump
    cdef uint32_t end, order
    if at >= zone.end_pfn:
        return 0
    end = (at | (BLOCK - 1)) + 1
    if end > zone.end_pfn:
        end = zone.end_pfn
    zone.bump = end
    m.pools[POOL_FRAME].next += end - at        # frames touched so far: what the host grants
    # downwards, so that the lowest piece is at the head of its list
    while end > at:
        order = 0
        while order < MAX_ORDER - 1 and (end & (<uint32_t>1 << order)) == 0 and end - at >= (<uint32_t>2 << order):
            order += 1
        end -= <uint32_t>1 << order
        area_add(m, zone, end, order)
    return 1


cdef uint32_t rmqueue_buddy(machine_t *m, zone_t *zone, uint32_t order) noexcept nogil:
    cdef uint32_t o, pfn
    while True:
        for o in range(order, MAX_ORDER):
            pfn = zone.area[o].head
            if pfn != 0:
                area_del(m, zone, pfn, o)
                while o > order:
                    o -= 1
                    area_add(m, zone, pfn + (<uint32_t>1 << o), o)
                zone.free_pages -= <uint32_t>1 << order
                return pfn
        if not bump_block(m, zone):
            return 0


cdef void free_buddy(machine_t *m, int z, uint32_t pfn, uint32_t order) noexcept nogil:
    cdef zone_t *zone = &m.zones[z]
    cdef uint32_t buddy
    cdef uint32_t first = zone.start_pfn + zone.reserved
    m.frames[pfn].flags = 0
    zone.free_pages += <uint32_t>1 << order
    zone.all_unreclaimable = 0
    zone.pages_scanned = 0
    while order < MAX_ORDER - 1:
        buddy = pfn ^ (<uint32_t>1 << order)
        if buddy < first or buddy + (<uint32_t>1 << order) > zone.bump:
            break
        if m.frames[buddy].flags != (PG_BUDDY | (order << PG_ORDER_SHIFT)):
            break
        area_del(m, zone, buddy, order)
        if buddy < pfn:
            pfn = buddy
        order += 1
    area_add(m, zone, pfn, order)


# ---------------------------------------------------------------- per-CPU lists

cdef uint32_t whole_batch(machine_t *m, zone_t *zone, uint32_t n) noexcept nogil:
    """The first of n frames side by side, taken as one block, or 0. Only where n single pages, taken one after the
    other, would be the same frames and leave the same lists: n a power of two, no smaller block free."""
    cdef uint32_t order = 0
    if n & (n - 1) != 0:
        return 0
    while <uint32_t>1 << order < n:
        if zone.area[order].head != 0:
            return 0
        order += 1
    return rmqueue_buddy(m, zone, order) if zone.area[order].head != 0 or zone.bump < zone.end_pfn else 0


cdef uint32_t buffered_rmqueue(machine_t *m, int z, uint32_t order, int cold) noexcept nogil:
    cdef zone_t *zone = &m.zones[z]
    cdef pcp_t *pcp
    cdef uint32_t i, pfn, first, ahead
    if order != 0 or m.rules.no_pcp:
        return rmqueue_buddy(m, zone, order)
    pcp = &zone.pcp[1 if cold else 0]
    if pcp.count <= pcp.low:
        first = whole_batch(m, zone, pcp.batch)
        for i in range(pcp.batch):
            pfn = first + i if first != 0 else rmqueue_buddy(m, zone, 0)
            if pfn == 0:
                break
            m.frames[pfn].flags = PG_PCP
            pcp.ring[(pcp.head + pcp.count) & (PCP_RING - 1)] = pfn
            pcp.count += 1
        zone.ahead = zone.area[0].head
        prefetch_write(&m.frames[zone.ahead])
    if pcp.count == 0:
        return 0
    # the next refill follows the links of the order-0 list: go there one link an allocation, so that it misses nowhere
    ahead = m.frames[zone.ahead].priv if zone.ahead != 0 else 0
    zone.ahead = ahead if ahead < m.nr_frames else 0
    prefetch_write(&m.frames[zone.ahead])
    pfn = pcp.ring[pcp.head & (PCP_RING - 1)]
    pcp.head += 1
    pcp.count -= 1
    ahead = pcp.ring[(pcp.head + (PCP_AHEAD if pcp.count > PCP_AHEAD else 0)) & (PCP_RING - 1)]
    prefetch_write(&m.frames[ahead])
    prefetch_write(&m.mapcount[ahead])
    return pfn


cdef void pcp_flush(machine_t *m, int z, pcp_t *pcp, uint32_t n) noexcept nogil:
    cdef uint32_t pfn
    while n > 0 and pcp.count > 0:
        pcp.count -= 1
        n -= 1
        pfn = pcp.ring[(pcp.head + pcp.count) & (PCP_RING - 1)]
        free_buddy(m, z, pfn, 0)


cdef void drain_pcp(machine_t *m) noexcept nogil:
    cdef int z, c
    for z in range(<int>m.nr_zones):
        for c in range(2):
            pcp_flush(m, z, &m.zones[z].pcp[c], PCP_RING)


cdef inline int free_check(machine_t *m, uint32_t pfn) noexcept nogil:
    """A page that is freed must be held by nothing (free_pages_check; -aa also insists on PG_anon clear)."""
    cdef frame_t *f = &m.frames[pfn]
    if f.flags & PG_FREE:
        bug(m, BUG_DOUBLE_FREE, pfn, f.flags, 0)
        return 0
    if f.flags & PG_ANON:
        bug(m, BUG_FREE_ANON, pfn, f.flags, f.mapping)
        return 0
    if f.refs != 0 or m.mapcount[pfn] != 0 or f.flags & PG_BAD_FREE:
        bug(m, BUG_FREE_MAPPED, pfn, f.flags, <uint64_t>f.refs)
        return 0
    return 1


cdef void free_hot_cold_page(machine_t *m, uint32_t pfn, int cold) noexcept nogil:
    cdef int z = pfn_zone(m, pfn)
    cdef pcp_t *pcp = &m.zones[z].pcp[1 if cold else 0]
    if not free_check(m, pfn):
        return
    count(m, PGFREE)
    if m.rules.no_pcp:
        free_buddy(m, z, pfn, 0)
        return
    m.frames[pfn].flags = PG_PCP
    if pcp.count >= pcp.high:
        pcp_flush(m, z, pcp, pcp.batch)
    pcp.head -= 1
    pcp.ring[pcp.head & (PCP_RING - 1)] = pfn
    pcp.count += 1


cdef void free_pages_ok(machine_t *m, uint32_t pfn, uint32_t order) noexcept nogil:
    if order == 0:
        free_hot_cold_page(m, pfn, 0)
        return
    if free_check(m, pfn):
        count_n(m, PGFREE, <uint64_t>1 << order)
        free_buddy(m, pfn_zone(m, pfn), pfn, order)


# ---------------------------------------------------------------- allocation

cdef uint64_t nr_free_pages(machine_t *m) noexcept nogil:
    cdef uint64_t n = 0
    cdef int z
    for z in range(<int>m.nr_zones):
        n += m.zones[z].free_pages
    return n


cdef void wakeup_kswapd(machine_t *m, int zone) noexcept nogil:
    if m.zones[zone].free_pages <= m.zones[zone].pages_low:
        m.kswapd_awake = 1


cdef uint32_t prepare(machine_t *m, uint32_t pfn, int z, uint32_t order) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t i
    f.flags = order << PG_ORDER_SHIFT
    f.refs = 1
    f.mapping = 0
    f.priv = 0
    f.index = 0
    f.rmap = 0
    f.lru = 0
    for i in range(1, <uint32_t>1 << order):    # the other frames of a block: held by the head, count 0
        m.frames[pfn + i].flags = 0
    count_zone(m, PGALLOC_HIGH, z, <uint64_t>1 << order)
    return pfn


cdef enum:
    MARK_LOW = 0
    MARK_MIN = 1
    MARK_NONE = 2

cdef uint64_t protection(machine_t *m, int z, int type) noexcept nogil:
    """2.6.7: free pages of zone z that an allocation whose preferred zone is `type` must leave: the low marks of all
    zones from z to it, and lower_zone_protection times those above z. Grows with the distance, so that what could go
    higher up does not fill low memory."""
    cdef uint64_t n = m.zones[z].pages_low
    cdef int k
    for k in range(z + 1, type + 1):
        if m.zones[k].present:
            n += m.zones[k].pages_low * (1 + <uint64_t>m.lower_zone_protection)
    return n


cdef uint32_t take_protected(machine_t *m, int top, uint32_t gfp, uint32_t order, int mark) noexcept nogil:
    """One pass down the zonelist of 2.6.7: thresholds by the preferred zone, which is the highest that exists. Every
    pass asks for the same, only __GFP_HIGH may go a quarter of low deeper in the second."""
    cdef uint64_t need
    cdef uint32_t pfn
    cdef int z
    cdef zone_t *zone
    while top > 0 and m.zones[top].present == 0:
        top -= 1
    for z in range(top, -1, -1):
        zone = &m.zones[z]
        if zone.present == 0:
            continue
        need = (<uint64_t>1 << order) + protection(m, z, top)
        if mark == MARK_MIN and gfp & GFP_HIGH_:
            need -= zone.pages_low >> 2
        if zone.free_pages < need and not (not (gfp & GFP_WAIT_) and zone.free_pages >= zone.pages_high):
            continue
        pfn = buffered_rmqueue(m, z, order, gfp & GFP_COLD_)
        if pfn != 0:
            return prepare(m, pfn, z, order)
    return 0


cdef uint32_t take(machine_t *m, int top, uint32_t gfp, uint32_t order, int mark) noexcept nogil:
    """One pass down the zonelist with the incremental threshold of 2.6.5: each zone's mark adds up for the zones below
    it."""
    if m.rules.zone_protection and mark != MARK_NONE:
        return take_protected(m, top, gfp, order, mark)
    cdef uint64_t need = <uint64_t>1 << order
    cdef uint64_t local
    cdef uint32_t pfn
    cdef int z
    cdef zone_t *zone
    for z in range(top, -1, -1):
        zone = &m.zones[z]
        if zone.present == 0:
            continue
        if mark != MARK_NONE:
            local = zone.pages_low if mark == MARK_LOW else zone.pages_min
            if mark == MARK_MIN and gfp & GFP_HIGH_:
                local >>= 2
            need += local
            if zone.free_pages < need and not (not (gfp & GFP_WAIT_) and zone.free_pages >= zone.pages_high):
                need += local * m.lower_zone_protection
                continue
            need += local * m.lower_zone_protection
        pfn = buffered_rmqueue(m, z, order, gfp & GFP_COLD_)
        if pfn != 0:
            return prepare(m, pfn, z, order)
    return 0


cdef uint32_t alloc_failed(machine_t *m) noexcept nogil:
    count(m, ALLOC_FAILURES)
    return 0


cdef int only_low_is_short(machine_t *m, int top) noexcept nogil:
    """A request for low memory, while high memory has more free pages than it wants to keep."""
    cdef zone_t *high = &m.zones[<int>ZONE_HIGHMEM]
    return top < ZONE_HIGHMEM and m.nr_zones == 3 and high.free_pages > high.pages_low


cdef int current_dying(machine_t *m) noexcept nogil:
    return m.current != 0 and m.tasks[m.current].state != TASK_ALIVE


cdef uint32_t alloc_slow(machine_t *m, int top, uint32_t gfp, uint32_t order) noexcept nogil:
    cdef uint32_t pfn, pf
    cdef uint64_t since = m.now
    cdef uint64_t freed
    cdef uint64_t kills
    cdef int refused = 0
    cdef int low
    cdef int z
    if not (m.pf & PF_MEMALLOC):
        m.scan_serial += 1
    if not (m.pf & PF_KSWAPD):
        for z in range(top, -1, -1):
            if m.zones[z].present:
                wakeup_kswapd(m, z)
    pfn = take(m, top, gfp, order, MARK_MIN)
    if pfn != 0:
        return pfn
    freed = m.counters[PGFREE]
    while True:
        if m.pf & PF_MEMALLOC or (m.current != 0 and m.tasks[m.current].memdie):
            pfn = take(m, top, gfp, order, MARK_NONE)
            return pfn if pfn != 0 else alloc_failed(m)
        if not (gfp & GFP_WAIT_):
            return alloc_failed(m)
        pf = m.pf
        m.pf |= PF_MEMALLOC
        low = only_low_is_short(m, top)
        kills = m.counters[OOM_KILLS]
        m.reclaim.try_to_free_pages(m, gfp)
        m.pf = pf | (m.pf & PF_SWAPOFF_FAILED)
        if m.host_error != 0:
            return 0
        if m.pf & PF_SWAPOFF_FAILED or m.bug != 0:
            return alloc_failed(m)
        pfn = take(m, top, gfp, order, MARK_LOW if m.rules.zone_protection else MARK_MIN)
        if low and not refused and (pfn == 0 or m.counters[OOM_KILLS] != kills):
            count(m, ALLOC_REFUSALS)
            refused = 1
        if pfn != 0:
            return pfn
        if m.current != 0 and m.tasks[m.current].memdie:
            continue                            # chosen meanwhile: the last pages are its own now
        if current_dying(m):
            return alloc_failed(m)
        if gfp & GFP_NORETRY_ or (order > 3 and not (gfp & (GFP_REPEAT_ | GFP_NOFAIL_))):
            return alloc_failed(m)
        wait_event(m, HZ_50)
        if m.up.poll != NULL and m.up.poll(m) < 0:
            return 0
        # This kernel would go on for ever (free swap, but nothing that can go there, so its OOM killer never acts).
        if m.counters[PGFREE] != freed:
            freed = m.counters[PGFREE]
            since = m.now
        elif m.now - since > <uint64_t>SECONDS_10 * 1000000000:
            count(m, ALLOC_LIVELOCK)
            m.livelock = 1
            m.up.out_of_memory(m)
            m.livelock = 0
            since = m.now
            if m.pf & PF_SWAPOFF_FAILED:
                return alloc_failed(m)


cdef int top_zone(machine_t *m, uint32_t gfp) noexcept nogil:
    if gfp & GFP_HIGHMEM_ and m.nr_zones == 3:
        return ZONE_HIGHMEM
    return ZONE_DMA if gfp & GFP_DMA_ else ZONE_NORMAL


cdef uint32_t alloc_pages(machine_t *m, uint32_t gfp, uint32_t order) noexcept nogil:
    cdef int top
    cdef uint32_t pfn
    if m.reclaim.alloc != NULL:
        return m.reclaim.alloc(m, gfp, order)
    top = top_zone(m, gfp)
    pfn = take(m, top, gfp, order, MARK_LOW)
    if pfn != 0:
        return pfn
    return alloc_slow(m, top, gfp, order)
