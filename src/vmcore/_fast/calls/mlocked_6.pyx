"""Pages that are mlocked while no vma says so. See mlocked_6.pxd."""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.pagetable cimport leaf_end, next_leaf, pte_in, pte_pfn, pte_present
from vmcore._fast.records cimport (
    PAGE_SIZE, PG_MLOCKED, PG_MLOCK_UNCOUNTED, PTE_SPECIAL, frame_t, machine_t)


cdef void walk(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, int leave) noexcept nogil:
    cdef uint64_t addr = start
    cdef uint64_t stop, pte
    cdef uint32_t leaf
    cdef frame_t *f
    while addr < end:
        leaf = next_leaf(m, m.vmas[vma].mm, &addr, end)
        if leaf == 0:
            return
        stop = leaf_end(m, addr, end)
        while addr < stop:
            pte = m.ptes[pte_in(m, leaf, addr)]
            addr += PAGE_SIZE
            if not pte_present(pte) or pte & PTE_SPECIAL:
                continue
            f = &m.frames[pte_pfn(pte)]
            if leave:
                f.flags = (f.flags | <uint32_t>PG_MLOCKED) & ~<uint32_t>PG_MLOCK_UNCOUNTED
            elif f.flags & <uint32_t>PG_MLOCK_UNCOUNTED:
                f.flags &= ~<uint32_t>(PG_MLOCKED | PG_MLOCK_UNCOUNTED)


cdef void leave_mlocked(machine_t *m, uint32_t vma) noexcept nogil:
    walk(m, vma, m.vmas[vma].start, m.vmas[vma].end, 1)


cdef void munlock_pages(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil:
    if m.mms[m.vmas[vma].mm].locked_lost != 0:
        walk(m, vma, start, end, 0)
