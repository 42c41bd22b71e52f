# mremap of 6.18. mm/mremap.c; fact sheet linux-modern 6.8.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef int64_t do_mremap_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t old_len, uint64_t new_len, uint32_t flags,
                         uint64_t new_addr) noexcept nogil
