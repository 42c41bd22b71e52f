# anon_vma for anonymous pages and objrmap for file pages: 2.6.5-rc1-aa1. Fact sheet linux-2004 2.3, 2.5.
# A vma's anon_vma lists every vma that may map its anonymous pages; new ones go to the FRONT.
from vmcore._fast.records cimport rmap_ops

cdef const rmap_ops *anon_vma_ops() noexcept nogil
