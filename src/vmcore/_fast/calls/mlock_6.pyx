"""mlock, mlock2, munlock, mlockall, munlockall of 6.18.

Source: mm/mlock.c of 6.18, asked of 6.18.44; fact sheet linux-modern 6.9. Whoever has CAP_IPC_LOCK has no limit;
others may lock up to RLIMIT_MEMLOCK, and nothing (EPERM) if that is 0. A range that is locked in part is counted once,
but only when it would not fit otherwise. Then the flags are set, vma by vma, up to a hole, which is ENOMEM; that a vma
cannot be split is ENOMEM too. After all that the pages are faulted in, without mmap_sem, and what is met there leaves
the locks as they are: ENOMEM where a page must not be had (PROT_NONE, a guard marker, beyond the end of a file),
EAGAIN without memory.

Vmas are split at the borders and merge back when the flags are equal again. Locked pages stay on the LRU lists here:
reclaim finds them each time, and the reverse map refuses.
"""
from libc.errno cimport EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.calls.limits_6 cimport can_do_mlock, rlimit_pages
from vmcore._fast.calls.mlocked_6 cimport munlock_pages
from vmcore._fast.calls.modify_6 cimport vma_modify_flags
from vmcore._fast.calls.populate_6 cimport mlock_populate, mm_populate_6
from vmcore._fast.locks cimport down_mmap_sem, up_mmap_sem
from vmcore._fast.mlock cimport MCL_CURRENT, MCL_FUTURE
from vmcore._fast.mmap cimport page_align
from vmcore._fast.pool cimport safe_point
from vmcore._fast.records cimport (
    CAP_IPC_LOCK, PAGE_MASK_LOW, PAGE_SHIFT, RLIM_MEMLOCK, VM_DONTEXPAND, VM_DROPPABLE, VM_HUGETLB, VM_IO, VM_LOCKED,
    VM_LOCKONFAULT, VM_MIXEDMAP, VM_PFNMAP, machine_t, mm_t, task_t)
from vmcore._fast.vma cimport HOLES_END, find_vma_prev, walk_vmas

cdef enum:
    MLOCK_ONFAULT = 1
    MCL_ONFAULT = 4
    LOCK_MASK = VM_LOCKED | VM_LOCKONFAULT
    # these are neither locked nor counted
    UNFIT = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP | VM_HUGETLB | VM_DROPPABLE
    VMAS_SAFE = 1024        # vmas between safe points


# ---------------------------------------------------------------- limits

cdef inline uint64_t lock_limit(machine_t *m, uint32_t pid) noexcept nogil:
    """Pages."""
    if m.tasks[pid].caps & CAP_IPC_LOCK:
        return ~<uint64_t>0
    return rlimit_pages(m, pid, RLIM_MEMLOCK)


cdef uint64_t locked_pages(machine_t *m, uint32_t mm, uint64_t start, uint64_t end) noexcept nogil:
    """Of [start, end); of all from start on if the range goes around."""
    cdef uint32_t prev = 0
    cdef uint32_t vma = find_vma_prev(m, mm, start, &prev)
    cdef uint64_t n = 0
    cdef uint64_t lo, hi
    if end < start:
        end = ~<uint64_t>0
    while vma != 0 and m.vmas[vma].start < end:
        if m.vmas[vma].flags & VM_LOCKED:
            lo = m.vmas[vma].start if m.vmas[vma].start > start else start
            hi = m.vmas[vma].end if m.vmas[vma].end < end else end
            n += (hi - lo) >> PAGE_SHIFT
        vma = m.vmas[vma].next
    return n


# ---------------------------------------------------------------- flags

cdef int mlock_fixup(machine_t *m, uint32_t vma, uint64_t start, uint64_t *end, int flags) noexcept nogil:
    """[start, *end) of vma gets these of LOCK_MASK. *end moves up to the end of the vma that has the range now."""
    cdef uint32_t old = m.vmas[vma].flags
    cdef uint32_t new = (old & ~<uint32_t>LOCK_MASK) | <uint32_t>flags
    cdef mm_t *p = &m.mms[m.vmas[vma].mm]
    cdef uint64_t pages = (end[0] - start) >> PAGE_SHIFT
    if new == old or old & UNFIT:
        return 0
    vma = vma_modify_flags(m, vma, start, end[0], new)
    if vma == 0:
        return -ENOMEM
    if m.vmas[vma].end > end[0]:
        end[0] = m.vmas[vma].end
    if new & VM_LOCKED and not old & VM_LOCKED:
        p.locked_vm += pages
    elif old & VM_LOCKED and not new & VM_LOCKED:
        p.locked_vm -= pages
        munlock_pages(m, vma, start, start + (pages << PAGE_SHIFT))
    return 0


