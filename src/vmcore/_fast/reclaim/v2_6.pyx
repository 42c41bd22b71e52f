"""Reclaim of 2.6.5 and 2.6.7: active and inactive list a zone. mm/vmscan.c; fact sheet linux-2004 7.3, 7.4, 7.5. Where
the two differ, a field of m.rules says so.

The kernel takes pages off a list one by one; so does this code, in the same order, but as a pipeline of batches of 32:
while one is decided, the ptes and slots of the next are fetched, and the frame records of the one after that. The cost
of a page is the number of cache misses that cannot overlap.

Page sets: refill_inactive_zone moves a page from the active to the inactive list if it is unmapped, or if it is time to
reclaim mapped memory and no pte was young. shrink_list unmaps, writes, frees; what it decides for a page is in
shrink_page.pyx.

Idle passes. Without swap, or with swap full, this kernel scans its whole active list again and again before its OOM
killer acts: with 1,000 mappers a page that is 10^11 ptes for nothing. A pass over all of the list that found nothing
young and moved nothing leaves every list and every pte as it was. So as long as nothing else happened since (same
reclaim run, no page allocated, freed, moved or unmapped), the next pass is known: its counts are added, and it is not
walked. Counters and state are those of the walk.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from vmcore._fast.clock cimport wait_event
from vmcore._fast.counters cimport (
    ALLOCSTALL, EXITS, KSWAPD_STEAL, NR_COUNTERS, PAGEOUTRUN, PGACTIVATE, PGALLOC_DMA, PGALLOC_HIGH, PGALLOC_NORMAL,
    PGDEACTIVATE, PGFREE, PGREFILL_HIGH, PGROTATED, RMAP_NONLINEAR_PTES, RMAP_PTES_EXAMINED, RMAP_UNMAP_SUCCESS,
    PGSCAN_DIRECT_HIGH, PGSCAN_KSWAPD_HIGH, PGSTEAL_HIGH, RECLAIM_PRIORITY_MIN, count, count_n, count_zone)
from vmcore._fast.frame cimport GFP_FS_, GFP_HIGHMEM_, GFP_KERNEL, GFP_NORETRY_, page_mapped, pfn_zone
from vmcore._fast.locks cimport page_map_lock, page_map_unlock
from vmcore._fast.lru cimport lru_add_drain, lru_del, lru_isolate, lru_nr, lru_peek, lru_putback
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.reclaim.shrink_page cimport ACTIVATE, FREED, KEEP, scan_control, shrink_page
from vmcore._fast.records cimport (
    LRU_ACTIVE, LRU_INACTIVE, PF_KSWAPD, PF_MEMALLOC, PG_ACTIVE, PG_ANON, PG_LAZYFREE, PG_LOCKED, PG_PRIVATE,
    PG_SWAPCACHE, ZONE_HIGHMEM, ZONE_NORMAL, frame_t, machine_t, reclaim_ops, zone_t)
from vmcore._fast.swap cimport swp_slot

cdef enum:
    SWAP_CLUSTER_MAX = 32
    DEF_PRIORITY = 12
    AHEAD = 64              # pages behind the batch in hand: ptes of the first 32 are fetched, records of the others
    HZ_10 = 100000000       # HZ/10 in ns


cdef inline int poll_batch(machine_t *m) noexcept nogil:
    """Between two batches of 32: let the host's signals in. The clock behind it is read every 16th time, or after a
    long walk."""
    m.poll_count += 1
    if m.poll_count & 15 and m.counters[RMAP_PTES_EXAMINED] - m.poll_ptes < 65536:
        return 0
    m.poll_ptes = m.counters[RMAP_PTES_EXAMINED]
    return m.up.poll(m)


# ---------------------------------------------------------------- the active list

cdef int reclaim_mapped_now(machine_t *m, zone_t *zone) noexcept nogil:
    """swap_tendency >= 100: mapped pages become eligible (fact sheet 7.3)."""
    cdef int64_t distress = 100 >> zone.prev_priority
    cdef int64_t mapped_ratio = <int64_t>(m.nr_mapped_pages * 100 // m.total_pages) if m.total_pages else 0
    return mapped_ratio // 2 + distress + <int64_t>m.swappiness >= 100


cdef uint64_t changes(machine_t *m) noexcept nogil:
    cdef uint64_t *c = m.counters
    return (c[PGFREE] + c[PGALLOC_HIGH] + c[PGALLOC_NORMAL] + c[PGALLOC_DMA] + c[PGACTIVATE] + c[PGDEACTIVATE]
            + c[PGROTATED] + c[RMAP_UNMAP_SUCCESS] + c[RMAP_NONLINEAR_PTES] + c[EXITS])


cdef int idle_pass(machine_t *m, int z) noexcept nogil:
    """The coming pass over the whole active list is known to change nothing: count it and be done."""
    cdef zone_t *zone = &m.zones[z]
    cdef int i
    if zone.idle_serial != m.scan_serial or zone.idle_serial == 0 or m.trylock_rate != 0:
        return 0
    if zone.idle_changes != changes(m):
        return 0
    if zone.idle_active != lru_nr(m, z, LRU_ACTIVE) or zone.idle_inactive != lru_nr(m, z, LRU_INACTIVE):
        return 0
    for i in range(NR_COUNTERS):
        m.counters[i] += zone.idle_delta[i]
    return 1


cdef void idle_begin(machine_t *m, zone_t *zone) noexcept nogil:
    memcpy(zone.idle_delta, m.counters, NR_COUNTERS * sizeof(uint64_t))


cdef void idle_end(machine_t *m, int z) noexcept nogil:
    cdef zone_t *zone = &m.zones[z]
    cdef int i
    for i in range(NR_COUNTERS):
        zone.idle_delta[i] = m.counters[i] - zone.idle_delta[i]
    zone.idle_serial = m.scan_serial
    zone.idle_changes = changes(m)
    zone.idle_active = lru_nr(m, z, LRU_ACTIVE)
    zone.idle_inactive = lru_nr(m, z, LRU_INACTIVE)


cdef void refill_inactive_zone(machine_t *m, int z, uint64_t nr_pages) noexcept nogil:
    cdef uint32_t page[32]
    cdef uint32_t down[32]
    cdef uint32_t ahead[AHEAD]
    cdef uint32_t n, i, pfn, back, nr_down, nr_ahead
    cdef uint64_t moved = 0
    cdef uint64_t scanned = 0
    cdef uint64_t left = nr_pages
    cdef frame_t *f
    cdef int mapped_too, keep
    cdef int whole = 0
    cdef int young = 0
    lru_add_drain(m)
    mapped_too = reclaim_mapped_now(m, &m.zones[z])
    if left >= lru_nr(m, z, LRU_ACTIVE):
        left = lru_nr(m, z, LRU_ACTIVE)
        whole = mapped_too
        if whole and idle_pass(m, z):
            return
        if whole:
            idle_begin(m, &m.zones[z])
    while left > 0 and m.host_error == 0:
        n = lru_isolate(m, z, LRU_ACTIVE, <uint32_t>(left if left < SWAP_CLUSTER_MAX else SWAP_CLUSTER_MAX), page)
        if n == 0:
            break
        left -= n
        scanned += n
        back = 0
        nr_down = 0
        nr_ahead = lru_peek(m, z, LRU_ACTIVE, AHEAD, ahead)
        for i in range(n):
            pfn = page[i]
            f = &m.frames[pfn]
            if i + SWAP_CLUSTER_MAX < nr_ahead:
                prefetch_write(&m.frames[ahead[i + SWAP_CLUSTER_MAX]])
            if mapped_too and i < nr_ahead:
                m.rmap.prefetch(m, ahead[i])
            keep = 0
            if page_mapped(m, pfn, f):
                if not mapped_too:
                    keep = 1
                else:
                    page_map_lock(m, pfn)
                    keep = m.rmap.page_referenced(m, pfn) != 0
                    young |= keep
                    page_map_unlock(m, pfn)
            if not keep and m.total_swap_pages == 0 and not (f.flags & PG_PRIVATE):
                # anonymous, and no swap at all
                keep = f.mapping == 0 or (f.flags & (PG_ANON | PG_LAZYFREE)) == PG_ANON
            if keep:
                page[back] = pfn
                back += 1
            else:
                f.flags &= ~<uint32_t>PG_ACTIVE
                down[nr_down] = pfn
                nr_down += 1
        lru_putback(m, z, LRU_INACTIVE, down, nr_down)
        lru_putback(m, z, LRU_ACTIVE, page, back)
        moved += nr_down
        if poll_batch(m) < 0:
            break
    count_zone(m, PGREFILL_HIGH, z, scanned)
    count_n(m, PGDEACTIVATE, moved)
    if whole and not young and moved == 0 and left == 0:
        idle_end(m, z)


# ---------------------------------------------------------------- the inactive list

cdef inline void prefetch_page(machine_t *m, uint32_t pfn) noexcept nogil:
    """The frame record has arrived: what shrink_page will want besides."""
    cdef frame_t *f = &m.frames[pfn]
    cdef uint64_t slot
    if f.flags & PG_SWAPCACHE:
        slot = swp_slot(m, f.priv)
        prefetch_write(&m.swap_slots[slot])
        prefetch_write(&m.swap_words[slot >> 6])
    else:
        prefetch_write(&m.mapcount[pfn])
        m.rmap.prefetch(m, pfn)


cdef uint64_t shrink_list(machine_t *m, int z, uint32_t *page, uint32_t n, scan_control *sc) noexcept nogil:
    cdef uint64_t freed = 0
    cdef uint32_t up[32]
    cdef uint32_t ahead[AHEAD]
    cdef uint32_t activated = 0
    cdef uint32_t i, pfn, back, nr_ahead
    cdef int r
    cdef frame_t *f
    back = 0
    nr_ahead = lru_peek(m, z, LRU_INACTIVE, AHEAD, ahead)
    for i in range(n):
        pfn = page[i]
        f = &m.frames[pfn]
        if i + SWAP_CLUSTER_MAX < nr_ahead:
            prefetch_write(&m.frames[ahead[i + SWAP_CLUSTER_MAX]])
        if i < nr_ahead:
            prefetch_page(m, ahead[i])
        r = shrink_page(m, pfn, sc) if m.host_error == 0 else KEEP
        if r == FREED:
            freed += 1
            continue
        if r != KEEP:
            f.flags &= ~<uint32_t>PG_LOCKED
        if r == ACTIVATE:
            f.flags |= PG_ACTIVE
            up[activated] = pfn
            activated += 1
        else:
            page[back] = pfn
            back += 1
    count_n(m, PGACTIVATE, activated)
    lru_putback(m, z, LRU_ACTIVE, up, activated)
    lru_putback(m, z, LRU_INACTIVE, page, back)
    return freed


cdef uint64_t shrink_cache(machine_t *m, int z, uint64_t max_scan, scan_control *sc) noexcept nogil:
    cdef uint32_t page[32]
    cdef uint64_t left = max_scan
    cdef uint64_t freed, total = 0
    cdef uint32_t n
    cdef int kswapd = m.pf & PF_KSWAPD
    lru_add_drain(m)
    while left > 0 and m.host_error == 0:
        n = lru_isolate(m, z, LRU_INACTIVE, SWAP_CLUSTER_MAX, page)
        m.zones[z].pages_scanned += n
        # the kernel's loop counter runs one past the pages taken: 33 for a full batch (fact sheet 7.4)
        left = left - (n + 1) if left > n + 1 else 0
        if n == 0:
            break
        count_zone(m, PGSCAN_KSWAPD_HIGH if kswapd else PGSCAN_DIRECT_HIGH, z, n + 1)
        if not m.rules.scanned_late:
            sc.scanned += n
        freed = shrink_list(m, z, page, n, sc)
        count_zone(m, PGSTEAL_HIGH, z, freed)
        if kswapd:
            count_n(m, KSWAPD_STEAL, freed)
        total += freed
        if poll_batch(m) < 0:
            break
    return total


cdef uint64_t active_share(machine_t *m, int priority, uint64_t active, uint64_t inactive) noexcept nogil:
    """Active pages to scan in one call, so that the active list stays at two thirds. In 2.6.5 the priority does not
    matter; 2.6.7 takes its part of both lists, in the proportion of their lengths, but never more than four times as
    much from the active one."""
    cdef uint64_t part
    if not m.rules.scan_by_priority:
        return SWAP_CLUSTER_MAX * active // ((inactive | 1) * 2) + 1
    part = (active + inactive) >> priority
    if active >= 4 * (2 * inactive + 1):
        return 4 * part + 1
    return part * active // (2 * inactive + 1) + 1


cdef uint64_t shrink_zone(machine_t *m, int z, scan_control *sc) noexcept nogil:
    """Work is saved up until it is worth a batch, then done whole."""
    cdef zone_t *zone = &m.zones[z]
    cdef uint64_t active = lru_nr(m, z, LRU_ACTIVE)
    cdef uint64_t inactive = lru_nr(m, z, LRU_INACTIVE)
    cdef uint64_t n
    zone.nr_scan_active += active_share(m, sc.priority, active, inactive)
    n = zone.nr_scan_active
    if n >= SWAP_CLUSTER_MAX:
        zone.nr_scan_active = 0
        refill_inactive_zone(m, z, n)
    zone.nr_scan_inactive += (active + inactive if m.rules.scan_by_priority else inactive) >> sc.priority
    n = zone.nr_scan_inactive
    if n >= SWAP_CLUSTER_MAX:
        zone.nr_scan_inactive = 0
        return shrink_cache(m, z, n, sc)
    return 0


# ---------------------------------------------------------------- drivers

cdef inline void note_priority(machine_t *m, int priority) noexcept nogil:
    if <uint64_t>(DEF_PRIORITY - priority) > m.counters[RECLAIM_PRIORITY_MIN]:
        m.counters[RECLAIM_PRIORITY_MIN] = DEF_PRIORITY - priority


cdef inline void scan_at(machine_t *m, zone_t *zone, int priority) noexcept nogil:
    """The zone is scanned at this priority: how much distress that means for the next run, or (2.6.7) for this one."""
    zone.temp_priority = priority
    if m.rules.prev_priority_now and zone.prev_priority > priority:
        zone.prev_priority = priority


cdef int try_to_free_pages(machine_t *m, uint32_t gfp) noexcept nogil:
    cdef int top = ZONE_HIGHMEM if gfp & GFP_HIGHMEM_ and m.nr_zones == 3 else ZONE_NORMAL
    cdef int z, priority
    cdef int done = 0
    cdef uint64_t total = 0         # 2.6.5 adds up over the priorities, 2.6.7 starts anew at each
    cdef scan_control sc
    cdef zone_t *zone
    sc.gfp = gfp
    sc.now = 0
    count(m, ALLOCSTALL)
    for z in range(top, -1, -1):
        m.zones[z].temp_priority = DEF_PRIORITY
    for priority in range(DEF_PRIORITY, -1, -1):
        sc.priority = priority
        sc.scanned = 0
        if m.rules.progress_each:
            total = 0
        note_priority(m, priority)
        for z in range(top, -1, -1):
            zone = &m.zones[z]
            if zone.present == 0:
                continue
            if zone.free_pages < zone.pages_high or m.rules.prev_priority_now:
                scan_at(m, zone, priority)
            if zone.all_unreclaimable and priority != DEF_PRIORITY:
                continue
            total += shrink_zone(m, z, &sc)
            if m.host_error != 0:
                return 0
        if total >= SWAP_CLUSTER_MAX:
            done = 1
            break
        if not (gfp & GFP_FS_) and not m.rules.progress_each:
            break
        if sc.scanned and priority < DEF_PRIORITY - 2:
            wait_event(m, HZ_10)
    if not done and gfp & GFP_FS_ and not (gfp & GFP_NORETRY_):
        m.up.out_of_memory(m)
    for z in range(top, -1, -1):
        m.zones[z].prev_priority = m.zones[z].temp_priority
    return done


cdef void balance_pgdat(machine_t *m) noexcept nogil:
    cdef int priority, z, end_zone, all_ok
    cdef scan_control sc
    cdef zone_t *zone
    sc.gfp = GFP_KERNEL
    sc.now = 0
    sc.scanned = 0
    count(m, PAGEOUTRUN)
    for z in range(<int>m.nr_zones):
        m.zones[z].temp_priority = DEF_PRIORITY
    for priority in range(DEF_PRIORITY, -1 if m.rules.kswapd_to_zero else 0, -1):
        all_ok = 1
        sc.priority = priority
        end_zone = -1
        for z in range(<int>m.nr_zones - 1, -1, -1):
            zone = &m.zones[z]
            if zone.present == 0 or (zone.all_unreclaimable and priority != DEF_PRIORITY):
                continue
            if zone.free_pages <= zone.pages_high:
                end_zone = z
                break
        if end_zone < 0:
            break
        note_priority(m, priority)
        for z in range(end_zone + 1):
            zone = &m.zones[z]
            if zone.present == 0 or (zone.all_unreclaimable and priority != DEF_PRIORITY):
                continue
            if zone.free_pages <= zone.pages_high:
                all_ok = 0
            scan_at(m, zone, priority)
            shrink_zone(m, z, &sc)
            if m.host_error != 0:
                return
            if zone.all_unreclaimable == 0 and zone.pages_scanned > <uint64_t>zone.present * 2:
                zone.all_unreclaimable = 1
        if all_ok:
            break
        # no nap here: 2.6.5 and 2.6.7 test a count that stays 0 (fact sheet 7.5)
    for z in range(<int>m.nr_zones):
        m.zones[z].prev_priority = m.zones[z].temp_priority


cdef void kswapd(machine_t *m) noexcept nogil:
    cdef uint32_t pf = m.pf
    cdef uint32_t current = m.current
    m.kswapd_awake = 0
    m.in_kswapd = 1
    m.scan_serial += 1
    m.pf = PF_KSWAPD | PF_MEMALLOC
    m.current = 0
    balance_pgdat(m)
    m.in_kswapd = 0
    m.pf = pf
    m.current = current


cdef uint64_t reclaim(machine_t *m, uint64_t pages) noexcept nogil:
    """Free about `pages` pages now, all zones alike, as a direct reclaimer with every right: Machine.reclaim()."""
    cdef uint64_t total = 0
    cdef int priority, z
    cdef scan_control sc
    cdef uint32_t pf = m.pf
    sc.gfp = GFP_KERNEL
    sc.now = 0
    m.pf |= PF_MEMALLOC
    m.scan_serial += 1
    for priority in range(DEF_PRIORITY, -1, -1):
        sc.priority = priority
        for z in range(<int>m.nr_zones - 1, -1, -1):
            if m.zones[z].present == 0:
                continue
            m.zones[z].temp_priority = priority
            m.zones[z].prev_priority = priority
            total += shrink_zone(m, z, &sc)
            if total >= pages or m.host_error != 0:
                break
        if total >= pages or m.host_error != 0:
            break
        wait_event(m, HZ_10)
    for z in range(<int>m.nr_zones):
        m.zones[z].prev_priority = DEF_PRIORITY
    m.pf = pf
    return total


cdef void reclaim_page(machine_t *m, uint32_t pfn) noexcept nogil:
    """One page of a list, whatever its age; it goes back to the list where shrink_list would put it."""
    cdef frame_t *f = &m.frames[pfn]
    cdef int list = LRU_ACTIVE if f.flags & PG_ACTIVE else LRU_INACTIVE
    cdef uint32_t pf = m.pf
    cdef scan_control sc
    cdef int r
    sc.gfp = GFP_KERNEL
    sc.priority = 0
    sc.now = 1
    sc.scanned = 0
    m.pf |= PF_MEMALLOC
    lru_del(m, pfn)
    f.refs += 1
    r = shrink_page(m, pfn, &sc)
    m.pf = pf
    if r == FREED:
        return
    if r != KEEP:
        f.flags &= ~<uint32_t>PG_LOCKED
    if r == ACTIVATE:
        list = LRU_ACTIVE
        f.flags |= PG_ACTIVE
        count(m, PGACTIVATE)
    lru_putback(m, <int>m.zones[pfn_zone(m, pfn)].lruvec, list, &pfn, 1)


cdef reclaim_ops ops
ops.try_to_free_pages = try_to_free_pages
ops.kswapd = kswapd
ops.reclaim = reclaim
ops.reclaim_page = reclaim_page


cdef const reclaim_ops *v2_6_ops() noexcept nogil:
    return &ops
