# Verification of the page cache, swap areas and swap cache.
from vmcore._fast.check_base cimport check_t

# Trees of the files: pages, swap entries; adds owners to the census and uses to c.slots.
cdef int check_files(check_t *c) noexcept nogil
# Swap areas, swap map, swap cache.
cdef int check_swap(check_t *c) noexcept nogil
