"""msync of 2.4 and 2.6.

Source: mm/msync.c of 2.6.5 [M]. The dirty bits of the ptes go to the pages, for MS_ASYNC too; with MS_SYNC the dirty
pages of the whole file are written then. It goes on behind a hole and returns ENOMEM at the end. MS_INVALIDATE drops
nothing, but a locked vma refuses it.
"""
from libc.errno cimport EBUSY, EINVAL, ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.filemap cimport set_page_dirty
from vmcore._fast.locks cimport down_mmap_sem, spin_lock_ptl, spin_unlock_ptl, up_mmap_sem
from vmcore._fast.mmap cimport page_align
from vmcore._fast.pagetable cimport leaf_end, next_leaf, pte_in, pte_pfn, pte_present
from vmcore._fast.records cimport (
    PAGE_MASK_LOW, PAGE_SIZE, PTE_D, PTE_SPECIAL, VM_LOCKED, VM_SHARED, machine_t, vma_t)
from vmcore._fast.truncate cimport file_sync
from vmcore._fast.vma cimport HOLES_LATER, walk_vmas


cdef void filemap_sync(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil:
    """Dirty ptes become clean, and their pages dirty."""
    cdef uint64_t addr = start
    cdef uint64_t stop
    cdef uint64_t *e
    cdef uint32_t leaf
    spin_lock_ptl(m, m.vmas[vma].mm)
    while addr < end:
        leaf = next_leaf(m, m.vmas[vma].mm, &addr, end)
        if leaf == 0:
            break
        stop = leaf_end(m, addr, end)
        e = &m.ptes[pte_in(m, leaf, addr)]
        while addr < stop:
            if pte_present(e[0]) and not e[0] & PTE_SPECIAL and e[0] & PTE_D:
                e[0] &= ~<uint64_t>PTE_D
                set_page_dirty(m, pte_pfn(e[0]))
            e += 1
            addr += PAGE_SIZE
    spin_unlock_ptl(m, m.vmas[vma].mm)


cdef int msync_interval(machine_t *m, uint32_t vma, uint64_t start, uint64_t *end, int flags) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    if flags & MS_INVALIDATE and v.flags & VM_LOCKED:
        return -EBUSY
    if v.file != 0 and v.flags & VM_SHARED:
        filemap_sync(m, vma, start, end[0])
        if flags & MS_SYNC:
            file_sync(m, v.file)
    return 0


cdef int do_msync(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t flags) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef int err
    if flags & ~<uint32_t>(MS_ASYNC | MS_INVALIDATE | MS_SYNC) or addr & PAGE_MASK_LOW:
        return -EINVAL
    if flags & MS_ASYNC and flags & MS_SYNC:
        return -EINVAL
    length = page_align(length)
    if addr + length < addr or (m.rules.word_size == 4 and (addr + length) >> 32 != 0):
        return -ENOMEM
    down_mmap_sem(m, mm)
    err = walk_vmas(m, mm, addr, addr + length, HOLES_LATER, msync_interval, <int>flags)
    up_mmap_sem(m, mm)
    return err
