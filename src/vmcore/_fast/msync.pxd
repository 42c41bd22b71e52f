# msync of 2.4 and 2.6. mm/msync.c.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    MS_ASYNC = 1
    MS_INVALIDATE = 2
    MS_SYNC = 4

cdef int do_msync(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t flags) noexcept nogil
