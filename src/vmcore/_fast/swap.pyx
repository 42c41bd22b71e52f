"""Swap slots and the swap cache. mm/swapfile.c, mm/swap_state.c, mm/page_io.c of 2.6.5; fact sheet linux-2004 8.1, 8.2.

The kernel looks for free slots by scanning the byte map from lowest_bit, 256 allocations apart: on a fragmented area of
millions of slots that is most of the time of a swap storm. The same slots are found here over two bitmaps (free slots;
words that are wholly free): a run of 256 free slots always contains three whole words. SWAP_SLOTS_SCANNED counts what
the kernel's scan would have looked at.

The swap cache is an array by slot. Of the radix tree that the kernel keeps, the lowest level (64 slots a node, all but
1.6 % of the nodes) is accounted in the slab ledger.
"""
from libc.errno cimport EINVAL, ENOMEM, EPERM
from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_SWAP_CACHE_DELETE, BUG_SWAP_FREE, bug
from vmcore._fast.clock cimport device_read, device_write
from vmcore._fast.counters cimport (
    PGPGIN, PGPGOUT, PSWPIN, PSWPOUT, SWAP_CACHE_ADD, SWAP_CACHE_DEL, SWAP_CACHE_FIND, SWAP_CACHE_FIND_SUCCESS,
    SWAP_CLUSTER_SEARCHES, SWAP_READAHEAD, SWAP_SLOTS_ALLOCATED, SWAP_SLOTS_SCANNED, count, count_n,
)
from vmcore._fast.frame cimport GFP_ATOMIC, GFP_HIGHUSER, alloc_pages, page_count
from vmcore._fast.lru cimport lru_add_drain, lru_cache_add_active, put_page, rotate_reclaimable_page
from vmcore._fast.locks cimport trylock_page
from vmcore._fast.pool cimport pool_alloc, pool_free, pool_reserve
from vmcore._fast.records cimport (
    CACHE_RADIX, DEV_SWAP, MAX_SWAPFILES, PG_DIRTY, PG_LOCKED, PG_PRIVATE, PG_RECLAIM, PG_SWAPCACHE, PG_UPTODATE,
    PG_WRITEBACK, POOL_RADIX, POOL_SLOT_TOKEN, POOL_SWAP_CACHE, POOL_SWAP_FREE, POOL_SWAP_MAP, POOL_SWAP_NODE,
    POOL_SWAP_SUMMARY, SWAP_MAP_BAD, SWAP_MAP_MAX, SWP_OFFSET_MASK, SWP_TYPE_SHIFT, SWP_USED, SWP_WRITEOK, frame_t,
    machine_t, swap_area_t, swap_node_t,
)
from vmcore._fast.slab cimport LEDGER_PAGE_CACHE, cache_alloc, cache_free, ledger_note

cdef extern from *:
    """
    #define vm_ctz(x) ((unsigned)__builtin_ctzll(x))
    #define vm_clz(x) ((unsigned)__builtin_clzll(x))
    """
    uint32_t vm_ctz(uint64_t x) noexcept nogil
    uint32_t vm_clz(uint64_t x) noexcept nogil

cdef enum:
    SWAPFILE_CLUSTER = 256
    EXTENT = 4096           # areas start on whole words of both bitmaps

cdef uint64_t ALL = ~<uint64_t>0


# ---------------------------------------------------------------- bitmaps of free slots

cdef inline void bit_set_free(machine_t *m, uint64_t slot) noexcept nogil:
    cdef uint64_t w = slot >> 6
    m.swap_free_bits[w] |= <uint64_t>1 << (slot & 63)
    if m.swap_free_bits[w] == ALL:
        m.swap_summary[w >> 6] |= <uint64_t>1 << (w & 63)


cdef inline void bit_set_used(machine_t *m, uint64_t slot) noexcept nogil:
    cdef uint64_t w = slot >> 6
    m.swap_free_bits[w] &= ~(<uint64_t>1 << (slot & 63))
    m.swap_summary[w >> 6] &= ~(<uint64_t>1 << (w & 63))


