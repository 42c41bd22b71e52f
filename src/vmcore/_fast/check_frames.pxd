# Verification of page frames: who owns each, how many references it must have, the free lists and the LRU lists.
#
# The census holds, by frame, the references expected (OWN_REFS bits) and OWN_* bits. check_owners starts it from zero;
# check_slabs, check_files and check_swap add theirs; check_frames compares all frames with it.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.check_base cimport check_t

# Note one owner and its references; fails if the frame does not exist or has an owner that excludes this one.
cdef int own(check_t *c, uint64_t pfn, uint32_t owner, uint32_t refs) noexcept nogil
# A block of 2^order frames of the kernel's own: its head has the reference.
cdef int own_block(check_t *c, uint64_t pfn, uint32_t order, uint32_t owner) noexcept nogil
# Free lists, per-CPU lists, frames of the kernel's own, pagevecs, writes under way.
cdef int check_owners(check_t *c) noexcept nogil
# LRU lists.
cdef int check_lru(check_t *c) noexcept nogil
# Every frame against the census: owner, references, flags.
cdef int check_frames(check_t *c) noexcept nogil
