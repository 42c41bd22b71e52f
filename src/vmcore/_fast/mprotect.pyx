"""mprotect, with the order of checks of 2.6.5. mm/mprotect.c; fact sheet linux-2004 6.2, 6.6, linux-modern 1.11.

An mprotect that meets a hole has changed all below it. What joins with what is rules.merge_mprotect: nothing (-aa1);
private anonymous vmas with the one below, and at the end of the call with the one above (2.6.5); or everything that
vma_merge joins (2.6.7 and later), before anything is split.
"""
from libc.errno cimport EACCES, EINVAL, ENOMEM
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.locks cimport down_mmap_sem, up_mmap_sem
from vmcore._fast.merge cimport vma_absorb, vma_may_join, vma_merge
from vmcore._fast.mmap cimport (
    PROT_BITS, PROT_GROWSDOWN, PROT_GROWSUP, PROT_SEM, page_align, vm_enough_memory, vm_unacct_memory)
from vmcore._fast.pool cimport safe_point
from vmcore._fast.protection cimport change_protection
from vmcore._fast.records cimport (
    PAGE_MASK_LOW, PAGE_SHIFT, VM_ACCOUNT, VM_EXEC, VM_GROWSDOWN, VM_GROWSUP, VM_HUGETLB, VM_READ, VM_SHARED,
    VM_WRITE, machine_t, vma_t)
from vmcore._fast.vma cimport find_vma_prev, split_vma, vm_stat_account, vma_set_range

cdef enum:
    MERGE_PREV = 1          # rules.merge_mprotect
    MERGE_ALL = 2
    WALK_STRETCH = 4096     # vmas between safe points


cdef inline int may_join_below(machine_t *m, uint32_t below, uint32_t vma, uint32_t flags) noexcept nogil:
    """mprotect's own merging is for private anonymous vmas. flags: those that vma will have."""
    cdef vma_t *b = &m.vmas[below]
    cdef vma_t *v = &m.vmas[vma]
    if m.rules.merge_mprotect != <uint32_t>MERGE_PREV or below == 0 or b.end != v.start:
        return 0
    if b.file != 0 or b.flags != flags:
        return 0
    if v.file != 0 or (v.flags & VM_SHARED) != 0:
        return 0
    return vma_may_join(m, below, vma)


cdef int join_prev(machine_t *m, uint32_t vma, uint32_t prev, uint64_t end, uint32_t flags) noexcept nogil:
    """The head of vma, up to end, goes to prev (which has the new flags already). 1 if it did."""
    cdef vma_t *v = &m.vmas[vma]
    cdef vma_t *p = &m.vmas[prev]
    if not may_join_below(m, prev, vma, flags):
        return 0
    if end == v.end:
        return vma_absorb(m, prev, vma) == 0
    # pages change hands without their vma: both must name the same anon_vma, or a walk would miss them
    if p.anon_vma != v.anon_vma:
        return 0
    # where offsets mean nothing 2.6.5 leaves them alone
    vma_set_range(m, vma, end, v.end,
                  v.pgoff + ((end - v.start) >> PAGE_SHIFT) if m.rules.merge_anon_pgoff else v.pgoff)
    vma_set_range(m, prev, p.start, end, p.pgoff)
    return 1


cdef inline void account_change(machine_t *m, uint32_t mm, uint32_t old, uint32_t new, uint64_t pages) noexcept nogil:
    vm_stat_account(m, mm, old, -pages)
    vm_stat_account(m, mm, new, pages)


