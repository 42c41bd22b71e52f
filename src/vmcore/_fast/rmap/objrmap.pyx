"""objrmap: file pages are found through the vmas of their file. See objrmap.pxd; mm/objrmap.c of -aa, fact sheet
linux-2004 sections 2.3 and 2.5.

A page's place in a vma follows from (index, vma.pgoff), so nothing is kept per page. The walks look a handful of vmas
ahead: their page-table entries are independent cache misses, and together they cost little more than one. Looking ahead
changes no count: when a walk stops early, the index's count is set back to what it was at the vma where it stopped.
"""
from libc.stdint cimport uint32_t, uint64_t, int32_t

from vmcore._fast.records cimport (
    frame_t, i_mmap_iter, machine_t, vma_t, PG_ANON, PG_DIRTY, PG_LAZYFREE, PG_SWAPCACHE, PTE_A, PTE_D,
    VM_DROPPABLE, VM_LOCKED, VM_MAYSHARE, VM_RESERVED, PAGE_SHIFT)
from vmcore._fast.pool cimport safe_point
from vmcore._fast.locks cimport (
    spin_trylock_ptl, spin_unlock_ptl, down_trylock_i_shared, up_i_shared, page_map_lock, page_map_unlock)
from vmcore._fast.bugs cimport (
    bug, BUG_RMAP_ADD_FILE_ANON, BUG_RMAP_REMOVE_UNMAPPED, BUG_UNMAP_VM_RESERVED)
from vmcore._fast.counters cimport (
    count, count_n, RMAP_PTES_EXAMINED, RMAP_VMAS_VISITED, RMAP_MMS_VISITED, RMAP_NONLINEAR_UNFOUND, RMAP_RANGE_SKIPS,
    RMAP_TRYLOCK_FAILS, RMAP_EMPTY_MM_SKIPS, RMAP_FAIL_GUP, RMAP_FAIL_LOCKED, RMAP_FAIL_YOUNG, I_MMAP_LOOKUPS,
    I_MMAP_NODES_VISITED)
from vmcore._fast.frame cimport page_count
from vmcore._fast.pagetable cimport pte_lookup
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.rmap.nonlinear cimport maybe_nonlinear, unmap_nonlinear
from vmcore._fast.rmap.rmap cimport referenced_pte, unmap_pte, SWAP_SUCCESS, SWAP_AGAIN, SWAP_FAIL

cdef struct batch_t:
    uint32_t nr
    uint32_t vma[16]
    uint32_t pte[16]
    uint64_t nodes[16]      # I_MMAP_NODES_VISITED when this vma had been found


cdef enum:
    STOP_SHARED = 1         # rules.walk_locked_stops
    STOP_ANY = 2


# ---------------------------------------------------------------- one vma

cdef inline int skip_empty(machine_t *m, uint32_t mm) noexcept nogil:
    if m.rules.walk_skips_empty and m.mms[mm].rss == 0:
        count(m, RMAP_EMPTY_MM_SKIPS)
        return 1
    return 0


cdef int referenced_in(machine_t *m, uint32_t pfn, uint32_t mm, uint32_t vm_flags, uint32_t pte, uint32_t *left,
                       uint32_t *busy) noexcept nogil:
    cdef int young = 0
    if skip_empty(m, mm):
        return 0
    if not spin_trylock_ptl(m, mm):
        count(m, RMAP_TRYLOCK_FAILS)
        busy[0] = 1
        return 0
    count(m, RMAP_MMS_VISITED)
    if pte != 0:
        count(m, RMAP_PTES_EXAMINED)
        if maps_page(m, pfn, pte):
            if m.rules.walk_locked_stops == <uint32_t>STOP_ANY and vm_flags & <uint32_t>VM_LOCKED:
                left[0] = 0
                young = 1
            else:
                left[0] -= 1
                young = referenced_pte(m, pte)
    spin_unlock_ptl(m, mm)
    return young


cdef int referenced_one(machine_t *m, uint32_t pfn, uint32_t vma, uint32_t pte, uint32_t *left) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t busy = 0
    return referenced_in(m, pfn, v.mm, v.flags, pte, left, &busy)


