"""Readahead of 6.18: which pages of a file are read along with the one that is wanted.

Source: mm/readahead.c (page_cache_sync_ra, page_cache_async_ra, page_cache_ra_order), mm/filemap.c (filemap_fault,
do_sync_mmap_readahead, filemap_get_pages) of 6.18; asked of 6.18.44 with scripts of faults, reads and mincore.

A window is what one call reads, [start, start + size) in the file's record. Its last `async` pages are there before
anybody asked for them, and the first of those is marked (PG_READAHEAD): who comes to the mark has the next window read.

    a fault misses      the window of read_ahead_kb around the page, a quarter of it ahead of need
        VM_HUGEPAGE     two huge pages, from the one it is in, with MADV_RANDOM one
        VM_EXEC         from the page to the end of the vma, no more than a window
        VM_SEQ_READ     as a read of a whole window
        VM_RAND_READ    the page; so does a file whose faults mostly miss (mmap_miss)
    a read misses       4 pages at the start of the file or behind the last read, nothing more where it comes from
                        nowhere, and all that is cached below it again where that is more than it wants
    the mark            4 times the last window, 2 times when that is large, up to read_ahead_kb

    start                    start + size - async              start + size
      |----------------------------M----------------------------|

Folios: windows that the mark brings come in folios of 4, 16, 64 pages and more, as file systems take them. What is left
of that here: such a folio is marked as a whole, so fault-around passes over all its pages, and the mark goes as a
whole.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.counters cimport PGMAJFAULT, count
from vmcore._fast.filemap cimport (
    MMAP_LOTSAMISS, NOPAGE_AGAIN, NOPAGE_MAJOR, NOPAGE_OOM, NOPAGE_SIGBUS, READ_MOST, file_pages, find_page,
    read_range, wanted_page)
from vmcore._fast.frame cimport get_page
from vmcore._fast.lru cimport mark_page_accessed
from vmcore._fast.records cimport (
    PAGE_SHIFT, PG_READAHEAD, PG_RECLAIM, PG_WRITEBACK, VM_EXEC, VM_HUGEPAGE, VM_RAND_READ, VM_SEQ_READ, file_t,
    machine_t, vma_t)

cdef enum:
    MAX_ORDER = 9           # of a folio: that of a huge page
    HUGE = 512              # pages of one
    MOST_MISSES = 10 * MMAP_LOTSAMISS       # mmap_miss counts no further


# ---------------------------------------------------------------- windows

cdef inline uint64_t power_of_two(uint64_t n) noexcept nogil:
    """The next one up."""
    cdef uint64_t p = 1
    while p < n:
        p <<= 1
    return p


cdef inline uint64_t first_size(uint64_t wanted, uint64_t most) noexcept nogil:
    """get_init_ra_size."""
    cdef uint64_t size = power_of_two(wanted)
    if size <= most // 32:
        return size * 4
    return size * 2 if size <= most // 4 else most


cdef inline uint64_t next_size(uint64_t size, uint64_t most) noexcept nogil:
    """get_next_ra_size."""
    if size < most // 16:
        return 4 * size
    return 2 * size if size <= most // 2 else most


cdef void mark(machine_t *m, uint32_t file, uint64_t first, uint64_t n) noexcept nogil:
    cdef uint64_t i
    cdef uint32_t pfn
    for i in range(first, first + n):
        pfn = find_page(m, file, i)
        if pfn != 0:
            m.frames[pfn].flags |= PG_READAHEAD


cdef bint marked(machine_t *m, uint32_t file, uint64_t index) noexcept nogil:
    """By readahead, whose mark is on all pages of a folio; reclaim's (MADV_PAGEOUT of a dirty page) is on one page."""
    cdef uint32_t pfn = find_page(m, file, index)
    return pfn != 0 and (m.frames[pfn].flags & (PG_READAHEAD | PG_RECLAIM)) == PG_READAHEAD


cdef uint64_t folio_start(machine_t *m, uint32_t file, uint64_t index) noexcept nogil:
    """The first page that readahead marked together with the one at index."""
    if marked(m, file, index):
        while index != 0 and marked(m, file, index - 1):
            index -= 1
    return index


