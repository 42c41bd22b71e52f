# Swap areas and their slots. mm/swapfile.c of 2.6.5; fact sheet linux-2004 8.1.
#
# A global slot is area.base + offset. swap_slots[slot].map = swap ptes + tmpfs vector uses + 1 if the page is in the
# swap cache. Three bitmaps follow the map: free slots by 64 (swap_words), words with a free slot (swap_any), words
# wholly free (swap_full).
from libc.stdint cimport uint32_t, uint64_t, int32_t
from vmcore._fast.records cimport machine_t, SWP_TYPE_SHIFT, SWP_OFFSET_MASK

cdef inline uint64_t swp_slot(machine_t *m, uint32_t entry) noexcept nogil:
    """Global slot number of a swap entry."""
    return m.swap[entry >> SWP_TYPE_SHIFT].base + (entry & SWP_OFFSET_MASK)

cdef inline int vm_swap_full(machine_t *m) noexcept nogil:
    return m.nr_swap_pages * 2 < m.total_swap_pages

# ---- areas: swapon returns the type (0..31) or -EPERM (no free area number), -EINVAL (< 2 slots, too many for the
#   pte), -ENOMEM (host).
# prio < 0: next of -1, -2, ...
cdef int swapon(machine_t *m, uint64_t pages, int32_t prio) noexcept nogil

# ---- slots
cdef uint32_t get_swap_page(machine_t *m) noexcept nogil                     # entry with map 1; 0 = none free
cdef int swap_duplicate(machine_t *m, uint32_t entry) noexcept nogil         # 1, or 0 if the slot is free or bad
cdef void swap_free(machine_t *m, uint32_t entry) noexcept nogil
