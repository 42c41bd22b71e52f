# objrmap-core: pte_chains for anonymous pages, objrmap for file pages. Dave McCracken, 2003; 00100_objrmap-core of the
# seed's patch list.
from vmcore._fast.records cimport rmap_ops

cdef const rmap_ops *objrmap_core_ops() noexcept nogil
