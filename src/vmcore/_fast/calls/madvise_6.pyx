"""madvise of 6.18, with its order of checks.

Source: mm/madvise.c of 6.18, asked of 6.18.44; fact sheet linux-modern 6.7. The advice is looked at first, then the
address, then the length; nothing at all is always fine. A hole does not stop the call: it goes on behind it and returns
ENOMEM at the end, but for MADV_POPULATE_*. An error in a vma stops it, and what came before stays.

Advice that is a flag of the vma splits it and merges it with its neighbours, if the flag changes at all; that there is
no memory for it, or no room below max_map_count, is EAGAIN.

Not here: memory failures (no CONFIG_MEMORY_FAILURE there either). MADV_COLLAPSE and MADV_HUGEPAGE: huge pages are off,
as with PR_SET_THP_DISABLE, where the one is EINVAL and the other a flag. MADV_MERGEABLE: the flag, and no ksmd that
runs.
"""
from libc.errno cimport EACCES, EAGAIN, EINVAL
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.calls.advise_6 cimport advise_cold, advise_free, advise_willneed
from vmcore._fast.calls.guard_6 cimport guard_install, guard_remove
from vmcore._fast.calls.modify_6 cimport vma_modify_flags
from vmcore._fast.calls.populate_6 cimport madvise_populate
from vmcore._fast.locks cimport down_mmap_sem, up_mmap_sem
from vmcore._fast.madvise cimport (
    MADV_COLD, MADV_COLLAPSE, MADV_DODUMP, MADV_DOFORK, MADV_DONTDUMP, MADV_DONTFORK, MADV_DONTNEED,
    MADV_DONTNEED_LOCKED, MADV_FREE, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE, MADV_HUGEPAGE, MADV_KEEPONFORK,
    MADV_MERGEABLE, MADV_NOHUGEPAGE, MADV_NORMAL, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_RANDOM,
    MADV_REMOVE, MADV_SEQUENTIAL, MADV_UNMERGEABLE, MADV_WILLNEED, MADV_WIPEONFORK)
from vmcore._fast.mmap cimport page_align
from vmcore._fast.records cimport (
    PAGE_MASK_LOW, PAGE_SHIFT, VM_DONTCOPY, VM_DONTDUMP, VM_DONTEXPAND, VM_DROPPABLE, VM_HUGEPAGE, VM_HUGETLB, VM_IO,
    VM_LOCKED, VM_MAYSHARE, VM_MAYWRITE, VM_MERGEABLE, VM_MIXEDMAP, VM_NOHUGEPAGE, VM_PFNMAP, VM_RAND_READ, VM_SEQ_READ,
    VM_SHARED, VM_WIPEONFORK, machine_t, vma_t)
from vmcore._fast.truncate cimport do_punch_hole
from vmcore._fast.vma cimport HOLES_LATER, walk_vmas
from vmcore._fast.zap cimport ZAP_PAGES, zap_range

cdef enum:
    VM_SPECIAL_6 = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP


cdef inline int known(int advice) noexcept nogil:
    return (advice >= MADV_NORMAL and advice <= MADV_DONTNEED) or (advice >= MADV_FREE and advice <= MADV_COLLAPSE) or (
        advice == MADV_GUARD_INSTALL or advice == MADV_GUARD_REMOVE)


# ---------------------------------------------------------------- flags of a vma

