# Interval tree: a red-black tree of closed ranges by their start, each node with the greatest end in its subtree.
# lib/interval_tree.c of 3.7 and later, by include/linux/interval_tree_generic.h; fact sheets linux-2004 3.4 and
# linux-modern 2.1, 2.2.
#
# Which ranges overlap [a, b]? First O(log n), each next one O(log n) at most and O(1) mostly, in ascending order of
# start (equal starts in the order of insertion). Insert and remove O(log n). Equal ranges are nodes of their own.
#
#   root -> (4,9)^9                 (first,last)^greatest last below
#          /       \
#     (1,12)^12   (7,8)^20          a stab at 10: 10 <= 12, left: (1,12) overlaps; back up, 10 <= 9 fails for the root;
#                     \             10 <= 20, right: 7 <= 10 but 10 > 8; right: first 15 > 10, done
#                   (15,20)^20
#
# Queries are inline: the caller fills a view with constants and the compiler specialises them (ranges.pxd). `visited`
# counts the nodes that a query enters on its way down; a climb back up enters none anew.
from libc.stdint cimport uint32_t, uint64_t, int64_t
from vmcore._fast.ranges cimport range_first, range_last, range_view
from vmcore._fast.rbtree cimport rb_left, rb_parent, rb_right, rb_value, rb_view

cdef struct it_view:
    rb_view rb          # comes first: the augmentation finds the view by it
    range_view range

# Fill the rb part. Node words parent, left, right at `off`; u64 for the greatest last at `value`.
cdef void it_init(it_view *v, void *base, uint64_t stride, uint64_t off, uint64_t value) noexcept nogil

# *leftmost: the first node, kept beside the root so that a query that ends before it costs nothing; may be NULL.
# Inserts return the nodes compared on the way down.
cdef uint64_t it_insert(it_view *v, uint32_t *root, uint32_t *leftmost, uint32_t node) noexcept nogil
# node's start equals prev's (fork): right behind it, without a search.
cdef uint64_t it_insert_after(it_view *v, uint32_t *root, uint32_t *leftmost, uint32_t node,
                              uint32_t prev) noexcept nogil
cdef void it_remove(it_view *v, uint32_t *root, uint32_t *leftmost, uint32_t node) noexcept nogil
# The structure, order and augmentation; indexes from `limit` on are no records. Nodes, or -1 and *bad.
cdef int64_t it_check(it_view *v, uint32_t root, uint32_t leftmost, uint64_t limit, uint32_t *bad) noexcept nogil

cdef inline uint32_t it_search(const it_view *v, uint32_t node, uint64_t a, uint64_t b,
                               uint64_t *visited) noexcept nogil:
    """Leftmost overlap below node. Invariant: a <= greatest last below node, so if something on the left ends late
    enough, the answer is there or nowhere: what starts further right starts later still."""
    cdef uint32_t child
    cdef uint64_t n = 0
    while True:
        n += 1
        child = rb_left(&v.rb, node)
        if child != 0 and a <= rb_value(&v.rb, child)[0]:
            node = child
            continue
        if range_first(&v.range, node) > b:
            node = 0
            break
        if a <= range_last(&v.range, node):
            break
        child = rb_right(&v.rb, node)
        if child == 0 or a > rb_value(&v.rb, child)[0]:
            node = 0
            break
        node = child
    visited[0] += n
    return node

cdef inline uint32_t it_first(const it_view *v, uint32_t root, uint32_t leftmost, uint64_t a, uint64_t b,
                              uint64_t *visited) noexcept nogil:
    """The first range that overlaps [a, b], 0 if none does. leftmost: 0 if it is not kept."""
    if root == 0 or a > rb_value(&v.rb, root)[0] or (leftmost != 0 and b < range_first(&v.range, leftmost)):
        return 0
    return it_search(v, root, a, b, visited)

cdef inline uint32_t it_next(const it_view *v, uint32_t node, uint64_t a, uint64_t b, uint64_t *visited) noexcept nogil:
    """The overlap after `node`, which is one."""
    cdef uint32_t child = rb_right(&v.rb, node)
    while True:
        if child != 0 and a <= rb_value(&v.rb, child)[0]:
            return it_search(v, child, a, b, visited)
        # up, until out of a left subtree
        while True:
            child = node
            node = rb_parent(&v.rb, node)
            if node == 0:
                return 0
            if rb_right(&v.rb, node) != child:
                break
        if range_first(&v.range, node) > b:
            return 0
        if a <= range_last(&v.range, node):
            return node
        child = rb_right(&v.rb, node)
