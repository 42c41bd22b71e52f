# Verification of the reverse map against the census of check_tables.
from libc.stdint cimport uint64_t
from vmcore._fast.check_base cimport check_t

# mapcount of every frame = ptes that map it; nr_mapped; a page that somebody may write privately has one mapper and one
# user.
cdef int check_mapcounts(check_t *c) noexcept nogil
# pte_chain: every chain holds exactly the ptes that map its page, and has the shape of fact sheet linux-2004 2.2.
cdef int check_chains(check_t *c) noexcept nogil
# The reverse map of `n` mapped pages, spread evenly, followed from the page's side.
cdef int check_walk(check_t *c, uint64_t n) noexcept nogil
