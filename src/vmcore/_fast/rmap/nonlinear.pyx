"""Unmapping in nonlinear vmas, where an offset does not say the address.

Source: try_to_unmap_file and try_to_unmap_cluster of mm/rmap.c 2.6.7, mm/objrmap.c of the -aa that followed the thread;
fact sheet linux-2004 2.7.

No record leads from a page to its ptes there, and searching all page tables for one page would cost a walk of them a
page. So 2.6.7 does not search: it takes down whatever pages it finds, a few at a time, and hopes that the pages that
reclaim wants next are among them. Each vma remembers how far it got (private_data, bytes from its start), so successive
calls work their way through all of them, side by side:

    vma A  |====|====|    |    |      cursor 2 clusters
    vma B  |====|    |    |           fell behind: its page_table_lock was busy
    target      ^ greatest cursor: everybody comes up to it, then it moves on by one cluster

The mapcount of the page that reclaim came for is the budget: after so many ptes the scan stops, and goes on from there
next time. At the end of the longest vma all cursors go back to 0. A young pte loses its young bit and stays. Cost: at
most the present ptes of all nonlinear vmas a call, mostly one cluster. Clusters are aligned by address and the cursor
counts from the vma's start, so a vma that does not begin at a cluster can keep some pages at its end that no scan comes
to; so it is in 2.6.7.

The whole walk of -aa knows no budget and no cursors.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_NONLINEAR_ANON, bug
from vmcore._fast.counters cimport (
    RMAP_MMS_VISITED, RMAP_NONLINEAR_CLUSTERS, RMAP_NONLINEAR_PTES, RMAP_NONLINEAR_SCANS, RMAP_NONLINEAR_UNMAPPED,
    RMAP_PTES_EXAMINED, RMAP_TRYLOCK_FAILS, count)
from vmcore._fast.filemap cimport set_page_dirty
from vmcore._fast.locks cimport spin_trylock_ptl, spin_unlock_ptl
from vmcore._fast.pagetable cimport file_pte, pte_lookup, pte_pfn, pte_present
from vmcore._fast.pool cimport safe_point
from vmcore._fast.records cimport (
    PAGE_SHIFT, PAGE_SIZE, PG_ANON, PG_DIRTY, PTE_A, PTE_D, PTE_SPECIAL, VM_LOCKED, VM_NONLINEAR, VM_RESERVED, frame_t,
    i_mmap_iter, machine_t, mm_t, vma_t)

cdef enum:
    CLUSTER_PAGES = 32      # less than a leaf table has entries, on every architecture
    CLUSTER = CLUSTER_PAGES * PAGE_SIZE
    STEPS_SAFE = 4096       # clusters between safe points

cdef uint64_t LAST_PAGE = (<uint64_t>1 << 52) - 1


cdef int maybe_nonlinear(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    return not f.flags & <uint32_t>PG_ANON and f.mapping != 0 and m.files[f.mapping].nr_i_mmap_nonlinear != 0


# ---------------------------------------------------------------- one cluster

cdef void unmap_range(machine_t *m, uint32_t vma, uint64_t addr, uint64_t end, int64_t *budget) noexcept nogil:
    """Present ptes of [addr, end), which lies in one leaf table: young ones age, the others go."""
    cdef vma_t *v = &m.vmas[vma]
    cdef mm_t *p = &m.mms[v.mm]
    cdef uint32_t pte = pte_lookup(m, v.mm, addr)
    cdef uint32_t pfn
    cdef uint64_t e
    cdef frame_t *f
    if pte == 0:
        return
    while addr < end:
        e = m.ptes[pte]
        if pte_present(e) and not e & PTE_SPECIAL:
            count(m, RMAP_NONLINEAR_PTES)
            count(m, RMAP_PTES_EXAMINED)
            pfn = pte_pfn(e)
            f = &m.frames[pfn]
            if f.flags & <uint32_t>PG_ANON:
                bug(m, BUG_NONLINEAR_ANON, pfn, vma, addr)
                return
            if e & PTE_A:
                m.ptes[pte] = e & ~<uint64_t>PTE_A
            else:
                m.ptes[pte] = 0
                if f.index != v.pgoff + ((addr - v.start) >> PAGE_SHIFT):
                    m.ptes[pte] = file_pte(f.index)
                if e & PTE_D and not f.flags & <uint32_t>PG_DIRTY:
                    set_page_dirty(m, pfn)
                m.rmap.page_remove(m, pfn, pte)
                p.rss -= 1
                budget[0] -= 1
                count(m, RMAP_NONLINEAR_UNMAPPED)
        addr += PAGE_SIZE
        pte += 1


cdef int unmap_cluster(machine_t *m, uint32_t vma, uint64_t cursor, int64_t *budget) noexcept nogil:
    """The aligned cluster in which vma.start + cursor lies. 0: page_table_lock was busy."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t addr = (v.start + cursor) & ~<uint64_t>(CLUSTER - 1)
    cdef uint64_t end = addr + CLUSTER
    if not spin_trylock_ptl(m, v.mm):
        count(m, RMAP_TRYLOCK_FAILS)
        return 0
    count(m, RMAP_MMS_VISITED)
    count(m, RMAP_NONLINEAR_CLUSTERS)
    unmap_range(m, vma, addr if addr > v.start else v.start, end if end < v.end else v.end, budget)
    spin_unlock_ptl(m, v.mm)
    return 1


