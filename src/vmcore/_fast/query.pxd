# What user space and /proc can ask about an address space. Nothing here changes the machine.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef packed struct pagemap_t:   # dtype pagemap_t in records.py
    uint8_t present
    uint8_t swapped
    uint8_t zero
    uint8_t file
    uint8_t anon
    uint8_t exclusive       # mapped by one pte
    uint8_t dirty           # pte or frame
    uint8_t accessed
    uint8_t writable        # by the pte, without a fault
    uint8_t guard           # a guard marker; swapped is set too, as in pagemap
    uint8_t pad[2]
    uint32_t frame
    uint64_t slot           # global slot if swapped, 0 otherwise

cdef struct smaps_t:        # bytes; the lines of smaps in proc(5)
    uint64_t rss
    uint64_t pss
    uint64_t shared_clean
    uint64_t shared_dirty
    uint64_t private_clean
    uint64_t private_dirty
    uint64_t referenced
    uint64_t anonymous
    uint64_t swap
    uint64_t nonlinear      # pages away from their linear place, file ptes among them (a line of Linux 3)

# Entries of pages [first, first + n) of an mm; out is zeroed by the caller.
cdef void pagemap_fill(machine_t *m, uint32_t mm, uint64_t first, uint64_t n, pagemap_t *out) noexcept nogil
# 1 for each page of [first, first + n) that needs no read: present, or in the page or swap cache. -ENOMEM if part of
# it is not mapped.
cdef int mincore_fill(machine_t *m, uint32_t mm, uint64_t first, uint64_t n, uint8_t *out) noexcept nogil
cdef void smaps_fill(machine_t *m, uint32_t vma, smaps_t *out) noexcept nogil
