# The vmas of a file in a plain red-black tree by (pgoff, length): the index that the 2.6.5-rc1-aa1 thread announces as
# next, and that was never used. Fact sheet linux-2004 3.2. Root: file.i_mmap; node: shared_parent, shared_next (left),
# shared_prev (right).
from vmcore._fast.records cimport i_mmap_ops

cdef const i_mmap_ops *rbtree_ops() noexcept nogil
