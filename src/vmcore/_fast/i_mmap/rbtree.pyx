"""The vmas of a file in a red-black tree by (pgoff, length): the thread's plan, taken at its word. Fact sheet
linux-2004 3.2.

The order says when to stop: nothing behind the first vma that starts after the pages asked for covers one of them. It
does not say where to begin, because lengths vary, and a vma that covers the page may start anywhere before it. So a
query walks the tree in order from its first vma, and its cost is the number of vmas that start before the page: half
of them, for a page in the middle of the file. That is what an interval tree's greatest end, or the heap of a
prio_tree, are for.

    start   0  1  1  4  5  8  9        a stab at page 5 looks at the first six: 8 > 5 ends it
            |--|  |--|  |--|  |--|
               |--------------|
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.check_base cimport CHECK_I_MMAP, check_t, fail
from vmcore._fast.counters cimport I_MMAP_INSERT_STEPS, I_MMAP_LOOKUPS, I_MMAP_NODES_VISITED, count
from vmcore._fast.i_mmap.i_mmap cimport i_mmap_inserted, i_mmap_removed, member_ok, members_counted, members_t
from vmcore._fast.rbtree cimport rb_check, rb_erase, rb_first, rb_insert, rb_left, rb_next, rb_right, rb_view
from vmcore._fast.records cimport PAGE_SHIFT, POOL_VMA, i_mmap_iter, i_mmap_ops, machine_t, vma_t

cdef i_mmap_ops OPS


cdef inline void view_of(rb_view *v, machine_t *m) noexcept nogil:
    v.base = <char *>m.vmas
    v.stride = sizeof(vma_t)
    v.off = <uint64_t>(<char *>&m.vmas.shared_parent - <char *>m.vmas)
    v.augment = NULL
    v.value = 0


cdef inline int is_below(vma_t *a, vma_t *b) noexcept nogil:
    """Order of the tree. vmas of equal ranges stand in the order in which they came."""
    if a.pgoff != b.pgoff:
        return a.pgoff < b.pgoff
    return a.end - a.start < b.end - b.start


cdef void rbtree_insert(machine_t *m, uint32_t vma) noexcept nogil:
    cdef rb_view view
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t *root = &m.files[v.file].i_mmap
    cdef uint32_t node = root[0]
    cdef uint32_t parent = 0
    cdef int right = 0
    view_of(&view, m)
    i_mmap_inserted(m, v)
    while node != 0:
        count(m, I_MMAP_INSERT_STEPS)
        parent = node
        right = not is_below(v, &m.vmas[node])
        node = rb_right(&view, node) if right else rb_left(&view, node)
    rb_insert(&view, root, vma, parent, right)


cdef void rbtree_insert_fork(machine_t *m, uint32_t child, uint32_t parent) noexcept nogil:
    rbtree_insert(m, child)


cdef void rbtree_remove(machine_t *m, uint32_t vma) noexcept nogil:
    cdef rb_view view
    cdef vma_t *v = &m.vmas[vma]
    view_of(&view, m)
    i_mmap_removed(m, v)
    rb_erase(&view, &m.files[v.file].i_mmap, vma)


cdef uint32_t rbtree_next(machine_t *m, i_mmap_iter *it) noexcept nogil:
    cdef rb_view view
    cdef uint32_t at = it.node
    cdef vma_t *v
    view_of(&view, m)
    while at != 0:
        v = &m.vmas[at]
        count(m, I_MMAP_NODES_VISITED)
        if v.pgoff > it.last:
            break
        it.node = rb_next(&view, at)
        if v.pgoff + ((v.end - v.start) >> PAGE_SHIFT) > it.first:
            return at
        at = it.node
    it.node = 0
    return 0


cdef uint32_t rbtree_first(machine_t *m, uint32_t file, uint64_t first_pg, uint64_t last_pg,
                           i_mmap_iter *it) noexcept nogil:
    """node: the next vma to look at."""
    cdef rb_view view
    view_of(&view, m)
    count(m, I_MMAP_LOOKUPS)
    it.file = file
    it.first = first_pg
    it.last = last_pg
    it.node = rb_first(&view, m.files[file].i_mmap)
    return rbtree_next(m, it)


cdef int64_t rbtree_verify(void *check, uint32_t file) noexcept nogil:
    cdef check_t *c = <check_t *>check
    cdef machine_t *m = c.m
    cdef rb_view view
    cdef members_t n
    cdef uint32_t bad = 0
    cdef uint32_t i, prev
    view_of(&view, m)
    n.without = 0
    n.shared = 0
    if rb_check(&view, m.files[file].i_mmap, m.pools[<int>POOL_VMA].next, &bad) < 0:
        return fail(c, CHECK_I_MMAP, file, bad, 0)
    i = rb_first(&view, m.files[file].i_mmap)
    prev = i
    while i != 0:
        if member_ok(c, file, i, &n) < 0:
            return -1
        if is_below(&m.vmas[i], &m.vmas[prev]):
            return fail(c, CHECK_I_MMAP, file, i, prev)
        prev = i
        i = rb_next(&view, i)
    return members_counted(c, file, &n)


OPS.insert = rbtree_insert
OPS.insert_fork = rbtree_insert_fork
OPS.remove = rbtree_remove
OPS.first = rbtree_first
OPS.next = rbtree_next
OPS.verify = rbtree_verify


cdef const i_mmap_ops *rbtree_ops() noexcept nogil:
    return &OPS
