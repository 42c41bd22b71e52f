"""Verification of page frames, of the free lists and of the LRU lists. Fact sheet linux-2004, sections 7.1, 7.6 and 12.

A frame that was ever handed out has exactly one owner: a free list, the kernel's own (image, table, slab, stack), or it
is a page: mapped, or in the page cache or the swap cache. The references of a page are those that its caches,
pagevecs and writes under way hold; a frame with none is lost, and one with more was never given back.
"""
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memset

from vmcore._fast.check_base cimport (
    CHECK_EVENT, CHECK_FREE_AREA, CHECK_FREE_IN_USE, CHECK_FREE_PAGES, CHECK_FREE_TWICE, CHECK_KERNEL_FRAME,
    CHECK_LEAKED, CHECK_LRU_CHUNK, CHECK_LRU_COUNT, CHECK_LRU_ENTRY, CHECK_NR_DIRTY, CHECK_OFF_LRU, CHECK_OWNER,
    CHECK_PAGEVEC, CHECK_PAGE_FLAGS, CHECK_PCP, CHECK_REFS, CHECK_WRITEBACK, CHECK_ZONE, OWN_CACHE, OWN_FREE,
    OWN_KERNEL, OWN_LRU, OWN_PAGEVEC, OWN_PCP, OWN_REFS, OWN_RESERVED, OWN_SLAB, OWN_STACK, OWN_SWAPCACHE, OWN_TABLE,
    OWN_TAIL, OWN_WRITE, check_t, fail, in_pool, prefetch_read, stretch_ends, used_pfn)
from vmcore._fast.frame cimport pfn_zone
from vmcore._fast.records cimport (
    DUE_RING, EV_WRITE_END, FILE_REGULAR, LRU_ACTIVE, LRU_SLOTS, LRU_SLOT_BITS, LRU_TOMB, MAX_ORDER, NR_LRU,
    PAGEVEC_SIZE, PCP_RING, PG_ACTIVE, PG_ANON, PG_BUDDY, PG_DIRTY, PG_LAZYFREE, PG_LOCKED, PG_LRU, PG_MLOCKED,
    PG_MLOCK_UNCOUNTED, PG_ORDER_SHIFT, PG_PCP, PG_RESERVED, PG_SLAB, PG_SWAPCACHE, PG_TABLE, PG_WRITEBACK,
    POOL_EVENT, POOL_LRU_CHUNK, POOL_TABLE, POOL_TASK, event_t, frame_t, lru_chunk_t, lru_list_t, machine_t,
    pagevec_t, pcp_t, zone_t)

cdef enum:
    OWN_EXCLUSIVE = OWN_FREE | OWN_PCP | OWN_KERNEL
    AHEAD = 16              # list entries between the prefetch of a frame and its use


cdef int own(check_t *c, uint64_t pfn, uint32_t owner, uint32_t refs) noexcept nogil:
    cdef uint32_t was
    if not used_pfn(c.m, pfn):
        return fail(c, CHECK_OWNER, pfn, owner, 0)
    was = c.census[pfn]
    if (was & OWN_EXCLUSIVE) != 0 or ((owner & OWN_EXCLUSIVE) != 0 and was != 0) or (was & owner) != 0:
        return fail(c, CHECK_OWNER, pfn, owner, was)
    c.census[pfn] = (was | owner) + refs
    return 0


cdef int own_block(check_t *c, uint64_t pfn, uint32_t order, uint32_t owner) noexcept nogil:
    cdef uint64_t i
    if own(c, pfn, owner, 1) < 0:
        return -1
    for i in range(1, <uint64_t>1 << order):
        if own(c, pfn + i, owner | OWN_TAIL, 0) < 0:
            return -1
    return 0


# ---------------------------------------------------------------- free memory

