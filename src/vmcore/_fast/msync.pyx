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
from vmcore._fast.pagetable cimport next_leaf, pte_pfn, pte_present
from vmcore._fast.pool cimport safe_point
from vmcore._fast.records cimport (
    PAGE_MASK_LOW, PAGE_SHIFT, PAGE_SIZE, PTE_D, PTE_SPECIAL, VM_LOCKED, VM_SHARED, machine_t, vma_t)
from vmcore._fast.truncate cimport file_sync
from vmcore._fast.vma cimport find_vma_prev


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
        stop = ((addr >> m.leaf_shift) + 1) << m.leaf_shift
        if stop > end:
            stop = end
        e = &m.ptes[(<uint64_t>leaf << m.pt_shift) | ((addr >> PAGE_SHIFT) & m.pt_mask)]
        while addr < stop:
            if pte_present(e[0]) and not e[0] & PTE_SPECIAL and e[0] & PTE_D:
                e[0] &= ~<uint64_t>PTE_D
                set_page_dirty(m, pte_pfn(e[0]))
            e += 1
            addr += PAGE_SIZE
    spin_unlock_ptl(m, m.vmas[vma].mm)


cdef int msync_interval(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, uint32_t flags) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    if flags & MS_INVALIDATE and v.flags & VM_LOCKED:
        return -EBUSY
    if v.file != 0 and v.flags & VM_SHARED:
        filemap_sync(m, vma, start, end)
        if flags & MS_SYNC:
            file_sync(m, v.file)
    return 0


cdef int msync_vmas(machine_t *m, uint32_t mm, uint64_t start, uint64_t end, uint32_t flags) noexcept nogil:
    cdef int unmapped = 0
    cdef uint32_t prev = 0
    cdef uint32_t vma
    cdef uint64_t stop
    cdef int err
    while start < end:
        vma = find_vma_prev(m, mm, start, &prev)
        if vma == 0:
            return -ENOMEM
        if start < m.vmas[vma].start:
            unmapped = -ENOMEM
            start = m.vmas[vma].start
            if start >= end:
                break
        stop = m.vmas[vma].end if m.vmas[vma].end < end else end
        err = msync_interval(m, vma, start, stop, flags)
        if err < 0:
            return err
        if safe_point(m) < 0:
            return -ENOMEM
        start = stop
    return unmapped


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
    err = msync_vmas(m, mm, addr, addr + length, flags)
    up_mmap_sem(m, mm)
    return err
