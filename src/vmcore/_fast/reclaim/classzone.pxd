# Allocation of 2.4: zones by class, and reclaim by whoever finds too little.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# What direct reclaim does for a class: 1 if it freed 32 pages, 0 if not. Set by v2_4 (imports go down).
ctypedef int (*free_pages_fn)(machine_t *m, int classzone, uint32_t gfp) noexcept nogil

# The class of an allocation: the highest zone that it may use and that exists.
cdef int classzone_of(machine_t *m, uint32_t gfp) noexcept nogil
# Some zone of the class has more than its high mark for this class: kswapd is content.
cdef int classzone_balanced(machine_t *m, int classzone) noexcept nogil
cdef uint32_t classzone_alloc(machine_t *m, uint32_t gfp, uint32_t order, free_pages_fn balance) noexcept nogil
