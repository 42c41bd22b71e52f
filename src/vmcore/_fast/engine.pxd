# The C surface of vmcore for other packages: `from vmcore._fast.engine cimport vm_enter, vm_touch, vm_leave`.
#
# A handle is opaque: free functions, no struct of ours and no vtable is compiled into you. It is valid from
# vm_enter() to vm_leave(); between the two this thread owns the machine (a second thread gets RuntimeError), and the
# `nogil` functions may be called without the GIL. No function here is thread safe, none keeps a pointer of yours.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    typedef struct vmcore_machine vmcore_machine;
    """
    ctypedef struct vmcore_machine

ctypedef struct vm_access:      # one record of a trace: vmcore.TRACE_DTYPE
    uint64_t addr
    uint32_t task
    uint8_t op                  # 0 read, 1 write
    uint8_t pad[3]

ctypedef struct vm_outcome:
    uint32_t status             # 0 done; 1 SEGV, 2 SIGBUS at addr; else vm_leave() raises what happened
    uint32_t code               # SEGV: 1 no mapping, 2 protection
    uint64_t done               # accesses (vm_run: records) completed
    uint64_t addr

# Claim `machine` (a vmcore.Machine) for calls in the name of task `pid`; 0: no task, for vm_run. Raises as the
# methods of Machine do.
cdef vmcore_machine *vm_enter(object machine, uint32_t pid) except NULL
# Give it back. Raises KeyboardInterrupt, MemoryError, KernelBug or TaskKilled if one of them happened inside.
cdef int vm_leave(vmcore_machine *h) except -1

# n accesses of the entered task. writes: one byte each, or NULL for all as `write`.
cdef void vm_touch(vmcore_machine *h, const uint64_t *addrs, const uint8_t *writes, int write, uint64_t n,
                   vm_outcome *out) noexcept nogil
# n accesses of many tasks, as Machine.run(). Every task must have existed.
cdef void vm_run(vmcore_machine *h, const vm_access *trace, uint64_t n, vm_outcome *out) noexcept nogil
# The frame that maps addr of task pid now, 0 if none does. No side effect.
cdef uint32_t vm_frame(vmcore_machine *h, uint32_t pid, uint64_t addr) noexcept nogil
# A counter by id; ids by the names of Machine.vmstat().
cdef uint64_t vm_counter(vmcore_machine *h, int counter) noexcept nogil
cdef int vm_counter_id(str name) except -1
cdef uint64_t vm_nr_frames(vmcore_machine *h) noexcept nogil
cdef uint64_t vm_now(vmcore_machine *h) noexcept nogil
