"""tmpfs and shared anonymous memory: pages that move between a file's cache and the swap cache.

Source: mm/shmem.c of 2.6.5; fact sheet linux-2004 8.4, 5.2.

States of a place in a shmem file:

    hole       nothing in the tree
    cached     RADIX_PAGE | pfn:    page.mapping = file, one reference for the cache; dirty once it was written
    swapped    RADIX_SWAP | entry:  one use of the slot; its page may still (or again) be in the swap cache

shmem_writepage takes cached to swapped (slot count 2: swap cache and file; the write is a later visit of reclaim),
shmem_getpage and swapoff take swapped to cached (entry given back, page dirty: its copy on disk is gone). Both
replace the slot in place, so neither needs memory. A page found earlier can be in the swap cache by the time it is
locked; lookups check again and assert nothing about it.

New pages and swapped-in pages: the former go to the inactive list (2.6.5 adds them as any page cache page), the
latter are on the active one already, where swap-in put them.
"""
from libc.errno cimport EEXIST
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_SHMEM_WRITEPAGE, bug
from vmcore._fast.counters cimport PGMAJFAULT, SHMEM_SWIZZLE_IN, SHMEM_SWIZZLE_OUT, count
from vmcore._fast.filemap cimport (
    NOPAGE_OOM, NOPAGE_SIGBUS, RADIX_PAGE, RADIX_SWAP, RADIX_TAG, RADIX_VALUE_SHIFT, add_to_page_cache, device_nopage,
    drop_file_range, file_pages, filemap_nopage, radix_get, radix_next, radix_set, set_page_dirty, wait_on_page)
from vmcore._fast.frame cimport GFP_HIGHUSER, alloc_pages, get_page
from vmcore._fast.lru cimport lru_cache_add, mark_page_accessed, put_page
from vmcore._fast.readahead cimport filemap_fault
from vmcore._fast.records cimport (
    FILE_DEVICE, FILE_SHMEM, PAGE_SHIFT, PG_DIRTY, PG_LOCKED, PG_SWAPCACHE, PG_UPTODATE, PG_WRITEBACK, POOL_FILE,
    file_t, frame_t, machine_t, vma_t)
from vmcore._fast.slab cimport LEDGER_PAGE_CACHE, ledger_note
from vmcore._fast.swap cimport (
    add_to_swap_cache, delete_from_swap_cache, get_swap_page, lookup_swap_cache, read_swap_cache_async, swap_duplicate,
    swap_free, swapin_readahead)


cdef void swizzle_in(machine_t *m, uint32_t file, uint64_t index, uint32_t entry, uint32_t pfn) noexcept nogil:
    """swapped -> cached. The page is locked, not being written, in the swap cache as `entry`; the caller holds it."""
    cdef file_t *f = &m.files[file]
    cdef frame_t *p = &m.frames[pfn]
    delete_from_swap_cache(m, pfn)
    # the place is occupied, so this store takes no node and cannot fail
    radix_set(m, &f.root, index, (<uint64_t>pfn << RADIX_VALUE_SHIFT) | RADIX_PAGE)
    p.refs += 1
    p.mapping = file
    p.index = index
    f.nrpages += 1
    f.swapped -= 1
    m.nr_pagecache += 1
    ledger_note(m, LEDGER_PAGE_CACHE, pfn, 1)
    swap_free(m, entry)
    set_page_dirty(m, pfn)
    count(m, SHMEM_SWIZZLE_IN)

cdef uint32_t shmem_getpage(machine_t *m, uint32_t file, uint64_t index, int *major) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef uint64_t slot
    cdef uint32_t pfn, entry
    cdef int r
    major[0] = 0
    while True:
        slot = radix_get(m, &f.root, index)
        if (slot & RADIX_TAG) == RADIX_PAGE:
            pfn = <uint32_t>(slot >> RADIX_VALUE_SHIFT)
            get_page(m, pfn)
            return pfn
        if slot == 0:
            pfn = alloc_pages(m, GFP_HIGHUSER, 0)
            if pfn == 0:
                return 0
            r = add_to_page_cache(m, pfn, file, index)
            if r < 0:
                put_page(m, pfn)
                if r == -EEXIST:
                    continue
                return 0
            if m.tokens_on:
                m.page_token[pfn] = 0
            m.frames[pfn].flags |= PG_UPTODATE
            lru_cache_add(m, pfn)
            return pfn
        entry = <uint32_t>(slot >> RADIX_VALUE_SHIFT)
        pfn = lookup_swap_cache(m, entry)
        if pfn == 0:
            if major[0] == 0:
                count(m, PGMAJFAULT)
            major[0] = 1
            swapin_readahead(m, entry)
            pfn = read_swap_cache_async(m, entry)
            if pfn == 0:
                if radix_get(m, &f.root, index) == slot:
                    return 0
                continue
            put_page(m, pfn)
            continue                # and find it in the swap cache, if nothing happened to it meanwhile
        # The kernel tries the lock, and waits for a holder or a write before it looks again; here the wait comes first.
        wait_on_page(m, pfn, PG_LOCKED | PG_WRITEBACK)
        if m.frames[pfn].flags & (PG_LOCKED | PG_WRITEBACK):
            put_page(m, pfn)        # held by a caller of ours: it cannot let go before we return
            return 0
        if (m.frames[pfn].flags & PG_SWAPCACHE) == 0 or m.frames[pfn].priv != entry or (
                radix_get(m, &f.root, index) != slot):
            put_page(m, pfn)
            continue
        m.frames[pfn].flags |= PG_LOCKED
        swizzle_in(m, file, index, entry, pfn)
        m.frames[pfn].flags &= ~<uint32_t>PG_LOCKED
        return pfn

