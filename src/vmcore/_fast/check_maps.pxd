# Verification of address spaces: tasks, mms, vmas, and the objects that vmas hang on.
from libc.stdint cimport uint64_t
from vmcore._fast.check_base cimport check_t
from vmcore._fast.records cimport machine_t

# Pools and their free lists. Uses the census as a bitmap and leaves it zero.
cdef int check_pools(check_t *c) noexcept nogil
# Tasks, mms, the ring of mms, the vmas of each mm: list, tree, sums.
cdef int check_spaces(check_t *c) noexcept nogil
# i_mmap lists of the files and lists of the anon_vmas against the vmas. Uses the census as a bitmap and leaves it zero.
cdef int check_objects(check_t *c) noexcept nogil
# Is this mm in use?
cdef int mm_is_live(machine_t *m, uint64_t mm) noexcept nogil