cdef int check_free_area(check_t *c, int z, uint32_t order, uint64_t *free) noexcept nogil:
    cdef machine_t *m = c.m
    cdef zone_t *zone = &m.zones[z]
    cdef uint32_t pfn = zone.area[order].head
    cdef uint32_t prev = 0
    cdef uint32_t n = 0
    cdef uint64_t i
    cdef frame_t *f
    while pfn != 0:
        if pfn < zone.start_pfn or pfn + (<uint64_t>1 << order) > zone.bump:
            return fail(c, CHECK_FREE_AREA, z, order, pfn)
        f = &m.frames[pfn]
        if f.flags != (<uint32_t>PG_BUDDY | (order << PG_ORDER_SHIFT)) or f.lru != prev:
            return fail(c, CHECK_FREE_AREA, z, order, pfn)
        for i in range(<uint64_t>1 << order):
            if c.census[pfn + i] != 0:
                return fail(c, CHECK_FREE_TWICE, pfn + i, z, order)
            c.census[pfn + i] = OWN_FREE | (<uint32_t>OWN_TAIL if i != 0 else 0)
        free[0] += <uint64_t>1 << order
        n += 1
        if n > zone.area[order].nr:
            return fail(c, CHECK_FREE_AREA, z, order, pfn)
        prev = pfn
        pfn = f.priv
    if n != zone.area[order].nr:
        return fail(c, CHECK_FREE_AREA, z, order, n)
    return 0


cdef int check_pcp(check_t *c, int z, pcp_t *p) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint32_t i, pfn
    if p.count > PCP_RING:
        return fail(c, CHECK_PCP, z, p.count, 0)
    for i in range(p.count):
        pfn = p.ring[(p.head + i) & (PCP_RING - 1)]
        if pfn < m.zones[z].start_pfn or pfn >= m.zones[z].bump or m.frames[pfn].flags != PG_PCP:
            return fail(c, CHECK_PCP, z, i, pfn)
        if c.census[pfn] != 0:
            return fail(c, CHECK_FREE_TWICE, pfn, z, 0)
        c.census[pfn] = OWN_PCP
    return 0


cdef int check_zone(check_t *c, int z) noexcept nogil:
    cdef machine_t *m = c.m
    cdef zone_t *zone = &m.zones[z]
    cdef uint64_t free = zone.end_pfn - zone.bump
    cdef uint64_t pfn
    cdef uint32_t order
    if zone.present != zone.end_pfn - zone.start_pfn or zone.reserved > zone.bump - zone.start_pfn:
        return fail(c, CHECK_ZONE, z, zone.bump, zone.present)
    if zone.lruvec != (0 if m.rules.global_lru else <uint32_t>z):
        return fail(c, CHECK_ZONE, z, zone.lruvec, 0)
    for pfn in range(zone.start_pfn, zone.start_pfn + zone.reserved):
        c.census[pfn] = OWN_RESERVED
    for order in range(MAX_ORDER):
        if check_free_area(c, z, order, &free) < 0:
            return -1
    if free != zone.free_pages:
        return fail(c, CHECK_FREE_PAGES, z, free, zone.free_pages)
    if check_pcp(c, z, &zone.pcp[0]) < 0:
        return -1
    return check_pcp(c, z, &zone.pcp[1])


# ---------------------------------------------------------------- who holds references

cdef int check_pagevec(check_t *c, pagevec_t *v) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint32_t i
    if v.nr > PAGEVEC_SIZE:
        return fail(c, CHECK_PAGEVEC, v.nr, 0, 0)
    for i in range(v.nr):
        if not used_pfn(m, v.pfn[i]) or (m.frames[v.pfn[i]].flags & PG_LRU) != 0:
            return fail(c, CHECK_PAGEVEC, v.pfn[i], i, 0)
        if own(c, v.pfn[i], OWN_PAGEVEC, 1) < 0:
            return -1
    return 0


cdef int check_write(check_t *c, uint32_t pfn) noexcept nogil:
    if not used_pfn(c.m, pfn) or (c.m.frames[pfn].flags & PG_WRITEBACK) == 0:
        return fail(c, CHECK_WRITEBACK, pfn, 0, 0)
    c.writing += 1
    return own(c, pfn, OWN_WRITE, 1)


