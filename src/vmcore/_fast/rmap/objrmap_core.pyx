"""objrmap-core: file pages are found through the vmas of their file, anonymous pages keep their pte_chains. Dave
McCracken's first half, 2003; fact sheet linux-2004 sections 10.2, 10.3, 13, and the seed's description of its patch
00100_objrmap-core ("doesn't obsolete rmap yet, anonymous memory is still tracked via rmap").

Which of the two a page has is its identity: PG_ANON. 2.6.5 tells an anonymous page by its NULL mapping, which cannot
serve here, because a file page that is truncated while it is mapped has none either, and one in the swap cache has one.
So the patch brought the flag that -aa and 2.6.7 have from it (1.2). It is set at mapcount 0 -> 1 and cleared at 1 -> 0,
as section 5.1 demands; mapping stays NULL, because there is no object. The word in struct page is a union: chain head,
direct pte, or the mapcount of a file page, so the page is as large as in 2.6.5 (1.1).

    anonymous:  frame.rmap --> direct pte or chain       a node for every NRPTE further mappings
    file:       frame.rmap 0                             mapcount, and the vmas of the file

Cost: forks of file mappings touch no chain and take no node; a walk of a file page visits what the file's index visits.
The functions are those of pte_chain.pyx and objrmap.pyx; this file decides whose.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.records cimport machine_t, frame_t, rmap_ops, PG_ANON
from vmcore._fast.bugs cimport bug, BUG_RMAP_ADD_ANON_MAPPING
from vmcore._fast.counters cimport count, RMAP_PAGES_WALKED
from vmcore._fast.rmap.objrmap cimport (
    file_page_add, file_page_remove, find_file, page_referenced_file, try_to_unmap_file)
from vmcore._fast.rmap.pte_chain cimport pte_chain_ops
from vmcore._fast.rmap.rmap cimport (
    count_unmap, rmap_defaults, test_clear_referenced, unmap_refused, SWAP_FAIL, SWAP_SUCCESS)

cdef const rmap_ops *chain = pte_chain_ops()


cdef inline int is_anon(machine_t *m, uint32_t pfn) noexcept nogil:
    return (m.frames[pfn].flags & <uint32_t>PG_ANON) != 0


cdef inline void forget_unmapped(machine_t *m, uint32_t pfn) noexcept nogil:
    if m.mapcount[pfn] == 0:
        m.frames[pfn].flags &= ~<uint32_t>PG_ANON


cdef void page_add(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t pte, int anon) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if not anon:
        file_page_add(m, pfn, vma)
        return
    if f.mapping != 0 or is_anon(m, pfn) != (m.mapcount[pfn] != 0):
        bug(m, BUG_RMAP_ADD_ANON_MAPPING, pfn, vma, f.mapping)
        return
    f.flags |= <uint32_t>PG_ANON
    chain.page_add(m, pfn, vma, addr, pte, 1)


cdef void page_remove(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil:
    if is_anon(m, pfn):
        chain.page_remove(m, pfn, pte)
        forget_unmapped(m, pfn)
    else:
        file_page_remove(m, pfn, pte)


cdef int page_referenced(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef int referenced
    if is_anon(m, pfn):
        return chain.page_referenced(m, pfn)
    referenced = test_clear_referenced(f)
    if m.mapcount[pfn] == 0:
        return referenced
    count(m, RMAP_PAGES_WALKED)
    return referenced + page_referenced_file(m, pfn)


cdef int try_to_unmap(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef int r
    if is_anon(m, pfn):
        r = chain.try_to_unmap(m, pfn)
        forget_unmapped(m, pfn)
        return r
    if unmap_refused(m, pfn):
        return SWAP_FAIL
    if m.mapcount[pfn] == 0:
        return SWAP_SUCCESS
    count(m, RMAP_PAGES_WALKED)
    return count_unmap(m, try_to_unmap_file(m, pfn))


cdef int page_move(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t old, uint32_t new) noexcept nogil:
    """A chain names ptes, so it must be told; a file page is found in the vma that it now is in."""
    return chain.page_move(m, pfn, vma, addr, old, new) if is_anon(m, pfn) else 0


cdef uint64_t find(machine_t *m, uint32_t pfn) noexcept nogil:
    return chain.find(m, pfn) if is_anon(m, pfn) else find_file(m, pfn)


cdef rmap_ops ops
rmap_defaults(&ops)
ops.reserve = chain.reserve
ops.page_add = page_add
ops.page_remove = page_remove
ops.page_referenced = page_referenced
ops.try_to_unmap = try_to_unmap
ops.prefetch = chain.prefetch
ops.page_move = page_move
ops.find = find


cdef const rmap_ops *objrmap_core_ops() noexcept nogil:
    return &ops
