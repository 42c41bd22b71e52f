# copy_page_range of mm/memory.c 2.6.5: the ptes of one vma for the child of a fork. Fact sheet linux-2004 6.11.
from libc.stdint cimport uint32_t
from vmcore._fast.records cimport machine_t

# Copy every pte of the parent's vma (in mm pmm) to the child's vma (in mm cmm), which is linked and covers the same
# addresses. Private writable pages become write-protected on both sides. Safe point at each leaf table. 0, or -ENOMEM
# with what was copied in place.
cdef int copy_page_range(machine_t *m, uint32_t cmm, uint32_t pmm, uint32_t child, uint32_t parent) noexcept nogil
