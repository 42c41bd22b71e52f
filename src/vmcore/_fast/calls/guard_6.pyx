"""Guard regions: markers in ptes instead of PROT_NONE vmas (6.13; files too since 6.15).

Source: mm/madvise.c of 6.18; asked of 6.18.44; fact sheet linux-modern 6.7. A marker is an entry without a page: an
access is SIGSEGV, a call that faults pages in fails there with EFAULT. It does not split the vma. What happens to it:

    MADV_DONTNEED, MADV_FREE, truncate, a punched hole     it stays
    mprotect, mlock                                        it stays
    fork, mremap                                           it goes along
    munmap, exit, MADV_GUARD_REMOVE                        it goes

A vma that ever got one says so (VM_MAYBE_GUARD), so that fork copies its page tables; private anonymous memory gets its
anon_vma too. Neither is taken back. The flag need not be equal for a merge, and what comes of one has it.
"""
from libc.errno cimport EINVAL, ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.counters cimport GUARD_MARKERS, count
from vmcore._fast.pagetable cimport leaf_end, next_leaf, pte_alloc, pte_in, pte_is_marker
from vmcore._fast.pool cimport safe_point
from vmcore._fast.records cimport (
    PAGE_SHIFT, PAGE_SIZE, PTE_MARKER, VM_DONTEXPAND, VM_HUGETLB, VM_IO, VM_LOCKED, VM_MAYBE_GUARD, VM_MIXEDMAP,
    VM_PFNMAP, machine_t)
from vmcore._fast.zap cimport ZAP_PAGES, zap_range

cdef enum:
    UNFIT = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP | VM_HUGETLB
    PAGES_SAFE = 4096       # pages between safe points


cdef int guard_install(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil:
    cdef uint32_t mm = m.vmas[vma].mm
    cdef uint64_t addr = start
    cdef uint32_t pte
    if m.vmas[vma].flags & (UNFIT | VM_LOCKED):
        return -EINVAL
    if m.vmas[vma].file == 0 and m.rmap.anon_prepare(m, vma) < 0:
        return -ENOMEM
    m.vmas[vma].flags |= VM_MAYBE_GUARD
    zap_range(m, vma, start, end, ZAP_PAGES)
    while addr < end:
        pte = pte_alloc(m, mm, addr)
        if pte == 0:
            return -ENOMEM
        if m.ptes[pte] == 0:
            m.ptes[pte] = PTE_MARKER
            count(m, GUARD_MARKERS)
        addr += PAGE_SIZE
        if ((addr - start) >> PAGE_SHIFT) % <uint64_t>PAGES_SAFE == 0 and safe_point(m) < 0:
            return -ENOMEM
    return 0


cdef int guard_remove(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil:
    cdef uint64_t addr = start
    cdef uint64_t stop
    cdef uint32_t leaf
    cdef uint64_t *e
    if m.vmas[vma].flags & UNFIT:
        return -EINVAL
    while addr < end:
        leaf = next_leaf(m, m.vmas[vma].mm, &addr, end)
        if leaf == 0:
            break
        stop = leaf_end(m, addr, end)
        e = &m.ptes[pte_in(m, leaf, addr)]
        while addr < stop:
            if pte_is_marker(e[0]):
                e[0] = 0
            e += 1
            addr += PAGE_SIZE
    return 0
