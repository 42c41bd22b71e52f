# The intervals of one dynamic index (vmcore.intervals): records that its structure links, numbered from 1, and a hash
# that finds one by what it is, so that remove need not search the structure.
#
# Memory grows by doubling, and only in store_reserve; records may move then, so nothing keeps a pointer.
from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    MAX_INTERVALS = 0x7FFFFFFE        # a red-black parent has 31 bits

cdef struct interval_t:     # 48 bytes
    uint64_t first
    uint64_t last           # closed: the last point that it covers
    uint64_t value
    uint64_t most           # interval tree: greatest last below
    uint32_t parent         # words of a node (rbtree.pxd, prio_tree.pxd); a list has next and prev in left and right.
    uint32_t left           # Free record: free link in parent
    uint32_t right
    uint32_t head

cdef struct store_t:
    interval_t *rec
    uint64_t room           # records, record 0 included
    uint64_t next           # first never used
    uint64_t live
    uint32_t free
    uint32_t *slots         # hash: record, 0 empty, GONE
    uint64_t slot_mask
    uint64_t slots_used     # records and GONE

cdef void store_init(store_t *s) noexcept nogil
cdef void store_free(store_t *s) noexcept nogil
# Room for n more, so that as many store_add cannot fail. 0, -ENOMEM, or -E2BIG beyond MAX_INTERVALS.
cdef int store_reserve(store_t *s, uint64_t n) noexcept nogil
cdef uint32_t store_add(store_t *s, uint64_t first, uint64_t last, uint64_t value) noexcept nogil
# Some record that is equal, 0 if there is none.
cdef uint32_t store_find(store_t *s, uint64_t first, uint64_t last, uint64_t value) noexcept nogil
cdef void store_drop(store_t *s, uint32_t i) noexcept nogil
cdef uint64_t store_bytes(store_t *s) noexcept nogil

# order[0..n): the positions of keys in ascending order, equal keys as they come. scratch: 2 * n u64 and n u32.
cdef void sort_order(const uint64_t *keys, uint64_t n, uint32_t *order, uint64_t *scratch) noexcept nogil
