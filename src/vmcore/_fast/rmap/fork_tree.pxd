# fork_tree: anonymous pages are found through one tree over all anonymous vmas of their fork group; file pages by
# objrmap. What Hugh Dickins proposed on 18 March 2004. Fact sheet linux-2004 2.6.
from vmcore._fast.records cimport rmap_ops

cdef const rmap_ops *fork_tree_ops() noexcept nogil
