# vmas that become one: vma_merge, vma_adjust of mm/mmap.c 2.6.7; fact sheet linux-2004 6.2, linux-modern 1.10, 1.11.
# Whether neighbours may merge is m.rules.merge_* and m.rmap.may_merge; how they do is the same for all kernels.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# May adjacent a (below) and b of equal flags and file be one vma? Counts refusals.
cdef int vma_may_join(machine_t *m, uint32_t a, uint32_t b) noexcept nogil
# keep, which ends where dying starts, takes over dying's range, its place in the reverse map and its reference to the
# file; dying is freed, map_count - 1. Flags are the caller's business. 0; -ENOMEM, and nothing is changed. Counts
# VMA_MERGES.
cdef int vma_absorb(machine_t *m, uint32_t keep, uint32_t dying) noexcept nogil
# The border between vma and the one above it moves to `border`, inside one of the two. 0, -ENOMEM.
cdef int vma_shift(machine_t *m, uint32_t vma, uint64_t border) noexcept nogil
# [addr, end) is to have these flags, file and offset: can a neighbour that has them cover it? Either no vma covers it
# (mmap, brk, mremap), or one does, all of it (mprotect); then `prev` is the vma below it, or that vma itself if it
# starts below addr. `like`: the vma whose pages are or come there, 0 if it is a new range. Returns the vma that covers
# the range now; 0 if nothing merges, and then nothing is changed.
cdef uint32_t vma_merge(machine_t *m, uint32_t mm, uint32_t prev, uint64_t addr, uint64_t end, uint32_t flags,
                        uint32_t file, uint64_t pgoff, uint32_t like) noexcept nogil
# find_mergeable_anon_vma: the neighbour above or below with which vma, which has none, may share an anon_vma, so that
# the two can still become one when only their access rights differ now. 0: none.
cdef uint32_t mergeable_neighbour(machine_t *m, uint32_t vma, int above) noexcept nogil