cdef uint64_t next_bit(const uint64_t *bits, uint64_t at, uint64_t end, uint64_t flip) noexcept nogil:
    """First position >= at and < end whose bit, xor flip, is set; end if there is none."""
    cdef uint64_t w = at >> 6
    cdef uint64_t word
    if at >= end:
        return end
    word = (bits[w] ^ flip) & (ALL << (at & 63))
    while word == 0:
        w += 1
        if w << 6 >= end:
            return end
        word = bits[w] ^ flip
    at = (w << 6) + vm_ctz(word)
    return at if at < end else end


cdef inline void cluster_may_begin(machine_t *m, swap_area_t *a, uint64_t slot) noexcept nogil:
    """A slot became free. Only beside a wholly free word can that complete a run of 256: then the next search must look
    here again. A run that was too short so far spans at most five words."""
    cdef uint64_t w = slot >> 6
    cdef uint64_t k
    cdef uint64_t low = w - 6 if w > 6 else 0
    if low >= a.cluster_from:
        return
    for k in range(w - 1 if w > 0 else 0, w + 2):
        if m.swap_summary[k >> 6] >> (k & 63) & 1:
            a.cluster_from = low
            return


cdef uint64_t find_cluster(machine_t *m, swap_area_t *a, uint64_t lo, uint64_t hi) noexcept nogil:
    """Start of the first 256 free slots in [lo, hi], as a linear search finds it; hi + 1 if there are none.

    256 slots hold three whole words, so only places where three summary bits stand in a row are looked at, and only
    from a.cluster_from on: what lies before was found too short, and nothing next to it was freed since."""
    cdef uint64_t *bits = m.swap_free_bits
    cdef uint64_t *full = m.swap_summary
    cdef uint64_t end = hi + 1
    cdef uint64_t wend = (end + 63) >> 6
    cdef uint64_t send = (end + 4095) >> 12
    cdef uint64_t x, y, after, w, last, start, stop
    cdef uint64_t done = lo >> 6            # words before this one are judged
    cdef uint64_t s
    if done < a.cluster_from:
        done = a.cluster_from
    s = done >> 6
    while s < send:
        x = full[s]
        if x != 0:
            after = full[s + 1] if s + 1 < send else 0
            y = x & ((x >> 1) | (after << 63)) & ((x >> 2) | (after << 62))
            while y != 0:
                w = (s << 6) + vm_ctz(y)
                if w < done:                # begins before lo, or belongs to a run that was too short
                    y &= y - 1
                    continue
                last = next_bit(full, w, wend, ALL)
                start = w << 6
                if start > lo:
                    start -= vm_clz(~bits[w - 1]) if ~bits[w - 1] != 0 else 64
                if start < lo:
                    start = lo
                stop = last << 6
                if stop < end and ~bits[last] != 0:
                    stop += vm_ctz(~bits[last])
                if stop > end:
                    stop = end
                if start + SWAPFILE_CLUSTER <= stop:
                    a.cluster_from = w
                    return start
                done = last
                y &= y - 1
        s += 1
    a.cluster_from = end >> 6
    return end


# ---------------------------------------------------------------- areas

