# mlock, munlock, mlockall, munlockall of 2.6.5. mm/mlock.c; fact sheet linux-2004 6.8.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    MCL_CURRENT = 1
    MCL_FUTURE = 2

# Who may lock memory at all: MLOCK_* of rules.mlock_right.
cdef enum:
    MLOCK_CAP = 0           # 2.4, 2.6.5: CAP_IPC_LOCK, and the limit binds whoever has it
    MLOCK_LIMIT = 1         # RHEL3: whoever has the capability, or a limit that is not 0; it waives the limit
    MLOCK_LIMIT_2_6_9 = 2   # the same; and MCL_FUTURE alone touches nothing that is mapped

cdef int do_mlock(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, int on) noexcept nogil
cdef int do_mlockall(machine_t *m, uint32_t pid, uint32_t flags) noexcept nogil
cdef int do_munlockall(machine_t *m, uint32_t pid) noexcept nogil