cdef void read_plain(machine_t *m, uint32_t file, uint64_t index, uint64_t n, uint64_t ahead) noexcept nogil:
    """do_page_cache_ra: n pages, of which the last `ahead` are not wanted yet. What is cached is passed over."""
    cdef uint64_t end = file_pages(&m.files[file])
    cdef bint there
    if index >= end:
        return
    if n > end - index:
        n = end - index
    there = ahead == 0 or ahead > n or find_page(m, file, index + n - ahead) != 0
    read_range(m, file, index, index + n, READ_MOST)
    if not there:
        mark(m, file, index + n - ahead, 1)


cdef void read_window(machine_t *m, uint32_t file, uint64_t start) noexcept nogil:
    """page_cache_ra_order: the window of the file's record, in folios, up to one of which a page is cached; from there
    on page by page."""
    cdef file_t *f = &m.files[file]
    cdef uint64_t end = file_pages(f)
    cdef uint64_t at = start + f.ra_size - f.ra_async       # of the mark
    cdef uint64_t index = start
    cdef uint64_t n, i
    cdef uint64_t first = 0
    cdef uint64_t pages = 0         # of the marked folio
    cdef bint free = 1
    if end > start + f.ra_size:
        end = start + f.ra_size
    if f.ra_order > MAX_ORDER:
        f.ra_order = MAX_ORDER
    while f.ra_order != 0 and <uint64_t>1 << f.ra_order > f.ra_size:
        f.ra_order -= 1
    while index < end:
        n = <uint64_t>1 << f.ra_order
        while n > 1 and (index & (n - 1) or index + n > end):
            n >>= 1
        for i in range(index, index + n):
            free = free and find_page(m, file, i) == 0
        if not free:
            break
        if at & ~(n - 1) == index:
            first = index
            pages = n
        index += n
    read_range(m, file, start, index, READ_MOST)
    mark(m, file, first, pages)
    if not free and f.ra_size > index - start:
        read_plain(m, file, index, f.ra_size - (index - start), f.ra_async)


# ---------------------------------------------------------------- a miss, and the mark

cdef uint64_t cached_below(machine_t *m, uint32_t file, uint64_t index, uint64_t most) noexcept nogil:
    """Pages that are cached without a gap below index, no further than `most`."""
    cdef uint64_t n = 0
    while n < index and n < most and find_page(m, file, index - 1 - n) != 0:
        n += 1
    return n


cdef void sync_readahead(machine_t *m, uint32_t file, uint64_t index, uint64_t wanted) noexcept nogil:
    """page_cache_sync_ra: `index` is not cached, and a reader wants so many pages from there."""
    cdef file_t *f = &m.files[file]
    cdef uint64_t most = m.read_ahead_pages
    cdef uint64_t prev = f.ra_prev >> PAGE_SHIFT
    cdef uint64_t below
    if most == 0:
        read_plain(m, file, index, 1, 0)
        return
    if index == 0 or wanted > most or index - prev <= 1:
        f.ra_size = <uint32_t>first_size(wanted, most)
        f.ra_async = f.ra_size - <uint32_t>wanted if f.ra_size > wanted else f.ra_size >> 1
    else:
        below = cached_below(m, file, index, most)
        if below <= wanted:                 # a small read from nowhere
            read_plain(m, file, index, wanted, 0)
            return
        if below == index:                  # cached from the beginning of the file
            below *= 2
        f.ra_size = <uint32_t>(below + wanted if below + wanted < most else most)
        f.ra_async = 1
    f.ra_start = index
    f.ra_order = 0
    read_window(m, file, index)


cdef void async_readahead(machine_t *m, uint32_t file, uint64_t index, uint64_t wanted) noexcept nogil:
    """page_cache_async_ra: the page at `index` is marked."""
    cdef file_t *f = &m.files[file]
    cdef uint64_t most = m.read_ahead_pages
    cdef uint64_t first = folio_start(m, file, index)
    cdef uint64_t last = index
    cdef uint64_t miss, end, align, size
    if m.frames[find_page(m, file, index)].flags & PG_WRITEBACK:
        return
    if marked(m, file, index):
        while marked(m, file, last + 1):
            last += 1
    for miss in range(first, last + 1):
        m.frames[find_page(m, file, miss)].flags &= ~<uint32_t>(PG_READAHEAD | PG_RECLAIM)
    if index == (f.ra_start + f.ra_size - f.ra_async) & ~(power_of_two(last + 1 - first) - 1):
        f.ra_start += f.ra_size             # where it was expected
        size = next_size(f.ra_size, most)
        size = size if size > f.ra_size else f.ra_size
    else:                                   # of another stream: what is cached from here on was its window
        miss = index + 1
        while miss - index <= most and find_page(m, file, miss) != 0:
            miss += 1
        if miss - index > most:
            return
        f.ra_start = miss
        size = next_size(miss - index + wanted, most)
    f.ra_order += 2
    align = 1
    while align < <uint64_t>1 << f.ra_order and most & align == 0:
        align <<= 1
    end = (f.ra_start + size) & ~(align - 1)
    if end > f.ra_start:
        size = end - f.ra_start
    f.ra_size = f.ra_async = <uint32_t>size
    read_window(m, file, f.ra_start)


