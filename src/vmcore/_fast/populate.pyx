"""->populate: pages of a file, or their offsets, into ptes without a fault.

Source: mm/fremap.c (install_page, install_file_pte, zap_pte), mm/filemap.c (filemap_populate), mm/shmem.c
(shmem_populate) of 2.6.5; fact sheet linux-2004 4.8, 4.7.

    remap_file_pages, MAP_POPULATE --> populate(n pages) --> install_page, or install_file_pte for what is not cached
    a fault on a file pte          --> populate(1 page)  --> install_page

Whatever stood in the pte goes: a page passes on its dirty bit, but not its young one. A page is mapped with the vma's
protection, young, and not dirty, even if a write brought it here: the processor sets that when it tries again.

A blocking call reads ahead what is missing of the next 16 pages; the kernel submits the whole range at once, which
comes to the same pages in the same order.
"""
from libc.errno cimport EINTR, EINVAL, ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.counters cimport POPULATE_FILE_PTES, POPULATE_PAGES, count
from vmcore._fast.filemap cimport READAROUND, file_pages, find_page, read_pages, set_page_dirty
from vmcore._fast.frame cimport get_page
from vmcore._fast.lru cimport mark_page_accessed, put_page
from vmcore._fast.pagetable cimport file_pte, pte_alloc, pte_is_swap, pte_pfn, pte_present, pte_swp
from vmcore._fast.pool cimport safe_point
from vmcore._fast.records cimport (
    FILE_SHMEM, PAGE_SIZE, PG_DIRTY, PTE_D, PTE_SHIFT, PTE_SPECIAL, RMAP_NODES_ALL,
    VM_NONLINEAR, machine_t, mm_t, vma_t)
from vmcore._fast.shmem cimport shmem_getpage
from vmcore._fast.swap cimport free_swap_and_cache
from vmcore._fast.vma cimport vma_pte_prot

cdef enum:
    PAGES_SAFE = 256        # pages between safe points


cdef void zap_pte(machine_t *m, uint32_t mm, uint32_t pte) noexcept nogil:
    """Whatever the entry held is released."""
    cdef uint64_t e = m.ptes[pte]
    cdef mm_t *p = &m.mms[mm]
    cdef uint32_t pfn
    m.ptes[pte] = 0
    if pte_present(e):
        if e & PTE_SPECIAL:
            return
        pfn = pte_pfn(e)
        if e & PTE_D and not m.frames[pfn].flags & <uint32_t>PG_DIRTY:
            set_page_dirty(m, pfn)
        p.rss -= 1
        m.frames[pfn].refs += 1
        m.rmap.page_remove(m, pfn, pte)
        put_page(m, pfn)
    elif pte_is_swap(e):
        p.swapents -= 1
        free_swap_and_cache(m, pte_swp(e))


cdef int install_page(machine_t *m, uint32_t vma, uint64_t addr, uint32_t pfn) noexcept nogil:
    """Map the page, whose reference the caller gives up if this succeeds. 0 or -ENOMEM."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t pte
    if m.rules.rmap_nodes == RMAP_NODES_ALL and m.rmap.reserve(m) != 0:
        return -ENOMEM
    pte = pte_alloc(m, v.mm, addr)
    if pte == 0:
        return -ENOMEM
    zap_pte(m, v.mm, pte)
    m.mms[v.mm].rss += 1
    m.ptes[pte] = (<uint64_t>pfn << PTE_SHIFT) | vma_pte_prot(v.flags)
    m.rmap.page_add(m, pfn, vma, addr, pte, 0)
    m.frames[pfn].refs -= 1
    count(m, POPULATE_PAGES)
    return 0


cdef int install_file_pte(machine_t *m, uint32_t vma, uint64_t addr, uint64_t pgoff) noexcept nogil:
    cdef uint32_t pte = pte_alloc(m, m.vmas[vma].mm, addr)
    if pte == 0:
        return -ENOMEM
    zap_pte(m, m.vmas[vma].mm, pte)
    m.ptes[pte] = file_pte(pgoff)
    count(m, POPULATE_FILE_PTES)
    return 0


cdef uint32_t get_file_page(machine_t *m, uint32_t file, uint64_t index, uint64_t n, int nonblock,
                            int *io) noexcept nogil:
    """The page with a reference, 0: not cached (nonblock), or no memory. n: pages that will be wanted from here on."""
    cdef uint32_t pfn = find_page(m, file, index)
    cdef int major = 0
    if m.files[file].kind == FILE_SHMEM and not nonblock:
        pfn = shmem_getpage(m, file, index, &major)
    else:
        while pfn == 0 and not nonblock:
            if read_pages(m, file, index, <uint32_t>(n if n < READAROUND else READAROUND)) > 0:
                io[0] = 1
            elif find_page(m, file, index) == 0:
                return 0
            pfn = find_page(m, file, index)
        if pfn != 0:
            get_page(m, pfn)
    if pfn != 0:
        mark_page_accessed(m, pfn)
    return pfn


cdef int populate(machine_t *m, uint32_t vma, uint64_t addr, uint64_t n, uint64_t pgoff, int nonblock,
                  int *io) noexcept nogil:
    cdef uint32_t file = m.vmas[vma].file
    cdef uint32_t pfn
    cdef uint64_t i
    cdef int err
    for i in range(n):
        if pgoff + n < pgoff or pgoff + n > file_pages(&m.files[file]):
            return -EINVAL
        if i != 0 and i % PAGES_SAFE == 0 and safe_point(m) < 0:
            return -EINTR
        err = 0
        pfn = get_file_page(m, file, pgoff + i, n - i, nonblock, io)
        if pfn != 0:
            err = install_page(m, vma, addr, pfn)
            if err < 0:
                put_page(m, pfn)
        elif not nonblock:
            return -ENOMEM
        elif m.vmas[vma].flags & VM_NONLINEAR:
            err = install_file_pte(m, vma, addr, pgoff + i)
        if err < 0:
            return err
        addr += PAGE_SIZE
    return 0
