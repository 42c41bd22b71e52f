# swapoff: try_to_unuse brings every page of an area back. mm/swapfile.c of 2.6.5; fact sheet linux-2004 8.3.
from libc.stdint cimport uint32_t
from vmcore._fast.records cimport machine_t

# 0; -EINVAL (no such active area), -ENOMEM (does not fit: all as before), -EINTR (Ctrl-C: all as before).
cdef int do_swapoff(machine_t *m, uint32_t type) noexcept nogil
