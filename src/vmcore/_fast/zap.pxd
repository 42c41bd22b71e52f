# Taking pages out of page tables. zap_pte_range of mm/memory.c 2.6.5; fact sheet linux-2004 6.9.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# Every pte of [start, end) of vma becomes none: pages released (rmap, rss, dirty and young passed on), swap slots
# freed.
cdef void zap_page_range(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil
# All mappings of file pages [first, last] (in every mm) are zapped; private copies too (2.6.5). i_mmap query. Ends
# early if interrupted? No: completes.
cdef void unmap_mapping_range(machine_t *m, uint32_t file, uint64_t first, uint64_t last) noexcept nogil
