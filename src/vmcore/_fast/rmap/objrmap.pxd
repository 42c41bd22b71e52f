# objrmap: the ptes of a file page are found through the vmas of its file. mm/objrmap.c of -aa; fact sheet linux-2004
# 2.3. Shared by every design that has no per-page record of file mappings. Nothing is kept per page or per mapping; a
# walk costs what the file's index costs (m.i_mmap), plus one page-table lookup for each vma that covers the page.
#
# Nonlinear vmas are walked by the same formula as long as they are in the index, which finds what is linear there; what
# a walk has left mapped is rmap/nonlinear's business. page_referenced never sees it.
#
# Counts: RMAP_VMAS_VISITED every vma the index looked at (I_MMAP_NODES_VISITED of the walk), RMAP_RANGE_SKIPS those of
# them that do not cover the page, RMAP_MMS_VISITED page tables looked up (trylock taken), RMAP_PTES_EXAMINED entries
# compared.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport PTE_P, PTE_PROTNONE, PTE_SHIFT, PTE_SPECIAL, machine_t, vma_t

cdef enum:
    WALK_AHEAD = 16             # vmas whose pte is looked up and prefetched before the first of them is acted on
    WALK_OUTSIDE = 0xFFFFFFFF   # in place of a pte index: the vma does not cover the page
    WALK_SAFE = 4096            # vmas between safe points

cdef inline uint64_t page_in_vma(vma_t *v, uint64_t index) noexcept nogil:
    """Pages from v.start to the page with this index; >= the vma's length if outside (index < pgoff wraps to that)."""
    return index - v.pgoff

cdef inline int maps_page(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil:
    """The entry at this index is an ordinary pte of the page."""
    cdef uint64_t e = m.ptes[pte]
    return (e & (PTE_P | PTE_PROTNONE)) != 0 and (e & PTE_SPECIAL) == 0 and <uint32_t>(e >> PTE_SHIFT) == pfn

# A pte of a file page comes and goes: page_add and page_remove of rmap_ops for such pages.
cdef void file_page_add(machine_t *m, uint32_t pfn, uint32_t vma) noexcept nogil
cdef void file_page_remove(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil
# A pte that maps the page, of a vma with these flags in mm, whose lock is held: unmapped, or SWAP_FAIL.
cdef int unmap_found(machine_t *m, uint32_t pfn, uint32_t mm, uint32_t vm_flags, uint32_t pte) noexcept nogil
# One mm of a walk, its pte index (0: no table) found before: 1 if the page was young there, cleared. *left, the ptes
# that the walk has yet to find, is 1 less if the page is mapped there, and 0 with the result 1 if the walk is to stop
# (rules.walk_locked_stops; vm_flags of the vma, 0 where no vma is at hand). *busy is set if that could not be seen.
cdef int referenced_in(machine_t *m, uint32_t pfn, uint32_t mm, uint32_t vm_flags, uint32_t pte, uint32_t *left,
                       uint32_t *busy) noexcept nogil
# The same of a vma, for a walk that does not ask who was busy; and to unmap: SWAP_AGAIN (nothing there, busy, or
# unmapped: see mapcount), or SWAP_FAIL (VM_LOCKED, young with rules.unmap_young_fails, held by get_user_pages with
# rules.gup_test). WALK_OUTSIDE is for the caller's own list: never passed.
cdef int referenced_one(machine_t *m, uint32_t pfn, uint32_t vma, uint32_t pte, uint32_t *left) noexcept nogil
cdef int unmap_one(machine_t *m, uint32_t pfn, uint32_t vma, uint32_t pte) noexcept nogil
# All vmas of the page's file. The page is mapped. unmap: SWAP_SUCCESS, SWAP_AGAIN or SWAP_FAIL; no RMAP_UNMAP_* counts.
cdef int page_referenced_file(machine_t *m, uint32_t pfn) noexcept nogil
cdef int try_to_unmap_file(machine_t *m, uint32_t pfn) noexcept nogil
# For check: ptes of the page, 0 or 1, that one vma leads to; all that the page's file leads to. Nothing is counted.
cdef uint64_t find_in_vma(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t index) noexcept nogil
cdef uint64_t find_file(machine_t *m, uint32_t pfn) noexcept nogil
