# anon_vma for anonymous pages and objrmap for file pages: 2.6.5-rc1-aa1. Fact sheet linux-2004 2.3, 2.5.
# A vma's anon_vma lists every vma that may map its anonymous pages; new ones go to the FRONT.
from libc.stdint cimport uint32_t
from vmcore._fast.records cimport machine_t, rmap_ops

# page_remove for every design whose anonymous pages have PG_ANON and the mapping of an object.
cdef void anon_page_remove(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil
cdef const rmap_ops *anon_vma_ops() noexcept nogil
