# mremap. mm/mremap.c; fact sheet linux-2004 6.7, 2.4, 2.5, 5.4.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    MREMAP_MAYMOVE = 1
    MREMAP_FIXED = 2
    MREMAP_DONTUNMAP = 4

cdef struct move_t:
    uint32_t mm
    uint32_t source         # vma that the pages come from
    uint32_t target         # vma that they go to
    uint64_t old            # address of the source range
    uint64_t new
    uint64_t length         # bytes
    int down                # from the end to the start
    uint64_t first          # what was moved is [first, last) of the range
    uint64_t last
    uint64_t ptes           # entries moved

# Entries of [v.old, v.old + v.length) go to v.new. 0, or why it stopped; v.first and v.last say where. move_back undoes
# that part.
cdef int move_page_tables(machine_t *m, move_t *v) noexcept nogil
cdef void move_back(machine_t *m, move_t *v) noexcept nogil
# A vma like this one for the target, in its reverse map but not linked; 0: no memory.
cdef uint32_t new_target(machine_t *m, uint32_t vma, uint64_t addr, uint64_t length, uint64_t pgoff) noexcept nogil

# The new address, or a negative errno. new_addr counts with MREMAP_FIXED only.
cdef int64_t do_mremap(machine_t *m, uint32_t pid, uint64_t addr, uint64_t old_len, uint64_t new_len, uint32_t flags,
                       uint64_t new_addr) noexcept nogil
