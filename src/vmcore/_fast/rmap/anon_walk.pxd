# The two walks of reclaim over the vmas that may map an anonymous page: page_referenced_anon and try_to_unmap_anon of
# mm/rmap.c and -aa's mm/objrmap.c; fact sheet linux-2004 2.5, linux-modern 1.8. Shared by all designs in which a page
# leads to an object and a linear index, and the object to vmas: a list, a list of links, a tree. The design gives a
# walk its `next`; what happens at each vma is objrmap's referenced_one and unmap_one.
#
# Counts: RMAP_VMAS_VISITED the vmas that `next` gave, up to the one where the walk stopped; RMAP_RANGE_SKIPS those of
# them that do not cover the page.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef struct anon_walk:
    uint32_t (*next)(machine_t *m, anon_walk *w) noexcept nogil     # the next vma, 0 at the end
    uint32_t object         # anon_vma
    uint32_t node           # where the walk stands; the design's business
    uint32_t left
    uint64_t index          # of the page

# Both: the object is locked, the page mapped. referenced: young ptes found and cleared. unmap: SWAP_SUCCESS,
# SWAP_AGAIN, SWAP_FAIL; no RMAP_UNMAP_* counts.
cdef int referenced_anon(machine_t *m, uint32_t pfn, anon_walk *w) noexcept nogil
cdef int unmap_anon(machine_t *m, uint32_t pfn, anon_walk *w) noexcept nogil
# For check: ptes of the page that the walk leads to. Nothing is counted.
cdef uint64_t find_anon(machine_t *m, uint32_t pfn, anon_walk *w) noexcept nogil
