# swap_out of 2.4: pages are taken out of page tables by walking the tables of one mm after the other.
from libc.stdint cimport uint32_t
from vmcore._fast.records cimport machine_t, frame_t, PG_LOCKED, PG_WRITEBACK

cdef enum:
    SWAP_CLUSTER_MAX = 32

cdef inline int page_busy(const frame_t *f) noexcept nogil:
    """PG_locked as 2.4 has it: also while the page is written."""
    return (f.flags & <uint32_t>(PG_LOCKED | PG_WRITEBACK)) != 0

# Take ptes down until 32 pages of zones up to `classzone` can be freed. 1, or 0 after two visits to every mm.
cdef int swap_out(machine_t *m, int classzone) noexcept nogil
