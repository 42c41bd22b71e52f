# Verification of the simulated kernel's own objects, the ledger, the commit charge.
from vmcore._fast.check_base cimport check_t

# Slabs of every cache; adds their frames to the census.
cdef int check_slabs(check_t *c) noexcept nogil
# The ledger against the frames found, vm_committed_space against the vmas and shmem objects.
cdef int check_sums(check_t *c) noexcept nogil
