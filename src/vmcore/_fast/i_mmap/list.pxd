# The two lists of 2.4 and 2.6.0 to 2.6.6: i_mmap (vmas without VM_SHARED) and i_mmap_shared. Fact sheet linux-2004 3.1.
# A new vma goes to the tail; fork puts the child's right before the parent's. A query visits every vma of both lists,
# i_mmap first, and returns those that cover a page of [first_pg, last_pg]; every vma looked at counts in
# i_mmap_nodes_visited. Lists are circular through vma.shared_next/prev; file.i_mmap and i_mmap_shared name the head
# (first) vma.
from vmcore._fast.records cimport i_mmap_ops

cdef const i_mmap_ops *list_ops() noexcept nogil
