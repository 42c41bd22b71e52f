"""msync and mincore of 6.18.

Source: mm/msync.c, mm/mincore.c of 6.18, asked of 6.18.44. msync writes only with MS_SYNC, and then the pages of the
part of the file that the range shows, whoever made them dirty. It goes on behind a hole and returns ENOMEM at the end;
with MS_ASYNC alone it stops there. MS_INVALIDATE drops nothing, but a locked vma refuses it.

A page that is written is read-only again in all shared mappings (rules.write_notify), so that the next write faults.

mincore says whether a page needs no read: it is there, or the file's is cached. What was never touched in anonymous
memory, and what stands behind a guard marker there, does not.
"""
from libc.errno cimport EBUSY, EINVAL, ENOMEM
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from vmcore._fast.locks cimport down_mmap_sem, up_mmap_sem
from vmcore._fast.mmap cimport page_align
from vmcore._fast.msync cimport MS_ASYNC, MS_INVALIDATE, MS_SYNC
from vmcore._fast.pool cimport safe_point
from vmcore._fast.query cimport mincore_fill
from vmcore._fast.records cimport (
    PAGE_MASK_LOW, PAGE_SHIFT, VM_LOCKED, VM_SHARED, machine_t, vma_t)
from vmcore._fast.truncate cimport file_sync_range
from vmcore._fast.vma cimport find_vma_prev

cdef enum:
    VMAS_SAFE = 1024        # vmas between safe points


cdef int msync_vmas(machine_t *m, uint32_t mm, uint64_t start, uint64_t end, uint32_t flags) noexcept nogil:
    cdef int unmapped = 0
    cdef uint64_t walked = 0
    cdef uint32_t prev = 0
    cdef uint32_t vma
    cdef uint64_t first, stop
    cdef vma_t *v
    while start < end:
        vma = find_vma_prev(m, mm, start, &prev)
        v = &m.vmas[vma]
        if vma == 0:
            return -ENOMEM
        if start < v.start:
            if flags == MS_ASYNC:
                return -ENOMEM
            start = v.start
            if start >= end:
                return -ENOMEM
            unmapped = -ENOMEM
        if flags & MS_INVALIDATE and v.flags & VM_LOCKED:
            return -EBUSY
        stop = v.end if v.end < end else end
        if flags & MS_SYNC and v.file != 0 and v.flags & VM_SHARED:
            first = v.pgoff + ((start - v.start) >> PAGE_SHIFT)
            file_sync_range(m, v.file, first, first + ((stop - start) >> PAGE_SHIFT) - 1)
        start = v.end
        walked += 1
        if m.host_error != 0 or (walked % <uint64_t>VMAS_SAFE == 0 and safe_point(m) < 0):
            return -ENOMEM
    return unmapped


cdef int do_msync_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint32_t flags) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef int err
    if flags & ~<uint32_t>(MS_ASYNC | MS_INVALIDATE | MS_SYNC) or addr & PAGE_MASK_LOW:
        return -EINVAL
    if flags & MS_ASYNC and flags & MS_SYNC:
        return -EINVAL
    length = page_align(length)
    if addr + length < addr:
        return -ENOMEM
    if length == 0:
        return 0
    down_mmap_sem(m, mm)
    err = msync_vmas(m, mm, addr, addr + length, flags)
    up_mmap_sem(m, mm)
    return err


cdef int do_mincore_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint8_t *vec) noexcept nogil:
    if addr & PAGE_MASK_LOW:
        return -EINVAL
    if addr > m.rules.task_size or length > m.rules.task_size - addr:
        return -ENOMEM
    return mincore_fill(m, m.tasks[pid].mm, addr >> PAGE_SHIFT, (length >> PAGE_SHIFT) + (length & PAGE_MASK_LOW != 0),
                        vec)
