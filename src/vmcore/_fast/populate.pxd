# ->populate of regular files and tmpfs: pages of a file, or their offsets, into ptes without a fault. mm/fremap.c,
# filemap_populate of mm/filemap.c, shmem_populate of mm/shmem.c, 2.6.5; fact sheet linux-2004 4.8.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t, FILE_REGULAR, FILE_SHMEM

cdef inline int can_populate(machine_t *m, uint32_t vma) noexcept nogil:
    """The vma's file has the method: regular files and tmpfs do, devices do not."""
    cdef uint32_t kind = m.files[m.vmas[vma].file].kind if m.vmas[vma].file != 0 else 0
    return kind == FILE_REGULAR or kind == FILE_SHMEM

# Pages [pgoff, pgoff + n) of the vma's file at addr of the vma and the n - 1 pages after it. nonblock: what is not
# cached gets a file pte, if the vma is nonlinear. *io = 1 if a file had to be read. 0, -EINVAL (beyond the end of the
# file), -ENOMEM, -EINTR (host); what came before stays.
cdef int populate(machine_t *m, uint32_t vma, uint64_t addr, uint64_t n, uint64_t pgoff, int nonblock,
                  int *io) noexcept nogil
