# What a task may: limits of address space, data and locked memory, as 6.18 asks for them. mm/vma.c, mm/mlock.c; fact
# sheet linux-modern 6.9.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef inline uint64_t rlimit_pages(machine_t *m, uint32_t pid, int which) noexcept nogil:
    return m.tasks[pid].rlim[which] >> 12

# RLIMIT_AS and RLIMIT_DATA allow so many pages more with these flags. 1 or 0.
cdef int may_expand_vm(machine_t *m, uint32_t pid, uint32_t flags, uint64_t pages) noexcept nogil
# Some memory may be locked at all.
cdef int can_do_mlock(machine_t *m, uint32_t pid) noexcept nogil
# So many pages more may be mapped with these flags: RLIMIT_MEMLOCK, if they say VM_LOCKED.
cdef int mlock_future_ok(machine_t *m, uint32_t pid, uint32_t flags, uint64_t pages) noexcept nogil
