# What becomes of one page at the tail of the inactive list: shrink_list of mm/vmscan.c, 2.6.5 and 2.6.7, for a page.
# Fact sheet linux-2004 7.4.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    KEEP = 0                # leave on its list, unlocked
    KEEP_LOCKED = 1         # the same, unlock first
    ACTIVATE = 2            # locked: to the active list
    FREED = 3

cdef struct scan_control:
    uint32_t gfp
    int priority
    int now                 # young pages too, and dirty ones of regular files are not written (MADV_PAGEOUT)
    uint64_t scanned        # pages looked at, with the extra pressure of mapped ones: drives shrink_slab and waiting

# The page is isolated: one reference is the caller's, who gives it back unless the page is FREED.
cdef int shrink_page(machine_t *m, uint32_t pfn, scan_control *sc) noexcept nogil