cdef int swapon(machine_t *m, uint64_t pages, int32_t prio) noexcept nogil:
    cdef int type, k
    cdef swap_area_t *a
    cdef uint64_t cap, i
    cdef int32_t *link
    for type in range(MAX_SWAPFILES):
        if not (m.swap[type].flags & SWP_USED):
            break
    else:
        return -EPERM
    if pages < 2 or pages > <uint64_t>SWP_OFFSET_MASK or pages > (<uint64_t>1 << m.rules.swap_offset_bits) - 1:
        return -EINVAL
    # an extent left by an earlier area that is large enough, else a new one
    k = -1
    for type in range(MAX_SWAPFILES):
        a = &m.swap[type]
        if not (a.flags & SWP_USED) and a.capacity >= pages and (k < 0 or a.capacity < m.swap[k].capacity):
            k = type
    if k < 0:
        for type in range(MAX_SWAPFILES):
            if not (m.swap[type].flags & SWP_USED) and m.swap[type].capacity == 0:
                k = type
                break
        else:
            return -EPERM
        cap = (pages + EXTENT - 1) & ~(<uint64_t>EXTENT - 1)
        if m.slots_used + cap > m.pools[POOL_SWAP_MAP].max:
            return -ENOMEM
        if pool_reserve(m, POOL_SWAP_MAP, cap) != 0 or pool_reserve(m, POOL_SWAP_CACHE, cap) != 0:
            return -ENOMEM
        m.swap[k].base = m.slots_used
        m.swap[k].capacity = <uint32_t>cap
        m.slots_used += cap
        m.pools[POOL_SWAP_MAP].next = m.slots_used
        m.pools[POOL_SWAP_CACHE].next = m.slots_used
        m.pools[POOL_SLOT_TOKEN].next = m.slots_used
        m.pools[POOL_SWAP_FREE].next = m.slots_used >> 6
        m.pools[POOL_SWAP_SUMMARY].next = m.slots_used >> 12
        m.pools[POOL_SWAP_NODE].next = m.slots_used >> 6
    a = &m.swap[k]
    a.flags = SWP_USED | SWP_WRITEOK
    a.max = <uint32_t>pages
    a.device = DEV_SWAP
    if prio < 0:
        m.least_priority -= 1
        prio = m.least_priority
    a.prio = prio
    a.lowest_bit = 1
    a.highest_bit = a.max - 1
    a.cluster_next = 0
    a.cluster_nr = 0
    a.cluster_from = 0
    a.pages = a.max - 1
    a.inuse = 0
    m.swap_map[a.base] = SWAP_MAP_BAD
    for i in range(1, a.max):
        m.swap_map[a.base + i] = 0
        bit_set_free(m, a.base + i)
    m.nr_swap_pages += a.pages
    m.total_swap_pages += a.pages
    m.nr_swapfiles += 1
    link = &m.swap_head
    while link[0] >= 0 and m.swap[link[0]].prio > prio:
        link = &m.swap[link[0]].next
    a.next = link[0]
    link[0] = k
    m.swap_next = m.swap_head
    return k


# ---------------------------------------------------------------- slots

cdef uint32_t take_slot(machine_t *m, swap_area_t *a, uint64_t slot) noexcept nogil:
    cdef uint32_t off = <uint32_t>(slot - a.base)
    if off == a.lowest_bit:
        a.lowest_bit += 1
    if off == a.highest_bit:
        a.highest_bit -= 1
    if a.lowest_bit > a.highest_bit:
        a.lowest_bit = a.max
        a.highest_bit = 0
    m.swap_map[slot] = 1
    bit_set_used(m, slot)
    a.inuse += 1
    m.nr_swap_pages -= 1
    a.cluster_next = off + 1
    return off


cdef uint32_t scan_swap_map(machine_t *m, swap_area_t *a) noexcept nogil:
    """A free slot's offset with its map set to 1; 0 if the area is full. Sequential in clusters, see fact sheet 8.1."""
    cdef uint64_t at, lo, hi
    if a.cluster_nr != 0:
        lo = a.base + a.cluster_next
        hi = a.base + a.highest_bit
        if lo <= hi:
            at = next_bit(m.swap_free_bits, lo, hi + 1, 0)
            count_n(m, SWAP_SLOTS_SCANNED, at - lo + (at <= hi))
            if at <= hi:
                a.cluster_nr -= 1
                return take_slot(m, a, at)
            a.cluster_next = a.highest_bit + 1
    a.cluster_nr = SWAPFILE_CLUSTER
    if a.lowest_bit > a.highest_bit:
        return 0
    lo = a.base + a.lowest_bit
    hi = a.base + a.highest_bit
    count(m, SWAP_CLUSTER_SEARCHES)
    at = find_cluster(m, a, lo, hi)
    if at <= hi:
        count_n(m, SWAP_SLOTS_SCANNED, at - lo + SWAPFILE_CLUSTER)
        return take_slot(m, a, at)
    count_n(m, SWAP_SLOTS_SCANNED, hi - lo + 1)
    at = next_bit(m.swap_free_bits, lo, hi + 1, 0)
    count_n(m, SWAP_SLOTS_SCANNED, at - lo + (at <= hi))
    if at <= hi:
        a.lowest_bit = <uint32_t>(at - a.base) + 1
        return take_slot(m, a, at)
    a.lowest_bit = a.max
    a.highest_bit = 0
    return 0


