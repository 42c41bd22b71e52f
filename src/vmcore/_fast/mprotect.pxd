# mprotect. mm/mprotect.c; fact sheet linux-2004 6.2, 6.6.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef int do_mprotect(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot) noexcept nogil
