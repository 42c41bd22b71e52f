# What a change of a vma's rights does to the ptes that are there. change_pte_range of mm/mprotect.c.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# [start, end) of vma, whose flags are the new ones already.
cdef void change_protection(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil
