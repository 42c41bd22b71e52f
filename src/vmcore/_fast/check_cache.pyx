"""Verification of the page cache, the swap areas and the swap cache. Fact sheet linux-2004, sections 8 and 12.

swap_map[slot] = swap ptes + entries in files + 1 if its page is in the swap cache. check_tables counted the ptes;
the files are counted here, then the swap cache, and each slot is compared.
"""
from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t

from vmcore._fast.check_base cimport (
    CHECK_CACHED_PAGE, CHECK_FILE_PAGES, CHECK_FILE_SWAPPED, CHECK_NR_PAGECACHE, CHECK_NR_SWAPCACHE,
    CHECK_NR_SWAP_PAGES, CHECK_RADIX_COUNT, CHECK_RADIX_NODE, CHECK_SWAP_AREA, CHECK_SWAP_BITS, CHECK_SWAP_BOUNDS,
    CHECK_SWAP_CACHE, CHECK_SWAP_INUSE, CHECK_SWAP_LIST, CHECK_SWAP_MAP, CHECK_SWAP_NODE, OWN_CACHE, OWN_SWAPCACHE,
    check_t, fail, in_pool, interrupted, stretch_ends, used_pfn)
from vmcore._fast.check_frames cimport own
from vmcore._fast.filemap cimport RADIX_PAGE, RADIX_SWAP, RADIX_TAG, RADIX_VALUE_SHIFT, file_pages
from vmcore._fast.records cimport (
    FILE_SHMEM, MAX_SWAPFILES, PG_ANON, PG_SWAPCACHE, POOL_FILE, POOL_RADIX, POOL_SWAP_SLOT, SWAP_MAP_BAD,
    SWAP_MAP_MAX, SWP_OFFSET_MASK, SWP_TYPE_SHIFT, SWP_USED, SWP_WRITEOK, file_t, frame_t, machine_t, radix_node_t,
    swap_area_t)

cdef enum:
    MAP_SHIFT = 6
    MAX_HEIGHT = 11


cdef struct tree_t:
    uint32_t file
    uint64_t pages
    uint64_t entries
    uint64_t nodes
    int disk                    # a tree of tokens: values mean nothing here


# ---------------------------------------------------------------- page cache

cdef int check_entry(check_t *c, tree_t *t, uint64_t index, uint64_t value) noexcept nogil:
    """A slot that holds a swap entry: the object must be tmpfs, the slot in use."""
    cdef machine_t *m = c.m
    cdef uint64_t entry = value >> RADIX_VALUE_SHIFT
    cdef uint64_t type = entry >> SWP_TYPE_SHIFT
    cdef uint64_t off = entry & SWP_OFFSET_MASK
    if m.files[t.file].kind != FILE_SHMEM or type >= MAX_SWAPFILES:
        return fail(c, CHECK_CACHED_PAGE, t.file, index, value)
    if (m.swap[type].flags & SWP_USED) == 0 or off == 0 or off >= m.swap[type].max:
        return fail(c, CHECK_CACHED_PAGE, t.file, index, value)
    if m.swap[type].base + off >= m.slots_used:
        return fail(c, CHECK_CACHED_PAGE, t.file, index, value)
    if c.slots[m.swap[type].base + off] != 0xFFFF:
        c.slots[m.swap[type].base + off] += 1
    t.entries += 1
    return 0


cdef int check_value(check_t *c, tree_t *t, uint64_t index, uint64_t value) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t pfn = value >> RADIX_VALUE_SHIFT
    cdef frame_t *f
    if t.disk:
        return 0
    if index >= file_pages(&m.files[t.file]):
        return fail(c, CHECK_CACHED_PAGE, t.file, index, value)
    if (value & RADIX_TAG) == RADIX_SWAP:
        return check_entry(c, t, index, value)
    if (value & RADIX_TAG) != RADIX_PAGE or not used_pfn(m, pfn):
        return fail(c, CHECK_CACHED_PAGE, t.file, index, value)
    f = &m.frames[pfn]
    if f.mapping != t.file or f.index != index or (f.flags & (PG_ANON | PG_SWAPCACHE)) != 0:
        return fail(c, CHECK_CACHED_PAGE, t.file, index, pfn)
    t.pages += 1
    return own(c, pfn, OWN_CACHE, 1)


