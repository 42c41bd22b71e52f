"""The swap cache and swap I/O. mm/swap_state.c, mm/page_io.c of 2.6.5; fact sheet linux-2004 8.2.

The cache is a field of the slot. Of the radix tree that the kernel keeps, the lowest level (64 slots a node, all but
1.6 % of the nodes) is accounted in the slab ledger.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_SWAP_CACHE_DELETE, bug
from vmcore._fast.clock cimport device_read, device_write
from vmcore._fast.counters cimport (
    PGPGIN, PGPGOUT, PSWPIN, PSWPOUT, SWAP_CACHE_ADD, SWAP_CACHE_DEL, SWAP_CACHE_FIND, SWAP_CACHE_FIND_SUCCESS,
    SWAP_READAHEAD, count, count_n,
)
from vmcore._fast.frame cimport GFP_ATOMIC, GFP_HIGHUSER, alloc_pages, page_count
from vmcore._fast.lru cimport lru_add_drain, lru_cache_add_active, put_page, rotate_reclaimable_page
from vmcore._fast.locks cimport trylock_page
from vmcore._fast.pool cimport pool_alloc, pool_free
from vmcore._fast.records cimport (
    CACHE_RADIX, PG_DIRTY, PG_LOCKED, PG_PRIVATE, PG_READAHEAD, PG_RECLAIM, PG_SWAPCACHE, PG_UPTODATE, PG_WRITEBACK,
    POOL_RADIX, SWAP_MAP_BAD, SWP_OFFSET_MASK, SWP_TYPE_SHIFT, frame_t, machine_t, swap_area_t, swap_word_t,
)
from vmcore._fast.slab cimport LEDGER_PAGE_CACHE, cache_alloc, cache_free, ledger_note
from vmcore._fast.swap_slots cimport get_swap_page, swap_duplicate, swap_free, swp_slot, vm_swap_full


# ---------------------------------------------------------------- swap cache

cdef int node_get(machine_t *m, uint64_t slot) noexcept nogil:
    cdef swap_word_t *n = &m.swap_words[slot >> 6]
    cdef uint32_t r
    if n.count == 0:
        r = pool_alloc(m, POOL_RADIX)
        if r == 0:
            return -ENOMEM
        if not m.rules.page_hash and cache_alloc(m, CACHE_RADIX, r, GFP_ATOMIC) != 0:
            pool_free(m, POOL_RADIX, r)
            return -ENOMEM
        n.radix = r
    n.count += 1
    return 0


cdef void node_put(machine_t *m, uint64_t slot) noexcept nogil:
    cdef swap_word_t *n = &m.swap_words[slot >> 6]
    n.count -= 1
    if n.count == 0:
        if not m.rules.page_hash:
            cache_free(m, CACHE_RADIX, n.radix)
        pool_free(m, POOL_RADIX, n.radix)
        n.radix = 0


cdef int insert_swap_cache(machine_t *m, uint32_t pfn, uint32_t entry) noexcept nogil:
    """The page becomes the slot's: 0, or -ENOMEM for want of a radix node."""
    cdef uint64_t slot = swp_slot(m, entry)
    cdef frame_t *f = &m.frames[pfn]
    if node_get(m, slot) != 0:
        return -ENOMEM
    m.swap_slots[slot].cache = pfn
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
    cdef uint32_t pfn = m.swap_slots[swp_slot(m, entry)].cache
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
    m.swap_slots[slot].cache = 0
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
    if not (f.flags & PG_SWAPCACHE) or m.swap_slots[swp_slot(m, f.priv)].map != 1:
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
    if m.swap_slots[swp_slot(m, f.priv)].map != 1:
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
    if m.swap_slots[slot].map == 2:
        pfn = m.swap_slots[slot].cache
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
        pfn = m.swap_slots[slot].cache
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
            map = m.swap_slots[a.base + last].map
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
    f.flags &= ~<uint32_t>(PG_WRITEBACK | PG_READAHEAD)     # PG_reclaim of today is the same bit
    m.nr_writeback -= 1
    if f.flags & PG_RECLAIM:
        f.flags &= ~<uint32_t>PG_RECLAIM
        rotate_reclaimable_page(m, pfn)
    put_page(m, pfn)
