# Page faults and copy-on-write. mm/memory.c and arch/i386/mm/fault.c of 2.6.5; fact sheet linux-2004 4.
from libc.stdint cimport uint32_t, uint64_t
from vmcore._fast.records cimport machine_t

cdef enum:
    FAULT_MINOR = 1
    FAULT_MAJOR = 2
    FAULT_SIGBUS = -1
    # no memory: the task is marked dying (KILLED_FAULT), or host_error is set and nothing happened
    FAULT_OOM = -2
    FAULT_SEGV_MAPERR = -3
    FAULT_SEGV_ACCERR = -4
    FAULT_SEGV_PKUERR = -5      # memory that is executable only
    FAULT_SEGV_GP = -6          # an address that is not canonical: the processor gives none

# The fault of `pid` at addr, from the lookup of the vma on. Ends with a switch point. Positive: done, try the access
# again.
cdef int do_page_fault(machine_t *m, uint32_t pid, uint64_t addr, int write) noexcept nogil
# The same below the vma checks, as get_user_pages calls it. No switch point.
cdef int handle_mm_fault(machine_t *m, uint32_t vma, uint64_t addr, int write) noexcept nogil
# What a fault of the task comes to: counts it, and kills the task if it was out of memory. Returns r.
cdef int fault_result(machine_t *m, uint32_t pid, int r) noexcept nogil
# Fault in every page of [start, end), write where the vma is VM_WRITE. 0, or -ENOMEM / -EFAULT.
cdef int make_pages_present(machine_t *m, uint32_t pid, uint64_t start, uint64_t end) noexcept nogil
# Grow a VM_GROWSDOWN vma down to addr. 0 or -ENOMEM.
cdef int expand_stack(machine_t *m, uint32_t vma, uint64_t addr) noexcept nogil
