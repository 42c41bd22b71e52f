# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""What the kernel of this host takes for the same work: anonymous faults, mmap and munmap, splits of a mapping.

Small pages only (MADV_NOHUGEPAGE), as the simulated kernels have them. Each returns the CPU time of the thread in ns.
"""

from libc.stdint cimport int64_t, uint8_t
from posix.time cimport CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *addr, size_t length)
    int mprotect(void *addr, size_t length, int prot)
    int madvise(void *addr, size_t length, int advice)
    void *MAP_FAILED
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MADV_NOHUGEPAGE

cdef enum:
    PAGE = 4096


cdef inline int64_t now() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)
    return <int64_t>t.tv_sec * 1000000000 + t.tv_nsec


cdef uint8_t *fresh(size_t pages) except NULL:
    cdef void *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if p == MAP_FAILED:
        raise MemoryError(f"the host has no {pages} pages to map")
    madvise(p, pages * PAGE, MADV_NOHUGEPAGE)
    return <uint8_t *>p


def write_faults(size_t pages):
    """The first write to each page of a fresh mapping, in order."""
    cdef uint8_t *p = fresh(pages)
    cdef int64_t begin
    cdef size_t i
    with nogil:
        begin = now()
        for i in range(pages):
            p[i * PAGE] = 1
        begin = now() - begin
        munmap(p, pages * PAGE)
    return begin


def map_pairs(size_t n):
    """n times: map a page, unmap it."""
    cdef int64_t begin
    cdef size_t _i
    cdef void *p
    with nogil:
        begin = now()
        for _i in range(n):
            p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            munmap(p, PAGE)
        begin = now() - begin
    return begin


def split_storm(size_t n):
    """mprotect of every second page of a mapping, which splits it 2 n times, and back, which merges."""
    cdef uint8_t *p = fresh(2 * n)
    cdef int64_t begin
    cdef size_t i
    cdef int failed = 0
    with nogil:
        begin = now()
        for i in range(n):
            failed |= mprotect(p + 2 * i * PAGE, PAGE, PROT_READ)
        for i in range(n):
            failed |= mprotect(p + 2 * i * PAGE, PAGE, PROT_READ | PROT_WRITE)
        begin = now() - begin
        munmap(p, 2 * n * PAGE)
    if failed:
        raise OSError("mprotect of the host failed: more mappings than vm.max_map_count?")
    return begin
