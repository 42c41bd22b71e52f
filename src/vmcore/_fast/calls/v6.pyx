"""The calls of 6.18: a copy of the table of 2004 in which each modern file replaces its own."""
from libc.string cimport memcpy

from vmcore._fast.calls.madvise_6 cimport do_madvise_6
from vmcore._fast.calls.mlock_6 cimport do_mlock2_6, do_mlock_6, do_mlockall_6, do_munlock_6, do_munlockall_6
from vmcore._fast.calls.mmap_6 cimport do_brk_6, do_mmap_6, do_munmap_6, do_remap_file_pages_6
from vmcore._fast.calls.mprotect_6 cimport do_mprotect_6
from vmcore._fast.calls.mremap_6 cimport do_mremap_6
from vmcore._fast.calls.msync_6 cimport do_mincore_6, do_msync_6
from vmcore._fast.calls.populate_6 cimport mm_populate_6
from vmcore._fast.calls.stack_6 cimport expand_stack_6
from vmcore._fast.calls.v2_6 cimport v2_6_ops
from vmcore._fast.records cimport mm_calls


cdef mm_calls ops
memcpy(&ops, v2_6_ops(), sizeof(ops))
ops.mmap = do_mmap_6
ops.munmap = do_munmap_6
ops.mprotect = do_mprotect_6
ops.mremap = do_mremap_6
ops.brk = do_brk_6
ops.remap_file_pages = do_remap_file_pages_6
ops.madvise = do_madvise_6
ops.mlock = do_mlock_6
ops.mlock2 = do_mlock2_6
ops.munlock = do_munlock_6
ops.mlockall = do_mlockall_6
ops.munlockall = do_munlockall_6
ops.msync = do_msync_6
ops.mincore = do_mincore_6
ops.expand_stack = expand_stack_6
ops.populate = mm_populate_6


cdef const mm_calls *v6_ops() noexcept nogil:
    return &ops
