# Reclaim of 2.4: one active and one inactive list, passes instead of priorities, swap_out for what is mapped.
# mm/vmscan.c of 2.4.27; fact sheet linux-2004 2.1, 7.2.
from vmcore._fast.records cimport reclaim_ops

cdef const reclaim_ops *v2_4_ops() noexcept nogil
