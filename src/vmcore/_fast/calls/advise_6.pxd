# Advice about the pages of a vma, which must allow it: MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED of 6.18.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef void advise_free(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil
# pageout: MADV_PAGEOUT, else MADV_COLD.
cdef void advise_cold(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, int pageout) noexcept nogil
cdef void advise_willneed(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil
