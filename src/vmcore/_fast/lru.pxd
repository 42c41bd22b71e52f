# The LRU lists, exactly in the kernel's order, and the page states around them. mm/swap.c of 2.6.5; fact sheet
# linux-2004 7.1.
#
# A list is a deque of chunks of LRU_SLOTS frame numbers. Head = newest, tail = next victim. A frame on a list has
# PG_LRU and knows its place (frame.lru = chunk << LRU_SLOT_BITS | slot). Removal leaves LRU_TOMB; an empty chunk is
# freed; a list less than half alive is compacted. Which list: its zone's lruvec (2.4 has one for all zones: number 0),
# LRU_ACTIVE if PG_ACTIVE else LRU_INACTIVE. Where an argument is called zone it is the number of the lruvec.
#
# A page waiting in a pagevec (16 a vector) has one more reference and is not yet PG_LRU.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# ---- raw lists (the caller keeps PG_ACTIVE right; PG_LRU is set and cleared here)
cdef void lru_add_head(machine_t *m, uint32_t pfn, int list) noexcept nogil
cdef void lru_add_tail(machine_t *m, uint32_t pfn, int list) noexcept nogil
cdef void lru_del(machine_t *m, uint32_t pfn) noexcept nogil
# Take up to n frames from the tail (oldest first) into out: PG_LRU cleared, one reference each. Returns how many.
# Frames whose count is 0 (being freed) cannot occur here.
cdef uint32_t lru_isolate(machine_t *m, int zone, int list, uint32_t n, uint32_t *out) noexcept nogil
# Give isolated frames of one zone back to the head of a list, in order, and drop lru_isolate's reference; PG_ACTIVE is
# the caller's.
cdef void lru_putback(machine_t *m, int zone, int list, const uint32_t *pfn, uint32_t n) noexcept nogil
# The next n frames that lru_isolate would return, without taking them (for prefetching).
cdef uint32_t lru_peek(machine_t *m, int zone, int list, uint32_t n, uint32_t *out) noexcept nogil
cdef uint64_t lru_nr(machine_t *m, int zone, int list) noexcept nogil
# Of one zone, also where the lists are global.
cdef uint64_t zone_lru_nr(machine_t *m, int zone, int list) noexcept nogil
# The oldest frame of a list, which stays there (2.4 takes no batches: it rotates pages in place); 0 = empty.
cdef uint32_t lru_tail(machine_t *m, int lruvec, int list) noexcept nogil

# ---- pages
cdef void lru_cache_add(machine_t *m, uint32_t pfn) noexcept nogil           # to inactive, through a pagevec
cdef void lru_cache_add_active(machine_t *m, uint32_t pfn) noexcept nogil
cdef void lru_add_drain(machine_t *m) noexcept nogil
cdef void activate_page(machine_t *m, uint32_t pfn) noexcept nogil
cdef void mark_page_accessed(machine_t *m, uint32_t pfn) noexcept nogil
cdef void rotate_reclaimable_page(machine_t *m, uint32_t pfn) noexcept nogil
# Drop one reference; a page with none left leaves its list and is freed (hot).
cdef void put_page(machine_t *m, uint32_t pfn) noexcept nogil
# A page whose count just became 0: off the lru, freed. cold as in free_hot_cold_page.
cdef void page_free_now(machine_t *m, uint32_t pfn, int cold) noexcept nogil
