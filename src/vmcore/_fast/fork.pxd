# Tasks: spawn, fork, exec, exit. kernel/fork.c, fs/exec.c, mm/mmap.c (exit_mmap) of 2.6.5; fact sheet linux-2004 6.11.
from libc.stdint cimport uint32_t, uint64_t, int64_t
from vmcore._fast.records cimport machine_t

# A task with an empty address space. pid, or -ENOMEM, -EAGAIN.
cdef int64_t do_spawn(machine_t *m, const char *comm, uint64_t mmap_base, uint64_t start_brk) noexcept nogil
# pid of the child, or -ENOMEM (also: interrupted, host memory: m.host_error); a failed fork leaves nothing behind.
cdef int64_t do_fork(machine_t *m, uint32_t pid, const char *comm) noexcept nogil
# A new address space: stack vma with `argpages` argument pages. 0 or -errno (-E2BIG above 32).
cdef int do_exec(machine_t *m, uint32_t pid, const char *comm, uint32_t argpages) noexcept nogil
# The task ends; its memory goes. Completes even when interrupted.
cdef void do_exit(machine_t *m, uint32_t pid, uint32_t killed_by) noexcept nogil