cdef int unmap_found(machine_t *m, uint32_t pfn, uint32_t mm, uint32_t vm_flags, uint32_t pte) noexcept nogil:
    if vm_flags & <uint32_t>VM_RESERVED and m.rules.reserved_unmap_bug:
        bug(m, BUG_UNMAP_VM_RESERVED, pfn, mm, pte)
        return SWAP_FAIL
    if vm_flags & <uint32_t>(VM_LOCKED | VM_RESERVED):
        count(m, RMAP_FAIL_LOCKED)
        return SWAP_FAIL
    if (m.frames[pfn].flags & PG_LAZYFREE and not vm_flags & <uint32_t>VM_DROPPABLE
            and (m.ptes[pte] & PTE_D or m.frames[pfn].flags & PG_DIRTY)):
        m.frames[pfn].flags &= ~<uint32_t>PG_LAZYFREE       # written since: it is wanted
        return SWAP_FAIL
    if m.rules.unmap_young_fails and m.ptes[pte] & PTE_A:
        m.ptes[pte] &= ~<uint64_t>PTE_A
        count(m, RMAP_FAIL_YOUNG)
        return SWAP_FAIL
    if (m.rules.gup_test and m.frames[pfn].flags & <uint32_t>PG_SWAPCACHE
            and page_count(m, pfn) != <int32_t>m.mapcount[pfn] + 2):
        count(m, RMAP_FAIL_GUP)
        return SWAP_FAIL
    unmap_pte(m, pfn, mm, pte)
    m.rmap.page_remove(m, pfn, pte)
    return SWAP_AGAIN


cdef int unmap_one(machine_t *m, uint32_t pfn, uint32_t vma, uint32_t pte) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t mm = v.mm
    cdef int r = SWAP_AGAIN
    if skip_empty(m, mm):
        return SWAP_AGAIN
    if not spin_trylock_ptl(m, mm):
        count(m, RMAP_TRYLOCK_FAILS)
        return SWAP_AGAIN
    count(m, RMAP_MMS_VISITED)
    if pte != 0:
        count(m, RMAP_PTES_EXAMINED)
        if maps_page(m, pfn, pte):
            r = unmap_found(m, pfn, mm, v.flags, pte)
    spin_unlock_ptl(m, mm)
    return r


# ---------------------------------------------------------------- the ptes of a file page

cdef void file_page_add(machine_t *m, uint32_t pfn, uint32_t vma) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    page_map_lock(m, pfn)
    if f.flags & <uint32_t>(PG_ANON | PG_SWAPCACHE) or f.mapping == 0:
        bug(m, BUG_RMAP_ADD_FILE_ANON, pfn, vma, f.flags)
    if m.mapcount[pfn] == 0:
        m.nr_mapped_pages += 1
    m.mapcount[pfn] += 1
    page_map_unlock(m, pfn)


