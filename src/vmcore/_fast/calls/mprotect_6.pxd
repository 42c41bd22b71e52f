# mprotect of 6.18. mm/mprotect.c; fact sheet linux-modern 1.11.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef int do_mprotect_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot) noexcept nogil
# vma_modify_flags, also for madvise and mlock: [start, end) of vma is to have these flags. A neighbour takes it, or what
# is outside is split off. prev: the vma below, or vma itself if it starts below start. Returns the vma that has the range
# now, and maybe more; flags are the caller's to set on it. 0: ENOMEM; the range may have been split then.
cdef uint32_t vma_modify(machine_t *m, uint32_t prev, uint32_t vma, uint64_t start, uint64_t end,
                         uint32_t flags) noexcept nogil
