"""What a change of a vma's rights does to the ptes that are there.

Source: change_pte_range of mm/mprotect.c 2.6.5, fact sheet linux-2004 6.6; can_change_pte_writable, asked of 6.18.44.

Present ptes get the vma's protection and keep frame, dirty and software bits. In 2004 all come out young, because the
protection map says so; today they keep that bit too. Swap and file ptes and guard markers stay.

2004: in private vmas no pte is writable afterwards, and the next write of each page faults. Today
(rules.anon_exclusive) a page that the write fault would only make writable again is made so at once: a private one
that is exclusive, a shared one (rules.write_notify) that is dirty, so that the file system knows of it.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.locks cimport spin_lock_ptl, spin_unlock_ptl
from vmcore._fast.pagetable cimport leaf_end, next_leaf, pte_in, pte_present
from vmcore._fast.records cimport (
    PAGE_SIZE, PTE_A, PTE_D, PTE_EXCLUSIVE, PTE_P, PTE_PROTNONE, PTE_RW, PTE_USER, VM_SHARED, VM_WRITE,
    machine_t, vma_t)
from vmcore._fast.vma cimport vma_page_prot


cdef inline uint64_t writable_mark(machine_t *m, uint32_t vma) noexcept nogil:
    """The pte bit that says that a write needs no fault; 0: there is none."""
    cdef uint32_t flags = m.vmas[vma].flags
    if not flags & VM_WRITE:
        return 0
    if flags & VM_SHARED:
        return PTE_D if m.rules.write_notify else 0
    return PTE_EXCLUSIVE if m.rules.anon_exclusive else 0


cdef void change_protection(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t bits = vma_page_prot(m, vma)
    cdef uint64_t mark = writable_mark(m, vma)
    cdef uint64_t keep = ~<uint64_t>(PTE_P | PTE_RW | PTE_USER | PTE_PROTNONE)
    cdef uint64_t addr = start
    cdef uint64_t stop
    cdef uint64_t *e
    cdef uint32_t leaf
    if m.rules.anon_exclusive:
        bits &= ~<uint64_t>PTE_A
    spin_lock_ptl(m, v.mm)
    while addr < end:
        leaf = next_leaf(m, v.mm, &addr, end)
        if leaf == 0:
            break
        stop = leaf_end(m, addr, end)
        e = &m.ptes[pte_in(m, leaf, addr)]
        while addr < stop:
            if pte_present(e[0]):
                e[0] = (e[0] & keep) | bits | (<uint64_t>PTE_RW if e[0] & mark else 0)
            e += 1
            addr += PAGE_SIZE
    spin_unlock_ptl(m, v.mm)