# ---------------------------------------------------------------- 2.6.7

cdef inline uint32_t next_on_list(machine_t *m, uint32_t file, uint32_t vma) noexcept nogil:
    """The vma after this one on the file's list of nonlinear vmas, 0 at the end."""
    cdef uint32_t next = m.vmas[vma].shared_next
    return 0 if next == m.files[file].i_mmap_nonlinear else next


cdef int advance(machine_t *m, uint32_t vma, uint64_t upto, int64_t *budget, uint64_t *steps) noexcept nogil:
    """One vma comes up to the common cursor. 0: the budget is used up, or the host interrupts."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t cursor = v.private_data
    while m.mms[v.mm].rss != 0 and cursor < upto and cursor < v.end - v.start:
        if not unmap_cluster(m, vma, cursor, budget):
            return 1                    # it stays behind
        cursor += CLUSTER
        v.private_data = cursor
        if budget[0] <= 0:
            return 0
        steps[0] += 1
        if steps[0] % STEPS_SAFE == 0 and safe_point(m) < 0:
            return 0
    v.private_data = upto
    return 1


cdef void cluster_scan(machine_t *m, uint32_t file, int64_t budget) noexcept nogil:
    cdef uint32_t head = m.files[file].i_mmap_nonlinear
    cdef uint32_t vma = head
    cdef uint64_t upto = 0
    cdef uint64_t longest = 0
    cdef uint64_t steps = 0
    cdef vma_t *v
    while vma != 0:
        v = &m.vmas[vma]
        if not v.flags & <uint32_t>(VM_LOCKED | VM_RESERVED):
            if v.private_data > upto:
                upto = v.private_data
            if v.end - v.start > longest:
                longest = v.end - v.start
        vma = next_on_list(m, file, vma)
    if longest == 0:                    # all of them locked
        return
    count(m, RMAP_NONLINEAR_SCANS)
    longest = (longest + CLUSTER - 1) & ~<uint64_t>(CLUSTER - 1)
    if upto == 0:
        upto = CLUSTER
    while True:
        vma = head
        while vma != 0:
            if not m.vmas[vma].flags & <uint32_t>(VM_LOCKED | VM_RESERVED):
                if not advance(m, vma, upto, &budget, &steps):
                    return
            vma = next_on_list(m, file, vma)
            steps += 1
            if steps % STEPS_SAFE == 0 and safe_point(m) < 0:
                return
        upto += CLUSTER
        if upto > longest:
            break
    vma = head
    while vma != 0:                     # who fell behind is forgotten
        if not m.vmas[vma].flags & <uint32_t>VM_RESERVED:
            m.vmas[vma].private_data = 0
        vma = next_on_list(m, file, vma)


# ---------------------------------------------------------------- -aa after the thread

cdef int unmap_vma(machine_t *m, uint32_t vma, uint64_t *steps) noexcept nogil:
    """0: the host interrupts."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t cursor = 0
    cdef int64_t budget = 0
    while cursor < v.end - v.start + CLUSTER:       # the first cluster may begin before the vma does
        if (v.start + cursor) & ~<uint64_t>(CLUSTER - 1) >= v.end:
            break
        if not unmap_cluster(m, vma, cursor, &budget):
            return 1
        cursor += CLUSTER
        steps[0] += 1
        if steps[0] % STEPS_SAFE == 0 and safe_point(m) < 0:
            return 0
    return 1


cdef void whole_walk(machine_t *m, uint32_t file) noexcept nogil:
    cdef i_mmap_iter it
    cdef uint64_t steps = 0
    cdef uint32_t vma
    count(m, RMAP_NONLINEAR_SCANS)
    if m.rules.nonlinear_list:
        vma = m.files[file].i_mmap_nonlinear
    else:
        vma = m.i_mmap.first(m, file, 0, LAST_PAGE, &it)
    while vma != 0:
        if (m.vmas[vma].flags & <uint32_t>(VM_NONLINEAR | VM_LOCKED | VM_RESERVED)) == VM_NONLINEAR:
            if not unmap_vma(m, vma, &steps):
                return
        vma = next_on_list(m, file, vma) if m.rules.nonlinear_list else m.i_mmap.next(m, &it)


cdef void unmap_nonlinear(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef uint32_t file = m.frames[pfn].mapping
    if m.rules.nonlinear_unmap == NONLINEAR_CLUSTER:
        if m.files[file].i_mmap_nonlinear != 0:
            cluster_scan(m, file, m.mapcount[pfn])
    elif m.rules.nonlinear_unmap == NONLINEAR_WHOLE:
        whole_walk(m, file)
