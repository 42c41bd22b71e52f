"""The vmas of a file in an interval tree: the index of Linux 3.7 and later. mm/interval_tree.c; fact sheet linux-modern
2.

A node's range is the vma's: pgoff to its last page. A library that everybody maps is as many equal nodes, and fork puts
the child's right behind the parent's without a search. interval_tree.pxd has the tree itself.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.check_base cimport CHECK_I_MMAP, check_t, fail
from vmcore._fast.counters cimport I_MMAP_INSERT_STEPS, I_MMAP_LOOKUPS, I_MMAP_NODES_VISITED, count, count_n
from vmcore._fast.i_mmap.i_mmap cimport i_mmap_inserted, i_mmap_removed, member_ok, members_counted, members_t
from vmcore._fast.interval_tree cimport (
    it_check, it_first, it_init, it_insert, it_insert_after, it_next, it_remove, it_view)
from vmcore._fast.ranges cimport vma_ranges
from vmcore._fast.rbtree cimport rb_first, rb_next
from vmcore._fast.records cimport POOL_VMA, file_t, i_mmap_iter, i_mmap_ops, machine_t, vma_t

cdef i_mmap_ops OPS


cdef inline void view_of(it_view *v, machine_t *m) noexcept nogil:
    """For queries; what changes the tree needs it_init as well."""
    v.rb.base = <char *>m.vmas
    v.rb.stride = sizeof(vma_t)
    v.rb.off = <uint64_t>(<char *>&m.vmas.shared_parent - <char *>m.vmas)
    v.rb.augment = NULL
    v.rb.value = <uint64_t>(<char *>&m.vmas.shared_last - <char *>m.vmas)
    vma_ranges(&v.range, m)


cdef inline void view_for_change(it_view *v, machine_t *m) noexcept nogil:
    view_of(v, m)
    it_init(v, v.rb.base, v.rb.stride, v.rb.off, v.rb.value)


cdef void interval_tree_insert(machine_t *m, uint32_t vma) noexcept nogil:
    cdef it_view view
    cdef vma_t *v = &m.vmas[vma]
    cdef file_t *f = &m.files[v.file]
    view_for_change(&view, m)
    i_mmap_inserted(m, v)
    count_n(m, I_MMAP_INSERT_STEPS, it_insert(&view, &f.i_mmap, &f.i_mmap_shared, vma))


cdef void interval_tree_insert_fork(machine_t *m, uint32_t child, uint32_t parent) noexcept nogil:
    cdef it_view view
    cdef vma_t *v = &m.vmas[child]
    cdef file_t *f = &m.files[v.file]
    view_for_change(&view, m)
    i_mmap_inserted(m, v)
    count_n(m, I_MMAP_INSERT_STEPS, it_insert_after(&view, &f.i_mmap, &f.i_mmap_shared, child, parent))


cdef void interval_tree_remove(machine_t *m, uint32_t vma) noexcept nogil:
    cdef it_view view
    cdef vma_t *v = &m.vmas[vma]
    cdef file_t *f = &m.files[v.file]
    view_for_change(&view, m)
    i_mmap_removed(m, v)
    it_remove(&view, &f.i_mmap, &f.i_mmap_shared, vma)


cdef uint32_t interval_tree_next(machine_t *m, i_mmap_iter *it) noexcept nogil:
    cdef it_view view
    if it.node == 0:
        return 0
    view_of(&view, m)
    it.node = it_next(&view, it.node, it.first, it.last, &m.counters[<int>I_MMAP_NODES_VISITED])
    return it.node


cdef uint32_t interval_tree_first(machine_t *m, uint32_t file, uint64_t first_pg, uint64_t last_pg,
                                  i_mmap_iter *it) noexcept nogil:
    """node: the last vma reported."""
    cdef it_view view
    cdef file_t *f = &m.files[file]
    view_of(&view, m)
    count(m, I_MMAP_LOOKUPS)
    it.first = first_pg
    it.last = last_pg
    it.node = it_first(&view, f.i_mmap, f.i_mmap_shared, first_pg, last_pg,
                       &m.counters[<int>I_MMAP_NODES_VISITED])
    return it.node


cdef int64_t interval_tree_verify(void *check, uint32_t file) noexcept nogil:
    cdef check_t *c = <check_t *>check
    cdef machine_t *m = c.m
    cdef file_t *f = &m.files[file]
    cdef it_view view
    cdef members_t n
    cdef uint32_t bad = 0
    cdef uint32_t i
    view_for_change(&view, m)
    n.without = 0
    n.shared = 0
    if it_check(&view, f.i_mmap, f.i_mmap_shared, m.pools[<int>POOL_VMA].next, &bad) < 0:
        return fail(c, CHECK_I_MMAP, file, bad, 0)
    i = rb_first(&view.rb, f.i_mmap)
    while i != 0:
        if member_ok(c, file, i, &n) < 0:
            return -1
        i = rb_next(&view.rb, i)
    return members_counted(c, file, &n)


OPS.insert = interval_tree_insert
OPS.insert_fork = interval_tree_insert_fork
OPS.remove = interval_tree_remove
OPS.first = interval_tree_first
OPS.next = interval_tree_next
OPS.verify = interval_tree_verify


cdef const i_mmap_ops *interval_tree_ops() noexcept nogil:
    return &OPS
