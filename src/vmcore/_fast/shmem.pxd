# tmpfs and shared anonymous memory. mm/shmem.c of 2.6.5; fact sheet linux-2004 8.4.
#
# A page is in the file's cache (mapping = file), or swapped (RADIX_SWAP | entry in the file's tree stands for the
# kernel's vector), or, between shmem_writepage and the end of its write, in the swap cache.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

# The page at index, one reference taken, uptodate; made if it is a hole; brought back if it is swapped. 0 = ENOMEM.
cdef uint32_t shmem_getpage(machine_t *m, uint32_t file, uint64_t index, int *major) noexcept nogil
# nopage of a shmem vma: NOPAGE_SIGBUS, NOPAGE_OOM or pfn (filemap.pxd).
cdef uint32_t shmem_nopage(machine_t *m, uint32_t vma, uint64_t addr, int *major) noexcept nogil
# Locked, unmapped, dirty page to the swap cache: 0 = moved (page unlocked, still dirty), 1 = WRITEPAGE_ACTIVATE (no
# slot; page still locked, dirty again).
cdef int shmem_writepage(machine_t *m, uint32_t pfn) noexcept nogil
# swapoff: if a shmem file holds `entry`, move the (locked, read) page back to its cache and clear the entry. Returns
# uses found.
cdef uint32_t shmem_unuse(machine_t *m, uint32_t entry, uint32_t pfn) noexcept nogil
# The same when the place is known: page back into file at index, if that place holds `entry`. Returns 1 or 0.
cdef int shmem_unuse_at(machine_t *m, uint32_t file, uint64_t index, uint32_t entry, uint32_t pfn) noexcept nogil
# Free pages and entries at index >= first.
cdef void shmem_truncate(machine_t *m, uint32_t file, uint64_t first) noexcept nogil
# nopage of any file vma, by the kind of its file: filemap_nopage or filemap_fault, shmem_nopage, device_nopage. A
# device page comes without a reference. *how: NOPAGE_MAJOR, NOPAGE_AGAIN.
cdef uint32_t vma_nopage(machine_t *m, uint32_t vma, uint64_t addr, int *how) noexcept nogil
