"""pagemap, mincore and smaps: what the page tables of an mm say, without touching anything.

fs/proc/task_mmu.c (pagemap and smaps are of later kernels, asked here of all), mm/mincore.c.
"""
from libc.errno cimport EINTR, ENOMEM
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from vmcore._fast.filemap cimport RADIX_PAGE, RADIX_TAG, find_page, radix_next
from vmcore._fast.pagetable cimport (
    leaf_end, next_leaf, pte_in, pte_is_file, pte_is_marker, pte_is_swap, pte_pfn, pte_pgoff, pte_present, pte_swp)
from vmcore._fast.pool cimport interrupted
from vmcore._fast.records cimport (
    PG_DIRTY, PTE_A, PTE_ANON, PTE_D, PTE_RW, PTE_SPECIAL, VM_NONLINEAR, machine_t, vma_t,
)
from vmcore._fast.swap cimport swp_slot
from vmcore._fast.vma cimport find_vma_prev

cdef enum:
    SAFE_BATCH = 4096       # cached pages between safe points


cdef inline void pagemap_one(machine_t *m, uint64_t pte, pagemap_t *out) noexcept nogil:
    cdef uint32_t pfn
    if pte_present(pte):
        pfn = pte_pfn(pte)
        out.present = 1
        out.frame = pfn
        out.accessed = (pte & PTE_A) != 0
        out.dirty = (pte & PTE_D) != 0
        out.writable = (pte & PTE_RW) != 0
        if pte & PTE_SPECIAL:
            out.zero = pfn == m.zero_pfn
            out.file = not out.zero
            return
        out.anon = (pte & PTE_ANON) != 0
        out.file = not out.anon
        out.dirty |= (m.frames[pfn].flags & PG_DIRTY) != 0
        out.exclusive = m.mapcount[pfn] == 1
    elif pte_is_swap(pte):
        out.swapped = 1
        out.anon = 1
        out.slot = swp_slot(m, pte_swp(pte))
    elif pte_is_file(pte):
        out.file = 1
    elif pte_is_marker(pte):
        out.guard = 1
        out.swapped = 1


cdef void pagemap_fill(machine_t *m, uint32_t mm, uint64_t first, uint64_t n, pagemap_t *out) noexcept nogil:
    cdef uint64_t addr = first << 12
    cdef uint64_t end = (first + n) << 12
    cdef uint64_t stop, pte
    cdef uint32_t leaf
    if end > m.rules.task_size:
        end = m.rules.task_size
    while addr < end:
        leaf = next_leaf(m, mm, &addr, end)
        if leaf == 0:
            return
        stop = leaf_end(m, addr, end)
        while addr < stop:
            pte = m.ptes[pte_in(m, leaf, addr)]
            if pte != 0:
                pagemap_one(m, pte, &out[(addr >> 12) - first])
            addr += 4096


cdef int mincore_cached(machine_t *m, const vma_t *v, uint64_t page, uint64_t end, uint8_t *out) noexcept nogil:
    """Pages page..end of a file's vma that are in the page cache; out: that of `page`."""
    cdef uint64_t shift = v.pgoff - (v.start >> 12)         # page offset of page 0, modulo 2^64
    cdef uint64_t index = page + shift
    cdef uint64_t last = end - 1 + shift
    cdef uint64_t looked = 0
    cdef uint64_t slot
    while True:
        slot = radix_next(m, &m.files[v.file].root, &index, last)
        if slot == 0:
            return 0
        if (slot & RADIX_TAG) == RADIX_PAGE:
            out[index - shift - page] = 1
        if index == last:
            return 0
        index += 1
        looked += 1
        if looked % SAFE_BATCH == 0 and interrupted(m):
            return -EINTR


cdef int mincore_vma(machine_t *m, uint32_t vma, uint64_t page, uint64_t end, uint8_t *out) noexcept nogil:
    """Pages page..end of one vma, all 0 before; out: that of `page`. Where no table is there is nothing to look at."""
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t addr = page << 12
    cdef uint64_t stop, pte, at
    cdef uint32_t leaf
    if v.file != 0 and mincore_cached(m, v, page, end, out) != 0:
        return -EINTR
    while addr < end << 12:
        leaf = next_leaf(m, v.mm, &addr, end << 12)
        if leaf == 0:
            return 0
        stop = leaf_end(m, addr, end << 12)
        while addr < stop:
            pte = m.ptes[pte_in(m, leaf, addr)]
            at = (addr >> 12) - page
            if pte_present(pte):
                out[at] = 1
            elif pte_is_swap(pte):
                out[at] = m.swap_slots[swp_slot(m, pte_swp(pte))].cache != 0
            elif pte_is_file(pte):
                out[at] = find_page(m, v.file, pte_pgoff(pte)) != 0
            addr += 4096
        if interrupted(m):
            return -EINTR
    return 0


cdef int mincore_fill(machine_t *m, uint32_t mm, uint64_t first, uint64_t n, uint8_t *out) noexcept nogil:
    cdef uint64_t page = first
    cdef uint64_t last = first + n
    cdef uint64_t end
    cdef uint32_t vma, prev
    while page < last:
        vma = find_vma_prev(m, mm, page << 12, &prev)
        if vma == 0 or m.vmas[vma].start > page << 12:
            return -ENOMEM
        end = m.vmas[vma].end >> 12
        if end > last:
            end = last
        if mincore_vma(m, vma, page, end, &out[page - first]) != 0:
            return -EINTR
        page = end
    return 0


cdef void smaps_fill(machine_t *m, uint32_t vma, smaps_t *out) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t addr = v.start
    cdef uint64_t stop, pte
    cdef uint32_t leaf, pfn, mapcount
    cdef bint dirty
    while addr < v.end:
        leaf = next_leaf(m, v.mm, &addr, v.end)
        if leaf == 0:
            break
        stop = leaf_end(m, addr, v.end)
        while addr < stop:
            pte = m.ptes[pte_in(m, leaf, addr)]
            addr += 4096
            if pte_is_swap(pte):
                out.swap += 4096
            elif pte_is_file(pte):
                out.nonlinear += 4096
            if not pte_present(pte) or pte & PTE_SPECIAL:
                continue
            pfn = pte_pfn(pte)
            mapcount = m.mapcount[pfn]
            dirty = (pte & PTE_D) != 0 or (m.frames[pfn].flags & PG_DIRTY) != 0
            out.rss += 4096
            if v.flags & VM_NONLINEAR and m.frames[pfn].index != v.pgoff + ((addr - v.start) >> 12) - 1:
                out.nonlinear += 4096
            out.referenced += 4096 if pte & PTE_A else 0
            out.anonymous += 4096 if pte & PTE_ANON else 0
            if mapcount >= 2:
                out.pss += (<uint64_t>4096 << 12) // mapcount
                if dirty:
                    out.shared_dirty += 4096
                else:
                    out.shared_clean += 4096
            else:
                out.pss += <uint64_t>4096 << 12
                if dirty:
                    out.private_dirty += 4096
                else:
                    out.private_clean += 4096
    out.pss >>= 12
