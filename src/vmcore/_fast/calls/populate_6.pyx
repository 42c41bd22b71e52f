"""Faulting pages in for a call, as get_user_pages does it for mlock, MAP_POPULATE and MADV_POPULATE_*.

Source: mm/gup.c of 6.x (__mm_populate, populate_vma_page_range, faultin_page_range, check_vma_flags), asked of 6.18.44.

A page that is there and allows the access is passed over; every other is a fault of the task, counted like its own,
but for one that has to read: it lets mmap_sem go and begins again, and finds the page. Only MADV_POPULATE_* says that
this is the second try, which makes a fault a major one; for mm_populate it is a fault like any other, a minor one.
What kind of fault it is decides what comes:

    private and writable    write faults: anonymous memory gets pages, file pages are copied
    shared                  read faults, which map around; the pages of files stay clean
    readable only           read faults: the zero page, or the file's
    no right at all         -EFAULT

A vma that is locked on fault only (VM_LOCKONFAULT) has nothing to do.
"""
from libc.errno cimport EFAULT, EINVAL, ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.clock cimport switch_point
from vmcore._fast.fault cimport (
    FAULT_MAJOR, FAULT_MINOR, FAULT_OOM, fault_result, handle_mm_fault)
from vmcore._fast.lru cimport mark_page_accessed
from vmcore._fast.pagetable cimport pte_lookup, pte_pfn
from vmcore._fast.pool cimport safe_point
from vmcore._fast.records cimport (
    PAGE_SIZE, PTE_P, PTE_RW, PTE_SPECIAL, TASK_ALIVE, VM_EXEC, VM_IO, VM_LOCKONFAULT, VM_PFNMAP, VM_PKEY, VM_READ,
    VM_SHARED, VM_WRITE, machine_t)
from vmcore._fast.vma cimport HOLES_END, find_vma_prev, walk_vmas

cdef enum:
    FAULTS = 8              # of one page: reclaim may take it again
    PAGES_SAFE = 1024       # pages between safe points


cdef inline int refuses(machine_t *m, uint32_t flags, int write, int force) noexcept nogil:
    """check_vma_flags. force: a right to execute is enough to read, but for what the protection key of such memory
    forbids."""
    if flags & (VM_IO | VM_PFNMAP) or (m.rules.exec_only and flags & VM_PKEY):
        return 1
    if write:
        return not flags & VM_WRITE
    return not flags & VM_READ and not force


cdef int faultin_page(machine_t *m, uint32_t pid, uint32_t vma, uint64_t addr, int write, int tried) noexcept nogil:
    """0, -EFAULT, -ENOMEM. tried: the fault that is begun again is known as such (FOLL_TRIED)."""
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint32_t pte
    cdef uint64_t e
    cdef int r, _tries
    for _tries in range(FAULTS):
        pte = pte_lookup(m, mm, addr)
        e = m.ptes[pte] if pte != 0 else 0
        if e & PTE_P and (not write or e & PTE_RW):
            if not e & PTE_SPECIAL:
                mark_page_accessed(m, pte_pfn(e))
            return 0
        r = handle_mm_fault(m, vma, addr, write)
        if r == FAULT_OOM:              # no reason to kill here: the caller is told
            return -ENOMEM
        fault_result(m, pid, FAULT_MINOR if r == FAULT_MAJOR and not tried else r)
        switch_point(m)
        if m.host_error != 0 or m.tasks[pid].state != TASK_ALIVE:
            return -ENOMEM
        if r != FAULT_MINOR and r != FAULT_MAJOR:
            return -EFAULT
    return 0


cdef int faultin_vma(machine_t *m, uint32_t pid, uint32_t vma, uint64_t start, uint64_t end, int write,
                     int tried) noexcept nogil:
    cdef uint64_t addr = start
    cdef int err
    while addr < end:
        err = faultin_page(m, pid, vma, addr, write, tried)
        if err < 0:
            return err
        addr += PAGE_SIZE
        if ((addr - start) >> 12) % <uint64_t>PAGES_SAFE == 0 and safe_point(m) < 0:
            return -ENOMEM
    return 0


cdef int populate_vma(machine_t *m, uint32_t pid, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil:
    cdef uint32_t flags = m.vmas[vma].flags
    cdef int write = (flags & (VM_WRITE | VM_SHARED)) == VM_WRITE
    if flags & VM_LOCKONFAULT:
        return 0
    if refuses(m, flags, write, flags & (VM_READ | VM_WRITE | VM_EXEC)):
        return -EFAULT
    return faultin_vma(m, pid, vma, start, end, write, 0)


cdef int populate_range(machine_t *m, uint32_t pid, uint64_t start, uint64_t end, int ignore) noexcept nogil:
    """__mm_populate: holes and devices are passed over. ignore: so are vmas that fail, from where they do."""
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint32_t prev = 0
    cdef uint32_t vma
    cdef uint64_t stop
    cdef int err
    while start < end:
        vma = find_vma_prev(m, mm, start, &prev)
        if vma == 0 or m.vmas[vma].start >= end:
            break
        stop = m.vmas[vma].end if m.vmas[vma].end < end else end
        if m.vmas[vma].start > start:
            start = m.vmas[vma].start
        if not m.vmas[vma].flags & (VM_IO | VM_PFNMAP):
            err = populate_vma(m, pid, vma, start, stop)
            if m.host_error != 0 or m.tasks[pid].state != TASK_ALIVE:
                return -ENOMEM
            if err < 0 and not ignore:
                return err
        start = stop
    return 0


cdef void mm_populate_6(machine_t *m, uint32_t pid, uint64_t start, uint64_t end) noexcept nogil:
    populate_range(m, pid, start, end, 1)


cdef int mlock_populate(machine_t *m, uint32_t pid, uint64_t start, uint64_t end) noexcept nogil:
    return populate_range(m, pid, start, end, 0)


cdef int populate_advised(machine_t *m, uint32_t vma, uint64_t start, uint64_t *end, int write) noexcept nogil:
    if refuses(m, m.vmas[vma].flags, write, 0):
        return -EINVAL
    return faultin_vma(m, m.mms[m.vmas[vma].mm].task, vma, start, end[0], write, 1)


cdef int madvise_populate(machine_t *m, uint32_t pid, uint64_t start, uint64_t end, int write) noexcept nogil:
    return walk_vmas(m, m.tasks[pid].mm, start, end, HOLES_END, populate_advised, write)
