"""What a task may: RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK as 6.18 asks for them.

Source: asked of 6.18.44; mm/vma.c, mm/mlock.c; fact sheet linux-modern 6.9. Limits are compared in whole pages. A soft
RLIMIT_DATA of 0 counts as the hard one (old valgrind sets it so).
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.records cimport (
    CAP_IPC_LOCK, PAGE_SHIFT, RLIM_AS, RLIM_DATA, RLIM_MEMLOCK, VM_LOCKED, machine_t, mm_t, task_t)
from vmcore._fast.vma cimport is_data_mapping


cdef int may_expand_vm(machine_t *m, uint32_t pid, uint32_t flags, uint64_t pages) noexcept nogil:
    cdef task_t *t = &m.tasks[pid]
    cdef mm_t *p = &m.mms[t.mm]
    if p.total_vm + pages > rlimit_pages(m, pid, RLIM_AS):
        return 0
    if not is_data_mapping(flags) or p.data_vm + pages <= rlimit_pages(m, pid, RLIM_DATA):
        return 1
    return t.rlim[<int>RLIM_DATA] == 0 and p.data_vm + pages <= t.rlim_max[<int>RLIM_DATA] >> PAGE_SHIFT


cdef int can_do_mlock(machine_t *m, uint32_t pid) noexcept nogil:
    return m.tasks[pid].rlim[<int>RLIM_MEMLOCK] != 0 or (m.tasks[pid].caps & CAP_IPC_LOCK) != 0


cdef int mlock_future_ok(machine_t *m, uint32_t pid, uint32_t flags, uint64_t pages) noexcept nogil:
    cdef task_t *t = &m.tasks[pid]
    if (flags & VM_LOCKED) == 0 or (t.caps & CAP_IPC_LOCK) != 0:
        return 1
    return m.mms[t.mm].locked_vm + pages <= rlimit_pages(m, pid, RLIM_MEMLOCK)
