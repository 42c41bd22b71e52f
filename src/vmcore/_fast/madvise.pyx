"""madvise of 2.4 and 2.6.

Source: mm/madvise.c of 2.6.5 [M]; mm/filemap.c of 2.4 has the same. Five kinds of advice, looked at vma by vma, so that
an unknown one over unmapped memory is ENOMEM. It goes on behind a hole and returns ENOMEM at the end. The hints about
how a file is read are flags of the vma, which is split for them, whatever they were, and never merged back; that there
is no memory for it is EAGAIN.
"""
from libc.errno cimport EAGAIN, EBADF, EINVAL
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.filemap cimport READAROUND, read_range
from vmcore._fast.frame cimport nr_free_pages
from vmcore._fast.locks cimport down_mmap_sem, up_mmap_sem
from vmcore._fast.lru cimport lru_nr
from vmcore._fast.mmap cimport page_align
from vmcore._fast.records cimport (
    FILE_REGULAR, LRU_INACTIVE, PAGE_MASK_LOW, PAGE_SHIFT, VM_HUGETLB, VM_LOCKED, VM_RAND_READ, VM_SEQ_READ, machine_t,
    vma_t)
from vmcore._fast.vma cimport HOLES_LATER, split_vma, walk_vmas
from vmcore._fast.zap cimport zap_page_range


cdef int read_hint(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, int advice) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    if start != v.start and split_vma(m, vma, start, 1) == 0:
        return -EAGAIN
    if end != v.end and split_vma(m, vma, end, 0) == 0:
        return -EAGAIN
    v.flags &= ~<uint32_t>(VM_RAND_READ | VM_SEQ_READ)
    if advice == MADV_SEQUENTIAL:
        v.flags |= VM_SEQ_READ
    elif advice == MADV_RANDOM:
        v.flags |= VM_RAND_READ
    return 0


cdef int will_need(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil:
    """force_page_cache_readahead, of no more than half of what is inactive or free."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t first = v.pgoff + ((start - v.start) >> PAGE_SHIFT)
    cdef uint64_t n = (end - start) >> PAGE_SHIFT
    cdef uint64_t sane = nr_free_pages(m)
    cdef int z
    if v.file == 0:
        return -EBADF
    if m.files[v.file].kind != FILE_REGULAR:
        return 0
    for z in range(<int>m.nr_zones):
        sane += lru_nr(m, z, LRU_INACTIVE)
    read_range(m, v.file, first, first + (n if n < sane // 2 else sane // 2), READAROUND)
    return 0


cdef int advise_vma(machine_t *m, uint32_t vma, uint64_t start, uint64_t *end, int advice) noexcept nogil:
    if advice == MADV_NORMAL or advice == MADV_SEQUENTIAL or advice == MADV_RANDOM:
        return read_hint(m, vma, start, end[0], advice)
    if advice == MADV_WILLNEED:
        return will_need(m, vma, start, end[0])
    if advice == MADV_DONTNEED:
        if m.vmas[vma].flags & (VM_LOCKED | VM_HUGETLB):
            return -EINVAL
        zap_page_range(m, vma, start, end[0])
        return 0
    return -EINVAL


cdef int do_madvise(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, int advice) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef int err
    length = page_align(length)
    if addr & PAGE_MASK_LOW or addr + length < addr or (m.rules.word_size == 4 and (addr + length) >> 32 != 0):
        return -EINVAL
    down_mmap_sem(m, mm)
    err = walk_vmas(m, mm, addr, addr + length, HOLES_LATER, advise_vma, advice)
    up_mmap_sem(m, mm)
    return err
