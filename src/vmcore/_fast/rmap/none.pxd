# No reverse map: 2.4, which walks page tables to find pages (reclaim/swap_out).
from vmcore._fast.records cimport rmap_ops

cdef const rmap_ops *none_ops() noexcept nogil