cdef int check_node(check_t *c, tree_t *t, uint64_t node, uint32_t height, uint64_t base) noexcept nogil:
    """The subtree of a node `height` levels high, whose first index is `base`."""
    cdef machine_t *m = c.m
    cdef radix_node_t *n
    cdef uint32_t i, used = 0
    cdef uint32_t shift = (height - 1) * MAP_SHIFT
    cdef uint64_t index
    if not in_pool(m, POOL_RADIX, node):
        return fail(c, CHECK_RADIX_NODE, t.file, node, height)
    t.nodes += 1
    # trees share no node, so that many can never be met
    if t.nodes > m.pools[<int>POOL_RADIX].live:
        return fail(c, CHECK_RADIX_COUNT, t.nodes, m.pools[<int>POOL_RADIX].live, t.file)
    if height == 2 and interrupted(c):
        return -1
    n = &m.radix[node]
    for i in range(64):
        if n.slot[i] == 0:
            continue
        used += 1
        index = base + (<uint64_t>i << shift)
        if height > 1:
            if check_node(c, t, n.slot[i], height - 1, index) < 0:
                return -1
        elif check_value(c, t, index, n.slot[i]) < 0:
            return -1
    # a node leaves with its last slot
    if used == 0 or used != n.count:
        return fail(c, CHECK_RADIX_NODE, t.file, node, n.count)
    return 0


cdef int check_tree(check_t *c, tree_t *t, uint32_t root, uint32_t height) noexcept nogil:
    t.nodes = 0
    if (root != 0) != (height != 0) or height > MAX_HEIGHT:
        return fail(c, CHECK_RADIX_NODE, t.file, root, height)
    if root == 0:
        return 0
    return check_node(c, t, root, height, 0)


cdef int check_file(check_t *c, uint32_t file) noexcept nogil:
    cdef file_t *f = &c.m.files[file]
    cdef tree_t t
    t.file = file
    t.pages = 0
    t.entries = 0
    t.disk = 0
    if check_tree(c, &t, f.root, f.height) < 0:
        return -1
    c.radix_nodes += t.nodes
    if t.pages != f.nrpages:
        return fail(c, CHECK_FILE_PAGES, file, t.pages, f.nrpages)
    if t.entries != f.swapped:
        return fail(c, CHECK_FILE_SWAPPED, file, t.entries, f.swapped)
    c.cached += t.pages
    t.disk = 1
    if check_tree(c, &t, f.disk_root, f.disk_height) < 0:
        return -1
    c.disk_nodes += t.nodes
    return 0


