# The table of the calls of 2004. See calls.pxd.
from vmcore._fast.records cimport mm_calls

cdef const mm_calls *v2_6_ops() noexcept nogil
