# Taking pages out of page tables. zap_pte_range of mm/memory.c 2.6.5; fact sheet linux-2004 6.9.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    # zap_how: what goes
    ZAP_ALL = 0             # everything: munmap, exit
    ZAP_PAGES = 1           # all but guard markers: MADV_DONTNEED, truncate
    ZAP_FILE = 2            # pages of files: a punched hole

# Every pte of [start, end) of vma becomes none: pages released (rmap, rss, dirty and young passed on), swap slots
# freed.
cdef void zap_page_range(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil
# The same for what `how` (ZAP_*) says.
cdef void zap_range(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, int how) noexcept nogil
# All mappings of file pages [first, last] (in every mm) are zapped; private copies too (2.6.5). i_mmap query. Ends
# early if interrupted? No: completes.
cdef void unmap_mapping_range(machine_t *m, uint32_t file, uint64_t first, uint64_t last) noexcept nogil
cdef void unmap_mapping_pages(machine_t *m, uint32_t file, uint64_t first, uint64_t last, int how) noexcept nogil
