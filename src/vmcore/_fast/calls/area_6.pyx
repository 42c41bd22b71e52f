"""Where a new mapping goes: get_unmapped_area of 6.18 on x86_64.

Source: asked of 6.18.44; mm/mmap.c, mm/vma.c, arch/x86/kernel/sys_x86_64.c, mm/huge_memory.c. A hint is taken if what
it asks for is free, up to the guard gap of a stack above it. Else the highest gap that is large enough, below
mm.mmap_base:

      | low ... VVVV      VVVVVV  VVVVVVVV            | mmap_base ... stack
                                          ^^^^ here        gaps are looked at from the top, and filled from their top

and only if there is none, the lowest from unmapped_base upwards. A gap that is large enough is not one if a stack above
needs part of it; then the search goes on below that guard gap. (A gap that is too small all the same does not make it
look at the guard gap at all.)

Anonymous private memory without a hint, in lengths that whole huge pages fill, starts at a border of 2 MiB; so do files
of a disk file system. The search is for 2 MiB more then, and if that finds nothing, again without.
"""
from libc.errno cimport EINVAL, ENOMEM, EPERM
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.mmap cimport IS_ERR_VALUE, MAP_FIXED, MAP_SHARED, page_align
from vmcore._fast.records cimport (
    CAP_SYS_RAWIO, FILE_REGULAR, PAGE_MASK_LOW, PAGE_SHIFT, machine_t, mm_t)
from vmcore._fast.vma cimport find_vma, find_vma_prev

cdef enum:
    MAP_32BIT = 0x40
    PMD_SIZE = 2 << 20

# where MAP_32BIT mappings go
cdef uint64_t LOW_START = <uint64_t>1 << 30
cdef uint64_t LOW_END = <uint64_t>1 << 31


cdef int64_t search_down(machine_t *m, uint32_t mm, uint64_t length, uint64_t low, uint64_t high) noexcept nogil:
    """The highest address in [low, high - length] with room, or -ENOMEM. high is the mm's mmap_base. What a search
    found to be too short is not looked at again until a gap grows (mm_t.gap_top), so that a mapping below ten thousand
    others costs what it does below ten; the kernel's maple tree knows the longest gap of each of its nodes."""
    cdef mm_t *p = &m.mms[mm]
    cdef uint32_t below = 0
    cdef uint32_t above
    cdef uint64_t top, bottom
    cdef int all_short = 1
    if p.gap_top != 0 and length >= p.gap_length:
        high = p.gap_top
    above = find_vma_prev(m, mm, high, &below)
    while True:
        # the gap between two neighbours, cut to [low, high)
        top = m.vmas[above].start if above != 0 and m.vmas[above].start < high else high
        bottom = m.vmas[below].end if below != 0 and m.vmas[below].end > low else low
        if top >= bottom + length:
            if above == 0 or vm_start_gap(m, above) >= top:
                if all_short:
                    p.gap_top = top
                    p.gap_length = length
                return <int64_t>(top - length)
            all_short = 0
            high = vm_start_gap(m, above)
            if high <= low:
                return -ENOMEM
            above = find_vma_prev(m, mm, high, &below)
            continue
        if below == 0 or m.vmas[below].start <= low:
            return -ENOMEM
        above = below
        below = m.vmas[below].prev


cdef int64_t search_up(machine_t *m, uint32_t mm, uint64_t length, uint64_t low, uint64_t high) noexcept nogil:
    """The lowest such address."""
    cdef uint32_t above = find_vma(m, mm, low)
    cdef uint64_t addr = low
    if above != 0 and m.vmas[above].start <= addr:
        addr = m.vmas[above].end
        above = m.vmas[above].next
    while addr + length <= high:
        # a stack above that needs part of the gap ends the gap for good
        if above == 0 or addr + length <= vm_start_gap(m, above):
            return <int64_t>addr
        addr = m.vmas[above].end
        above = m.vmas[above].next
    return -ENOMEM


