# Stack growth of 6.18. mm/vma.c; fact sheet linux-modern 6.9.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef int expand_stack_6(machine_t *m, uint32_t vma, uint64_t addr) noexcept nogil
