# remap_file_pages. mm/fremap.c of 2.6.5 and 2.6.7; fact sheet linux-2004 4.8, 2.7.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# 0 or a negative errno. flags: MAP_NONBLOCK counts. The caller does not hold mmap_sem.
cdef int do_remap_file_pages(machine_t *m, uint32_t pid, uint64_t start, uint64_t size, uint32_t prot, uint64_t pgoff,
                             int nonblock) noexcept nogil
