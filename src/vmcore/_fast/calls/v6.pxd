# The table of the calls of 6.18. See calls.pxd.
from vmcore._fast.records cimport mm_calls

cdef const mm_calls *v6_ops() noexcept nogil
