# The nodes of a B+ tree of intervals (btree.pxd says what is in them): leaves and inner nodes apart, as u32 indices
# from 1 into two arrays that grow by doubling, and may move then.
from libc.stdint cimport uint32_t, uint64_t

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
cdef uint64_t btree_bytes(btree_t *t) noexcept nogil
# Room for n more, so that as many allocations cannot fail. 0, -ENOMEM.
cdef int more_leaves(btree_t *t, uint64_t n) noexcept nogil
cdef int more_inners(btree_t *t, uint64_t n) noexcept nogil
cdef uint32_t leaf_alloc(btree_t *t) noexcept nogil
cdef void leaf_drop(btree_t *t, uint32_t i) noexcept nogil
cdef uint32_t inner_alloc(btree_t *t) noexcept nogil
cdef void inner_drop(btree_t *t, uint32_t i) noexcept nogil
