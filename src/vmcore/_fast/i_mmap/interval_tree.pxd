# The vmas of a file in an interval tree: Linux 3.7 and later. mm/interval_tree.c; fact sheet linux-modern 2. Root:
# file.i_mmap, leftmost node: file.i_mmap_shared; node: shared_parent, shared_next (left), shared_prev (right),
# shared_last (greatest last page below).
from vmcore._fast.records cimport i_mmap_ops

cdef const i_mmap_ops *interval_tree_ops() noexcept nogil