cdef uint32_t get_swap_page(machine_t *m) noexcept nogil:
    cdef int32_t type = m.swap_next
    cdef int32_t next
    cdef int wrapped = 0
    cdef uint32_t off
    cdef swap_area_t *a
    if type < 0 or m.nr_swap_pages == 0:
        return 0
    while True:
        a = &m.swap[type]
        if (a.flags & (SWP_USED | SWP_WRITEOK)) == (SWP_USED | SWP_WRITEOK):
            off = scan_swap_map(m, a)
            if off != 0:
                # areas of equal priority take turns; otherwise the next search starts at the top again
                next = a.next
                m.swap_next = m.swap_head if next < 0 or m.swap[next].prio != a.prio else next
                count(m, SWAP_SLOTS_ALLOCATED)
                return (<uint32_t>type << SWP_TYPE_SHIFT) | off
        type = a.next
        if not wrapped:
            if type < 0 or a.prio != m.swap[type].prio:
                type = m.swap_head
                wrapped = 1
        elif type < 0:
            return 0


cdef int swap_duplicate(machine_t *m, uint32_t entry) noexcept nogil:
    cdef swap_area_t *a = &m.swap[entry >> SWP_TYPE_SHIFT]
    cdef uint16_t *map
    if not (a.flags & SWP_USED) or (entry & SWP_OFFSET_MASK) >= a.max:
        return 0
    map = &m.swap_map[swp_slot(m, entry)]
    if map[0] == 0 or map[0] == SWAP_MAP_BAD:
        return 0
    if map[0] < SWAP_MAP_MAX:
        map[0] += 1                 # saturated at SWAP_MAP_MAX: never decremented again
    return 1


cdef void swap_free(machine_t *m, uint32_t entry) noexcept nogil:
    cdef uint32_t type = entry >> SWP_TYPE_SHIFT
    cdef uint32_t off = entry & SWP_OFFSET_MASK
    cdef swap_area_t *a = &m.swap[type]
    cdef uint64_t slot = a.base + off
    cdef uint16_t *map = &m.swap_map[slot]
    if off >= a.max or map[0] == 0 or map[0] == SWAP_MAP_BAD:
        bug(m, BUG_SWAP_FREE, entry, off, a.max)
        return
    if map[0] == SWAP_MAP_MAX:
        return
    map[0] -= 1
    if map[0] == 0:
        bit_set_free(m, slot)
        cluster_may_begin(m, a, slot)
        if off < a.lowest_bit:
            a.lowest_bit = off
        if off > a.highest_bit:
            a.highest_bit = off
        a.inuse -= 1
        if not (a.flags & SWP_WRITEOK):
            return                  # in swapoff: its slots are out of the totals already
        if m.swap_next < 0 or a.prio > m.swap[m.swap_next].prio:
            m.swap_next = <int32_t>type
        m.nr_swap_pages += 1


# ---------------------------------------------------------------- swap cache

cdef int node_get(machine_t *m, uint64_t slot) noexcept nogil:
    cdef swap_node_t *n = &m.swap_nodes[slot >> 6]
    cdef uint32_t r
    if n.count == 0:
        r = pool_alloc(m, POOL_RADIX)
        if r == 0:
            return -ENOMEM
        if cache_alloc(m, CACHE_RADIX, r, GFP_ATOMIC) != 0:
            pool_free(m, POOL_RADIX, r)
            return -ENOMEM
        n.radix = r
    n.count += 1
    return 0


cdef void node_put(machine_t *m, uint64_t slot) noexcept nogil:
    cdef swap_node_t *n = &m.swap_nodes[slot >> 6]
    n.count -= 1
    if n.count == 0:
        cache_free(m, CACHE_RADIX, n.radix)
        pool_free(m, POOL_RADIX, n.radix)
        n.radix = 0


cdef int insert_swap_cache(machine_t *m, uint32_t pfn, uint32_t entry) noexcept nogil:
    """The page becomes the slot's: 0, or -ENOMEM for want of a radix node."""
    cdef uint64_t slot = swp_slot(m, entry)
    cdef frame_t *f = &m.frames[pfn]
    if node_get(m, slot) != 0:
        return -ENOMEM
    m.swap_cache[slot] = pfn
    f.flags |= PG_SWAPCACHE
    f.priv = entry
    f.refs += 1
    m.nr_swapcache += 1
    m.nr_pagecache += 1
    count(m, SWAP_CACHE_ADD)
    return 0


