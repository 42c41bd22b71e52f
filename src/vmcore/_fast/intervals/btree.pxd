# A B+ tree of closed intervals, 16 to a node, with the greatest end below each entry: the fastest structure of
# vmcore.intervals, and no kernel's. Intervals are ordered by (first, last, value); equal ones may be there more than
# once.
#
#   inner:  first[i], last[i], value[i]     the smallest interval below child[i], exactly
#           most[i]                         the greatest last below child[i], exactly
#   leaf:   first[i], last[i], value[i]     the intervals themselves
#
# Which intervals overlap [a, b]? Those below entries with first <= b and most >= a: in a node one pass over two arrays
# of 16 without a branch, so a query costs a few cache lines for each of log16(n) levels. Insert and remove O(log n); a
# node that gets fewer than LEAST entries is joined with its neighbour or takes some of its.
#
# Nodes are u32 indices from 1 into two arrays, leaves and inner nodes apart, which grow by doubling and may move then.
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    FANOUT = 16
    LEAST = 4
    MAX_HEIGHT = 20         # inner levels; 4^20 leaves are more than there can be

cdef struct leaf_t:         # 448 bytes
    uint64_t first[16]
    uint64_t last[16]
    uint64_t value[16]
    uint32_t n
    uint32_t free           # free record: link
    uint32_t pad[14]

cdef struct inner_t:        # 640 bytes
    uint64_t first[16]
    uint64_t most[16]
    uint64_t last[16]
    uint64_t value[16]
    uint32_t child[16]
    uint32_t n
    uint32_t free
    uint32_t pad[14]

cdef struct btree_t:
    leaf_t *leaves
    inner_t *inners
    uint32_t leaves_room, leaves_next, leaves_free, leaves_live
    uint32_t inners_room, inners_next, inners_free, inners_live
    uint32_t root           # a leaf if height is 0; 0: empty
    uint32_t height         # inner levels
    uint64_t size

cdef void btree_init(btree_t *t) noexcept nogil
cdef void btree_free(btree_t *t) noexcept nogil
# Nodes for about n more; a hint that saves moves. 0, -ENOMEM, -E2BIG.
cdef int btree_reserve(btree_t *t, uint64_t n) noexcept nogil
# 0, or -ENOMEM and nothing happened. steps: nodes on the way down.
cdef int btree_insert(btree_t *t, uint64_t first, uint64_t last, uint64_t value, uint64_t *steps) noexcept nogil
# 1 if there was one, which is gone, else 0.
cdef int btree_remove(btree_t *t, uint64_t first, uint64_t last, uint64_t value, uint64_t *steps) noexcept nogil
# How many overlap [a, b]; the values of the first `room`, in order, go to out.
cdef uint64_t btree_query(btree_t *t, uint64_t a, uint64_t b, uint64_t *out, uint64_t room,
                          uint64_t *visited) noexcept nogil
cdef void btree_dump(btree_t *t, uint64_t *firsts, uint64_t *lasts, uint64_t *values) noexcept nogil
cdef uint64_t btree_bytes(btree_t *t) noexcept nogil
# Intervals in it, or -1: damaged.
cdef int64_t btree_check(btree_t *t) noexcept nogil
