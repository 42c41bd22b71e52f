# Whole-state verification: DESIGN section 8, invariants of fact sheet linux-2004 12.
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef struct check_report:
    uint32_t failed         # id of the first check that failed (CHECK_NAMES in check.pyx), 0 = all hold
    uint64_t arg[3]         # objects: see CHECK_NAMES
    uint64_t frames, ptes, present, swap_ptes, tables, vmas, mms, anon_vmas, chain_nodes, lru_pages, cached_pages
    uint64_t slots_used, walked

# Verify everything; walk: also follow the reverse map of that many sampled pages from the page's side.
# scratch arrays are allocated by the caller (engine): u32 per frame (mapcount census) and u16 per slot.
cdef void check_machine(machine_t *m, uint64_t walk, uint32_t *frame_scratch, uint16_t *slot_scratch,
                    check_report *r) noexcept nogil