# ---------------------------------------------------------------- faults and reads

cdef void fault_readahead(machine_t *m, const vma_t *v, uint64_t index) noexcept nogil:
    """do_sync_mmap_readahead: a fault does not find the page."""
    cdef file_t *f = &m.files[v.file]
    cdef uint64_t most = m.read_ahead_pages
    cdef uint64_t end
    if v.flags & VM_HUGEPAGE:
        f.ra_size = HUGE if v.flags & VM_RAND_READ else 2 * HUGE
        f.ra_async = HUGE
        f.ra_order = MAX_ORDER
        read_window(m, v.file, index & ~<uint64_t>(HUGE - 1))
        return
    if (v.flags & (VM_RAND_READ | VM_EXEC)) == VM_RAND_READ or most == 0:
        return
    if v.flags & VM_SEQ_READ:
        sync_readahead(m, v.file, index, most)
        return
    if f.ra_miss < MOST_MISSES:
        f.ra_miss += 1
    if f.ra_miss > MMAP_LOTSAMISS:
        return
    f.ra_order = 0
    if v.flags & VM_EXEC:
        end = v.pgoff + ((v.end - v.start) >> PAGE_SHIFT)
        f.ra_start = index
        f.ra_size = <uint32_t>(end - index if end - index < most else most)
        f.ra_async = 0
    else:
        f.ra_start = index - most // 2 if index > most // 2 else 0
        f.ra_size = <uint32_t>most
        f.ra_async = <uint32_t>(most // 4)
    read_window(m, v.file, f.ra_start)


cdef uint32_t filemap_fault(machine_t *m, uint32_t vma, uint64_t addr, int *how) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef file_t *f = &m.files[v.file]
    cdef uint64_t index = v.pgoff + ((addr - v.start) >> PAGE_SHIFT)
    cdef uint32_t pfn
    how[0] = 0
    if index >= file_pages(f):
        return NOPAGE_SIGBUS
    pfn = find_page(m, v.file, index)
    if pfn == 0:
        count(m, PGMAJFAULT)
        how[0] = NOPAGE_MAJOR
        fault_readahead(m, v, index)
    elif not v.flags & VM_RAND_READ and m.read_ahead_pages != 0:
        if f.ra_miss != 0:
            f.ra_miss -= 1
        if m.frames[pfn].flags & PG_READAHEAD:
            async_readahead(m, v.file, index, m.read_ahead_pages)
            how[0] = NOPAGE_AGAIN
    if how[0] != 0:
        pfn = wanted_page(m, v.file, index)
        if pfn == 0:
            return NOPAGE_SIGBUS if index >= file_pages(f) else NOPAGE_OOM
    get_page(m, pfn)
    mark_page_accessed(m, pfn)
    return pfn


cdef uint32_t filemap_read_page(machine_t *m, uint32_t file, uint64_t index, uint64_t end) noexcept nogil:
    cdef uint64_t first
    cdef uint32_t pfn
    if find_page(m, file, index) == 0:
        sync_readahead(m, file, index, 1)
    pfn = wanted_page(m, file, index)
    if pfn == 0:
        return 0
    if m.frames[pfn].flags & PG_READAHEAD and m.read_ahead_pages != 0:
        first = folio_start(m, file, index)
        async_readahead(m, file, first, index + 1 - first)
        pfn = wanted_page(m, file, index)
        if pfn == 0:
            return 0
    m.files[file].ra_prev = end
    get_page(m, pfn)
    return pfn