cdef void add_to_swap_cache(machine_t *m, uint32_t pfn, uint32_t entry) noexcept nogil:
    insert_swap_cache(m, pfn, entry)        # without a radix node the page simply does not get PG_SWAPCACHE


cdef uint32_t lookup_swap_cache(machine_t *m, uint32_t entry) noexcept nogil:
    cdef uint32_t pfn = m.swap_cache[swp_slot(m, entry)]
    count(m, SWAP_CACHE_FIND)
    if pfn != 0:
        m.frames[pfn].refs += 1
        count(m, SWAP_CACHE_FIND_SUCCESS)
    return pfn


cdef int add_to_swap(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef uint32_t entry = get_swap_page(m)
    if entry == 0:
        return 0
    if insert_swap_cache(m, pfn, entry) != 0:
        swap_free(m, entry)
        return 0
    ledger_note(m, LEDGER_PAGE_CACHE, pfn, 1)
    m.frames[pfn].flags |= PG_DIRTY | PG_UPTODATE
    return 1


cdef uint32_t forget_swap_page(machine_t *m, uint32_t pfn) noexcept nogil:
    """The page leaves the swap cache, its reference stays with the caller. Returns its entry."""
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t entry = f.priv
    cdef uint64_t slot = swp_slot(m, entry)
    m.swap_cache[slot] = 0
    node_put(m, slot)
    f.flags &= ~<uint32_t>PG_SWAPCACHE
    f.priv = 0
    m.nr_swapcache -= 1
    m.nr_pagecache -= 1
    count(m, SWAP_CACHE_DEL)
    return entry


cdef void delete_from_swap_cache(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if not (f.flags & PG_LOCKED) or not (f.flags & PG_SWAPCACHE) or f.flags & PG_WRITEBACK:
        bug(m, BUG_SWAP_CACHE_DELETE, pfn, f.flags, f.priv)
        return
    swap_free(m, forget_swap_page(m, pfn))
    ledger_note(m, LEDGER_PAGE_CACHE, pfn, -1)
    put_page(m, pfn)


cdef int exclusive_swap_page(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if not (f.flags & PG_SWAPCACHE) or m.swap_map[swp_slot(m, f.priv)] != 1:
        return 0
    return page_count(m, pfn) - (1 if f.flags & PG_PRIVATE else 0) == 2


cdef int can_share_swap_page(machine_t *m, uint32_t pfn) noexcept nogil:
    """do_wp_page may write to the page in place. The caller holds no reference besides the pte's."""
    cdef frame_t *f = &m.frames[pfn]
    cdef int n = page_count(m, pfn)
    if n == 3 and not (f.flags & PG_PRIVATE):
        return 0
    if n == 2 or n == 3:
        return exclusive_swap_page(m, pfn)
    return n == 1


cdef int remove_exclusive_swap_page(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if not (f.flags & PG_SWAPCACHE) or f.flags & PG_WRITEBACK or page_count(m, pfn) != 2:
        return 0
    if m.swap_map[swp_slot(m, f.priv)] != 1:
        return 0
    swap_free(m, forget_swap_page(m, pfn))
    ledger_note(m, LEDGER_PAGE_CACHE, pfn, -1)
    f.flags |= PG_DIRTY             # its copy on disk is gone
    put_page(m, pfn)
    return 1


cdef void free_swap_and_cache(machine_t *m, uint32_t entry) noexcept nogil:
    cdef uint64_t slot = swp_slot(m, entry)
    cdef uint32_t pfn = 0
    cdef frame_t *f
    if m.swap_map[slot] == 2:
        pfn = m.swap_cache[slot]
        if pfn != 0 and (m.frames[pfn].flags & PG_LOCKED or not trylock_page(m, pfn)):
            pfn = 0
    swap_free(m, entry)
    if pfn == 0:
        return
    # only the cache is left: drop the page when nobody else holds it, or swap is short
    f = &m.frames[pfn]
    f.flags |= PG_LOCKED
    f.refs += 1
    if not (f.flags & PG_WRITEBACK) and (page_count(m, pfn) == 2 or vm_swap_full(m)):
        delete_from_swap_cache(m, pfn)
        f.flags |= PG_DIRTY
    f.flags &= ~<uint32_t>PG_LOCKED
    put_page(m, pfn)


cdef void free_page_and_swap_cache(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if f.flags & PG_SWAPCACHE and not (f.flags & PG_LOCKED) and trylock_page(m, pfn):
        f.flags |= PG_LOCKED
        remove_exclusive_swap_page(m, pfn)
        f.flags &= ~<uint32_t>PG_LOCKED
    put_page(m, pfn)


# ---------------------------------------------------------------- swap I/O

cdef uint32_t read_swap_cache_async(machine_t *m, uint32_t entry) noexcept nogil:
    cdef uint64_t slot = swp_slot(m, entry)
    cdef uint32_t page = 0
    cdef uint32_t pfn
    while True:
        pfn = m.swap_cache[slot]
        if pfn != 0:
            m.frames[pfn].refs += 1
            if page != 0:
                put_page(m, page)
            return pfn
        if page != 0:
            break
        page = alloc_pages(m, GFP_HIGHUSER, 0)     # may reclaim, and so change the slot: look again
        if page == 0:
            return 0
    if not swap_duplicate(m, entry):
        put_page(m, page)
        return 0
    m.frames[page].flags |= PG_LOCKED
    if insert_swap_cache(m, page, entry) != 0:
        m.frames[page].flags &= ~<uint32_t>PG_LOCKED
        swap_free(m, entry)
        put_page(m, page)
        return 0
    ledger_note(m, LEDGER_PAGE_CACHE, page, 1)
    lru_cache_add_active(m, page)
    if m.tokens_on:
        m.page_token[page] = m.slot_token[slot]
    count(m, PSWPIN)
    count_n(m, PGPGIN, 4)
    device_read(m, m.swap[entry >> SWP_TYPE_SHIFT].device, 1)
    m.frames[page].flags = (m.frames[page].flags | PG_UPTODATE) & ~<uint32_t>PG_LOCKED
    return page


cdef void swapin_readahead(machine_t *m, uint32_t entry) noexcept nogil:
    cdef swap_area_t *a = &m.swap[entry >> SWP_TYPE_SHIFT]
    cdef uint32_t base = entry & ~<uint32_t>SWP_OFFSET_MASK
    cdef uint32_t want = entry & SWP_OFFSET_MASK
    cdef uint32_t off = want >> m.page_cluster << m.page_cluster
    cdef uint32_t end = off + (<uint32_t>1 << m.page_cluster)
    cdef uint32_t last, pfn, map
    cdef uint64_t reads
    if m.page_cluster != 0:
        if off == 0:
            off = 1                 # slot 0 is the header
        last = off
        while last < end and last < a.max:
            map = m.swap_map[a.base + last]
            if map == 0 or map == SWAP_MAP_BAD:
                break
            last += 1
        while off < last:
            reads = m.counters[PSWPIN]
            pfn = read_swap_cache_async(m, base | off)
            if pfn == 0:
                break
            if off != want:
                count_n(m, SWAP_READAHEAD, m.counters[PSWPIN] - reads)
            put_page(m, pfn)
            off += 1
    lru_add_drain(m)


cdef int swap_writepage(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t entry = f.priv
    if remove_exclusive_swap_page(m, pfn):      # nobody wants the slot any more
        f.flags &= ~<uint32_t>PG_LOCKED
        return 0
    if m.tokens_on:
        m.slot_token[swp_slot(m, entry)] = m.page_token[pfn]
    f.flags |= PG_WRITEBACK
    f.refs += 1
    m.nr_writeback += 1
    count(m, PSWPOUT)
    count_n(m, PGPGOUT, 4)
    f.flags &= ~<uint32_t>PG_LOCKED
    device_write(m, m.swap[entry >> SWP_TYPE_SHIFT].device, pfn)
    return 0


cdef void end_page_writeback(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    f.flags &= ~<uint32_t>PG_WRITEBACK
    m.nr_writeback -= 1
    if f.flags & PG_RECLAIM:
        f.flags &= ~<uint32_t>PG_RECLAIM
        rotate_reclaimable_page(m, pfn)
    put_page(m, pfn)
