"""Stack growth of 6.18: a touch below a VM_GROWSDOWN vma.

Source: asked of 6.18.44; mm/vma.c (expand_downwards, acct_stack_growth). Between the stack and what is mapped below
must stay stack_guard_gap pages, unless that is a stack itself, or may not be accessed at all:

      PPPP <---- 256 pages ----> | new start ... old start SSSS

The vma gets its anon_vma before its border moves, and it grows even if its rights forbid the access that follows.
"""
from libc.errno cimport EFAULT, ENOMEM, EPERM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.calls.area_6 cimport lowest_address
from vmcore._fast.calls.limits_6 cimport may_expand_vm, mlock_future_ok
from vmcore._fast.counters cimport STACK_GROWTHS, count
from vmcore._fast.mmap cimport vm_enough_memory, vm_unacct_memory
from vmcore._fast.records cimport (
    PAGE_MASK_LOW, PAGE_SHIFT, RLIM_STACK, VM_ACCOUNT, VM_EXEC, VM_GROWSDOWN, VM_LOCKED, VM_READ, VM_WRITE, machine_t,
    mm_t, vma_t)
from vmcore._fast.vma cimport vm_stat_account, vma_set_range


cdef int expand_stack_6(machine_t *m, uint32_t vma, uint64_t addr) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef vma_t *below = &m.vmas[v.prev]
    cdef mm_t *p = &m.mms[v.mm]
    cdef uint32_t pid = p.task
    cdef uint64_t start = addr & ~<uint64_t>PAGE_MASK_LOW
    cdef uint64_t grow = (v.start - start) >> PAGE_SHIFT
    if (v.flags & VM_GROWSDOWN) == 0:
        return -EFAULT
    if start < lowest_address(m):
        return -EPERM
    if (v.prev != 0 and (below.flags & VM_GROWSDOWN) == 0 and below.flags & (VM_READ | VM_WRITE | VM_EXEC)
            and (start - below.end) >> PAGE_SHIFT < m.stack_guard_gap):
        return -ENOMEM
    if m.rmap.anon_prepare(m, vma) != 0:
        return -ENOMEM
    if grow > v.pgoff or not may_expand_vm(m, pid, v.flags, grow) or v.end - start > m.tasks[pid].rlim[<int>RLIM_STACK]:
        return -ENOMEM
    if not mlock_future_ok(m, pid, v.flags, grow):
        return -ENOMEM
    if vm_enough_memory(m, pid, grow) < 0:
        return -ENOMEM
    if (v.flags & VM_ACCOUNT) == 0:
        vm_unacct_memory(m, grow)       # the kernel forgets this charge: nobody would give it back
    vma_set_range(m, vma, start, v.end, v.pgoff - grow)
    vm_stat_account(m, v.mm, v.flags, grow)
    if v.flags & VM_LOCKED:
        p.locked_vm += grow
    count(m, STACK_GROWTHS)
    return 0
