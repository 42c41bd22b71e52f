# How reclaim gets at pages in nonlinear vmas where no reverse map leads to them. mm/rmap.c of 2.6.7; fact sheet
# linux-2004 2.7. Shared by every design whose file pages are found through objects.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    # rules.nonlinear_unmap
    NONLINEAR_NEVER = 0         # -aa1: such pages stay, as if they were locked
    NONLINEAR_WHOLE = 1         # -aa of 23 March 2004: every pte of every such vma, at once
    NONLINEAR_CLUSTER = 2       # 2.6.7: clusters of 32 pages, going on where the last scan stopped

# The walk of the index left the page mapped, and its file has nonlinear vmas: take some of their ptes down, whatever
# pages they map. Nothing is said about the page itself, but its mapcount may be 0 afterwards.
cdef void unmap_nonlinear(machine_t *m, uint32_t pfn) noexcept nogil
# Does a linear walk not lead to all ptes of this file page, because its file has nonlinear vmas?
cdef int maybe_nonlinear(machine_t *m, uint32_t pfn) noexcept nogil
