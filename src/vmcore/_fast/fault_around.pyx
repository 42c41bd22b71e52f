"""Fault-around: a read fault on a file maps the pages around its own that are in the page cache.

Source: do_fault_around of mm/memory.c, filemap_map_pages of mm/filemap.c (3.15 and later); fact sheet linux-modern 6.3,
asked of 6.18.44. Which pages: a window of m.fault_around_bytes, aligned by address and cut to the vma, to the page
table and to the end of the file.

    table      0 ....... 16 ....... 32 ....... 512
    vma              aaaaaaaaaaaaaaaaaaaaaa
    fault                   x
    window                 wwwwwwwwww

A page must be uptodate, not locked, and not one that readahead waits for; a place that has anything, a guard marker
too, is left as it is. Nothing is read and no memory is taken, so nothing can change on the way. The ptes are as a read
fault of their own would make them: writable at once where the vma's are (shared memory), and young, as on x86.

The page table is made where a huge page might come, and none may reach over the end of the file. So a table that was
made for this fault (`fresh`; it goes again if nothing is mapped) is not used where all that is cached is the last page
of a file on a disk: that page comes with a fault of its own alone, not with one behind the end, which is SIGBUS.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.counters cimport FAULT_AROUND_PAGES, count_n
from vmcore._fast.filemap cimport file_pages, find_page
from vmcore._fast.records cimport (
    FILE_DEVICE, FILE_SHMEM, PAGE_SHIFT, PG_LOCKED, PG_READAHEAD, PG_UPTODATE, PTE_SHIFT, RMAP_NODES_ALL,
    machine_t, vma_t)
from vmcore._fast.vma cimport vma_page_prot


cdef int fault_around(machine_t *m, uint32_t vma, uint64_t addr, uint32_t pte, int fresh) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t window = m.fault_around_bytes >> PAGE_SHIFT
    cdef uint64_t slot = pte & m.pt_mask
    cdef uint64_t before = (addr - v.start) >> PAGE_SHIFT       # pages of the vma below
    cdef uint64_t after = (v.end - addr) >> PAGE_SHIFT          # ... and from here on
    cdef uint64_t first = slot & ~(window - 1)
    cdef uint64_t stop, i, index
    cdef uint64_t end = file_pages(&m.files[v.file])
    cdef uint64_t bits = vma_page_prot(m, vma)
    cdef uint64_t mapped = 0
    cdef uint32_t base = pte & ~m.pt_mask
    cdef uint32_t pfn
    # a window of one page is none; a chain would need nodes
    if window <= 1 or m.files[v.file].kind == FILE_DEVICE or m.rules.rmap_nodes == RMAP_NODES_ALL:
        return 0
    if slot > before and first < slot - before:
        first = slot - before
    stop = first + window
    if stop > m.pt_mask + 1:
        stop = m.pt_mask + 1
    if stop > slot + after:
        stop = slot + after
    for i in range(first, stop):
        index = v.pgoff + before + i - slot
        if m.ptes[base | i] != 0 or index >= end:
            continue
        pfn = find_page(m, v.file, index)
        if pfn == 0 or (m.frames[pfn].flags & (PG_UPTODATE | PG_LOCKED | PG_READAHEAD)) != PG_UPTODATE:
            continue
        if fresh and mapped == 0 and index + 1 == end and m.files[v.file].kind != FILE_SHMEM:
            return 0
        m.ptes[base | i] = (<uint64_t>pfn << PTE_SHIFT) | bits
        m.rmap.page_add(m, pfn, vma, addr + ((i - slot) << PAGE_SHIFT), base | <uint32_t>i, 0)
        mapped += 1
    m.mms[v.mm].rss += mapped
    if m.rules.readahead:           # each of them is a fault that does not miss
        m.files[v.file].ra_miss -= <uint32_t>mapped if mapped < m.files[v.file].ra_miss else m.files[v.file].ra_miss
    count_n(m, FAULT_AROUND_PAGES, mapped)
    return m.ptes[pte] != 0
