"""New flags for a part of a vma: vma_modify_flags of mm/vma.c; fact sheet linux-modern 1.11.

First the neighbours are asked (vma_merge); only if none takes the range, the vma is split at its borders. So there is
no moment at which a range that will merge counts as a vma more, and a call that is refused at max_map_count may have
split off the part below already.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.merge cimport vma_merge
from vmcore._fast.records cimport PAGE_SHIFT, machine_t, vma_t
from vmcore._fast.vma cimport split_vma


cdef uint32_t vma_modify_flags(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, uint32_t flags) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t prev = vma if start > v.start else v.prev
    cdef uint32_t merged = vma_merge(m, v.mm, prev, start, end, flags, v.file,
                                     v.pgoff + ((start - v.start) >> PAGE_SHIFT), vma)
    if merged != 0:
        # one that took the range in has these flags but for those that need not be equal
        m.vmas[merged].flags |= flags
        return merged
    if start > v.start and split_vma(m, vma, start, 1) == 0:
        return 0
    if end < v.end and split_vma(m, vma, end, 0) == 0:
        return 0
    v.flags = flags
    return vma
