# madvise of 6.18. mm/madvise.c; fact sheet linux-modern 6.7.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef int do_madvise_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, int advice) noexcept nogil
