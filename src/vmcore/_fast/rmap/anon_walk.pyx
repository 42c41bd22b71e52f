"""The walks of reclaim over the vmas of an anonymous page. See anon_walk.pxd.

They look a handful of vmas ahead: the page-table entries of different vmas are independent cache misses, and together
they cost little more than one. Looking ahead changes no count: when a walk stops early, ANON_VMA_NODES_VISITED is set
back to what it was at the vma where it stopped.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.counters cimport (
    count, count_n, ANON_VMA_NODES_VISITED, RMAP_EMPTY_MM_SKIPS, RMAP_RANGE_SKIPS, RMAP_VMAS_VISITED)
from vmcore._fast.pagetable cimport pte_lookup
from vmcore._fast.pool cimport safe_point
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.records cimport machine_t, vma_t, PAGE_SHIFT
from vmcore._fast.rmap.objrmap cimport (
    find_in_vma, page_in_vma, referenced_one, unmap_one, WALK_AHEAD, WALK_OUTSIDE, WALK_SAFE)
from vmcore._fast.rmap.rmap cimport SWAP_AGAIN, SWAP_FAIL, SWAP_SUCCESS

cdef struct batch_t:
    uint32_t nr
    uint32_t vma[16]
    uint32_t pte[16]
    uint64_t nodes[16]      # ANON_VMA_NODES_VISITED when this vma had been found


cdef void look_ahead(machine_t *m, anon_walk *w, batch_t *b, uint32_t max) noexcept nogil:
    """Find the ptes of the next vmas. b.nr 0: there is none."""
    cdef vma_t *v
    cdef uint64_t page
    cdef uint32_t vma, pte
    b.nr = 0
    while b.nr < max:
        vma = w.next(m, w)
        if vma == 0:
            return
        v = &m.vmas[vma]
        page = page_in_vma(v, w.index)
        pte = WALK_OUTSIDE
        if page < (v.end - v.start) >> PAGE_SHIFT:
            pte = pte_lookup(m, v.mm, v.start + (page << PAGE_SHIFT))
            prefetch_write(&m.ptes[pte])
        b.vma[b.nr] = vma
        b.pte[b.nr] = pte
        b.nodes[b.nr] = m.counters[ANON_VMA_NODES_VISITED]
        b.nr += 1


cdef inline int passed_over(machine_t *m, uint32_t vma, uint32_t pte, uint64_t *skips) noexcept nogil:
    """A vma that cannot map the page; 2.6.7 asks first whether its mm maps anything."""
    if m.rules.walk_skips_empty and m.mms[m.vmas[vma].mm].rss == 0:
        count(m, RMAP_EMPTY_MM_SKIPS)
        return 1
    if pte == <uint32_t>WALK_OUTSIDE:
        skips[0] += 1
        return 1
    return 0


cdef int referenced_anon(machine_t *m, uint32_t pfn, anon_walk *w) noexcept nogil:
    cdef uint64_t visited = 0
    cdef uint64_t skips = 0
    cdef uint64_t polled = 0
    cdef uint32_t stops = m.rules.walk_counts_down | m.rules.walk_locked_stops
    cdef uint32_t left = m.mapcount[pfn]
    cdef uint32_t ahead = 2 if stops else WALK_AHEAD
    cdef uint32_t i
    cdef int referenced = 0
    cdef batch_t b
    while True:
        look_ahead(m, w, &b, ahead)
        if b.nr == 0:
            break
        for i in range(b.nr):
            visited += 1
            if not passed_over(m, b.vma[i], b.pte[i], &skips):
                referenced += referenced_one(m, pfn, b.vma[i], b.pte[i], &left)
                if left == 0 and stops:
                    m.counters[ANON_VMA_NODES_VISITED] = b.nodes[i]
                    break
        if left == 0 and stops:
            break
        if ahead < <uint32_t>WALK_AHEAD:
            ahead *= 2
        if visited - polled >= <uint64_t>WALK_SAFE:
            polled = visited
            if safe_point(m) < 0:
                break
    count_n(m, RMAP_VMAS_VISITED, visited)
    count_n(m, RMAP_RANGE_SKIPS, skips)
    return referenced


cdef int unmap_anon(machine_t *m, uint32_t pfn, anon_walk *w) noexcept nogil:
    cdef uint64_t visited = 0
    cdef uint64_t skips = 0
    cdef uint64_t polled = 0
    cdef uint32_t i
    cdef uint32_t ahead = 2
    cdef int r = SWAP_AGAIN
    cdef batch_t b
    while r != SWAP_FAIL and m.mapcount[pfn] != 0:
        look_ahead(m, w, &b, ahead)
        if b.nr == 0:
            break
        for i in range(b.nr):
            visited += 1
            if passed_over(m, b.vma[i], b.pte[i], &skips):
                continue
            r = unmap_one(m, pfn, b.vma[i], b.pte[i])
            if r == SWAP_FAIL or m.mapcount[pfn] == 0:
                m.counters[ANON_VMA_NODES_VISITED] = b.nodes[i]
                break
        if ahead < <uint32_t>WALK_AHEAD:
            ahead *= 2
        if visited - polled >= <uint64_t>WALK_SAFE:
            polled = visited
            if safe_point(m) < 0:
                break
    count_n(m, RMAP_VMAS_VISITED, visited)
    count_n(m, RMAP_RANGE_SKIPS, skips)
    if r == SWAP_FAIL:
        return SWAP_FAIL
    return SWAP_SUCCESS if m.mapcount[pfn] == 0 else SWAP_AGAIN


cdef uint64_t find_anon(machine_t *m, uint32_t pfn, anon_walk *w) noexcept nogil:
    cdef uint64_t nodes = m.counters[ANON_VMA_NODES_VISITED]
    cdef uint64_t n = 0
    cdef uint32_t vma = w.next(m, w)
    while vma != 0:
        n += find_in_vma(m, pfn, vma, w.index)
        vma = w.next(m, w)
    m.counters[ANON_VMA_NODES_VISITED] = nodes
    return n