cdef void file_page_remove(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil:
    page_map_lock(m, pfn)
    if m.mapcount[pfn] == 0:
        bug(m, BUG_RMAP_REMOVE_UNMAPPED, pfn, pte, 0)
        return
    m.mapcount[pfn] -= 1
    if m.mapcount[pfn] == 0:
        m.nr_mapped_pages -= 1
        if m.frames[pfn].flags & <uint32_t>PG_SWAPCACHE:
            bug(m, BUG_RMAP_ADD_FILE_ANON, pfn, 0, m.frames[pfn].flags)
    page_map_unlock(m, pfn)


# ---------------------------------------------------------------- the vmas of a file

cdef uint32_t gather(machine_t *m, uint64_t index, uint32_t vma, i_mmap_iter *it, batch_t *b,
                     uint32_t max) noexcept nogil:
    """Fill b with up to `max` vmas from `vma` on; returns the one after them, 0 at the end."""
    cdef uint32_t n = 0
    cdef uint32_t pte
    cdef uint64_t addr
    cdef vma_t *v
    while vma != 0 and n < max:
        v = &m.vmas[vma]
        addr = v.start + (page_in_vma(v, index) << PAGE_SHIFT)
        pte = pte_lookup(m, v.mm, addr)
        prefetch_write(&m.ptes[pte])
        b.vma[n] = vma
        b.pte[n] = pte
        b.nodes[n] = m.counters[I_MMAP_NODES_VISITED]
        n += 1
        vma = m.i_mmap.next(m, it)
    b.nr = n
    return vma


cdef void count_walk(machine_t *m, uint64_t nodes, uint64_t taken) noexcept nogil:
    count_n(m, RMAP_VMAS_VISITED, nodes)
    count_n(m, RMAP_RANGE_SKIPS, nodes - taken)


cdef inline int stops_at(machine_t *m, uint32_t vma) noexcept nogil:
    """A file's vma that keeps the page active whatever its pte says."""
    return (m.rules.walk_locked_stops == <uint32_t>STOP_SHARED
            and (m.vmas[vma].flags & <uint32_t>(VM_LOCKED | VM_MAYSHARE)) == <uint32_t>(VM_LOCKED | VM_MAYSHARE))


cdef int page_referenced_file(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef uint32_t file = m.frames[pfn].mapping
    cdef uint64_t index = m.frames[pfn].index
    cdef i_mmap_iter it
    cdef uint64_t nodes = m.counters[I_MMAP_NODES_VISITED]
    cdef uint64_t taken = 0
    cdef uint64_t polled = nodes
    cdef uint32_t left = m.mapcount[pfn]
    cdef uint32_t ahead = 2 if m.rules.walk_counts_down else WALK_AHEAD
    cdef uint32_t vma, i
    cdef int referenced = 0
    cdef batch_t b
    if file == 0:
        return 0            # truncated under us
    if not down_trylock_i_shared(m, file):
        count(m, RMAP_TRYLOCK_FAILS)
        return 0
    vma = m.i_mmap.first(m, file, index, index, &it)
    while vma != 0:
        vma = gather(m, index, vma, &it, &b, ahead)
        for i in range(b.nr):
            taken += 1
            if stops_at(m, b.vma[i]):
                referenced += 1
                left = 0
            else:
                referenced += referenced_one(m, pfn, b.vma[i], b.pte[i], &left)
            if left == 0 and (m.rules.walk_counts_down or m.rules.walk_locked_stops):
                m.counters[I_MMAP_NODES_VISITED] = b.nodes[i]
                vma = 0
                break
        if ahead < <uint32_t>WALK_AHEAD:
            ahead *= 2
        if m.counters[I_MMAP_NODES_VISITED] - polled >= <uint64_t>WALK_SAFE:
            polled = m.counters[I_MMAP_NODES_VISITED]
            if safe_point(m) < 0:
                break
    up_i_shared(m, file)
    count_walk(m, m.counters[I_MMAP_NODES_VISITED] - nodes, taken)
    return referenced


cdef int try_to_unmap_file(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef uint32_t file = m.frames[pfn].mapping
    cdef uint64_t index = m.frames[pfn].index
    cdef i_mmap_iter it
    cdef uint64_t nodes = m.counters[I_MMAP_NODES_VISITED]
    cdef uint64_t taken = 0
    cdef uint64_t polled = nodes
    cdef uint32_t vma, i
    cdef uint32_t ahead = 2
    cdef int r = SWAP_AGAIN
    cdef batch_t b
    if file == 0:
        return SWAP_AGAIN
    if not down_trylock_i_shared(m, file):
        count(m, RMAP_TRYLOCK_FAILS)
        return SWAP_AGAIN
    vma = m.i_mmap.first(m, file, index, index, &it)
    while vma != 0 and r != SWAP_FAIL and m.mapcount[pfn] != 0:
        vma = gather(m, index, vma, &it, &b, ahead)
        for i in range(b.nr):
            r = unmap_one(m, pfn, b.vma[i], b.pte[i])
            taken += 1
            if r == SWAP_FAIL or m.mapcount[pfn] == 0:
                m.counters[I_MMAP_NODES_VISITED] = b.nodes[i]
                break
        if ahead < <uint32_t>WALK_AHEAD:
            ahead *= 2
        if m.counters[I_MMAP_NODES_VISITED] - polled >= <uint64_t>WALK_SAFE:
            polled = m.counters[I_MMAP_NODES_VISITED]
            if safe_point(m) < 0:
                break
    count_walk(m, m.counters[I_MMAP_NODES_VISITED] - nodes, taken)
    if r != SWAP_FAIL and m.mapcount[pfn] != 0 and maybe_nonlinear(m, pfn) and m.host_error == 0:
        unmap_nonlinear(m, pfn)
        if m.mapcount[pfn] != 0:
            count(m, RMAP_NONLINEAR_UNFOUND)
    up_i_shared(m, file)
    if r == SWAP_FAIL:
        return SWAP_FAIL
    return SWAP_SUCCESS if m.mapcount[pfn] == 0 else SWAP_AGAIN


# ---------------------------------------------------------------- for check

cdef uint64_t find_in_vma(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t index) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t page = page_in_vma(v, index)
    cdef uint32_t pte
    if page >= (v.end - v.start) >> PAGE_SHIFT:
        return 0
    pte = pte_lookup(m, v.mm, v.start + (page << PAGE_SHIFT))
    return 1 if pte != 0 and maps_page(m, pfn, pte) else 0


cdef uint64_t find_file(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef uint64_t index = m.frames[pfn].index
    cdef uint64_t lookups = m.counters[I_MMAP_LOOKUPS]
    cdef uint64_t nodes = m.counters[I_MMAP_NODES_VISITED]
    cdef uint64_t n = 0
    cdef i_mmap_iter it
    cdef uint32_t vma = m.i_mmap.first(m, m.frames[pfn].mapping, index, index, &it)
    while vma != 0:
        n += find_in_vma(m, pfn, vma, index)
        vma = m.i_mmap.next(m, &it)
    m.counters[I_MMAP_LOOKUPS] = lookups
    m.counters[I_MMAP_NODES_VISITED] = nodes
    return n
