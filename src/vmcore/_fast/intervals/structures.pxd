# The structures of vmcore.intervals behind one table of functions: the kernel's four over the records of store.pxd, by
# the engine's own tree modules, and the B+ tree (btree.pxd).
from libc.stdint cimport int64_t, uint32_t, uint64_t
from vmcore._fast.intervals.btree_nodes cimport btree_t
from vmcore._fast.intervals.store cimport store_t
from vmcore._fast.prio_tree cimport prio_counts

cdef struct index_t:
    store_t store
    const index_ops *ops
    uint32_t root           # list: oldest
    uint32_t leftmost       # interval tree
    uint32_t bits           # prio_tree
    uint64_t size
    uint64_t visited        # nodes that queries entered
    prio_counts counts      # insert_steps and remove_steps are all structures'
    btree_t btree

cdef struct index_ops:
    # 0, -ENOMEM: nothing happened. For a batch of inserts `reserve` comes first, and -ENOMEM can only be the B+ tree's.
    int (*reserve)(index_t *x, uint64_t n) noexcept nogil
    int (*insert)(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil
    # 1 if there was one
    int (*remove)(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil
    # How many overlap [a, b]; the values of the first `room` of them go to out.
    uint64_t (*query)(index_t *x, uint64_t a, uint64_t b, uint64_t *out, uint64_t room) noexcept nogil
    # All of them, in the structure's order.
    void (*dump)(index_t *x, uint64_t *firsts, uint64_t *lasts, uint64_t *values) noexcept nogil
    uint64_t (*bytes)(index_t *x) noexcept nogil
    int64_t (*check)(index_t *x) noexcept nogil     # intervals in it, or -1: damaged

cdef const index_ops *structure(int which) noexcept nogil

cdef enum:
    LIST = 0
    RBTREE = 1
    PRIO_TREE = 2
    INTERVAL_TREE = 3
    BTREE = 4
