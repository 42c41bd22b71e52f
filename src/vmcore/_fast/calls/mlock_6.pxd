# mlock, mlock2, munlock, mlockall, munlockall of 6.18. mm/mlock.c; fact sheet linux-modern 6.9.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef int do_mlock_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil
# flags: MLOCK_ONFAULT
cdef int do_mlock2_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t flags) noexcept nogil
cdef int do_munlock_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil
cdef int do_mlockall_6(machine_t *m, uint32_t pid, uint32_t flags) noexcept nogil
cdef int do_munlockall_6(machine_t *m, uint32_t pid) noexcept nogil
