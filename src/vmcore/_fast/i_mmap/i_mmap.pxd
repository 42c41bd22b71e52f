# The interface of an index over the vmas of a file: struct i_mmap_ops in records.pxd. mm/mmap.c, mm/prio_tree.c; fact
# sheet linux-2004 3.
#
#   insert(vma)           vma (file, flags, start, end, pgoff filled) comes into its file's index.
#   insert_fork(child, parent)    child is parent's copy for another mm; parent is in the index.
#   remove(vma)           out of it. Whoever changes start, end or pgoff of a file's vma removes and inserts it.
#   first(file, first_pg, last_pg, &it), next(&it)    every vma that covers a page of [first_pg, last_pg], in the
#                         index's order, 0 at the end. `it` is the caller's memory; the index must not change meanwhile.
#                         I_MMAP_LOOKUPS counts queries, I_MMAP_NODES_VISITED every node that a query stops at, reported
#                         or not: a list's or rbtree's vmas one after the other; the nodes that a tree enters on its way
#                         down (a child that is passed over for what its parent knows of it is not entered).
#   verify(check_t *, file)   for check: the structure of the index; returns its vmas, or -1 after fail().
#
# The index keeps its root in file.i_mmap (and i_mmap_shared, where the kernel had two), the numbers of its vmas in
# nr_i_mmap (without VM_SHARED) and nr_i_mmap_shared (with), and its nodes in the shared_* words of the vmas.
#
#   index           first            next       insert          insert_fork     order of the answers
#   list            every vma                   O(1)            O(1)            private before shared, by arrival
#   rbtree          vmas that start before the end asked for
#                                               O(log n)        O(log n)        (pgoff, length)
#   prio_tree       O(log n + m) for m answers  O(log n)        O(1)            the tree's preorder, sets together
#   interval_tree   O(log n)         O(log n)   O(log n)        O(log n)        pgoff
#
# Below: what the trees share. Inserted and removed vmas are counted; member_ok proves one for check, which
# has proved the structure, so that a walk of it ends, and adds it up in members_t.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from vmcore._fast.check_base cimport CHECK_I_MMAP, CHECK_I_MMAP_COUNT, check_t, fail
from vmcore._fast.counters cimport I_MMAP_INSERTS, I_MMAP_REMOVES, count
from vmcore._fast.records cimport VM_SHARED, file_t, machine_t, vma_t

cdef inline uint32_t *nr_of(machine_t *m, vma_t *v) noexcept nogil:
    """The count that this vma is part of."""
    cdef file_t *f = &m.files[v.file]
    return &f.nr_i_mmap_shared if v.flags & VM_SHARED else &f.nr_i_mmap

cdef inline void i_mmap_inserted(machine_t *m, vma_t *v) noexcept nogil:
    nr_of(m, v)[0] += 1
    count(m, I_MMAP_INSERTS)

cdef inline void i_mmap_removed(machine_t *m, vma_t *v) noexcept nogil:
    nr_of(m, v)[0] -= 1
    count(m, I_MMAP_REMOVES)

cdef struct members_t:
    int64_t without         # VM_SHARED
    int64_t shared

cdef inline int member_ok(check_t *c, uint32_t file, uint32_t vma, members_t *n) noexcept nogil:
    """A vma found in the index of a file: it is in use, and maps the file. 0, or -1 after fail()."""
    cdef vma_t *v = &c.m.vmas[vma]
    if v.mm == 0 or v.file != file:
        return fail(c, CHECK_I_MMAP, file, vma, v.file)
    if v.flags & VM_SHARED:
        n.shared += 1
    else:
        n.without += 1
    return 0

cdef inline int64_t members_counted(check_t *c, uint32_t file, members_t *n) noexcept nogil:
    """The number of vmas, if the file's own counts say the same; -1 after fail()."""
    cdef file_t *f = &c.m.files[file]
    if n.without != f.nr_i_mmap:
        return fail(c, CHECK_I_MMAP_COUNT, file, n.without, f.nr_i_mmap)
    if n.shared != f.nr_i_mmap_shared:
        return fail(c, CHECK_I_MMAP_COUNT, file, n.shared, f.nr_i_mmap_shared)
    return n.without + n.shared
