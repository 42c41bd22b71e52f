"""Steps that every reverse-mapping design takes on one pte that it found.

Source: try_to_unmap_one and page_referenced_one of mm/rmap.c 2.6.5 and mm/objrmap.c of -aa; fact sheet linux-2004
sections 2.2, 2.5.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.records cimport machine_t, mm_t, frame_t, PG_DIRTY, PG_SWAPCACHE, PTE_A, PTE_D, PTE_ANON
from vmcore._fast.pagetable cimport swp_pte
from vmcore._fast.swap cimport swap_duplicate
from vmcore._fast.filemap cimport set_page_dirty


cdef int referenced_pte(machine_t *m, uint32_t pte) noexcept nogil:
    if m.ptes[pte] & PTE_A:
        m.ptes[pte] &= ~<uint64_t>PTE_A
        return 1
    return 0


cdef void unmap_pte(machine_t *m, uint32_t pfn, uint32_t mm, uint32_t pte) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef mm_t *mp = &m.mms[mm]
    cdef uint64_t old = m.ptes[pte]
    if f.flags & <uint32_t>PG_SWAPCACHE:
        swap_duplicate(m, f.priv)
        m.ptes[pte] = swp_pte(f.priv)
        mp.swapents += 1
    else:
        m.ptes[pte] = 0
    if old & PTE_D and not f.flags & <uint32_t>PG_DIRTY:
        set_page_dirty(m, pfn)
    mp.rss -= 1
    if old & PTE_ANON:
        mp.anon_rss -= 1
