"""The calls of 2004: the files beside this folder, which have 2.4 to 2.6.34 as rules.

Calls that those kernels do not have here answer ENOSYS.
"""
from libc.errno cimport ENOSYS
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from vmcore._fast.fault cimport expand_stack, make_pages_present
from vmcore._fast.madvise cimport do_madvise
from vmcore._fast.mlock cimport do_mlock, do_mlockall, do_munlockall
from vmcore._fast.mmap cimport MAP_NONBLOCK, do_brk, do_mmap, do_munmap
from vmcore._fast.mprotect cimport do_mprotect
from vmcore._fast.mremap cimport do_mremap
from vmcore._fast.msync cimport do_msync
from vmcore._fast.nonlinear cimport do_remap_file_pages
from vmcore._fast.query cimport mincore_fill
from vmcore._fast.records cimport PAGE_MASK_LOW, PAGE_SHIFT, machine_t, mm_calls


cdef int remap_file_pages(machine_t *m, uint32_t pid, uint64_t start, uint64_t size, uint32_t prot, uint64_t pgoff,
                          uint32_t flags) noexcept nogil:
    return do_remap_file_pages(m, pid, start, size, prot, pgoff, (flags & MAP_NONBLOCK) != 0)


cdef int mlock(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil:
    return do_mlock(m, pid, addr, length, 1)


cdef int mlock2(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t flags) noexcept nogil:
    return -ENOSYS          # came with 4.4


cdef int munlock(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length) noexcept nogil:
    return do_mlock(m, pid, addr, length, 0)


cdef int mincore(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint8_t *vec) noexcept nogil:
    return mincore_fill(m, m.tasks[pid].mm, addr >> PAGE_SHIFT, (length + PAGE_MASK_LOW) >> PAGE_SHIFT, vec)


cdef void populate(machine_t *m, uint32_t pid, uint64_t start, uint64_t end) noexcept nogil:
    make_pages_present(m, pid, start, end)


cdef mm_calls ops
memset(&ops, 0, sizeof(ops))
ops.mmap = do_mmap
ops.munmap = do_munmap
ops.mprotect = do_mprotect
ops.mremap = do_mremap
ops.brk = do_brk
ops.remap_file_pages = remap_file_pages
ops.madvise = do_madvise
ops.mlock = mlock
ops.mlock2 = mlock2
ops.munlock = munlock
ops.mlockall = do_mlockall
ops.munlockall = do_munlockall
ops.msync = do_msync
ops.mincore = mincore
ops.expand_stack = expand_stack
ops.populate = populate


cdef const mm_calls *v2_6_ops() noexcept nogil:
    return &ops
