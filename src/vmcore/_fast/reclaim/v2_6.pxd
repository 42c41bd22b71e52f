# Reclaim of 2.6.5: active and inactive list a zone, refill by distress and mapped ratio. mm/vmscan.c; fact sheet
# linux-2004 7.3 to 7.5.
from vmcore._fast.records cimport machine_t, reclaim_ops

cdef const reclaim_ops *v2_6_ops() noexcept nogil
