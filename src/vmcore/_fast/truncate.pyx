"""Truncate, punched holes, invalidate, and write-back of one file.

Source: mm/truncate.c, vmtruncate of mm/memory.c, mm/filemap.c of 2.6.5; fact sheet linux-2004 4.10, 5.2, 5.3.

Order of a shrink, which the fault side relies on (do_no_page reads truncate_count before nopage and again before it
sets the pte): size, truncate_count, ptes, pages. Private copies beyond the new end are zapped too, by every kernel;
those of pages in a punched hole (2.6.38, asked of 6.18.44) are not. Guard markers stay.

A partial page stays, and what is cut off of it reads zero. Its token is its first eight bytes, so it stays as far as
they do: a file that ends three bytes into the page keeps the low three bytes of it.

With rules.write_notify a page that is written loses the right to write in all its ptes (page_mkclean), so that the file
system hears of the next write.

Who truncates more than a gigabyte can be interrupted: the file is cut piece by piece from its end, and a hole grows
from its beginning, so what is done so far is a file, or a hole, of another size.

A page may be locked or under writeback when it is to go: the walk waits until the write ends, and then looks again,
because reclaim may have moved a tmpfs page to swap meanwhile.
"""
from libc.errno cimport EFBIG, EINTR, EINVAL
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.filemap cimport (
    RADIX_PAGE, RADIX_TAG, RADIX_VALUE_SHIFT, clear_page_dirty, drop_cached_page, drop_file_pages, drop_file_range,
    file_pages, file_writepage, find_page, max_file_bytes, radix_clear, radix_get, radix_next, radix_set,
    set_page_dirty, wait_on_page)
from vmcore._fast.frame cimport get_page
from vmcore._fast.lru cimport put_page
from vmcore._fast.pagetable cimport pte_lookup, pte_pfn, pte_present
from vmcore._fast.pool cimport safe_point
from vmcore._fast.records cimport (
    FILE_REGULAR, FILE_SHMEM, FILE_TRUNCATED, FILE_UNLINKED, PAGE_MASK_LOW, PAGE_SHIFT, PAGE_SIZE, PG_DIRTY, PG_LOCKED,
    PG_WRITEBACK, PTE_D, PTE_RW, VM_SHARED, file_t, frame_t, i_mmap_iter, machine_t, vma_t)
from vmcore._fast.shmem cimport shmem_getpage
from vmcore._fast.zap cimport ZAP_FILE, unmap_mapping_pages, unmap_mapping_range

cdef enum:
    SAFE_BATCH = 32         # pages of a walk between safe points
    STEP = 1 << 18          # pages that a truncate takes between safe points
    STEPS = 64              # ... but in so many steps it is over

cdef uint64_t LAST_PAGE = (<uint64_t>1 << 52) - 1       # of a file of 2^64 bytes


# ---------------------------------------------------------------- a part of a page

cdef uint64_t cut_token(uint64_t token, uint64_t first, uint64_t last) noexcept nogil:
    """Bytes [first, last] of the page are zero now; the token is bytes 0 to 7."""
    cdef uint64_t i
    for i in range(8):
        if first <= i and i <= last:
            token &= ~(<uint64_t>0xFF << (8 * i))
    return token


cdef void zero_bytes(machine_t *m, uint32_t file, uint64_t offset, uint64_t last) noexcept nogil:
    """From offset to byte `last` of its page: zero, wherever the page is. Holes are zero already."""
    cdef file_t *f = &m.files[file]
    cdef uint64_t index = offset >> PAGE_SHIFT
    cdef uint64_t first = offset & PAGE_MASK_LOW
    cdef uint64_t slot, token
    cdef uint32_t pfn
    cdef int major = 0
    if first == 0 and last == PAGE_MASK_LOW or index >= file_pages(f) or not m.tokens_on:
        return
    slot = radix_get(m, &f.root, index)
    if slot != 0 and (slot & RADIX_TAG) != RADIX_PAGE:
        pfn = shmem_getpage(m, file, index, &major)
        if pfn == 0:
            return
        put_page(m, pfn)
        slot = radix_get(m, &f.root, index)
    if (slot & RADIX_TAG) == RADIX_PAGE:
        pfn = <uint32_t>(slot >> RADIX_VALUE_SHIFT)
        token = cut_token(m.page_token[pfn], first, last)
        if token != m.page_token[pfn]:
            m.page_token[pfn] = token
            set_page_dirty(m, pfn)
        return
    token = cut_token(radix_get(m, &f.disk_root, index), first, last)
    if token != 0:
        radix_set(m, &f.disk_root, index, token)        # in place
    else:
        radix_clear(m, &f.disk_root, index)


# ---------------------------------------------------------------- size and holes

cdef inline uint64_t stretch(uint64_t pages) noexcept nogil:
    """So many are done at once: tens of gigabytes in some steps, a sparse file in no more than STEPS."""
    return STEP if pages // STEPS < STEP else pages // STEPS + 1