cdef int check_events(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef event_t *h = m.events + 1          # the heap starts at record 1
    cdef uint64_t i
    cdef event_t *up
    if m.due_nr > DUE_RING or m.nr_events >= m.pools[<int>POOL_EVENT].max:
        return fail(c, CHECK_EVENT, m.due_nr, m.nr_events, 0)
    for i in range(m.due_nr):
        if check_write(c, m.due_arg[(m.due_head + i) & (DUE_RING - 1)]) < 0:
            return -1
    for i in range(m.nr_events):
        if i > 0:
            up = &h[(i - 1) >> 1]
            if h[i].when < up.when or (h[i].when == up.when and h[i].seq < up.seq):
                return fail(c, CHECK_EVENT, i, h[i].when, up.when)
        if h[i].kind == EV_WRITE_END and check_write(c, h[i].arg) < 0:
            return -1
    if c.writing != m.nr_writeback:
        return fail(c, CHECK_WRITEBACK, 0, c.writing, m.nr_writeback)
    if m.devices[0].inflight + m.devices[1].inflight + m.devices[2].inflight + m.devices[3].inflight != c.writing:
        return fail(c, CHECK_WRITEBACK, 0, c.writing, m.devices[0].inflight)
    return 0


cdef int check_owners(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t i
    cdef int z
    # never-used frames stay untouched on the host, so only what was used is cleared
    for z in range(<int>m.nr_zones):
        memset(&c.census[m.zones[z].start_pfn], 0,
               (m.zones[z].bump - m.zones[z].start_pfn) * sizeof(uint32_t))
    for z in range(<int>m.nr_zones):
        if check_zone(c, z) < 0:
            return -1
    for i in range(1, m.pools[<int>POOL_TABLE].next):
        if m.tables[i].mm != 0 and m.tables[i].frame != 0 and own_block(c, m.tables[i].frame, 0, OWN_TABLE) < 0:
            return -1
    for i in range(1, m.pools[<int>POOL_TASK].next):
        if m.tasks[i].mm != 0 and own_block(c, m.tasks[i].stack, 1, OWN_STACK) < 0:
            return -1
    if check_pagevec(c, &m.lru_add) < 0 or check_pagevec(c, &m.lru_add_active) < 0:
        return -1
    return check_events(c)


# ---------------------------------------------------------------- LRU lists

cdef int check_chunk(check_t *c, int vec, lru_list_t *l, uint32_t list, uint32_t k, uint64_t *alive,
                     uint64_t *by_zone) noexcept nogil:
    cdef machine_t *m = c.m
    cdef lru_chunk_t *chunk = &m.lru_chunks[k]
    cdef uint32_t first = l.head_slot if k == l.head_chunk else 0
    cdef uint32_t last = l.tail_slot if k == l.tail_chunk else <uint32_t>LRU_SLOTS
    cdef uint32_t n = 0
    cdef uint32_t s, pfn
    cdef frame_t *f
    if first > last or last > <uint32_t>LRU_SLOTS:
        return fail(c, CHECK_LRU_CHUNK, l.id, k, first)
    for s in range(first, last):
        if s + AHEAD < last:
            prefetch_read(&m.frames[chunk.pfn[s + AHEAD]])
            prefetch_read(&c.census[chunk.pfn[s + AHEAD]])
        pfn = chunk.pfn[s]
        if pfn == <uint32_t>LRU_TOMB:
            continue
        if not used_pfn(m, pfn) or m.zones[pfn_zone(m, pfn)].lruvec != <uint32_t>vec:
            return fail(c, CHECK_LRU_ENTRY, l.id, k, pfn)
        by_zone[pfn_zone(m, pfn) * NR_LRU + list] += 1
        f = &m.frames[pfn]
        if (f.flags & PG_LRU) == 0 or f.lru != ((k << LRU_SLOT_BITS) | s):
            return fail(c, CHECK_LRU_ENTRY, l.id, k, pfn)
        if ((f.flags & PG_ACTIVE) != 0) != (list == <uint32_t>LRU_ACTIVE):
            return fail(c, CHECK_LRU_ENTRY, l.id, k, pfn)
        if own(c, pfn, OWN_LRU, 0) < 0:
            return -1
        n += 1
    if n != chunk.alive or n == 0:
        return fail(c, CHECK_LRU_CHUNK, l.id, k, chunk.alive)
    alive[0] += n
    return 0


cdef int check_list(check_t *c, int vec, uint32_t list, uint64_t *chunks, uint64_t *by_zone) noexcept nogil:
    cdef machine_t *m = c.m
    cdef lru_list_t *l = &m.lruvecs[vec].lists[list]
    cdef uint32_t k = l.head_chunk
    cdef uint32_t prev = 0
    cdef uint64_t alive = 0
    cdef uint64_t n = 0
    while k != 0:
        n += 1
        if not in_pool(m, POOL_LRU_CHUNK, k) or n > l.chunks:
            return fail(c, CHECK_LRU_CHUNK, l.id, k, n)
        if m.lru_chunks[k].prev != prev or m.lru_chunks[k].list != l.id:
            return fail(c, CHECK_LRU_CHUNK, l.id, k, prev)
        if check_chunk(c, vec, l, list, k, &alive, by_zone) < 0:
            return -1
        prev = k
        k = m.lru_chunks[k].next
    if prev != l.tail_chunk or n != l.chunks:
        return fail(c, CHECK_LRU_CHUNK, l.id, prev, n)
    if alive != l.nr:
        return fail(c, CHECK_LRU_COUNT, l.id, alive, l.nr)
    c.r.lru_pages += alive
    chunks[0] += n
    return 0


cdef int check_lru(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t by_zone[6]        # MAX_ZONES * NR_LRU
    cdef uint64_t chunks = 0
    cdef uint32_t list
    cdef int vec, z
    memset(by_zone, 0, sizeof(by_zone))
    for vec in range(<int>m.nr_zones):
        for list in range(NR_LRU):
            if check_list(c, vec, list, &chunks, by_zone) < 0:
                return -1
    for z in range(<int>m.nr_zones):
        for list in range(NR_LRU):
            if m.zones[z].nr_lru[list] != (by_zone[z * NR_LRU + list] if m.rules.global_lru else 0):
                return fail(c, CHECK_LRU_COUNT, z, by_zone[z * NR_LRU + list], m.zones[z].nr_lru[list])
    if chunks != m.pools[<int>POOL_LRU_CHUNK].live:
        return fail(c, CHECK_LRU_CHUNK, 0, chunks, m.pools[<int>POOL_LRU_CHUNK].live)
    return 0


# ---------------------------------------------------------------- every frame

cdef int check_free_frame(check_t *c, uint64_t pfn, uint32_t owner) noexcept nogil:
    cdef frame_t *f = &c.m.frames[pfn]
    if c.m.mapcount[pfn] != 0 or f.refs != 0 or (f.flags & (PG_LRU | PG_SWAPCACHE | PG_ANON | PG_WRITEBACK)) != 0:
        return fail(c, CHECK_FREE_IN_USE, pfn, f.flags, <uint64_t>f.refs)
    # only the head of a block says that it is free, so that no buddy is taken from the middle of one
    if (owner & OWN_TAIL) != 0 and (f.flags & (PG_BUDDY | PG_PCP)) != 0:
        return fail(c, CHECK_FREE_IN_USE, pfn, f.flags, owner)
    return 0


cdef int check_kernel_frame(check_t *c, uint64_t pfn, uint32_t owner) noexcept nogil:
    cdef frame_t *f = &c.m.frames[pfn]
    cdef uint32_t kind = f.flags & (PG_TABLE | PG_SLAB | PG_LRU | PG_SWAPCACHE | PG_ANON | PG_BUDDY | PG_PCP)
    cdef uint32_t want = 0
    if owner & OWN_RESERVED:
        # boot writes no record but the zero page's
        if c.m.mapcount[pfn] != 0 or kind != 0 or ((f.flags & PG_RESERVED) != 0) != (pfn == c.m.zero_pfn):
            return fail(c, CHECK_KERNEL_FRAME, pfn, f.flags, <uint64_t>f.refs)
        return 0
    if not (owner & OWN_TAIL):
        if owner & OWN_TABLE:
            want = PG_TABLE
        elif owner & OWN_SLAB:
            want = PG_SLAB
    if c.m.mapcount[pfn] != 0 or kind != want or f.refs != <int32_t>(owner & OWN_REFS):
        return fail(c, CHECK_KERNEL_FRAME, pfn, f.flags, <uint64_t>f.refs)
    return 0


cdef int check_page(check_t *c, uint64_t pfn, uint32_t owner) noexcept nogil:
    cdef machine_t *m = c.m
    cdef frame_t *f = &m.frames[pfn]
    if f.flags & (PG_BUDDY | PG_PCP | PG_TABLE | PG_SLAB | PG_RESERVED):
        return fail(c, CHECK_PAGE_FLAGS, pfn, f.flags, owner)
    # nobody runs now: no page is locked
    if f.flags & PG_LOCKED:
        return fail(c, CHECK_PAGE_FLAGS, pfn, f.flags, owner)
    if f.refs != <int32_t>(owner & OWN_REFS):
        return fail(c, CHECK_REFS, pfn, owner & OWN_REFS, <uint64_t>f.refs)
    if m.mapcount[pfn] == 0 and (owner & OWN_REFS) == 0:
        return fail(c, CHECK_LEAKED, pfn, f.flags, owner)
    if ((f.flags & PG_LRU) != 0) != ((owner & OWN_LRU) != 0):
        return fail(c, CHECK_PAGE_FLAGS, pfn, f.flags, owner)
    if ((f.flags & PG_SWAPCACHE) != 0) != ((owner & OWN_SWAPCACHE) != 0):
        return fail(c, CHECK_PAGE_FLAGS, pfn, f.flags, owner)
    if ((f.flags & PG_WRITEBACK) != 0) != ((owner & OWN_WRITE) != 0):
        return fail(c, CHECK_PAGE_FLAGS, pfn, f.flags, owner)
    if (owner & OWN_CACHE) != 0 and (owner & OWN_SWAPCACHE) != 0:
        return fail(c, CHECK_PAGE_FLAGS, pfn, f.flags, owner)
    # an anonymous identity lasts as long as somebody maps the page
    if (f.flags & PG_ANON) != 0 and (m.mapcount[pfn] == 0 or not m.rules.page_anon):
        return fail(c, CHECK_PAGE_FLAGS, pfn, f.flags, owner)
    # a page that MADV_FREE gave up is somebody's still, and has no slot
    if (f.flags & PG_LAZYFREE) != 0 and (f.flags & (PG_ANON | PG_SWAPCACHE)) != PG_ANON:
        return fail(c, CHECK_PAGE_FLAGS, pfn, f.flags, owner)
    if f.flags & PG_MLOCK_UNCOUNTED and not f.flags & PG_MLOCKED:
        return fail(c, CHECK_PAGE_FLAGS, pfn, f.flags, owner)
    if (owner & (OWN_LRU | OWN_PAGEVEC)) == 0 or (owner & (OWN_LRU | OWN_PAGEVEC)) == (OWN_LRU | OWN_PAGEVEC):
        return fail(c, CHECK_OFF_LRU, pfn, f.flags, owner)
    return 0


cdef int check_frames(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t pfn
    cdef uint64_t dirty = 0
    cdef uint32_t owner
    cdef int r, z
    for z in range(<int>m.nr_zones):
        for pfn in range(m.zones[z].start_pfn, m.zones[z].bump):
            if stretch_ends(c, pfn):
                return -1
            owner = c.census[pfn]
            if owner & (OWN_FREE | OWN_PCP):
                r = check_free_frame(c, pfn, owner)
            elif owner & OWN_KERNEL:
                r = check_kernel_frame(c, pfn, owner)
            else:
                r = check_page(c, pfn, owner)
                if (owner & OWN_CACHE) != 0 and (m.frames[pfn].flags & PG_DIRTY) != 0:
                    dirty += m.files[m.frames[pfn].mapping].kind == FILE_REGULAR
            if r < 0:
                return -1
            c.r.frames += 1
    if dirty != m.nr_dirty:
        return fail(c, CHECK_NR_DIRTY, dirty, m.nr_dirty, 0)
    return 0