cdef int apply_lock_flags(machine_t *m, uint32_t pid, uint64_t start, uint64_t end, uint32_t flags) noexcept nogil:
    if end < start:
        return -EINVAL
    return walk_vmas(m, m.tasks[pid].mm, start, end, HOLES_END, mlock_fixup, <int>flags)


# ---------------------------------------------------------------- mlock, munlock

cdef int do_mlock2_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t flags) noexcept nogil:
    cdef task_t *t = &m.tasks[pid]
    cdef uint64_t limit = lock_limit(m, pid)
    cdef uint64_t pages
    cdef int err = -ENOMEM
    if flags & ~<uint32_t>MLOCK_ONFAULT:
        return -EINVAL
    if not can_do_mlock(m, pid):
        return -EPERM
    length = page_align(length + (addr & PAGE_MASK_LOW))
    addr &= ~<uint64_t>PAGE_MASK_LOW
    down_mmap_sem(m, t.mm)
    pages = (length >> PAGE_SHIFT) + m.mms[t.mm].locked_vm
    if pages > limit:
        pages -= locked_pages(m, t.mm, addr, addr + length)
    if pages <= limit:
        err = apply_lock_flags(m, pid, addr, addr + length,
                               LOCK_MASK if flags & MLOCK_ONFAULT else <uint32_t>VM_LOCKED)
    up_mmap_sem(m, t.mm)
    if err == 0:
        err = mlock_populate(m, pid, addr, addr + length)
        if err == -EFAULT:
            return -ENOMEM
        if err == -ENOMEM:
            return -EAGAIN
    return err


cdef int do_mlock_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil:
    return do_mlock2_6(m, pid, addr, length, 0)


cdef int do_munlock_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef int err
    length = page_align(length + (addr & PAGE_MASK_LOW))
    addr &= ~<uint64_t>PAGE_MASK_LOW
    down_mmap_sem(m, mm)
    err = apply_lock_flags(m, pid, addr, addr + length, 0)
    up_mmap_sem(m, mm)
    return err


# ---------------------------------------------------------------- mlockall, munlockall

cdef void apply_to_all(machine_t *m, uint32_t mm, uint32_t flags) noexcept nogil:
    """What a vma refuses is no error of the call."""
    cdef uint64_t addr = 0
    cdef uint64_t walked = 0
    cdef uint32_t prev = 0
    cdef uint32_t vma
    cdef uint64_t stop
    while True:
        vma = find_vma_prev(m, mm, addr, &prev)
        if vma == 0:
            break
        stop = m.vmas[vma].end
        mlock_fixup(m, vma, m.vmas[vma].start, &stop, <int>flags)
        addr = stop
        walked += 1
        if m.host_error != 0 or (walked % <uint64_t>VMAS_SAFE == 0 and safe_point(m) < 0):
            break


cdef void mlock_everything(machine_t *m, uint32_t mm, uint32_t flags) noexcept nogil:
    """apply_mlockall_flags: 0 unlocks all; MCL_FUTURE without MCL_CURRENT leaves what is there."""
    cdef uint32_t lock = LOCK_MASK if flags & MCL_ONFAULT else <uint32_t>VM_LOCKED
    cdef mm_t *p = &m.mms[mm]
    p.def_flags &= ~<uint32_t>LOCK_MASK
    if flags & MCL_FUTURE:
        p.def_flags |= lock
        if not flags & MCL_CURRENT:
            return
    apply_to_all(m, mm, lock if flags & MCL_CURRENT else 0)


cdef int do_mlockall_6(machine_t *m, uint32_t pid, uint32_t flags) noexcept nogil:
    cdef task_t *t = &m.tasks[pid]
    cdef uint64_t limit = lock_limit(m, pid)
    cdef int err = -ENOMEM
    if flags == 0 or flags & ~<uint32_t>(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) or flags == MCL_ONFAULT:
        return -EINVAL
    if not can_do_mlock(m, pid):
        return -EPERM
    down_mmap_sem(m, t.mm)
    if not flags & MCL_CURRENT or m.mms[t.mm].total_vm <= limit:
        mlock_everything(m, t.mm, flags)
        err = 0
    up_mmap_sem(m, t.mm)
    if err == 0 and flags & MCL_CURRENT:
        mm_populate_6(m, pid, 0, m.rules.task_size)
    return err


cdef int do_munlockall_6(machine_t *m, uint32_t pid) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    down_mmap_sem(m, mm)
    mlock_everything(m, mm, 0)
    up_mmap_sem(m, mm)
    return 0
