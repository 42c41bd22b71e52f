"""No reverse map. 2.4; fact sheet linux-2004 0.3, 2.1.

The kernel knows how often a page is held (page count) and not by whom, so who wants to unmap pages must walk page
tables until he meets them: reclaim/swap_out.pyx. Cost: nothing per page, vma or mm beside the cursor of that walk; fork
and exit count references and touch nothing else.

What the engine keeps here is its own bookkeeping, which costs the simulated kernel nothing: mapcount, because
page_count() is refs + mapcount, and nr_mapped_pages, which is only shown. check() proves both against a census of all
ptes; there is no structure that could be followed from a page to its ptes.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_RMAP_ADD_FILE_ANON, BUG_RMAP_REMOVE_UNMAPPED, bug
from vmcore._fast.counters cimport RMAP_UNMAP_FAIL, count
from vmcore._fast.records cimport PG_SWAPCACHE, frame_t, machine_t, rmap_ops
from vmcore._fast.rmap.rmap cimport SWAP_FAIL, rmap_defaults, test_clear_referenced


cdef void page_add(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t pte, int anon) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if not anon and (f.flags & PG_SWAPCACHE or f.mapping == 0):
        bug(m, BUG_RMAP_ADD_FILE_ANON, pfn, vma, f.flags)
    if m.mapcount[pfn] == 0:
        m.nr_mapped_pages += 1
    m.mapcount[pfn] += 1


cdef void page_remove(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil:
    if m.mapcount[pfn] == 0:
        bug(m, BUG_RMAP_REMOVE_UNMAPPED, pfn, pte, 0)
        return
    m.mapcount[pfn] -= 1
    if m.mapcount[pfn] == 0:
        m.nr_mapped_pages -= 1


cdef int page_referenced(machine_t *m, uint32_t pfn) noexcept nogil:
    """What the page itself says; its ptes cannot be asked."""
    return test_clear_referenced(&m.frames[pfn])


cdef int try_to_unmap(machine_t *m, uint32_t pfn) noexcept nogil:
    """Nobody knows where the page is mapped: invalidate leaves a mapped page where it is."""
    count(m, RMAP_UNMAP_FAIL)
    return SWAP_FAIL


cdef uint64_t find(machine_t *m, uint32_t pfn) noexcept nogil:
    """There is nothing to follow from a page, so there is nothing to compare either."""
    return m.mapcount[pfn]


cdef rmap_ops ops
rmap_defaults(&ops)
ops.page_add = page_add
ops.page_remove = page_remove
ops.page_referenced = page_referenced
ops.try_to_unmap = try_to_unmap
ops.find = find


cdef const rmap_ops *none_ops() noexcept nogil:
    return &ops