cdef int new_flags(machine_t *m, uint32_t vma, int advice, uint32_t *flags) noexcept nogil:
    """What the flags become; 0 or -EINVAL."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t f = v.flags
    if advice == MADV_NORMAL:
        f &= ~<uint32_t>(VM_RAND_READ | VM_SEQ_READ)
    elif advice == MADV_SEQUENTIAL:
        f = (f & ~<uint32_t>VM_RAND_READ) | VM_SEQ_READ
    elif advice == MADV_RANDOM:
        f = (f & ~<uint32_t>VM_SEQ_READ) | VM_RAND_READ
    elif advice == MADV_DONTFORK:
        f |= VM_DONTCOPY
    elif advice == MADV_DOFORK:
        if f & VM_IO:
            return -EINVAL
        f &= ~<uint32_t>VM_DONTCOPY
    elif advice == MADV_WIPEONFORK:
        if v.file != 0 or f & VM_SHARED:
            return -EINVAL
        f |= VM_WIPEONFORK
    elif advice == MADV_KEEPONFORK:
        if f & VM_DROPPABLE:
            return -EINVAL
        f &= ~<uint32_t>VM_WIPEONFORK
    elif advice == MADV_DONTDUMP:
        f |= VM_DONTDUMP
    elif advice == MADV_DODUMP:
        if (f & VM_SPECIAL_6 and not f & VM_HUGETLB) or f & VM_DROPPABLE:
            return -EINVAL
        f &= ~<uint32_t>VM_DONTDUMP
    elif advice == MADV_MERGEABLE:
        if not f & (VM_SHARED | VM_MAYSHARE | VM_SPECIAL_6 | VM_HUGETLB | VM_DROPPABLE):
            f |= VM_MERGEABLE
    elif advice == MADV_UNMERGEABLE:
        f &= ~<uint32_t>VM_MERGEABLE
    elif advice == MADV_HUGEPAGE:
        f = (f & ~<uint32_t>VM_NOHUGEPAGE) | VM_HUGEPAGE
    elif advice == MADV_NOHUGEPAGE:
        f = (f & ~<uint32_t>VM_HUGEPAGE) | VM_NOHUGEPAGE
    else:
        return -EINVAL                  # MADV_COLLAPSE
    flags[0] = f
    return 0


cdef int advise_flags(machine_t *m, uint32_t vma, uint64_t start, uint64_t *end, int advice) noexcept nogil:
    """*end moves up to the end of the vma that the range has become part of."""
    cdef uint32_t flags = 0
    cdef int err = new_flags(m, vma, advice, &flags)
    if err < 0:
        return err
    if flags != m.vmas[vma].flags:
        vma = vma_modify_flags(m, vma, start, end[0], flags)
        if vma == 0:
            return -EAGAIN
        if m.vmas[vma].end > end[0]:
            end[0] = m.vmas[vma].end
    return 0


# ---------------------------------------------------------------- pages

cdef int advise_remove(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    if v.flags & VM_LOCKED or v.file == 0:
        return -EINVAL
    if (v.flags & (VM_SHARED | VM_MAYWRITE)) != (VM_SHARED | VM_MAYWRITE):
        return -EACCES
    return do_punch_hole(m, v.file, (v.pgoff << PAGE_SHIFT) + (start - v.start), end - start)


cdef int advise_vma(machine_t *m, uint32_t vma, uint64_t start, uint64_t *end, int advice) noexcept nogil:
    cdef uint32_t flags = m.vmas[vma].flags
    if advice == MADV_REMOVE:
        return advise_remove(m, vma, start, end[0])
    if advice == MADV_WILLNEED:
        advise_willneed(m, vma, start, end[0])
    elif advice == MADV_COLD or advice == MADV_PAGEOUT:
        if flags & (VM_LOCKED | VM_PFNMAP | VM_HUGETLB):
            return -EINVAL
        advise_cold(m, vma, start, end[0], advice == MADV_PAGEOUT)
    elif advice == MADV_DONTNEED or advice == MADV_DONTNEED_LOCKED or advice == MADV_FREE:
        if flags & VM_PFNMAP or (flags & VM_LOCKED and advice != MADV_DONTNEED_LOCKED):
            return -EINVAL
        if advice != MADV_FREE:
            zap_range(m, vma, start, end[0], ZAP_PAGES)
        elif m.vmas[vma].file != 0 or flags & VM_SHARED:
            return -EINVAL
        else:
            advise_free(m, vma, start, end[0])
    elif advice == MADV_GUARD_INSTALL:
        return guard_install(m, vma, start, end[0])
    elif advice == MADV_GUARD_REMOVE:
        return guard_remove(m, vma, start, end[0])
    else:
        return advise_flags(m, vma, start, end, advice)
    return 0


# ---------------------------------------------------------------- the call

cdef int do_madvise_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, int advice) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t aligned = page_align(length)
    cdef int err
    if not known(advice) or addr & PAGE_MASK_LOW or (length != 0 and aligned == 0) or addr + aligned < addr:
        return -EINVAL
    if aligned == 0:
        return 0
    down_mmap_sem(m, mm)
    if advice == MADV_POPULATE_READ or advice == MADV_POPULATE_WRITE:
        err = madvise_populate(m, pid, addr, addr + aligned, advice == MADV_POPULATE_WRITE)
    else:
        err = walk_vmas(m, mm, addr, addr + aligned, HOLES_LATER, advise_vma, advice)
    up_mmap_sem(m, mm)
    return err