cdef inline int fits(machine_t *m, uint32_t mm, uint64_t addr, uint64_t length) noexcept nogil:
    """A hint: is there room? What ends right below does not matter, not even to a stack."""
    cdef uint32_t vma
    if addr > m.rules.task_size - length:
        return 0
    vma = find_vma(m, mm, addr)
    return vma == 0 or addr + length <= vm_start_gap(m, vma)


cdef int64_t search(machine_t *m, uint32_t mm, uint64_t hint, uint64_t length, uint32_t flags) noexcept nogil:
    cdef uint64_t low = page_align(lowest_address(m))
    cdef int64_t addr
    if length > m.rules.task_size:
        return -ENOMEM
    if flags & MAP_FIXED:
        return <int64_t>hint
    if (flags & MAP_32BIT) == 0:
        hint &= ~<uint64_t>PAGE_MASK_LOW
        if hint != 0 and fits(m, mm, hint, length):
            return <int64_t>hint
        addr = search_down(m, mm, length, low, m.mms[mm].mmap_base)
        if addr >= 0:
            return addr
        if hint != 0 and fits(m, mm, hint, length):
            return <int64_t>hint
        return search_up(m, mm, length, m.rules.unmapped_base, m.rules.task_size)
    hint = (hint + PAGE_MASK_LOW) & ~<uint64_t>PAGE_MASK_LOW
    if length > LOW_END:
        return -ENOMEM
    if hint != 0 and hint <= LOW_END - length and fits(m, mm, hint, length):
        return <int64_t>hint
    return search_up(m, mm, length, LOW_START, LOW_END)


cdef int64_t search_aligned(machine_t *m, uint32_t mm, uint64_t hint, uint64_t length, uint64_t offset,
                            uint32_t flags) noexcept nogil:
    """The same so that whole huge pages of the object can be mapped by one entry; offset is its first byte here."""
    cdef uint64_t first = (offset + PMD_SIZE - 1) & ~<uint64_t>(PMD_SIZE - 1)
    cdef uint64_t rest
    cdef int64_t addr
    if offset + length <= first or offset + length - first < <uint64_t>PMD_SIZE or length + PMD_SIZE < length:
        return search(m, mm, hint, length, flags)
    addr = search(m, mm, hint, length + PMD_SIZE, flags)
    if IS_ERR_VALUE(addr):
        return search(m, mm, hint, length, flags)
    if <uint64_t>addr == hint:
        return addr
    rest = (offset - <uint64_t>addr) & (PMD_SIZE - 1)
    # at the top of what was found, since the search came from there
    return addr + (PMD_SIZE if rest == 0 else <int64_t>rest)


cdef int64_t get_unmapped_area_6(machine_t *m, uint32_t pid, uint64_t addr, uint64_t length, uint64_t pgoff,
                                 uint32_t flags, uint32_t file) noexcept nogil:
    cdef uint32_t mm = m.tasks[pid].mm
    cdef int64_t found
    if length > m.rules.task_size:
        return -ENOMEM
    if file != 0 and m.files[file].kind == FILE_REGULAR:
        found = search_aligned(m, mm, addr, length, pgoff << PAGE_SHIFT, flags)
    elif file == 0 and (flags & MAP_SHARED) == 0 and addr == 0 and length % <uint64_t>PMD_SIZE == 0:
        found = search_aligned(m, mm, addr, length, 0, flags)
    else:
        found = search(m, mm, addr, length, flags)
    if IS_ERR_VALUE(found):
        return found
    if <uint64_t>found > m.rules.task_size - length:
        return -ENOMEM
    if found & PAGE_MASK_LOW:
        return -EINVAL
    if <uint64_t>found < m.mmap_min_addr and (m.tasks[pid].caps & CAP_SYS_RAWIO) == 0:
        return -EPERM
    return found