cdef int mprotect_fixup(machine_t *m, uint32_t pid, uint32_t vma, uint32_t *prev, uint64_t start, uint64_t end,
                        uint32_t flags) noexcept nogil:
    """[start, end) of vma gets `flags`. On success *prev is the vma that holds the range's end."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t charged = 0
    cdef uint64_t pages = (end - start) >> PAGE_SHIFT
    cdef uint32_t mm = v.mm
    cdef uint32_t old = v.flags
    cdef uint32_t merged
    if flags == v.flags:
        prev[0] = vma
        return 0
    if (flags & VM_WRITE) != 0 and (v.flags & (VM_ACCOUNT | VM_WRITE | VM_SHARED)) == 0:
        charged = pages
        if vm_enough_memory(m, pid, charged) < 0:
            return -ENOMEM
        flags |= VM_ACCOUNT
    if m.rules.merge_mprotect == <uint32_t>MERGE_ALL:
        merged = vma_merge(m, v.mm, prev[0], start, end, flags, v.file,
                           v.pgoff + ((start - v.start) >> PAGE_SHIFT), vma)
        if merged != 0:
            prev[0] = merged
            m.vmas[merged].flags = flags        # of the range's own vma, which took its neighbour in (case 8)
            change_protection(m, merged, start, end)
            account_change(m, mm, old, flags, pages)
            return 0
    if start == v.start:
        if join_prev(m, vma, prev[0], end, flags):
            change_protection(m, prev[0], start, end)
            account_change(m, mm, old, flags, pages)
            return 0
    elif split_vma(m, vma, start, 1) == 0:
        vm_unacct_memory(m, charged)
        return -ENOMEM
    prev[0] = vma
    if end != v.end and split_vma(m, vma, end, 0) == 0:
        vm_unacct_memory(m, charged)
        return -ENOMEM
    v.flags = flags
    change_protection(m, vma, start, end)
    account_change(m, mm, old, flags, pages)
    return 0


cdef int mprotect_range(machine_t *m, uint32_t pid, uint32_t vma, uint32_t prev, uint64_t start, uint64_t end,
                        uint32_t rights) noexcept nogil:
    cdef uint32_t flags
    cdef uint64_t stop
    cdef uint64_t walked = 0
    cdef int err
    while True:
        # here vma.start <= start < vma.end
        flags = rights | (m.vmas[vma].flags & ~<uint32_t>(VM_READ | VM_WRITE | VM_EXEC))
        if (m.vmas[vma].flags & VM_HUGETLB) != 0 or (flags & ~(flags >> 4) & 7) != 0:
            return -EACCES
        stop = m.vmas[vma].end if m.vmas[vma].end < end else end
        err = mprotect_fixup(m, pid, vma, &prev, start, stop, flags)
        if err < 0:
            return err
        # a merge may have covered more than was asked for; prev has these flags already
        start = m.vmas[prev].end if m.vmas[prev].end > stop else stop
        if start >= end:
            break
        vma = m.vmas[prev].next
        if vma == 0 or m.vmas[vma].start != start:
            return -ENOMEM
        walked += 1
        if walked % WALK_STRETCH == 0 and safe_point(m) < 0:
            return -ENOMEM
    vma = m.vmas[prev].next
    if m.vmas[prev].end == end and vma != 0 and may_join_below(m, prev, vma, m.vmas[vma].flags):
        vma_absorb(m, prev, vma)
    return 0


cdef int do_mprotect(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t prot) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint32_t grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP)
    cdef uint32_t prev = 0
    cdef uint32_t vma
    cdef uint64_t end
    cdef int err = 0
    prot &= ~<uint32_t>(PROT_GROWSDOWN | PROT_GROWSUP)
    if grows == (PROT_GROWSDOWN | PROT_GROWSUP) or (addr & PAGE_MASK_LOW) != 0:
        return -EINVAL
    length = page_align(length)
    end = addr + length
    if end < addr:
        return -ENOMEM
    if prot & ~<uint32_t>(PROT_BITS | PROT_SEM):
        return -EINVAL
    if end == addr:
        return 0
    down_mmap_sem(m, mm)
    vma = find_vma_prev(m, mm, addr, &prev)
    if vma == 0:
        err = -ENOMEM
    elif grows == PROT_GROWSDOWN:
        if m.vmas[vma].start >= end:
            err = -ENOMEM
        elif (m.vmas[vma].flags & VM_GROWSDOWN) == 0:
            err = -EINVAL
        else:
            addr = m.vmas[vma].start
    elif m.vmas[vma].start > addr:
        err = -ENOMEM
    elif grows == PROT_GROWSUP:
        if (m.vmas[vma].flags & VM_GROWSUP) == 0:
            err = -EINVAL
        else:
            end = m.vmas[vma].end
    if err == 0:
        if addr > m.vmas[vma].start:
            prev = vma
        err = mprotect_range(m, pid, vma, prev, addr, end, prot & PROT_BITS)
    up_mmap_sem(m, mm)
    return err