cdef int check_files(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t i
    cdef uint64_t live = 0
    # the census is in use, so a free file is known by its references; check_objects counted the files by the free list
    for i in range(1, m.pools[<int>POOL_FILE].next):
        if m.files[i].refs == 0:
            continue
        live += 1
        if check_file(c, <uint32_t>i) < 0:
            return -1
    if live != c.files:
        return fail(c, CHECK_FILE_PAGES, 0, live, c.files)
    return 0


# ---------------------------------------------------------------- swap areas

cdef int check_slot(check_t *c, uint32_t type, uint64_t off, uint64_t *inuse, uint64_t *cached) noexcept nogil:
    cdef machine_t *m = c.m
    cdef swap_area_t *s = &m.swap[type]
    cdef uint64_t slot = s.base + off
    cdef uint16_t map = m.swap_slots[slot].map
    cdef uint64_t pfn = m.swap_slots[slot].cache
    cdef uint32_t uses = c.slots[slot]
    cdef uint64_t free = (m.swap_words[slot >> 6].free >> (slot & 63)) & 1
    if pfn != 0:
        if not used_pfn(m, pfn) or (m.frames[pfn].flags & PG_SWAPCACHE) == 0:
            return fail(c, CHECK_SWAP_CACHE, type, off, pfn)
        if m.frames[pfn].priv != ((type << SWP_TYPE_SHIFT) | <uint32_t>off):
            return fail(c, CHECK_SWAP_CACHE, type, off, pfn)
        if own(c, pfn, OWN_SWAPCACHE, 1) < 0:
            return -1
        uses += 1
        cached[0] += 1
        c.swapcached += 1
    # a saturated count is neither raised nor lowered again, so it says nothing about the uses
    if map != uses and map != SWAP_MAP_MAX:
        return fail(c, CHECK_SWAP_MAP, (type << SWP_TYPE_SHIFT) | off, uses, map)
    if (map == 0) != (free != 0):
        return fail(c, CHECK_SWAP_BITS, type, off, free)
    if map != 0:
        inuse[0] += 1
    elif off < s.lowest_bit or off > s.highest_bit:
        return fail(c, CHECK_SWAP_BOUNDS, type, off, s.lowest_bit)
    return 0


cdef int check_area(check_t *c, uint32_t type) noexcept nogil:
    cdef machine_t *m = c.m
    cdef swap_area_t *s = &m.swap[type]
    cdef uint64_t off, word
    cdef uint64_t inuse = 0
    cdef uint64_t cached = 0
    if s.max < 2 or s.max > s.capacity or s.base + s.capacity > m.slots_used or (s.base & 4095) != 0:
        return fail(c, CHECK_SWAP_AREA, type, s.base, s.max)
    if m.swap_slots[s.base].map != SWAP_MAP_BAD or m.swap_slots[s.base].cache != 0 or s.pages != s.max - 1:
        return fail(c, CHECK_SWAP_AREA, type, 0, m.swap_slots[s.base].map)
    for off in range(1, s.max):
        if stretch_ends(c, off) or check_slot(c, type, off, &inuse, &cached) < 0:
            return -1
        if ((s.base + off) & 63) == 63 or off == s.max - 1:
            # 64 slots share a node of the cache's tree, and a bit of the summary
            word = (s.base + off) >> 6
            if m.swap_words[word].count != cached or (m.swap_words[word].radix != 0) != (cached != 0):
                return fail(c, CHECK_SWAP_NODE, type, off, m.swap_words[word].count)
            if cached != 0 and not in_pool(m, POOL_RADIX, m.swap_words[word].radix):
                return fail(c, CHECK_SWAP_NODE, type, off, m.swap_words[word].radix)
            if (((m.swap_full[word >> 6] >> (word & 63)) & 1) != 0) != (m.swap_words[word].free == ~<uint64_t>0):
                return fail(c, CHECK_SWAP_BITS, type, off, word)
            if (((m.swap_any[word >> 6] >> (word & 63)) & 1) != 0) != (m.swap_words[word].free != 0):
                return fail(c, CHECK_SWAP_BITS, type, off, word)
            c.swap_nodes += cached != 0
            cached = 0
    if inuse != s.inuse:
        return fail(c, CHECK_SWAP_INUSE, type, inuse, s.inuse)
    c.r.slots_used += inuse
    return 0


cdef int check_swap_list(check_t *c) noexcept nogil:
    """Areas in use stand once each on the list, highest priority first."""
    cdef machine_t *m = c.m
    cdef int32_t i = m.swap_head
    cdef int32_t prev = -1
    cdef uint32_t n = 0
    while i >= 0:
        if i >= MAX_SWAPFILES or (m.swap[i].flags & (SWP_USED | SWP_WRITEOK)) != (SWP_USED | SWP_WRITEOK):
            return fail(c, CHECK_SWAP_LIST, i, n, m.nr_swapfiles)
        if prev >= 0 and m.swap[prev].prio < m.swap[i].prio:
            return fail(c, CHECK_SWAP_LIST, i, n, m.nr_swapfiles)
        n += 1
        if n > MAX_SWAPFILES:
            return fail(c, CHECK_SWAP_LIST, i, n, m.nr_swapfiles)
        prev = i
        i = m.swap[i].next
    if n != m.nr_swapfiles:
        return fail(c, CHECK_SWAP_LIST, -1, n, m.nr_swapfiles)
    return 0


cdef int check_swap(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t free = 0
    cdef uint64_t total = 0
    cdef uint32_t type
    cdef uint32_t areas = 0
    if m.slots_used > m.pools[<int>POOL_SWAP_SLOT].next:
        return fail(c, CHECK_SWAP_AREA, 0, m.slots_used, m.pools[<int>POOL_SWAP_SLOT].next)
    for type in range(MAX_SWAPFILES):
        if (m.swap[type].flags & SWP_USED) == 0:
            continue
        areas += 1
        if check_area(c, type) < 0:
            return -1
        free += m.swap[type].pages - m.swap[type].inuse
        total += m.swap[type].pages
    if areas != m.nr_swapfiles:
        return fail(c, CHECK_SWAP_LIST, -1, areas, m.nr_swapfiles)
    if check_swap_list(c) < 0:
        return -1
    if free != m.nr_swap_pages or total != m.total_swap_pages:
        return fail(c, CHECK_NR_SWAP_PAGES, free, m.nr_swap_pages, total)
    if c.swapcached != m.nr_swapcache:
        return fail(c, CHECK_NR_SWAPCACHE, c.swapcached, m.nr_swapcache, 0)
    c.r.cached_pages = c.cached + c.swapcached
    if c.r.cached_pages != m.nr_pagecache:
        return fail(c, CHECK_NR_PAGECACHE, c.r.cached_pages, m.nr_pagecache, 0)
    if c.radix_nodes + c.disk_nodes + c.swap_nodes != m.pools[<int>POOL_RADIX].live:
        return fail(c, CHECK_RADIX_COUNT, c.radix_nodes + c.disk_nodes, c.swap_nodes, m.pools[<int>POOL_RADIX].live)
    return 0
