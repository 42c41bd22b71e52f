# Pages that are mlocked while no vma says so: what MREMAP_DONTUNMAP leaves behind in a vma that it moves a part of,
# since it takes VM_LOCKED from the vma and unlocks no page. PG_MLOCKED keeps reclaim off until the page is freed. Its
# mlock_count is 1 at first, which a later mlock and munlock bring back to 1; after MADV_PAGEOUT had the page in hand it
# is 0 (PG_MLOCK_UNCOUNTED), and then a munlock ends it. mm/mlock.c and lru_add of mm/swap.c, 6.18; asked of 6.18.44.
#
# Pages of VM_LOCKED vmas do not have the bit: there the vma answers.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# All pages of vma, which is about to lose VM_LOCKED.
cdef void leave_mlocked(machine_t *m, uint32_t vma) noexcept nogil
# [start, end) of vma is no longer VM_LOCKED by munlock.
cdef void munlock_pages(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil
