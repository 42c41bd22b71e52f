"""mlock, munlock, mlockall, munlockall of 2.6.5 and 2.4. mm/mlock.c; fact sheet linux-2004 6.8.

rules.mlock_right, mlock_share: the RHEL3 patch that the thread quotes, which gnupg and cdrecord wanted, and 2.6.9's.
There a user may lock up to RLIMIT_MEMLOCK, and the capability waives the limit (RHEL3: not beyond 90 % of RAM).
disable_cap_mlock, -aa's sysctl, lets everybody do what needs the capability; the limit stays.

Locking needs CAP_IPC_LOCK, whatever RLIMIT_MEMLOCK allows, and the limit binds whoever has the capability; the limit is
looked at first. A call that fails on the way leaves the vmas below locked. Vmas are split at the edges and never merged
back. Locked pages stay on the LRU lists: reclaim finds them there each time, and its reverse map refuses.
"""
from libc.errno cimport EAGAIN, EINVAL, ENOMEM, EPERM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.fault cimport make_pages_present
from vmcore._fast.locks cimport down_mmap_sem, up_mmap_sem
from vmcore._fast.pool cimport safe_point
from vmcore._fast.records cimport (
    CAP_IPC_LOCK, PAGE_MASK_LOW, PAGE_SHIFT, RLIM_MEMLOCK, VM_LOCKED, machine_t, mm_t, vma_t)
from vmcore._fast.vma cimport find_vma, split_vma

cdef enum:
    WALK_STRETCH = 4096     # vmas between safe points


cdef int mlock_fixup(machine_t *m, uint32_t pid, uint32_t vma, uint64_t start, uint64_t end, int on) noexcept nogil:
    """[start, end) of vma becomes locked or unlocked. Returns what the faults meet, but the pages count as locked."""
    cdef vma_t *v = &m.vmas[vma]
    cdef mm_t *p = &m.mms[v.mm]
    cdef uint64_t pages = (end - start) >> PAGE_SHIFT
    cdef int err
    if ((v.flags & VM_LOCKED) != 0) == on:
        return 0
    if start != v.start and split_vma(m, vma, start, 1) == 0:
        return -EAGAIN
    if end != v.end and split_vma(m, vma, end, 0) == 0:
        return -EAGAIN
    v.flags ^= VM_LOCKED
    if not on:
        p.locked_vm -= pages
        return 0
    p.locked_vm += pages
    err = make_pages_present(m, pid, start, end)
    return err if not m.rules.mlock_half or m.host_error != 0 else 0


cdef inline int can_lock(machine_t *m, uint32_t pid) noexcept nogil:
    return (m.tasks[pid].caps & CAP_IPC_LOCK or m.disable_cap_mlock
            or (m.rules.mlock_right != MLOCK_CAP and m.tasks[pid].rlim[<int>RLIM_MEMLOCK] != 0))


cdef int mlock_range(machine_t *m, uint32_t pid, uint64_t start, uint64_t length, int on) noexcept nogil:
    cdef uint64_t end = start + length
    cdef uint64_t stop
    cdef uint64_t walked = 0
    cdef uint32_t vma, next
    cdef int err
    if on and not can_lock(m, pid):
        return -EPERM
    # the word of the simulated machine wraps
    if end < start or (m.rules.word_size == 4 and end >> 32 != 0):
        return -EINVAL
    if end == start:
        return 0
    vma = find_vma(m, m.tasks[pid].mm, start)
    while True:
        if vma == 0 or m.vmas[vma].start > start:
            return -ENOMEM
        # here vma.start <= start < vma.end
        stop = m.vmas[vma].end
        if stop >= end:
            return mlock_fixup(m, pid, vma, start, end, on)
        next = m.vmas[vma].next
        err = mlock_fixup(m, pid, vma, start, stop, on)
        if err < 0:
            return err
        start = stop
        vma = next
        walked += 1
        if walked % WALK_STRETCH == 0 and safe_point(m) < 0:
            return -ENOMEM


cdef inline int may_lock(machine_t *m, uint32_t pid, uint64_t pages) noexcept nogil:
    """The limit binds root too, until it is one for users; 2.4 locks no more than half of RAM besides, RHEL3 no more
    than its share."""
    if (pages > m.tasks[pid].rlim[<int>RLIM_MEMLOCK] >> PAGE_SHIFT
            and (m.rules.mlock_right == MLOCK_CAP or (m.tasks[pid].caps & CAP_IPC_LOCK) == 0)):
        return 0
    if m.rules.mlock_share != 0 and pages > m.nr_frames * m.rules.mlock_share // 100:
        return 0
    return not m.rules.mlock_half or pages <= m.nr_frames // 2


cdef int do_mlock(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, int on) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t pages
    cdef int err = -ENOMEM
    if on and m.rules.mlock_right != MLOCK_CAP and not can_lock(m, pid):
        return -EPERM
    down_mmap_sem(m, mm)
    length = (length + (addr & PAGE_MASK_LOW) + PAGE_MASK_LOW) & ~<uint64_t>PAGE_MASK_LOW
    addr &= ~<uint64_t>PAGE_MASK_LOW
    pages = (length >> PAGE_SHIFT) + m.mms[mm].locked_vm
    if not on or may_lock(m, pid, pages):
        err = mlock_range(m, pid, addr, length, on != 0)
    up_mmap_sem(m, mm)
    return err


cdef int mlock_everything(machine_t *m, uint32_t pid, uint32_t flags) noexcept nogil:
    """flags 0 unlocks; MCL_FUTURE alone also unlocks what is there, before 2.6.9."""
    cdef mm_t *p = &m.mms[m.tasks[pid].mm]
    cdef uint32_t vma
    cdef uint64_t walked = 0
    # who may lock by the limit may unlock without any right
    if not can_lock(m, pid) and (flags != 0 or m.rules.mlock_right == MLOCK_CAP):
        return -EPERM
    p.def_flags = VM_LOCKED if flags & MCL_FUTURE else 0
    if flags == MCL_FUTURE and m.rules.mlock_right == MLOCK_LIMIT_2_6_9:
        return 0
    vma = p.mmap
    while vma != 0:
        # what a vma's faults meet (PROT_NONE, a device) is no error of the call
        mlock_fixup(m, pid, vma, m.vmas[vma].start, m.vmas[vma].end, (flags & MCL_CURRENT) != 0)
        if m.host_error != 0:
            return -ENOMEM
        vma = m.vmas[vma].next
        walked += 1
        if walked % WALK_STRETCH == 0 and safe_point(m) < 0:
            return -ENOMEM
    return 0


cdef int do_mlockall(machine_t *m, uint32_t pid, uint32_t flags) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef int err = -ENOMEM
    if flags == 0 or (flags & ~<uint32_t>(MCL_CURRENT | MCL_FUTURE)) != 0:
        return -EINVAL
    if m.rules.mlock_right != MLOCK_CAP and not can_lock(m, pid):
        return -EPERM
    down_mmap_sem(m, mm)
    if (may_lock(m, pid, m.mms[mm].total_vm)
            or (flags & MCL_CURRENT == 0 and m.rules.mlock_right == MLOCK_LIMIT_2_6_9)):
        err = mlock_everything(m, pid, flags)
    up_mmap_sem(m, mm)
    return err


cdef int do_munlockall(machine_t *m, uint32_t pid) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef int err
    down_mmap_sem(m, mm)
    err = mlock_everything(m, pid, 0)
    up_mmap_sem(m, mm)
    return err
