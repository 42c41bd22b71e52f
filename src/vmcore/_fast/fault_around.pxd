# Fault-around: what a read fault on a file maps besides its own page. filemap_map_pages of mm/filemap.c,
# do_fault_around of mm/memory.c; fact sheet linux-modern 6.3.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# Map the cached pages around addr, whose pte (index `pte`) is none; fresh: its table was made for this fault. 1: addr
# is mapped now.
cdef int fault_around(machine_t *m, uint32_t vma, uint64_t addr, uint32_t pte, int fresh) noexcept nogil
