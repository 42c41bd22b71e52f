"""The vmas of a file in a radix priority search tree: the index of Linux 2.6.7 to 3.6. mm/prio_tree.c; fact sheet
linux-2004 3.3.

One tree holds private and shared mappings. vmas of equal ranges, which is what fork makes, are a vm_set: one in the
tree, the others on its list, so that fork needs no way down and a page that 32 processes map in 18,000 pieces costs
some 14 nodes and 31 members, not 576,000 vmas. prio_tree.pxd has the tree itself.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_I_MMAP_TREE, bug
from vmcore._fast.check_base cimport CHECK_I_MMAP, check_t, fail
from vmcore._fast.counters cimport I_MMAP_INSERT_STEPS, I_MMAP_LOOKUPS, I_MMAP_NODES_VISITED, count
from vmcore._fast.i_mmap.i_mmap cimport i_mmap_inserted, i_mmap_removed, member_ok, members_counted, members_t
from vmcore._fast.prio_tree cimport (
    prio_add, prio_check, prio_counts, prio_first, prio_insert, prio_iter, prio_next, prio_remove, prio_view)
from vmcore._fast.ranges cimport range_first, range_last, vma_ranges
from vmcore._fast.records cimport POOL_VMA, file_t, i_mmap_iter, i_mmap_ops, machine_t, vma_t

cdef i_mmap_ops OPS

if sizeof(prio_iter) > sizeof(i_mmap_iter):
    raise ImportError("a prio_iter must lie in an i_mmap_iter")


cdef inline void view_of(prio_view *v, machine_t *m) noexcept nogil:
    v.base = <char *>m.vmas
    v.stride = sizeof(vma_t)
    v.off = <uint64_t>(<char *>&m.vmas.shared_parent - <char *>m.vmas)
    v.counts = <prio_counts *>&m.counters[<int>I_MMAP_INSERT_STEPS]
    vma_ranges(&v.range, m)


cdef void prio_tree_insert(machine_t *m, uint32_t vma) noexcept nogil:
    cdef prio_view view
    cdef vma_t *v = &m.vmas[vma]
    cdef file_t *f = &m.files[v.file]
    view_of(&view, m)
    i_mmap_inserted(m, v)
    if prio_insert(&view, &f.i_mmap, &f.i_mmap_bits, vma) < 0:
        bug(m, BUG_I_MMAP_TREE, v.file, vma, f.i_mmap)


cdef void prio_tree_insert_fork(machine_t *m, uint32_t child, uint32_t parent) noexcept nogil:
    cdef prio_view view
    cdef vma_t *v = &m.vmas[child]
    view_of(&view, m)
    if (range_first(&view.range, child) != range_first(&view.range, parent)
            or range_last(&view.range, child) != range_last(&view.range, parent)):
        bug(m, BUG_I_MMAP_TREE, v.file, child, parent)
        prio_tree_insert(m, child)
        return
    i_mmap_inserted(m, v)
    prio_add(&view, child, parent)


cdef void prio_tree_remove(machine_t *m, uint32_t vma) noexcept nogil:
    cdef prio_view view
    cdef vma_t *v = &m.vmas[vma]
    cdef file_t *f = &m.files[v.file]
    view_of(&view, m)
    i_mmap_removed(m, v)
    prio_remove(&view, &f.i_mmap, &f.i_mmap_bits, vma)


cdef uint32_t prio_tree_next(machine_t *m, i_mmap_iter *it) noexcept nogil:
    cdef prio_view view
    view_of(&view, m)
    return prio_next(&view, <prio_iter *>it, &m.counters[<int>I_MMAP_NODES_VISITED])


cdef uint32_t prio_tree_first(machine_t *m, uint32_t file, uint64_t first_pg, uint64_t last_pg,
                              i_mmap_iter *it) noexcept nogil:
    """The whole of *it is a prio_iter."""
    cdef prio_view view
    cdef file_t *f = &m.files[file]
    view_of(&view, m)
    count(m, I_MMAP_LOOKUPS)
    return prio_first(&view, f.i_mmap, f.i_mmap_bits, first_pg, last_pg, <prio_iter *>it,
                      &m.counters[<int>I_MMAP_NODES_VISITED])


cdef int64_t prio_tree_verify(void *check, uint32_t file) noexcept nogil:
    cdef check_t *c = <check_t *>check
    cdef machine_t *m = c.m
    cdef file_t *f = &m.files[file]
    cdef prio_view view
    cdef prio_iter it
    cdef members_t n
    cdef uint64_t visited = 0
    cdef uint32_t height = 0
    cdef uint32_t bad = 0
    cdef uint32_t i
    cdef int64_t members
    view_of(&view, m)
    n.without = 0
    n.shared = 0
    members = prio_check(&view, f.i_mmap, f.i_mmap_bits, m.pools[<int>POOL_VMA].next, &height, &bad)
    if members < 0 or height > 2 * f.i_mmap_bits:
        return fail(c, CHECK_I_MMAP, file, bad, height)
    # heap and trie hold, so the query for everything enumerates the nodes and members that were proved, each once
    i = prio_first(&view, f.i_mmap, f.i_mmap_bits, 0, ~<uint64_t>0, &it, &visited)
    while i != 0:
        if member_ok(c, file, i, &n) < 0:
            return -1
        members -= 1
        i = prio_next(&view, &it, &visited)
    if members != 0:
        return fail(c, CHECK_I_MMAP, file, members, height)
    return members_counted(c, file, &n)


OPS.insert = prio_tree_insert
OPS.insert_fork = prio_tree_insert_fork
OPS.remove = prio_tree_remove
OPS.first = prio_tree_first
OPS.next = prio_tree_next
OPS.verify = prio_tree_verify


cdef const i_mmap_ops *prio_tree_ops() noexcept nogil:
    return &OPS
