"""mprotect of 6.18.

Source: asked of 6.18.44; mm/mprotect.c, mm/vma.c; fact sheet linux-modern 1.11. What lies below a hole, or below the
first vma that may not have these rights, is changed.

A private mapping is charged when it first becomes writable. It is paid back if it loses the right while nothing was
ever written there (no anon_vma): such a vma is like one that was mapped so, and merges with it.

Memory that becomes executable and nothing else (prot is PROT_EXEC to the bit) gets a protection key, VM_PKEY, that
keeps data accesses out; whatever else it becomes takes the key away. Vmas that differ in it do not share an anon_vma.

What becomes of the ptes is in protection.pyx.
"""
from libc.errno cimport EACCES, EINVAL, ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.calls.limits_6 cimport may_expand_vm
from vmcore._fast.calls.modify_6 cimport vma_modify_flags
from vmcore._fast.locks cimport down_mmap_sem, up_mmap_sem
from vmcore._fast.mmap cimport (
    PROT_BITS, PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_SEM, page_align, vm_enough_memory, vm_unacct_memory)
from vmcore._fast.pool cimport safe_point
from vmcore._fast.protection cimport change_protection
from vmcore._fast.records cimport (
    PAGE_MASK_LOW, PAGE_SHIFT, VM_ACCOUNT, VM_GROWSDOWN, VM_HUGETLB, VM_LOCKED, VM_NORESERVE, VM_PKEY, VM_SHARED,
    VM_WRITE, machine_t, vma_t)
from vmcore._fast.vma cimport find_vma_prev, vm_stat_account

cdef enum:
    WALK_STRETCH = 4096     # vmas between safe points


cdef int mprotect_fixup(machine_t *m, uint32_t pid, uint32_t vma, uint32_t *prev, uint64_t start, uint64_t end,
                        uint32_t flags) noexcept nogil:
    """[start, end) of vma gets `flags`. On success *prev is the vma that has the range."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t mm = v.mm
    cdef uint32_t old = v.flags
    cdef uint32_t merged
    cdef uint64_t pages = (end - start) >> PAGE_SHIFT
    cdef uint64_t charged = 0
    if flags == old:
        prev[0] = vma
        return 0
    if flags & VM_WRITE:
        # only the limit that the change itself breaks
        if not may_expand_vm(m, pid, flags, pages) and may_expand_vm(m, pid, old, pages):
            return -ENOMEM
        if (old & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED | VM_NORESERVE)) == 0:
            if vm_enough_memory(m, pid, pages) < 0:
                return -ENOMEM
            charged = pages
            flags |= VM_ACCOUNT
    elif old & VM_ACCOUNT and v.file == 0 and v.anon_vma == 0:
        flags &= ~<uint32_t>VM_ACCOUNT
    merged = vma_modify_flags(m, vma, start, end, flags)
    if merged == 0:
        vm_unacct_memory(m, charged)
        return -ENOMEM
    prev[0] = merged
    change_protection(m, merged, start, end)
    if old & VM_ACCOUNT and (flags & VM_ACCOUNT) == 0:
        vm_unacct_memory(m, pages)
    vm_stat_account(m, mm, old, -pages)
    vm_stat_account(m, mm, flags, pages)
    if (old & (VM_WRITE | VM_SHARED | VM_LOCKED)) == VM_LOCKED and flags & VM_WRITE:
        m.calls.populate(m, pid, start, end)        # locked: copy now, not at the first write
    return 0


cdef int mprotect_range(machine_t *m, uint32_t pid, uint32_t vma, uint32_t prev, uint64_t start, uint64_t end,
                        uint32_t prot) noexcept nogil:
    cdef uint64_t at = start
    cdef uint64_t stop
    cdef uint64_t walked = 0
    cdef uint32_t flags
    cdef int err
    while vma != 0 and m.vmas[vma].start < end:
        if m.vmas[vma].start > at:
            return -ENOMEM
        flags = (prot & PROT_BITS) | (m.vmas[vma].flags & ~<uint32_t>(PROT_BITS | VM_PKEY))
        flags |= VM_PKEY if prot == PROT_EXEC else 0
        if flags & ~(flags >> 4) & PROT_BITS:
            return -EACCES
        stop = m.vmas[vma].end if m.vmas[vma].end < end else end
        err = mprotect_fixup(m, pid, vma, &prev, at, stop, flags)
        if err < 0:
            return err
        # a merge may have covered more than was asked for, and that has these rights already
        at = m.vmas[prev].end
        vma = m.vmas[prev].next
        walked += 1
        if walked % WALK_STRETCH == 0 and safe_point(m) < 0:
            return -ENOMEM
    return -ENOMEM if at < end else 0


cdef int mprotect_locked(machine_t *m, uint32_t pid, uint64_t start, uint64_t end, uint32_t prot,
                         uint32_t grows) noexcept nogil:
    cdef uint32_t prev = 0
    cdef uint32_t vma = find_vma_prev(m, m.tasks[pid].mm, start, &prev)
    if vma == 0 or m.vmas[vma].start >= end:
        return -ENOMEM
    if grows == PROT_GROWSDOWN:
        # the range begins where the stack does
        start = m.vmas[vma].start
        if (m.vmas[vma].flags & VM_GROWSDOWN) == 0:
            return -EINVAL
    elif m.vmas[vma].start > start:
        return -ENOMEM
    elif grows == PROT_GROWSUP:
        return -EINVAL          # nothing grows upwards on x86
    if start > m.vmas[vma].start:
        prev = vma
    return mprotect_range(m, pid, vma, prev, start, end, prot)


cdef int do_mprotect_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint32_t grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP)
    cdef int err
    prot &= ~<uint32_t>(PROT_GROWSDOWN | PROT_GROWSUP)
    if grows == (PROT_GROWSDOWN | PROT_GROWSUP) or addr & PAGE_MASK_LOW:
        return -EINVAL
    if length == 0:
        return 0
    length = page_align(length)
    if addr + length <= addr:
        return -ENOMEM
    if prot & ~<uint32_t>(PROT_BITS | PROT_SEM):
        return -EINVAL
    down_mmap_sem(m, mm)
    err = mprotect_locked(m, pid, addr, addr + length, prot, grows)
    up_mmap_sem(m, mm)
    return err
