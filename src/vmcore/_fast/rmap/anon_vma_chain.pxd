# anon_vma chains for anonymous pages and objrmap for file pages: 2.6.34 (lists) to today (interval trees). Fact sheet
# linux-modern 1.
from vmcore._fast.records cimport rmap_ops

cdef const rmap_ops *anon_vma_chain_ops() noexcept nogil
