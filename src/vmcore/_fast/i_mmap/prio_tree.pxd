# The vmas of a file in a radix priority search tree: Linux 2.6.7 to 3.6. mm/prio_tree.c; fact sheet linux-2004 3.3.
# Root: file.i_mmap, index_bits: file.i_mmap_bits; node: shared_parent, shared_next (left), shared_prev (right),
# shared_head.
from vmcore._fast.records cimport i_mmap_ops

cdef const i_mmap_ops *prio_tree_ops() noexcept nogil
