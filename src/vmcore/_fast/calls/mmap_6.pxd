# mmap, munmap, brk and remap_file_pages of 6.18. mm/mmap.c, mm/vma.c; fact sheet linux-modern 1.11, 6.9.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef int64_t do_mmap_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot, uint32_t flags,
                       uint32_t file, uint64_t offset) noexcept nogil
cdef int do_munmap_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil
cdef uint64_t do_brk_6(machine_t *m, uint32_t pid, uint64_t brk) noexcept nogil
cdef int do_remap_file_pages_6(machine_t *m, uint32_t pid, uint64_t start, uint64_t size, uint32_t prot, uint64_t pgoff,
                               uint32_t flags) noexcept nogil
# munmap for a caller that holds mmap_sem.
cdef int munmap_range_6(machine_t *m, uint32_t mm, uint64_t start, uint64_t length) noexcept nogil
