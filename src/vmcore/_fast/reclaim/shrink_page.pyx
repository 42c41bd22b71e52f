"""One page that reclaim has taken off the inactive list: unmapped, written, freed, or put back. See shrink_page.pxd.

A page freed by write-out takes two visits: the first starts the write, its end rotates the page to the tail, the second
frees it.
"""
from libc.stdint cimport uint32_t

from vmcore._fast.counters cimport (
    PGLAZYFREED, RECLAIM_ACTIVATE_NOSWAP, RECLAIM_ACTIVATE_REFERENCED, RECLAIM_ACTIVATE_UNMAP,
    RECLAIM_ACTIVATE_WRITEPAGE, RECLAIM_KEEP_AGAIN, RECLAIM_KEEP_COUNT, RECLAIM_KEEP_DIRTY, RECLAIM_KEEP_LOCKED,
    RECLAIM_KEEP_WRITEBACK, count)
from vmcore._fast.filemap cimport clear_page_dirty, file_writepage, remove_from_page_cache
from vmcore._fast.frame cimport GFP_FS_, GFP_IO_, has_mapping, page_count, page_mapped
from vmcore._fast.locks cimport page_map_lock, page_map_unlock, trylock_page
from vmcore._fast.lru cimport page_free_now
from vmcore._fast.records cimport (
    FILE_DEVICE, FILE_REGULAR, FILE_SHMEM, PG_ANON, PG_DIRTY, PG_LAZYFREE, PG_LOCKED, PG_MLOCKED,
    PG_MLOCK_UNCOUNTED, PG_PRIVATE, PG_READAHEAD, PG_RECLAIM, PG_SWAPCACHE, PG_WRITEBACK, frame_t, machine_t)
from vmcore._fast.rmap.rmap cimport SWAP_FAIL
from vmcore._fast.shmem cimport shmem_writepage
from vmcore._fast.swap cimport add_to_swap, delete_from_swap_cache, swap_writepage


cdef inline int page_mapping_inuse(machine_t *m, uint32_t pfn, frame_t *f) noexcept nogil:
    if f.flags & PG_SWAPCACHE or page_mapped(m, pfn, f):
        return 1
    if f.mapping == 0 or f.flags & PG_ANON:
        return 0
    return (m.files[f.mapping].i_mmap != 0 or m.files[f.mapping].i_mmap_shared != 0
            or m.files[f.mapping].i_mmap_nonlinear != 0)


cdef inline int anonymous_without_slot(machine_t *m, uint32_t pfn, frame_t *f) noexcept nogil:
    if f.flags & PG_SWAPCACHE:
        return 0
    if m.rules.page_anon:
        return f.flags & PG_ANON
    return f.mapping == 0 and not (f.flags & PG_PRIVATE) and page_mapped(m, pfn, f)


cdef int pageout(machine_t *m, uint32_t pfn, frame_t *f, int may_fs) noexcept nogil:
    """A dirty locked page is written if it may be. KEEP (unlocked: the write runs), KEEP_LOCKED or ACTIVATE."""
    cdef int kind = 0
    if page_count(m, pfn) - (1 if f.flags & PG_PRIVATE else 0) != 2:
        count(m, RECLAIM_KEEP_COUNT)
        return KEEP_LOCKED
    if not has_mapping(f):
        return KEEP_LOCKED
    if not (f.flags & PG_SWAPCACHE):
        kind = m.files[f.mapping].kind
        if kind == FILE_DEVICE:
            return ACTIVATE         # no writepage
    if not may_fs:
        count(m, RECLAIM_KEEP_DIRTY)
        return KEEP_LOCKED
    clear_page_dirty(m, pfn)
    f.flags |= PG_RECLAIM
    if f.flags & PG_SWAPCACHE:
        swap_writepage(m, pfn)
    elif kind == FILE_SHMEM:
        if shmem_writepage(m, pfn) != 0:
            f.flags &= ~<uint32_t>PG_RECLAIM
            count(m, RECLAIM_ACTIVATE_WRITEPAGE)
            return ACTIVATE
    else:
        file_writepage(m, pfn)
    if not (f.flags & PG_WRITEBACK):
        f.flags &= ~<uint32_t>PG_RECLAIM
    return KEEP


cdef inline int is_regular(machine_t *m, frame_t *f) noexcept nogil:
    return not f.flags & (PG_SWAPCACHE | PG_ANON) and f.mapping != 0 and m.files[f.mapping].kind == FILE_REGULAR


