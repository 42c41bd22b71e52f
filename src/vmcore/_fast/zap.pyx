"""Taking pages out of page tables: what munmap, exit, exec and truncate do to the ptes of a vma.

Source: zap_pte_range, zap_page_range and invalidate_mmap_range of mm/memory.c 2.6.5; fact sheet linux-2004 sections
6.9, 4.10.

What stays is the caller's choice (zap_how): guard markers outlive all but munmap and exit, and a hole that is punched
into a file leaves private copies of its pages.

A page that stays mapped elsewhere loses one count and nothing else, so without chains its frame record is read only for
a dirty or young bit to be passed on. mapcount and frame records are fetched ZAP_AHEAD entries before they are needed.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.records cimport (
    i_mmap_iter, machine_t, mm_t, vma_t, frame_t, PG_DIRTY, PG_DIRECT, PG_READAHEAD, PG_SWAPCACHE, PTE_P, PTE_PROTNONE,
    PTE_A, PTE_D, PTE_ANON, PTE_SPECIAL, PTE_SHIFT, PAGE_SHIFT, RMAP_NODES_ALL, RMAP_NODES_ANON, VM_NONLINEAR)
from vmcore._fast.counters cimport count_n, TRUNCATE_ORPHANS, ZAP_PTES
from vmcore._fast.lru cimport lru_add_drain, mark_page_accessed
from vmcore._fast.swap cimport free_swap_and_cache, free_page_and_swap_cache, swp_slot
from vmcore._fast.filemap cimport set_page_dirty
from vmcore._fast.pagetable cimport (
    file_pte, leaf_end, leaf_lookup, next_leaf, prefetch_leaf, pte_in, pte_is_marker, pte_is_swap, pte_swp)
from vmcore._fast.prefetch cimport prefetch_write

cdef enum:
    ZAP_AHEAD = 32
    STREAM_AHEAD = 32       # between the prefetch of a line of the table itself and look_ahead
    ZAP_CHAIN_AHEAD = 8     # the frame record is there by then: fetch the chain node


cdef inline void look_ahead(machine_t *m, uint64_t pte, uint64_t near, int chains) noexcept nogil:
    cdef uint32_t pfn
    cdef frame_t *f
    if pte & PTE_P:
        pfn = <uint32_t>(pte >> PTE_SHIFT)
        prefetch_write(&m.mapcount[pfn])
        prefetch_write(&m.frames[pfn])
    elif pte_is_swap(pte):
        prefetch_write(&m.swap_slots[swp_slot(m, pte_swp(pte))])
    if chains and near & PTE_P and not near & PTE_SPECIAL:
        f = &m.frames[near >> PTE_SHIFT]
        if not f.flags & <uint32_t>PG_DIRECT:
            prefetch_write(&m.chains[<uint64_t>f.rmap * m.chain_words])


cdef inline void zap_present(machine_t *m, uint64_t pte, uint32_t at, int chains) noexcept nogil:
    """Release the page of a pte that stood at index `at` and is cleared already."""
    cdef uint32_t pfn = <uint32_t>(pte >> PTE_SHIFT)
    cdef frame_t *f
    if pte & PTE_D and not (pte & PTE_ANON and m.rules.zap_anon_clean):
        f = &m.frames[pfn]
        if (f.flags & <uint32_t>(PG_DIRTY | PG_READAHEAD)) != PG_DIRTY:
            set_page_dirty(m, pfn)
    # who has a page_mapping: up to 2.6.6 files, in 2.6.7 the swap cache too; 2.4 does not ask
    if (pte & (PTE_A | PTE_ANON)) == PTE_A:
        f = &m.frames[pfn]
        if f.mapping != 0 and not f.flags & <uint32_t>PG_SWAPCACHE and m.rules.zap_accessed != 2:
            mark_page_accessed(m, pfn)
    elif pte & PTE_A and m.rules.zap_accessed == 1 and m.frames[pfn].flags & <uint32_t>PG_SWAPCACHE:
        mark_page_accessed(m, pfn)
    if m.mapcount[pfn] > 1:
        # still mapped: nothing to release, and its swap slot has another user than the cache (count > 2)
        if chains:
            m.rmap.page_remove(m, pfn, at)
        else:
            m.mapcount[pfn] -= 1
        return
    f = &m.frames[pfn]
    f.refs += 1
    m.rmap.page_remove(m, pfn, at)
    free_page_and_swap_cache(m, pfn)


cdef inline int stays(uint64_t pte, int how) noexcept nogil:
    if pte_is_marker(pte):
        return 1
    return how == ZAP_FILE and (pte_is_swap(pte) or (pte & PTE_ANON) != 0)


cdef void zap_leaf(machine_t *m, uint32_t mm, uint32_t at, uint32_t n, int how) noexcept nogil:
    """n entries of one leaf table from pte index `at`."""
    cdef uint64_t *e = &m.ptes[at]
    cdef mm_t *mp = &m.mms[mm]
    cdef uint64_t rss = 0
    cdef uint64_t anon = 0
    cdef uint64_t swapped = 0
    cdef uint64_t pte
    cdef uint32_t i
    cdef int chains = m.rules.rmap_nodes != 0
    cdef uint64_t chained = PTE_ANON if m.rules.rmap_nodes == RMAP_NODES_ANON else 0     # bits of who has a chain
    for i in range(n if n < <uint32_t>ZAP_AHEAD else <uint32_t>ZAP_AHEAD):
        look_ahead(m, e[i], 0, 0)
    for i in range(n):
        if i + <uint32_t>ZAP_AHEAD < n:
            prefetch_write(&e[i + <uint32_t>ZAP_AHEAD + STREAM_AHEAD])
            look_ahead(m, e[i + <uint32_t>ZAP_AHEAD], e[i + <uint32_t>ZAP_CHAIN_AHEAD], chains)
        pte = e[i]
        if pte == 0 or (how != 0 and stays(pte, how)):
            continue
        e[i] = 0
        if pte & (PTE_P | PTE_PROTNONE):
            if pte & PTE_SPECIAL:
                continue
            rss += 1
            if pte & PTE_ANON:
                anon += 1
            zap_present(m, pte, at + i, chains and (pte & chained) == chained)
        elif pte_is_swap(pte):
            swapped += 1
            free_swap_and_cache(m, pte_swp(pte))
    count_n(m, ZAP_PTES, rss + swapped)
    mp.rss -= rss
    mp.anon_rss -= anon
    mp.swapents -= swapped


cdef void zap_range(machine_t *m, uint32_t vma, uint64_t start, uint64_t end, int how) noexcept nogil:
    cdef uint32_t mm = m.vmas[vma].mm
    cdef uint64_t a = start
    cdef uint64_t stop
    cdef uint32_t t
    # a page in a pagevec has one reference too many to be freed, and its slot with it: the kernel drains before it
    # releases what it gathered, which comes to the same, because nothing enters a pagevec in between
    lru_add_drain(m)
    while a < end:
        t = next_leaf(m, mm, &a, end)
        if t == 0:
            return
        stop = leaf_end(m, a, end)
        if stop < end:
            prefetch_leaf(m, leaf_lookup(m, mm, stop))
        zap_leaf(m, mm, pte_in(m, t, a), <uint32_t>((stop - a) >> PAGE_SHIFT), how)
        a = stop


cdef void zap_page_range(machine_t *m, uint32_t vma, uint64_t start, uint64_t end) noexcept nogil:
    zap_range(m, vma, start, end, ZAP_ALL)


# ---------------------------------------------------------------- the mappings of a part of a file

cdef uint64_t zap_nonlinear(machine_t *m, uint32_t vma, uint64_t first, uint64_t last) noexcept nogil:
    """Pages [first, last] of the file, wherever they are in the vma; their offsets stay behind. Returns how many."""
    cdef vma_t *v = &m.vmas[vma]
    cdef mm_t *p = &m.mms[v.mm]
    cdef int chains = m.rules.rmap_nodes == RMAP_NODES_ALL
    cdef uint64_t a = v.start
    cdef uint64_t n = 0
    cdef uint64_t stop, pte, index
    cdef uint32_t t, at
    while a < v.end:
        t = next_leaf(m, v.mm, &a, v.end)
        if t == 0:
            break
        stop = leaf_end(m, a, v.end)
        while a < stop:
            at = pte_in(m, t, a)
            pte = m.ptes[at]
            if pte & (PTE_P | PTE_PROTNONE) and not pte & PTE_SPECIAL:
                index = m.frames[pte >> PTE_SHIFT].index
                if first <= index and index <= last:
                    m.ptes[at] = 0
                    p.rss -= 1
                    zap_present(m, pte, at, chains)
                    if index != v.pgoff + ((a - v.start) >> PAGE_SHIFT):
                        m.ptes[at] = file_pte(index)
                    n += 1
            a += <uint64_t>1 << PAGE_SHIFT
    count_n(m, ZAP_PTES, n)
    return n


cdef void unmap_nonlinear_vmas(machine_t *m, uint32_t file, uint64_t first, uint64_t last) noexcept nogil:
    """2.6.7 reads all ptes of every nonlinear vma. Older kernels forget them: what the linear ranges have missed stays
    mapped there when it leaves the page cache, an orphan that its tasks go on seeing. Here it is counted and unmapped
    all the same, since a mapped page without a file is nothing that could be kept right."""
    cdef uint32_t vma
    cdef i_mmap_iter it
    if m.files[file].nr_i_mmap_nonlinear == 0:
        return
    if m.rules.nonlinear_list:
        vma = m.files[file].i_mmap_nonlinear
        while vma != 0:
            zap_nonlinear(m, vma, first, last)
            vma = m.vmas[vma].shared_next
            if vma == m.files[file].i_mmap_nonlinear:
                return
        return
    vma = m.i_mmap.first(m, file, 0, ~<uint64_t>0 >> PAGE_SHIFT, &it)
    while vma != 0:
        if m.vmas[vma].flags & VM_NONLINEAR:
            count_n(m, TRUNCATE_ORPHANS, zap_nonlinear(m, vma, first, last))
        vma = m.i_mmap.next(m, &it)


cdef void unmap_mapping_pages(machine_t *m, uint32_t file, uint64_t first, uint64_t last, int how) noexcept nogil:
    cdef i_mmap_iter it
    cdef uint64_t lo, hi
    cdef uint32_t vma
    cdef vma_t *v
    vma = m.i_mmap.first(m, file, first, last, &it)
    while vma != 0:
        v = &m.vmas[vma]
        lo = first if first > v.pgoff else v.pgoff
        hi = v.pgoff + ((v.end - v.start) >> PAGE_SHIFT) - 1
        if hi > last:
            hi = last
        zap_range(m, vma, v.start + ((lo - v.pgoff) << PAGE_SHIFT), v.start + ((hi - v.pgoff + 1) << PAGE_SHIFT), how)
        vma = m.i_mmap.next(m, &it)
    unmap_nonlinear_vmas(m, file, first, last)


cdef void unmap_mapping_range(machine_t *m, uint32_t file, uint64_t first, uint64_t last) noexcept nogil:
    unmap_mapping_pages(m, file, first, last, ZAP_PAGES)
