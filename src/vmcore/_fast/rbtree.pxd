# Red-black tree over u32 indexes: lib/rbtree.c of 2.6.5 in behaviour. Nodes are three u32 inside a packed record:
# parent << 1 | black, left, right. A view names where they are.
from libc.stdint cimport uint32_t, uint64_t, int64_t

cdef struct rb_view:
    char *base          # pool base
    uint64_t stride
    uint64_t off        # offset of the parent field; left at off + 4, right at off + 8

cdef inline uint32_t *rb_node(rb_view *v, uint32_t i) noexcept nogil:
    return <uint32_t *>(v.base + i * v.stride + v.off)

# Link `node` as the left (0) or right (1) child of parent (0: as root) and rebalance. *root is updated.
cdef void rb_insert(rb_view *v, uint32_t *root, uint32_t node, uint32_t parent, int right) noexcept nogil
cdef void rb_erase(rb_view *v, uint32_t *root, uint32_t node) noexcept nogil
cdef uint32_t rb_first(rb_view *v, uint32_t root) noexcept nogil
cdef uint32_t rb_next(rb_view *v, uint32_t node) noexcept nogil
cdef uint32_t rb_prev(rb_view *v, uint32_t node) noexcept nogil
# Verify order-independent properties: root black, no red child of a red node, equal black heights, parent links.
# Returns the number of nodes, or -1 with the offending node in *bad.
cdef int64_t rb_check(rb_view *v, uint32_t root, uint32_t *bad) noexcept nogil