cdef uint32_t shmem_nopage(machine_t *m, uint32_t vma, uint64_t addr, int *major) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t index = v.pgoff + ((addr - v.start) >> PAGE_SHIFT)
    cdef uint32_t pfn
    major[0] = 0
    if index >= file_pages(&m.files[v.file]):
        return NOPAGE_SIGBUS
    pfn = shmem_getpage(m, v.file, index, major)
    if pfn == 0:
        return NOPAGE_OOM
    mark_page_accessed(m, pfn)
    return pfn

cdef int shmem_writepage(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *p = &m.frames[pfn]
    cdef uint32_t file = p.mapping, entry
    cdef file_t *f = &m.files[file]
    cdef uint64_t index = p.index
    if (p.flags & PG_LOCKED) == 0 or m.mapcount[pfn] != 0 or (
            radix_get(m, &f.root, index) != (<uint64_t>pfn << RADIX_VALUE_SHIFT) | RADIX_PAGE):
        bug(m, BUG_SHMEM_WRITEPAGE, pfn, file, index)
        set_page_dirty(m, pfn)
        return 1
    entry = get_swap_page(m)
    if entry == 0:
        set_page_dirty(m, pfn)
        return 1
    add_to_swap_cache(m, pfn, entry)
    if (p.flags & PG_SWAPCACHE) == 0:       # no radix node to be had
        swap_free(m, entry)
        set_page_dirty(m, pfn)
        return 1
    # From here on the page counts once, as swap cache; the ledger still has it from the page cache.
    radix_set(m, &f.root, index, (<uint64_t>entry << RADIX_VALUE_SHIFT) | RADIX_SWAP)
    swap_duplicate(m, entry)
    f.nrpages -= 1
    f.swapped += 1
    m.nr_pagecache -= 1
    p.mapping = 0
    p.index = 0
    p.refs -= 1                             # the file's reference; the swap cache has taken its own
    p.flags = (p.flags | PG_DIRTY) & ~<uint32_t>PG_LOCKED
    count(m, SHMEM_SWIZZLE_OUT)
    return 0

cdef int shmem_unuse_at(machine_t *m, uint32_t file, uint64_t index, uint32_t entry, uint32_t pfn) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef frame_t *p = &m.frames[pfn]
    if f.refs == 0 or f.kind != FILE_SHMEM or (
            radix_get(m, &f.root, index) != (<uint64_t>entry << RADIX_VALUE_SHIFT) | RADIX_SWAP):
        return 0
    if (p.flags & PG_SWAPCACHE) == 0 or p.priv != entry:
        return 0
    swizzle_in(m, file, index, entry, pfn)
    return 1

cdef uint32_t shmem_unuse(machine_t *m, uint32_t entry, uint32_t pfn) noexcept nogil:
    cdef uint64_t file, index, slot
    cdef file_t *f
    for file in range(1, m.pools[POOL_FILE].next):
        f = &m.files[file]
        if f.refs == 0 or f.kind != FILE_SHMEM or f.swapped == 0:
            continue
        index = 0
        while True:
            slot = radix_next(m, &f.root, &index, ~<uint64_t>0)
            if slot == 0:
                break
            if slot == (<uint64_t>entry << RADIX_VALUE_SHIFT) | RADIX_SWAP:
                return <uint32_t>shmem_unuse_at(m, <uint32_t>file, index, entry, pfn)
            if index == ~<uint64_t>0:
                break
            index += 1
    return 0

cdef void shmem_truncate(machine_t *m, uint32_t file, uint64_t first) noexcept nogil:
    drop_file_range(m, file, first)

cdef uint32_t vma_nopage(machine_t *m, uint32_t vma, uint64_t addr, int *how) noexcept nogil:
    cdef uint32_t kind = m.files[m.vmas[vma].file].kind
    if kind == FILE_SHMEM:
        return shmem_nopage(m, vma, addr, how)
    if kind == FILE_DEVICE:
        return device_nopage(m, vma, addr, how)
    if m.rules.readahead:
        return filemap_fault(m, vma, addr, how)
    return filemap_nopage(m, vma, addr, how)
