"""The nodes of a B+ tree: two arrays that grow by doubling. See btree_nodes.pxd."""
from libc.errno cimport E2BIG, ENOMEM
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <stdlib.h>
    static void *vm_aligned(size_t bytes) {
        void *p = NULL;
        return posix_memalign(&p, 64, bytes) == 0 ? p : NULL;
    }
    """
    void *vm_aligned(size_t bytes) noexcept nogil


cdef void btree_init(btree_t *t) noexcept nogil:
    memset(t, 0, sizeof(btree_t))
    t.leaves_next = 1
    t.inners_next = 1


cdef void btree_free(btree_t *t) noexcept nogil:
    free(t.leaves)
    free(t.inners)
    btree_init(t)


cdef void *grown(void *old, uint64_t stride, uint32_t used, uint32_t *room, uint64_t want) noexcept nogil:
    """Room for `want` records; NULL if there is no memory, or no number for them."""
    cdef uint64_t size = 64 if room[0] == 0 else room[0]
    cdef void *new
    while size < want:
        size *= 2
    if size > <uint64_t>0x80000000:
        return NULL
    new = vm_aligned(size * stride)
    if new == NULL:
        return NULL
    if old != NULL:
        memcpy(new, old, used * stride)
        free(old)
    room[0] = <uint32_t>size
    return new


cdef int more_leaves(btree_t *t, uint64_t n) noexcept nogil:
    cdef void *p
    if t.leaves_live + 1 + n > t.leaves_room:
        p = grown(t.leaves, sizeof(leaf_t), t.leaves_next, &t.leaves_room, <uint64_t>t.leaves_next + n)
        if p == NULL:
            return -ENOMEM
        t.leaves = <leaf_t *>p
    return 0


cdef int more_inners(btree_t *t, uint64_t n) noexcept nogil:
    cdef void *p
    if t.inners_live + 1 + n > t.inners_room:
        p = grown(t.inners, sizeof(inner_t), t.inners_next, &t.inners_room, <uint64_t>t.inners_next + n)
        if p == NULL:
            return -ENOMEM
        t.inners = <inner_t *>p
    return 0


cdef int btree_reserve(btree_t *t, uint64_t n) noexcept nogil:
    # split in halves, a leaf holds at least 8 of what is inserted
    if t.size + n > <uint64_t>1 << 33:
        return -E2BIG
    if more_leaves(t, n // FANOUT + 2) < 0 or more_inners(t, n // (FANOUT * FANOUT // 2) + MAX_HEIGHT) < 0:
        return -ENOMEM
    return 0


cdef uint32_t leaf_alloc(btree_t *t) noexcept nogil:
    cdef uint32_t i = t.leaves_free
    if i != 0:
        t.leaves_free = t.leaves[i].free
    else:
        i = t.leaves_next
        t.leaves_next += 1
    t.leaves_live += 1
    t.leaves[i].n = 0
    return i


cdef void leaf_drop(btree_t *t, uint32_t i) noexcept nogil:
    t.leaves[i].free = t.leaves_free
    t.leaves_free = i
    t.leaves_live -= 1


cdef uint32_t inner_alloc(btree_t *t) noexcept nogil:
    cdef uint32_t i = t.inners_free
    if i != 0:
        t.inners_free = t.inners[i].free
    else:
        i = t.inners_next
        t.inners_next += 1
    t.inners_live += 1
    t.inners[i].n = 0
    return i


cdef void inner_drop(btree_t *t, uint32_t i) noexcept nogil:
    t.inners[i].free = t.inners_free
    t.inners_free = i
    t.inners_live -= 1


cdef uint64_t btree_bytes(btree_t *t) noexcept nogil:
    return t.leaves_room * sizeof(leaf_t) + t.inners_room * sizeof(inner_t)
