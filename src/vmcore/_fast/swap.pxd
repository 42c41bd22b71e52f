# The swap cache and swap I/O. mm/swap_state.c, mm/page_io.c of 2.6.5; fact sheet linux-2004 8.2.
#
# The swap cache is a field of each slot (swap_slots[slot].cache) instead of the kernel's radix tree; the radix nodes it
# would take are counted in the slab ledger. A page in it has PG_SWAPCACHE, priv = entry and one reference. Areas and
# slots are swap_slots.pxd, whose names are found here too.
from libc.stdint cimport uint32_t
from vmcore._fast.records cimport machine_t
from vmcore._fast.swap_slots cimport get_swap_page, swap_duplicate, swap_free, swapon, swp_slot, vm_swap_full

# ---- swap cache
# frame with a reference taken, or 0; counts find_*
cdef uint32_t lookup_swap_cache(machine_t *m, uint32_t entry) noexcept nogil
# locked anonymous page gets a slot; dirty + uptodate; 1, or 0
cdef int add_to_swap(machine_t *m, uint32_t pfn) noexcept nogil
# Move a page between a file's cache and the swap cache (shmem): slot count becomes 2 (cache + vector).
# no count change; takes one reference
cdef void add_to_swap_cache(machine_t *m, uint32_t pfn, uint32_t entry) noexcept nogil
# locked; drops slot use and the cache's reference
cdef void delete_from_swap_cache(machine_t *m, uint32_t pfn) noexcept nogil
# Exclusive tests: locked page; counts as the kernel's (refs + mapcount).
# swap count 1 and page_count - buffers == 2
cdef int exclusive_swap_page(machine_t *m, uint32_t pfn) noexcept nogil
cdef int can_share_swap_page(machine_t *m, uint32_t pfn) noexcept nogil
cdef int remove_exclusive_swap_page(machine_t *m, uint32_t pfn) noexcept nogil
cdef void free_swap_and_cache(machine_t *m, uint32_t entry) noexcept nogil
# remove_exclusive if possible, then put_page
cdef void free_page_and_swap_cache(machine_t *m, uint32_t pfn) noexcept nogil
# The page of an entry, in the swap cache, uptodate, one reference taken; reads it if it is not there. 0: slot free or
# no memory.
cdef uint32_t read_swap_cache_async(machine_t *m, uint32_t entry) noexcept nogil
cdef void swapin_readahead(machine_t *m, uint32_t entry) noexcept nogil
# Write a locked swap-cache page whose PG_DIRTY the caller cleared: PG_WRITEBACK, unlocked. 0.
cdef int swap_writepage(machine_t *m, uint32_t pfn) noexcept nogil
# The write of a page (swap or file) ended: clear PG_WRITEBACK, rotate if PG_RECLAIM, drop its reference.
cdef void end_page_writeback(machine_t *m, uint32_t pfn) noexcept nogil
