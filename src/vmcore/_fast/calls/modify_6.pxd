# vma_modify_flags: new flags for a part of a vma, which merges with its neighbours or is split off. mm/vma.c of 6.x.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# [start, end) of vma gets `flags`. The vma that holds the range now; 0: no memory, or max_map_count. What was split
# until then stays split.
cdef uint32_t vma_modify_flags(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, uint32_t flags) noexcept nogil
