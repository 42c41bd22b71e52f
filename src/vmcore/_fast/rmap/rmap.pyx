"""Steps that every reverse-mapping design takes on one pte that it found.

Source: try_to_unmap_one and page_referenced_one of mm/rmap.c 2.6.5 and mm/objrmap.c of -aa; fact sheet linux-2004
sections 2.2, 2.5.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.records cimport (
    machine_t, mm_t, frame_t, rmap_ops, PG_DIRTY, PG_LOCKED, PG_RESERVED, PG_SWAPCACHE, PTE_A, PTE_D, PTE_ANON,
    PTE_EXCLUSIVE)
from vmcore._fast.bugs cimport bug, BUG_UNMAP_NOT_LOCKED, BUG_UNMAP_RESERVED
from vmcore._fast.counters cimport count, RMAP_UNMAP_AGAIN, RMAP_UNMAP_FAIL, RMAP_UNMAP_SUCCESS
from vmcore._fast.pagetable cimport swp_pte
from vmcore._fast.swap cimport swap_duplicate
from vmcore._fast.filemap cimport set_page_dirty
from vmcore._fast.vma cimport find_vma_prev


# ---------------------------------------------------------------- what a design need not say

cdef int no_prepare(machine_t *m, uint32_t vma) noexcept nogil:
    return 0


cdef int no_reserve(machine_t *m) noexcept nogil:
    return 0


cdef void no_prefetch(machine_t *m, uint32_t pfn) noexcept nogil:
    pass


cdef int no_vmas(machine_t *m, uint32_t new, uint32_t old) noexcept nogil:
    return 0


cdef void no_vma(machine_t *m, uint32_t vma) noexcept nogil:
    pass


cdef int always(machine_t *m, uint32_t a, uint32_t b) noexcept nogil:
    return 1


cdef void no_merge(machine_t *m, uint32_t keep, uint32_t dying) noexcept nogil:
    pass


cdef int no_move(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t old, uint32_t new) noexcept nogil:
    return 0


cdef int never_misplaced(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil:
    return 0


cdef void no_claim(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil:
    pass


cdef int says_nothing(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil:
    """2.6.5: an anonymous page names nothing."""
    return m.frames[pfn].mapping == 0


cdef int nothing_to_verify(void *check) noexcept nogil:
    return 0


cdef void rmap_defaults(rmap_ops *ops) noexcept nogil:
    ops.anon_prepare = no_prepare
    ops.reserve = no_reserve
    ops.prefetch = no_prefetch
    ops.vma_fork = no_vmas
    ops.vma_split = no_vmas
    ops.vma_copy = no_vmas
    ops.vma_adopt = no_vmas
    ops.vma_unlink = no_vma
    ops.may_merge = always
    ops.vma_merge = no_merge
    ops.vma_adjust_begin = no_vma
    ops.vma_adjust_end = no_vma
    ops.mm_init = no_vmas
    ops.mm_exit = no_vma
    ops.page_move = no_move
    ops.page_misplaced = never_misplaced
    ops.page_exclusive = no_claim
    ops.page_fits = says_nothing
    ops.verify = nothing_to_verify


# ---------------------------------------------------------------- one pte

cdef int referenced_pte(machine_t *m, uint32_t pte) noexcept nogil:
    if m.ptes[pte] & PTE_A:
        m.ptes[pte] &= ~<uint64_t>PTE_A
        return 1
    return 0


cdef void unmap_pte(machine_t *m, uint32_t pfn, uint32_t mm, uint32_t pte) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef mm_t *mp = &m.mms[mm]
    cdef uint64_t old = m.ptes[pte]
    if f.flags & <uint32_t>PG_SWAPCACHE:
        swap_duplicate(m, f.priv)
        m.ptes[pte] = swp_pte(f.priv) | (old & PTE_EXCLUSIVE)
        mp.swapents += 1
    else:
        m.ptes[pte] = 0
    if old & PTE_D and not f.flags & <uint32_t>PG_DIRTY:
        set_page_dirty(m, pfn)
    mp.rss -= 1
    if old & PTE_ANON:
        mp.anon_rss -= 1


# ---------------------------------------------------------------- around a page

cdef uint32_t owner_vma(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil:
    """The first vma that ends above addr; the mm's cache is read but neither set nor counted."""
    cdef uint32_t v = m.mms[mm].mmap_cache
    cdef uint32_t prev = 0
    if v != 0 and m.vmas[v].start <= addr and addr < m.vmas[v].end:
        return v
    return find_vma_prev(m, mm, addr, &prev)


cdef int unmap_refused(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if f.flags & <uint32_t>PG_RESERVED:
        bug(m, BUG_UNMAP_RESERVED, pfn, f.flags, 0)
        return 1
    if not f.flags & <uint32_t>PG_LOCKED:
        bug(m, BUG_UNMAP_NOT_LOCKED, pfn, f.flags, 0)
        return 1
    return 0


cdef int count_unmap(machine_t *m, int r) noexcept nogil:
    count(m, RMAP_UNMAP_SUCCESS if r == SWAP_SUCCESS else RMAP_UNMAP_AGAIN if r == SWAP_AGAIN else RMAP_UNMAP_FAIL)
    return r
