# The interface of a reverse-mapping design: struct rmap_ops in records.pxd. mm/rmap.c, mm/objrmap.c; fact sheet
# linux-2004 2.
#
#   anon_prepare(vma)     before the first anonymous page enters vma; may take memory. 0 or -ENOMEM.
#   reserve()             before page_add of a page that may be mapped already: get what it might need (a chain node in
#                         m.chain_spare) outside locks. 0 or -ENOMEM.
#   page_add(...)         a pte for the page was (or is about to be) set at `pte`: mapcount + 1; at 0 -> 1
#                         nr_mapped_pages + 1 and, for anonymous pages of designs with rules.page_anon, PG_ANON,
#                         mapping, index. The pte's reference on the page is the mapcount itself; the caller gives up
#                         its own (refs - 1). PTE_SPECIAL pages never come here.
#   page_remove(...)      the pte is gone: mapcount - 1; at 1 -> 0 nr_mapped_pages - 1, anonymous identity cleared.
#                         Frees nothing.
#   page_referenced(pfn)  PG_REFERENCED and the young bits of all ptes found: counted and cleared. Returns the count.
#   try_to_unmap(pfn)     page locked; unmap from every pte. SWAP_SUCCESS, SWAP_AGAIN, SWAP_FAIL. Sets swap ptes
#                         (swap_duplicate), moves the dirty bit to the page (set_page_dirty), keeps rss, anon_rss,
#                         swapents.
#   prefetch(pfn)         hint that page_referenced or try_to_unmap of pfn comes soon; frame record is already in cache.
#   vma_fork(child, parent)   child vma was copied from parent (before its ptes are, before it is linked). 0 or -ENOMEM.
#   vma_split(new, old)   new, filled but not linked, is about to take part of old's range. 0 or -ENOMEM.
#   vma_copy(new, old)    mremap: new, filled but not linked, is about to get old's ptes. 0 or -ENOMEM.
#   vma_adopt(to, from)   to is about to get pages of from, its neighbour, with part or all of from's range: it must be
#                         able to find them. 0, or -ENOMEM with nothing changed.
#   vma_unlink(vma)       vma goes away (munmap, exit, exec).
#   may_merge(a, b)       veto: 1 if vmas a (below) and b may become one. b may be 0: a new range without vma.
#   vma_merge(keep, dying)    dying's range went to keep; keep takes over what dying had. vma_unlink(dying) is NOT
#                         called after it.
#   vma_adjust_begin(vma), vma_adjust_end(vma)    around a change of start, end, pgoff: out of an index and back in.
#   mm_init(mm, parent)   an mm is made: by fork of `parent`, or (0) by spawn and exec. 0 or -ENOMEM.
#   mm_exit(mm)           its vmas are gone.
#   page_move(pfn, vma, addr, old, new)   mremap moves the pte of a page from pte index old to new, at addr of vma
#                         (filled; linked, too, with rules.mremap_link_first). 0: the map knows it there; the caller
#                         moves the pte. -EAGAIN: the page cannot be in two places, and others map it: break the sharing
#                         first (a write fault at the old address), then again. A move back after a failure cannot fail.
#   page_misplaced(pfn, vma, addr)    swap-in and swapoff: 1 if the page cannot be mapped at addr of vma, so it must
#                         be copied at once.
#   page_exclusive(pfn, vma, addr)    do_wp_page reuses the page, mapped at addr of vma: nobody else has it, so it may
#                         leave an object that others walk.
#   find(pfn)             for check: how many ptes that map the page the map leads to. Counts nothing.
#   page_fits(pfn, vma, addr)     for check: 1 if what the page says of itself leads to addr of vma, where a pte maps it
#                         as an anonymous page. vma is sound, the design's objects have been verified.
#   verify(check_t *)     for check: the design's own objects. 0, or -1 after fail() (check_base.pxd). Sums: check.r.
#
# rmap_defaults fills a table with what most designs do: nothing.
# RMAP_* counters (counters.pxd) are the designs' duty.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport PG_REFERENCED, frame_t, machine_t, rmap_ops

cdef enum:
    SWAP_SUCCESS = 0
    SWAP_AGAIN = 1
    SWAP_FAIL = 2

cdef inline int test_clear_referenced(frame_t *f) noexcept nogil:
    """What the page itself says, beside its ptes."""
    if not f.flags & <uint32_t>PG_REFERENCED:
        return 0
    f.flags &= ~<uint32_t>PG_REFERENCED
    return 1

# Shared steps of all designs. referenced_pte: 1 if young, cleared. unmap_pte: the accepted pte at index `pte` of mm is
# taken down (pte becomes none, or a swap pte if the page is in the swap cache; dirty -> set_page_dirty; rss, anon_rss,
# swapents). page_remove is the caller's.
cdef void rmap_defaults(rmap_ops *ops) noexcept nogil
# owner_vma: find_vma as reclaim does it. unmap_refused: 1 after BUG_UNMAP_* for a page that try_to_unmap must not get.
# count_unmap: RMAP_UNMAP_* of a result, which it returns.
cdef int referenced_pte(machine_t *m, uint32_t pte) noexcept nogil
cdef void unmap_pte(machine_t *m, uint32_t pfn, uint32_t mm, uint32_t pte) noexcept nogil
cdef uint32_t owner_vma(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil
cdef int unmap_refused(machine_t *m, uint32_t pfn) noexcept nogil
cdef int count_unmap(machine_t *m, int r) noexcept nogil