cdef void resize(machine_t *m, uint32_t file, uint64_t size) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef uint64_t before = file_pages(f)
    cdef int shrinks = size < f.size
    f.size = size
    if f.kind == FILE_SHMEM and f.flags & FILE_UNLINKED:
        m.committed += file_pages(f) - before       # the object's charge goes with its size (modulo 2^64)
    if not shrinks:
        return
    f.flags |= FILE_TRUNCATED
    f.truncate_count += 1
    unmap_mapping_range(m, file, file_pages(f), LAST_PAGE)
    drop_file_range(m, file, file_pages(f))
    zero_bytes(m, file, size, PAGE_SIZE - 1)


cdef int do_truncate(machine_t *m, uint32_t file, uint64_t size) noexcept nogil:
    cdef uint64_t last, pages
    if size >> 63 != 0:                 # signed in the kernel
        return -EINVAL
    if size > max_file_bytes(m, &m.files[file]):
        return -EFBIG
    last = (size + PAGE_MASK_LOW) >> PAGE_SHIFT
    while file_pages(&m.files[file]) > last + STEP:
        pages = file_pages(&m.files[file])
        resize(m, file, (pages - stretch(pages - last)) << PAGE_SHIFT)
        if safe_point(m) < 0:
            return -EINTR
    resize(m, file, size)
    return 0


cdef int do_punch_hole(machine_t *m, uint32_t file, uint64_t offset, uint64_t length) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef uint64_t end = offset + length
    cdef uint64_t first = (offset + PAGE_MASK_LOW) >> PAGE_SHIFT
    cdef uint64_t stop, whole, upto
    # both are signed in the kernel
    if offset >> 63 != 0 or length >> 63 != 0 or length == 0:
        return -EINVAL
    if end > max_file_bytes(m, f):
        return -EFBIG
    stop = end >> PAGE_SHIFT            # pages [first, stop) go whole
    f.truncate_count += 1
    whole = first
    while whole < stop:
        upto = whole + stretch(stop - whole)
        if upto > stop:
            upto = stop
        unmap_mapping_pages(m, file, whole, upto - 1, ZAP_FILE)
        drop_file_pages(m, file, whole, upto - 1)
        whole = upto
        if whole < stop and safe_point(m) < 0:
            return -EINTR
    if first > stop:                    # inside one page
        zero_bytes(m, file, offset, (end - 1) & PAGE_MASK_LOW)
        return 0
    if offset & PAGE_MASK_LOW:
        zero_bytes(m, file, offset, PAGE_MASK_LOW)
    if end & PAGE_MASK_LOW:
        zero_bytes(m, file, end & ~<uint64_t>PAGE_MASK_LOW, (end - 1) & PAGE_MASK_LOW)
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

cdef void page_mkclean(machine_t *m, uint32_t pfn) noexcept nogil:
    """No shared pte of a file's page may write or is dirty."""
    cdef uint32_t file = m.frames[pfn].mapping
    cdef uint64_t index = m.frames[pfn].index
    cdef i_mmap_iter it
    cdef uint32_t vma, pte
    cdef vma_t *v
    if m.mapcount[pfn] == 0:
        return
    vma = m.i_mmap.first(m, file, index, index, &it)
    while vma != 0:
        v = &m.vmas[vma]
        pte = pte_lookup(m, v.mm, v.start + ((index - v.pgoff) << PAGE_SHIFT)) if v.flags & VM_SHARED else 0
        if pte != 0 and pte_present(m.ptes[pte]) and pte_pfn(m.ptes[pte]) == pfn:
            m.ptes[pte] &= ~<uint64_t>(PTE_RW | PTE_D)
        vma = m.i_mmap.next(m, &it)


cdef uint64_t file_sync_range(machine_t *m, uint32_t file, uint64_t first, uint64_t last) noexcept nogil:
    cdef file_t *f = &m.files[file]
    cdef uint64_t index = first, slot, written = 0, looked = 0
    cdef uint32_t pfn
    cdef frame_t *p
    if f.kind != FILE_REGULAR:
        return 0
    while index <= last:
        slot = radix_next(m, &f.root, &index, last)
        if slot == 0:
            return written
        pfn = <uint32_t>(slot >> RADIX_VALUE_SHIFT)
        p = &m.frames[pfn]
        if p.flags & PG_DIRTY:
            get_page(m, pfn)
            wait_on_page(m, pfn, PG_LOCKED | PG_WRITEBACK)
            if (p.flags & (PG_LOCKED | PG_WRITEBACK | PG_DIRTY)) == PG_DIRTY and find_page(m, file, index) == pfn:
                p.flags |= PG_LOCKED
                if m.rules.write_notify:
                    page_mkclean(m, pfn)
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
    return written


cdef uint64_t file_sync(machine_t *m, uint32_t file) noexcept nogil:
    """Submits the writes, does not wait for them. Dirty bits in ptes are msync's business; tmpfs has no disk."""
    return file_sync_range(m, file, 0, ~<uint64_t>0)
