"""Advice about pages: MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED.

Source: mm/madvise.c, mm/swap.c of 6.18; asked of 6.18.44; fact sheet linux-modern 6.7. None of them changes what memory
holds, but for MADV_FREE, after which pages may read zero once reclaim has come by:

    MADV_FREE       the page is clean and not swap-backed (PG_LAZYFREE), its pte clean and old; still writable, so that
                    a write makes no fault but a dirty pte, and by that reclaim knows that the page is wanted. Swapped
                    ones go at once
    MADV_COLD       old, on the inactive list
    MADV_PAGEOUT    reclaimed at once, whether young or not; what cannot be (no swap, dirty pages of regular files) is
                    at least unmapped, if it belongs to a file
    MADV_WILLNEED   read from swap into the swap cache, from the file into the page cache

Pages that others map too are left alone by all but the last; MADV_FREE asks only of those that are dirty themselves.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.counters cimport PGDEACTIVATE, PGLAZYFREE, count
from vmcore._fast.filemap cimport (
    RADIX_SWAP, RADIX_TAG, RADIX_VALUE_SHIFT, READAROUND, clear_page_dirty, file_pages, radix_get, read_range)
from vmcore._fast.locks cimport trylock_page
from vmcore._fast.lru cimport lru_add_drain, lru_add_head, lru_del, put_page
from vmcore._fast.pagetable cimport leaf_end, next_leaf, pte_in, pte_is_swap, pte_pfn, pte_present, pte_swp
from vmcore._fast.pool cimport safe_point
from vmcore._fast.records cimport (
    FILE_DEVICE, FILE_SHMEM, LRU_INACTIVE, PAGE_SHIFT, PAGE_SIZE, PG_ACTIVE, PG_DIRTY, PG_LAZYFREE, PG_LOCKED, PG_LRU,
    PG_MLOCKED, PG_REFERENCED, PG_SWAPCACHE, PTE_A, PTE_ANON, PTE_D, PTE_SPECIAL, file_t, frame_t, machine_t, vma_t)
from vmcore._fast.swap cimport free_swap_and_cache, read_swap_cache_async, remove_exclusive_swap_page

cdef enum:
    FREE = 0
    COLD = 1
    PAGEOUT = 2
    WILLNEED = 3


# ---------------------------------------------------------------- one page

cdef void deactivate(machine_t *m, uint32_t pfn) noexcept nogil:
    """To the head of the inactive list, and not known as referenced."""
    cdef frame_t *f = &m.frames[pfn]
    f.flags &= ~<uint32_t>PG_REFERENCED
    if not f.flags & PG_LRU:
        return
    lru_del(m, pfn)
    if f.flags & PG_ACTIVE:
        count(m, PGDEACTIVATE)
    f.flags &= ~<uint32_t>PG_ACTIVE
    lru_add_head(m, pfn, LRU_INACTIVE)


cdef void free_lazily(machine_t *m, uint32_t pte) noexcept nogil:
    cdef uint32_t pfn = pte_pfn(m.ptes[pte])
    cdef frame_t *f = &m.frames[pfn]
    if f.flags & (PG_SWAPCACHE | PG_DIRTY):
        if f.flags & PG_LOCKED or not trylock_page(m, pfn) or m.mapcount[pfn] != 1:
            return
        f.flags |= PG_LOCKED
        if not f.flags & PG_SWAPCACHE or remove_exclusive_swap_page(m, pfn):
            clear_page_dirty(m, pfn)
        f.flags &= ~<uint32_t>PG_LOCKED
        if f.flags & PG_SWAPCACHE:
            return
    m.ptes[pte] &= ~<uint64_t>(PTE_A | PTE_D)
    if f.flags & PG_LRU and not f.flags & (PG_LAZYFREE | PG_MLOCKED):
        f.flags |= PG_LAZYFREE
        deactivate(m, pfn)
        count(m, PGLAZYFREE)


cdef void cool(machine_t *m, uint32_t pte, int pageout) noexcept nogil:
    cdef uint32_t pfn = pte_pfn(m.ptes[pte])
    cdef frame_t *f = &m.frames[pfn]
    if m.mapcount[pfn] != 1 or not f.flags & PG_LRU:
        return
    m.ptes[pte] &= ~<uint64_t>PTE_A
    f.flags &= ~<uint32_t>PG_REFERENCED
    if pageout:
        m.reclaim.reclaim_page(m, pfn)
    elif f.flags & PG_ACTIVE:
        deactivate(m, pfn)


# ---------------------------------------------------------------- a range

cdef void swap_in(machine_t *m, uint32_t entry) noexcept nogil:
    """Into the swap cache."""
    cdef uint32_t pfn = read_swap_cache_async(m, entry)
    if pfn != 0:
        put_page(m, pfn)


cdef void advise_pte(machine_t *m, uint32_t mm, uint32_t pte, int advice) noexcept nogil:
    cdef uint64_t e = m.ptes[pte]
    if advice == WILLNEED:
        if pte_is_swap(e):
            swap_in(m, pte_swp(e))
    elif pte_present(e) and not e & PTE_SPECIAL:
        if advice != FREE:
            cool(m, pte, advice == PAGEOUT)
        elif e & PTE_ANON:
            free_lazily(m, pte)
    elif advice == FREE and pte_is_swap(e):
        m.ptes[pte] = 0
        m.mms[mm].swapents -= 1
        free_swap_and_cache(m, pte_swp(e))


cdef void advise_range(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, int advice) noexcept nogil:
    cdef uint32_t mm = m.vmas[vma].mm
    cdef uint64_t addr = start
    cdef uint64_t stop
    cdef uint32_t leaf
    while addr < end:
        leaf = next_leaf(m, mm, &addr, end)
        if leaf == 0:
            break
        stop = leaf_end(m, addr, end)
        while addr < stop:
            advise_pte(m, mm, pte_in(m, leaf, addr), advice)
            addr += PAGE_SIZE
        if safe_point(m) < 0:
            break


cdef void advise_free(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil:
    lru_add_drain(m)
    advise_range(m, vma, start, end, FREE)


cdef void advise_cold(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, int pageout) noexcept nogil:
    if pageout and m.reclaim.reclaim_page == NULL:
        return
    lru_add_drain(m)
    advise_range(m, vma, start, end, PAGEOUT if pageout else COLD)


# ---------------------------------------------------------------- MADV_WILLNEED

cdef void willneed_shmem(machine_t *m, uint32_t file, uint64_t first, uint64_t last) noexcept nogil:
    """Pages [first, last) that were swapped. A hole in tmpfs stays one."""
    cdef file_t *f = &m.files[file]
    cdef uint64_t slot
    while first < last and first < file_pages(f):
        slot = radix_get(m, &f.root, first)
        if (slot & RADIX_TAG) == RADIX_SWAP:
            swap_in(m, <uint32_t>(slot >> RADIX_VALUE_SHIFT))
        first += 1
        if first % READAROUND == 0 and safe_point(m) < 0:
            break


cdef void advise_willneed(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t first = v.pgoff + ((start - v.start) >> PAGE_SHIFT)
    cdef uint64_t last = first + ((end - start) >> PAGE_SHIFT)
    if v.file == 0:
        advise_range(m, vma, start, end, WILLNEED)
        lru_add_drain(m)
    elif m.files[v.file].kind == FILE_SHMEM:
        willneed_shmem(m, v.file, first, last)
    elif m.files[v.file].kind != FILE_DEVICE:
        read_range(m, v.file, first, last, READAROUND)
