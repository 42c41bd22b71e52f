# Radix priority search tree over closed ranges [r, h]: mm/prio_tree.c of 2.6.7, by Rajesh Venkatasubramanian, after
# E. M. McCreight, Priority Search Trees (1985); fact sheet linux-2004 3.3.
#
# Which ranges overlap [a, b]? O(log n + answers). The tree is a heap on the end h and a binary trie on the bits of the
# start r, then those of the size h - r, from the highest of index_bits on. So the heap says when all that is left ends
# too early, the trie when it starts too late. It is not balanced: its height is 2 * index_bits at most, and the ranges
# of the vmas of a file lie as they lie.
#
#   index_bits 3:   (0,7)            left: bit 2 of r is 0; right: it is 1; h never grows downwards
#                  /     \
#              (2,7)     (5,6)
#             /    \      /
#          (0,0)  (2,3) (4,4)
#
# McCreight's tree wants ranges to be distinct. Of equal ranges (a library that everybody maps) one is in the tree; the
# others are its set, a circular list with a head that the tree node names:
#
#   parent set, head set    tree node with a set; head = its first member
#   parent set, head 0      tree node alone. The root's parent is itself
#   parent 0,   head set    first member; head = the tree node
#   parent 0,   head 0      another member, or in no tree
#
# The words are parent, left (members: next), right (previous), head. No child is 0.
#
# Enumeration is preorder, after each tree node its whole set. Queries are inline: the caller fills a view with
# constants and the compiler specialises them (ranges.pxd). `visited` counts tree nodes entered and set members.
from libc.stdint cimport uint32_t, uint64_t, int64_t
from vmcore._fast.ranges cimport range_first, range_last, range_view

cdef struct prio_counts:        # events; seven consecutive u64, such as counters of a machine
    uint64_t insert_steps       # nodes that inserts compared on their way down
    uint64_t remove_steps       # nodes on the way to the leaf that goes in place of one
    uint64_t expansions         # index_bits had to grow for a range
    uint64_t roots_moved        # ... and so many old roots went to the left spine
    uint64_t duplicates         # ranges that went into a set
    uint64_t sets_made          # ... of these, as its first member
    uint64_t promotions         # a tree node went, and the head of its set took its place

cdef struct prio_view:
    char *base
    uint64_t stride
    uint64_t off                # of the parent word; left, right, head follow
    prio_counts *counts
    range_view range

cdef struct prio_iter:          # where a query stands
    uint32_t node               # tree node
    uint32_t member             # of its set, the next one to report; 0: none is left
    uint32_t depth              # of the node
    uint32_t bits
    uint64_t first              # asked for
    uint64_t last
    uint64_t value              # smallest r that can be below the node

cdef inline uint32_t *prio_node(const prio_view *v, uint32_t i) noexcept nogil:
    return <uint32_t *>(v.base + i * v.stride + v.off)

# A new range into the tree, or into the set of its equals. 0, or -1 if two different ranges have equal keys: the tree
# is damaged.
cdef int prio_insert(prio_view *v, uint32_t *root, uint32_t *bits, uint32_t node) noexcept nogil
# `node` has the range of `old`, which is in the index: into its set, in O(1). What fork uses.
cdef void prio_add(prio_view *v, uint32_t node, uint32_t old) noexcept nogil
# Out of tree or set. All four words are 0 afterwards.
cdef void prio_remove(prio_view *v, uint32_t *root, uint32_t *bits, uint32_t node) noexcept nogil
# Heap, trie, links and sets; indexes from `limit` on are no records. Returns tree nodes and members together, or -1 and
# *bad. *height: the greatest depth; the root's is 0.
cdef int64_t prio_check(const prio_view *v, uint32_t root, uint32_t bits, uint64_t limit, uint32_t *height,
                        uint32_t *bad) noexcept nogil

cdef inline uint32_t prio_advance(const prio_view *v, prio_iter *it) noexcept nogil:
    """The next tree node in preorder below which something may overlap; 0 at the end."""
    cdef uint32_t node = it.node
    cdef uint32_t *n = prio_node(v, node)
    cdef uint32_t child = n[1]
    cdef uint64_t mask
    if child != 0 and range_last(&v.range, child) >= it.first:
        it.depth += 1
        return child
    while True:
        # down to the right, where r has this bit as well (levels of the size: r is known already)
        child = n[2]
        mask = (<uint64_t>1 << (it.bits - 1 - it.depth)) if it.depth < it.bits else 0
        if child != 0 and it.last >= (it.value | mask) and range_last(&v.range, child) >= it.first:
            it.value |= mask
            it.depth += 1
            return child
        # up, until out of a left subtree
        while True:
            child = node
            node = n[0]
            if node == child:
                return 0
            n = prio_node(v, node)
            it.depth -= 1
            if n[1] == child:
                break
            if it.depth < it.bits:
                it.value &= ~(<uint64_t>1 << (it.bits - 1 - it.depth))

cdef inline uint32_t prio_report(const prio_view *v, prio_iter *it, uint32_t node, uint64_t *visited) noexcept nogil:
    """node, if it overlaps, or the first one after it that does."""
    cdef uint64_t n = 0
    while node != 0:
        n += 1
        it.node = node
        if range_first(&v.range, node) <= it.last:      # that it ends late enough was asked before it was entered
            it.member = prio_node(v, node)[3]
            break
        node = prio_advance(v, it)
    visited[0] += n
    return node

cdef inline uint32_t prio_first(const prio_view *v, uint32_t root, uint32_t bits, uint64_t a, uint64_t b,
                                prio_iter *it, uint64_t *visited) noexcept nogil:
    it.first = a
    it.last = b
    it.depth = 0
    it.bits = bits
    it.value = 0
    it.member = 0
    if root == 0 or range_last(&v.range, root) < a:
        return 0
    return prio_report(v, it, root, visited)

cdef inline uint32_t prio_next(const prio_view *v, prio_iter *it, uint64_t *visited) noexcept nogil:
    """After prio_first or prio_next gave one."""
    cdef uint32_t member = it.member
    if member != 0:
        visited[0] += 1
        it.member = prio_node(v, member)[1]
        if it.member == prio_node(v, it.node)[3]:
            it.member = 0
        return member
    return prio_report(v, it, prio_advance(v, it), visited)
