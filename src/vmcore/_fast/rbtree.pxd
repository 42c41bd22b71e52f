# Red-black tree over u32 indexes: lib/rbtree.c of 2.6.5 in behaviour. Nodes are three u32 inside a packed record:
# parent << 1 | black, left, right. A view names where they are.
#
# An augmented tree keeps one u64 more in each record: what `augment` computes from the node's own key and the values of
# its children (0: no child), such as the greatest end in the subtree. rb_insert and rb_erase keep it right, in as many
# steps as change something.
from libc.stdint cimport uint32_t, uint64_t, int64_t

cdef struct rb_view

ctypedef uint64_t (*rb_augment)(rb_view *v, uint32_t node) noexcept nogil

cdef struct rb_view:
    char *base          # pool base
    uint64_t stride
    uint64_t off        # offset of the parent field; left at off + 4, right at off + 8
    rb_augment augment  # NULL: a plain tree
    uint64_t value      # offset of the u64 that augment is for

cdef inline uint32_t *rb_node(const rb_view *v, uint32_t i) noexcept nogil:
    return <uint32_t *>(v.base + i * v.stride + v.off)

cdef inline uint32_t rb_parent(const rb_view *v, uint32_t i) noexcept nogil:
    return rb_node(v, i)[0] >> 1

cdef inline uint32_t rb_left(const rb_view *v, uint32_t i) noexcept nogil:
    return rb_node(v, i)[1]

cdef inline uint32_t rb_right(const rb_view *v, uint32_t i) noexcept nogil:
    return rb_node(v, i)[2]

cdef inline uint64_t *rb_value(const rb_view *v, uint32_t i) noexcept nogil:
    return <uint64_t *>(v.base + i * v.stride + v.value)

# Link `node` as the left (0) or right (1) child of parent (0: as root) and rebalance. *root is updated.
cdef void rb_insert(rb_view *v, uint32_t *root, uint32_t node, uint32_t parent, int right) noexcept nogil
cdef void rb_erase(rb_view *v, uint32_t *root, uint32_t node) noexcept nogil
cdef uint32_t rb_first(const rb_view *v, uint32_t root) noexcept nogil
cdef uint32_t rb_next(const rb_view *v, uint32_t node) noexcept nogil
cdef uint32_t rb_prev(const rb_view *v, uint32_t node) noexcept nogil
# Verify order-independent properties: root black, no red child of a red node, equal black heights, parent links, the
# augmented values. `limit`: indexes from there on are no records (for a check of what may be damaged).
# Returns the number of nodes, or -1 with the offending node in *bad.
cdef int64_t rb_check(rb_view *v, uint32_t root, uint64_t limit, uint32_t *bad) noexcept nogil
