# Truncate, punched holes, invalidate, write-back. mm/truncate.c, vmtruncate of mm/memory.c 2.6.5; fact sheet linux-2004
# 4.10.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# New size in bytes, up or down. 0.
cdef int do_truncate(machine_t *m, uint32_t file, uint64_t size) noexcept nogil
# fallocate(PUNCH_HOLE | KEEP_SIZE): pages that lie in it go, but not private copies of them. 0, -EINVAL, -EFBIG.
cdef int do_punch_hole(machine_t *m, uint32_t file, uint64_t offset, uint64_t length) noexcept nogil
# Drop clean, unlocked, unmapped cached pages of [first, last] (invalidate_mapping_pages); returns how many went.
cdef uint64_t invalidate_mapping_pages(machine_t *m, uint32_t file, uint64_t first, uint64_t last) noexcept nogil
# invalidate_inode_pages2: also mapped pages: unmapped first; returns how many went.
cdef uint64_t invalidate_inode_pages2(machine_t *m, uint32_t file) noexcept nogil
# Write every dirty page (sync of one file); returns pages submitted.
cdef uint64_t file_sync(machine_t *m, uint32_t file) noexcept nogil
# The same of pages [first, last].
cdef uint64_t file_sync_range(machine_t *m, uint32_t file, uint64_t first, uint64_t last) noexcept nogil
