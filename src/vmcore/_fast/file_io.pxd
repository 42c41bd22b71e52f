# read and write of a file through the page cache, eight bytes at a time. mm/filemap.c, mm/shmem.c.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# pread of the token of the page that holds offset: bytes read (8, fewer at the end of the file, 0 behind it), -errno.
cdef int do_pread(machine_t *m, uint32_t file, uint64_t offset, uint64_t *token) noexcept nogil
# pwrite of a token to the page that holds offset: 8, or -errno. The file grows to offset + 8 bytes.
cdef int do_pwrite(machine_t *m, uint32_t file, uint64_t offset, uint64_t token) noexcept nogil
