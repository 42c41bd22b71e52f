# Readahead of 6.18: which pages of a file are read along with the one that is wanted. mm/readahead.c; mm/filemap.c.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# nopage of a regular file: NOPAGE_SIGBUS, NOPAGE_OOM or a pfn with a reference. *how: NOPAGE_MAJOR if it had to be
# read, NOPAGE_AGAIN if the fault begins anew because it read ahead.
cdef uint32_t filemap_fault(machine_t *m, uint32_t vma, uint64_t addr, int *how) noexcept nogil
# The page at index for a read() that ends at byte `end`, with a reference; 0: no memory.
cdef uint32_t filemap_read_page(machine_t *m, uint32_t file, uint64_t index, uint64_t end) noexcept nogil