cdef int drop_lazyfree(machine_t *m, uint32_t pfn, frame_t *f) noexcept nogil:
    """A page that MADV_FREE gave up, locked: it is dropped, unless it was written since or somebody holds it."""
    cdef int r = m.rmap.try_to_unmap(m, pfn) if page_mapped(m, pfn, f) else 0
    if r == SWAP_FAIL:
        count(m, RECLAIM_ACTIVATE_UNMAP)
        return ACTIVATE
    if r != 0 or page_count(m, pfn) != 1:
        count(m, RECLAIM_KEEP_AGAIN)
        return KEEP_LOCKED
    count(m, PGLAZYFREED)
    f.flags &= ~<uint32_t>PG_LOCKED
    f.refs -= 1                     # the isolation's: the last
    page_free_now(m, pfn, 1)
    return FREED


cdef int shrink_page(machine_t *m, uint32_t pfn, scan_control *sc) noexcept nogil:
    """What shrink_list decides for one isolated page, in the kernel's order of questions."""
    cdef frame_t *f = &m.frames[pfn]
    cdef int referenced, may_fs, r
    if f.flags & PG_LOCKED or not trylock_page(m, pfn):
        count(m, RECLAIM_KEEP_LOCKED)
        return KEEP
    f.flags |= PG_LOCKED
    if f.flags & PG_WRITEBACK and m.rules.scanned_late:
        count(m, RECLAIM_KEEP_WRITEBACK)
        return KEEP_LOCKED
    sc.scanned += m.rules.scanned_late
    if f.flags & PG_SWAPCACHE or page_mapped(m, pfn, f):
        sc.scanned += 1
    if f.flags & PG_WRITEBACK:
        count(m, RECLAIM_KEEP_WRITEBACK)
        return KEEP_LOCKED
    if f.flags & PG_MLOCKED:
        if sc.now:
            f.flags |= PG_MLOCK_UNCOUNTED
        count(m, RECLAIM_ACTIVATE_UNMAP)
        return ACTIVATE
    page_map_lock(m, pfn)
    referenced = m.rmap.page_referenced(m, pfn) if not sc.now else 0
    if referenced and page_mapping_inuse(m, pfn, f):
        page_map_unlock(m, pfn)
        count(m, RECLAIM_ACTIVATE_REFERENCED)
        return ACTIVATE
    if f.flags & PG_LAZYFREE:
        page_map_unlock(m, pfn)
        return drop_lazyfree(m, pfn, f)
    if anonymous_without_slot(m, pfn, f):
        page_map_unlock(m, pfn)
        if not add_to_swap(m, pfn):
            count(m, RECLAIM_ACTIVATE_NOSWAP)
            return ACTIVATE
        page_map_lock(m, pfn)
    may_fs = sc.gfp & GFP_FS_ or (f.flags & PG_SWAPCACHE and sc.gfp & GFP_IO_)
    if has_mapping(f) and page_mapped(m, pfn, f):
        r = m.rmap.try_to_unmap(m, pfn)
        if r != 0:
            page_map_unlock(m, pfn)
            if r == SWAP_FAIL:
                count(m, RECLAIM_ACTIVATE_UNMAP)
                return ACTIVATE
            count(m, RECLAIM_KEEP_AGAIN)
            return KEEP_LOCKED
    page_map_unlock(m, pfn)
    if f.flags & PG_DIRTY and sc.now and is_regular(m, f):
        # PG_reclaim, for the end of a write that others will start: the same bit as PG_readahead, and taken for it
        f.flags |= PG_READAHEAD | PG_RECLAIM
        return ACTIVATE
    if f.flags & PG_DIRTY:
        if referenced:
            count(m, RECLAIM_KEEP_DIRTY)
            return KEEP_LOCKED
        return pageout(m, pfn, f, may_fs)
    if not has_mapping(f):
        return KEEP_LOCKED          # truncated meanwhile
    if page_count(m, pfn) != 2 or f.flags & PG_DIRTY:
        count(m, RECLAIM_KEEP_COUNT)
        return KEEP_LOCKED
    if f.flags & PG_SWAPCACHE:
        delete_from_swap_cache(m, pfn)
    else:
        remove_from_page_cache(m, pfn)
        f.refs -= 1                 # the cache's
    f.flags &= ~<uint32_t>PG_LOCKED
    f.refs -= 1                     # the isolation's: the last
    page_free_now(m, pfn, 1)
    return FREED
