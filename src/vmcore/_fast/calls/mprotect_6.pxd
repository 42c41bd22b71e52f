# mprotect of 6.18. mm/mprotect.c; fact sheet linux-modern 1.11.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef int do_mprotect_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot) noexcept nogil
