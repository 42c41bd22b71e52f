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
from libc.stdint cimport int64_t, uint64_t
from vmcore._fast.intervals.btree_nodes cimport btree_t

# 0, or -ENOMEM and nothing happened. steps: nodes on the way down.
cdef int btree_insert(btree_t *t, uint64_t first, uint64_t last, uint64_t value, uint64_t *steps) noexcept nogil
# 1 if there was one, which is gone, else 0.
cdef int btree_remove(btree_t *t, uint64_t first, uint64_t last, uint64_t value, uint64_t *steps) noexcept nogil
# How many overlap [a, b]; the values of the first `room`, in order, go to out.
cdef uint64_t btree_query(btree_t *t, uint64_t a, uint64_t b, uint64_t *out, uint64_t room,
                          uint64_t *visited) noexcept nogil
cdef void btree_dump(btree_t *t, uint64_t *firsts, uint64_t *lasts, uint64_t *values) noexcept nogil
# Intervals in it, or -1: damaged.
cdef int64_t btree_check(btree_t *t) noexcept nogil
