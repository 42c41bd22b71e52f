"""remap_file_pages: other pages of the file behind the same addresses, without another vma.

Source: mm/fremap.c of 2.6.5 and 2.6.7; fact sheet linux-2004 4.8, 2.7. The thread: who needs a million windows on one
file is to use this; User Mode Linux is the example, and its pages must still be swappable.

    vma      |  0    1    2    3  |     linear: page = vma.pgoff + place
    ptes     | p0   p7   f3   p3  |     after remaps: page 7 is present, page 3 is not: its offset stands in a file pte

A shared mapping may do this, and only it: a private copy has no place in the file. VM_NONLINEAR is set before the first
page is, and never cleared, even if all becomes linear again. Where the kernel keeps such vmas apart
(rules.nonlinear_list) the vma leaves its file's index for file.i_mmap_nonlinear, since its address says nothing about
its pages any more. 2.6.7 keeps the cursor of its cluster scan in vm_private_data, and refuses vmas where that is not 0:
a remap after reclaim came by fails, until the scan has been once around (rules.remap_cursor_einval).
"""
from libc.errno cimport EINVAL, ENOSYS
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.counters cimport REMAP_CURSOR_REFUSED, REMAP_FILE_PAGES, count
from vmcore._fast.locks cimport down_i_shared, down_mmap_sem, up_i_shared, up_mmap_sem
from vmcore._fast.populate cimport can_populate, populate
from vmcore._fast.records cimport (
    PAGE_MASK_LOW, PAGE_SHIFT, VM_NONLINEAR, VM_RESERVED, VM_SHARED, machine_t, vma_t)
from vmcore._fast.vma cimport find_vma, index_insert, index_remove


cdef void make_nonlinear(machine_t *m, uint32_t vma) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    down_i_shared(m, v.file)
    if m.rules.nonlinear_list:
        index_remove(m, vma)
        v.flags |= VM_NONLINEAR
        index_insert(m, vma)
    else:
        v.flags |= VM_NONLINEAR             # it keeps its place in the index
        m.files[v.file].nr_i_mmap_nonlinear += 1
    up_i_shared(m, v.file)


cdef int do_remap_file_pages(machine_t *m, uint32_t pid, uint64_t start, uint64_t size, uint32_t prot, uint64_t pgoff,
                             int nonblock) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef uint64_t end = start + size        # before both are cut to pages
    cdef uint64_t pages
    cdef uint32_t vma
    cdef int err = -EINVAL
    cdef int io = 0
    cdef vma_t *v
    if m.rules.remap_missing:
        return -ENOSYS
    if prot != 0:
        return -EINVAL
    start &= ~<uint64_t>PAGE_MASK_LOW
    size &= ~<uint64_t>PAGE_MASK_LOW
    pages = size >> PAGE_SHIFT
    if start + size <= start:
        return -EINVAL
    # 0 bits: a file pte holds every offset that a word of this machine can
    if m.rules.pte_file_bits != 0 and (
            pgoff + pages < pgoff or pgoff + pages >= <uint64_t>1 << m.rules.pte_file_bits):
        return -EINVAL
    down_mmap_sem(m, mm)
    vma = find_vma(m, mm, start)
    v = &m.vmas[vma]
    if m.rules.remap_cursor_einval and vma != 0 and v.private_data != 0 and not v.flags & VM_RESERVED:
        count(m, REMAP_CURSOR_REFUSED)
    elif (vma != 0 and v.flags & VM_SHARED and can_populate(m, vma)
            and end > start and start >= v.start and end <= v.end):
        if pgoff != v.pgoff + ((start - v.start) >> PAGE_SHIFT) and not v.flags & VM_NONLINEAR:
            make_nonlinear(m, vma)
        count(m, REMAP_FILE_PAGES)
        err = populate(m, vma, start, pages, pgoff, nonblock, &io)
    up_mmap_sem(m, mm)
    return err
