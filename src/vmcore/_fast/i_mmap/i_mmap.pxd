# The interface of an index over the vmas of a file: struct i_mmap_ops in records.pxd. mm/mmap.c, mm/prio_tree.c; fact
# sheet linux-2004 3.
#
#   insert(vma)           vma (file, flags, start, end, pgoff filled) comes into its file's index.
#   insert_fork(child, parent)    child is parent's copy for another mm; parent is in the index.
#   remove(vma)           out of it. Whoever changes start, end or pgoff of a file's vma removes and inserts it.
#   first(file, first_pg, last_pg, &it), next(&it)    every vma that covers a page of [first_pg, last_pg], in the
#                         index's order, 0 at the end. `it` is the caller's memory; the index must not change meanwhile.
#                         I_MMAP_LOOKUPS counts queries, I_MMAP_NODES_VISITED every node looked at, reported or not.
#   verify(check_t *, file)   for check: the structure of the index; returns its vmas, or -1 after fail().
#
# The index keeps its root in file.i_mmap (and i_mmap_shared, where the kernel had two), the numbers of its vmas in
# nr_i_mmap (without VM_SHARED) and nr_i_mmap_shared (with), and its nodes in the shared_* words of the vmas.
