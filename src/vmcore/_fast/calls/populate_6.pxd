# Faulting pages in for a call: populate_vma_page_range, __mm_populate and faultin_page_range of mm/gup.c, 6.18.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# mm_populate of a new mapping (MAP_POPULATE, MAP_LOCKED, MCL_FUTURE) and of mlockall: errors are nobody's.
cdef void mm_populate_6(machine_t *m, uint32_t pid, uint64_t start, uint64_t end) noexcept nogil
# The same for mlock: up to the first page that does not come. 0, -EFAULT, -ENOMEM.
cdef int mlock_populate(machine_t *m, uint32_t pid, uint64_t start, uint64_t end) noexcept nogil
# MADV_POPULATE_READ and MADV_POPULATE_WRITE. 0; -ENOMEM (a hole, or no memory), -EINVAL (a vma that does not allow it),
# -EFAULT (beyond the end of a file, a guard marker).
cdef int madvise_populate(machine_t *m, uint32_t pid, uint64_t start, uint64_t end, int write) noexcept nogil
