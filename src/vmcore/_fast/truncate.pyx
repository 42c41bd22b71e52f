"""Truncate, invalidate, and write-back of one file.

Source: mm/truncate.c, vmtruncate of mm/memory.c, mm/filemap.c of 2.6.5; fact sheet linux-2004 4.10, 5.2, 5.3.

Order of a shrink, which the fault side relies on (do_no_page reads truncate_count before nopage and again before it
sets the pte): size, truncate_count, ptes, pages. Private copies beyond the new end are zapped too, as 2.6.5 does. All
of a partial last page stays, its token with it.

A page may be locked or under writeback when it is to go: the walk waits until the write ends, and then looks again,
because reclaim may have moved a tmpfs page to swap meanwhile.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.filemap cimport (
    RADIX_PAGE, RADIX_TAG, RADIX_VALUE_SHIFT, clear_page_dirty, drop_cached_page, drop_file_range, file_pages,
    file_writepage, find_page, radix_next, wait_on_page)
from vmcore._fast.frame cimport get_page
from vmcore._fast.lru cimport put_page
from vmcore._fast.pool cimport safe_point
from vmcore._fast.records cimport (
    FILE_REGULAR, FILE_SHMEM, FILE_TRUNCATED, FILE_UNLINKED, PG_DIRTY, PG_LOCKED, PG_WRITEBACK, file_t, frame_t,
    machine_t)
from vmcore._fast.zap cimport unmap_mapping_range

cdef enum:
    SAFE_BATCH = 32         # pages of a walk between safe points

cdef uint64_t LAST_PAGE = (<uint64_t>1 << 52) - 1       # of a file of 2^64 bytes


cdef int do_truncate(machine_t *m, uint32_t file, uint64_t size) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef uint64_t before = file_pages(f)
    cdef int shrinks = size < f.size
    f.size = size
    if f.kind == FILE_SHMEM and f.flags & FILE_UNLINKED:
        m.committed += file_pages(f) - before       # the object's charge goes with its size (modulo 2^64)
    if not shrinks:
        return 0
    f.flags |= FILE_TRUNCATED
    f.truncate_count += 1
    unmap_mapping_range(m, file, file_pages(f), LAST_PAGE)
    drop_file_range(m, file, file_pages(f))
    return 0

cdef uint64_t invalidate_mapping_pages(machine_t *m, uint32_t file, uint64_t first, uint64_t last) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef uint64_t index = first, slot, gone = 0, looked = 0
    cdef uint32_t pfn
    while True:
        slot = radix_next(m, &f.root, &index, last)
        if slot == 0:
            return gone
        if (slot & RADIX_TAG) == RADIX_PAGE:
            pfn = <uint32_t>(slot >> RADIX_VALUE_SHIFT)
            if (m.frames[pfn].flags & (PG_LOCKED | PG_WRITEBACK | PG_DIRTY)) == 0 and m.mapcount[pfn] == 0:
                drop_cached_page(m, pfn)
                gone += 1
        if index == last:
            return gone
        index += 1
        looked += 1
        if looked % SAFE_BATCH == 0 and safe_point(m) != 0:
            return gone

cdef uint64_t invalidate_inode_pages2(machine_t *m, uint32_t file) noexcept nogil:
    """Pages are unmapped through the reverse map, so private copies stay, and dirty pages, and those some pte keeps."""
    cdef file_t *f = &m.files[file]
    cdef uint64_t index = 0, slot, gone = 0, looked = 0
    cdef uint32_t pfn
    cdef frame_t *p
    while True:
        slot = radix_next(m, &f.root, &index, ~<uint64_t>0)
        if slot == 0:
            return gone
        if (slot & RADIX_TAG) == RADIX_PAGE:
            pfn = <uint32_t>(slot >> RADIX_VALUE_SHIFT)
            p = &m.frames[pfn]
            get_page(m, pfn)
            wait_on_page(m, pfn, PG_LOCKED | PG_WRITEBACK)
            if (p.flags & (PG_LOCKED | PG_WRITEBACK)) == 0 and find_page(m, file, index) == pfn:
                p.flags |= PG_LOCKED
                if m.mapcount[pfn] != 0:
                    m.rmap.try_to_unmap(m, pfn)
                if m.mapcount[pfn] == 0 and (p.flags & PG_DIRTY) == 0:
                    drop_cached_page(m, pfn)
                    gone += 1
                p.flags &= ~<uint32_t>PG_LOCKED
            put_page(m, pfn)
        if index == ~<uint64_t>0:
            return gone
        index += 1
        looked += 1
        if looked % SAFE_BATCH == 0 and safe_point(m) != 0:
            return gone

cdef uint64_t file_sync(machine_t *m, uint32_t file) noexcept nogil:
    """Submits the writes, does not wait for them. Dirty bits in ptes are msync's business; tmpfs has no disk."""
    cdef file_t *f = &m.files[file]
    cdef uint64_t index = 0, slot, written = 0, looked = 0
    cdef uint32_t pfn
    cdef frame_t *p
    if f.kind != FILE_REGULAR:
        return 0
    while True:
        slot = radix_next(m, &f.root, &index, ~<uint64_t>0)
        if slot == 0:
            return written
        pfn = <uint32_t>(slot >> RADIX_VALUE_SHIFT)
        p = &m.frames[pfn]
        if p.flags & PG_DIRTY:
            get_page(m, pfn)
            wait_on_page(m, pfn, PG_LOCKED | PG_WRITEBACK)
            if (p.flags & (PG_LOCKED | PG_WRITEBACK | PG_DIRTY)) == PG_DIRTY and find_page(m, file, index) == pfn:
                p.flags |= PG_LOCKED
                clear_page_dirty(m, pfn)
                if file_writepage(m, pfn) == 0:
                    written += 1
                else:
                    p.flags &= ~<uint32_t>PG_LOCKED
            put_page(m, pfn)
        if index == ~<uint64_t>0:
            return written
        index += 1
        looked += 1
        if looked % SAFE_BATCH == 0 and safe_point(m) != 0:
            return written
