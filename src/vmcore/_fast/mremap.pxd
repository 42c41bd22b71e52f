# mremap. mm/mremap.c; fact sheet linux-2004 6.7, 2.4, 2.5, 5.4.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    MREMAP_MAYMOVE = 1
    MREMAP_FIXED = 2

# The new address, or a negative errno. new_addr counts with MREMAP_FIXED only.
cdef int64_t do_mremap(machine_t *m, uint32_t pid, uint64_t addr, uint64_t old_len, uint64_t new_len, uint32_t flags,
                       uint64_t new_addr) noexcept nogil
