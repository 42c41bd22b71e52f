# msync and mincore of 6.18. mm/msync.c, mm/mincore.c.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef int do_msync_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t flags) noexcept nogil
# vec: a byte a page, set only if the call succeeds.
cdef int do_mincore_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint8_t *vec) noexcept nogil
