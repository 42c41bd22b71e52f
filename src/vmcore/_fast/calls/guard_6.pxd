# MADV_GUARD_INSTALL and MADV_GUARD_REMOVE of 6.18.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# [start, end) of vma: whatever is there goes, and a marker comes. 0, -EINVAL, -ENOMEM.
cdef int guard_install(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil
# The markers of [start, end) of vma go. 0, -EINVAL.
cdef int guard_remove(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil
