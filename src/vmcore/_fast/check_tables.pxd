# Verification of page tables: one pass over all of them.
from vmcore._fast.check_base cimport check_t

# Leaves the census (ptes per frame, CENSUS_WRITABLE) in c.census, the swap ptes in c.slots, sums in c.
cdef int check_tables(check_t *c) noexcept nogil
