# anonmm: anonymous pages are found through the mms of their fork group, at the page's own virtual address; file pages
# by objrmap. Hugh Dickins, 2003 and 2004. Fact sheet linux-2004 2.4.
from vmcore._fast.records cimport rmap_ops

cdef const rmap_ops *anonmm_ops() noexcept nogil
