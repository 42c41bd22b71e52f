"""Radix page tables of an mm: making them, finding what exists, freeing them.

Source: mm/memory.c (pte_alloc_map, clear_page_tables) and arch/i386/mm/pgtable.c of 2.6.5; fact sheet linux-2004
sections 1.5, 2.2 (what a table page remembers) and 6.4 (which tables munmap frees).

A table takes one simulated frame, lowmem unless rules.highpte lets a leaf lie in highmem; its frame has PG_TABLE,
mapping = mm and index = the virtual base, which is how the pte_chain design gets from a pte to its owner. Records of
POOL_TABLE have the numbers of POOL_PTE: only POOL_PTE keeps a free list, so the two cannot get out of step.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from vmcore._fast.records cimport (
    CACHE_PGD, PG_TABLE, POOL_PTE, POOL_TABLE, PTE_P, PTE_SHIFT, SPANS, frame_t, machine_t, mm_t, pool_t, span_t,
    table_t)
from vmcore._fast.pool cimport pool_alloc, pool_free
from vmcore._fast.counters cimport ALLOC_REFUSALS
from vmcore._fast.bugs cimport bug, BUG_PTE_NOT_NONE
from vmcore._fast.frame cimport (
    alloc_pages, free_hot_cold_page, GFP_KERNEL, GFP_HIGHUSER, GFP_REPEAT_)
from vmcore._fast.slab cimport (
    cache_alloc, cache_free, ledger_note, ledger_refusal, LEDGER_PAGE_TABLES, LEDGER_UPPER_TABLES)


# ---------------------------------------------------------------- one table

cdef int table_is_slab(machine_t *m, int level) noexcept nogil:
    return m.rules.pgd_slab != 0 and level == <int>m.levels - 1


cdef uint32_t table_new(machine_t *m, uint32_t mm, int level, uint64_t base) noexcept nogil:
    """A table of zeroes with its frame, not linked yet; 0 = no memory."""
    cdef uint32_t t = pool_alloc(m, POOL_PTE)
    cdef pool_t *p = &m.pools[POOL_TABLE]
    cdef mm_t *mp = &m.mms[mm]
    cdef uint32_t pfn = 0
    cdef uint32_t gfp = GFP_KERNEL
    cdef uint64_t refusals = m.counters[ALLOC_REFUSALS]
    cdef table_t *tb
    cdef frame_t *f
    if t == 0:
        return 0
    if t >= p.limit:
        pool_free(m, POOL_PTE, t)
        return 0
    if level == 0:
        gfp = (<uint32_t>GFP_HIGHUSER if m.rules.highpte else <uint32_t>GFP_KERNEL) | <uint32_t>GFP_REPEAT_
    if table_is_slab(m, level):
        if cache_alloc(m, CACHE_PGD, mm, GFP_KERNEL) < 0:
            pool_free(m, POOL_PTE, t)
            return 0
    else:
        # may reclaim: no table is freed by that, so what the caller found on its way down stays valid
        pfn = alloc_pages(m, gfp, 0)
        ledger_refusal(m, LEDGER_PAGE_TABLES if level == 0 else LEDGER_UPPER_TABLES, refusals)
        if pfn == 0:
            pool_free(m, POOL_PTE, t)
            return 0
        f = &m.frames[pfn]
        f.flags |= <uint32_t>PG_TABLE
        f.mapping = mm
        f.index = base
        ledger_note(m, LEDGER_PAGE_TABLES if level == 0 else LEDGER_UPPER_TABLES, pfn, 1)
    if p.next <= t:
        p.next = <uint64_t>t + 1
    p.live += 1
    m.ptes[<uint64_t>t << m.pt_shift] = 0       # held the pool's free link
    tb = &m.tables[t]
    tb.base = base | <uint64_t>level
    tb.frame = pfn
    tb.mm = mm
    if level == 0:
        mp.nr_ptes += 1
    else:
        mp.nr_upper += 1
    return t


cdef void table_free(machine_t *m, uint32_t mm, uint32_t t, int level) noexcept nogil:
    """Give an unlinked table back; every entry must be none."""
    cdef table_t *tb = &m.tables[t]
    cdef uint64_t *e = &m.ptes[<uint64_t>t << m.pt_shift]
    cdef uint32_t n = <uint32_t>1 << m.pt_shift
    cdef uint32_t i, pfn = tb.frame
    cdef uint64_t some = 0
    cdef frame_t *f
    for i in range(n):
        some |= e[i]
    if some != 0:
        # a pte that nobody zapped: its page would be lost, and the pool hands out tables without clearing them
        bug(m, BUG_PTE_NOT_NONE, mm, tb.base, some)
        memset(e, 0, <size_t>n * sizeof(uint64_t))
    if level == 0:
        m.mms[mm].nr_ptes -= 1
    else:
        m.mms[mm].nr_upper -= 1
    if pfn == 0:
        cache_free(m, CACHE_PGD, mm)
    else:
        ledger_note(m, LEDGER_PAGE_TABLES if level == 0 else LEDGER_UPPER_TABLES, pfn, -1)
        f = &m.frames[pfn]
        f.flags &= ~<uint32_t>PG_TABLE
        f.mapping = 0
        f.index = 0
        f.refs = 0
        free_hot_cold_page(m, pfn, 0)
    tb.base = 0
    tb.frame = 0
    tb.mm = 0
    m.pools[POOL_TABLE].live -= 1
    pool_free(m, POOL_PTE, t)


# ---------------------------------------------------------------- the tree

cdef uint32_t leaf_walk(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil:
    cdef uint64_t span = addr >> (m.leaf_shift + m.pt_shift)
    cdef span_t *s = &m.spans[(span + mm * 37) & (SPANS - 1)]
    cdef uint32_t t = m.mms[mm].pgd
    cdef int level = <int>m.levels - 1
    while level > 0 and t != 0:
        if level == 1:
            s.key = <uint64_t>mm << 32 | span
            s.table = t
            s.epoch = m.table_epoch
        t = <uint32_t>(m.ptes[(<uint64_t>t << m.pt_shift) | ((addr >> (12 + level * m.pt_shift)) & m.pt_mask)]
                       >> PTE_SHIFT)
        level -= 1
    return t


cdef uint32_t pte_alloc(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil:
    cdef mm_t *mp = &m.mms[mm]
    cdef uint64_t tag = addr >> m.leaf_shift
    cdef uint32_t t, child
    cdef int level = <int>m.levels - 1
    cdef uint32_t shift
    cdef uint64_t *e
    if mp.leaf != 0 and mp.leaf_tag == tag:
        return pte_in(m, mp.leaf, addr)
    t = mp.pgd
    while level > 0:
        shift = 12 + <uint32_t>level * m.pt_shift
        e = &m.ptes[(<uint64_t>t << m.pt_shift) | ((addr >> shift) & m.pt_mask)]
        if e[0] == 0:
            # an upper table that was made before a failure stays, as in the kernel; exit frees it
            child = table_new(m, mm, level - 1, (addr >> shift) << shift)
            if child == 0:
                return 0
            e[0] = (<uint64_t>child << PTE_SHIFT) | <uint64_t>PTE_P
        t = <uint32_t>(e[0] >> PTE_SHIFT)
        level -= 1
    mp.leaf = t
    mp.leaf_tag = tag
    return pte_in(m, t, addr)


cdef void pte_unalloc(machine_t *m, uint32_t mm, uint64_t addr) noexcept nogil:
    cdef uint32_t t = m.mms[mm].pgd
    cdef int level = <int>m.levels - 1
    cdef uint64_t *e = NULL
    cdef uint32_t i
    while level > 0 and t != 0:
        e = &m.ptes[(<uint64_t>t << m.pt_shift) | ((addr >> (12 + level * m.pt_shift)) & m.pt_mask)]
        t = <uint32_t>(e[0] >> PTE_SHIFT)
        level -= 1
    if t == 0 or e == NULL:
        return
    for i in range(m.pt_mask + 1):
        if m.ptes[pte_in(m, t, 0) | i] != 0:
            return
    e[0] = 0
    m.mms[mm].leaf = 0
    m.table_epoch += 1
    table_free(m, mm, t, 0)


cdef int pgd_alloc(machine_t *m, uint32_t mm) noexcept nogil:
    cdef uint32_t t = table_new(m, mm, <int>m.levels - 1, 0)
    if t == 0:
        return -ENOMEM
    m.mms[mm].pgd = t
    m.mms[mm].leaf = 0
    return 0


cdef void pgd_free(machine_t *m, uint32_t mm) noexcept nogil:
    cdef uint32_t t = m.mms[mm].pgd
    if t == 0:
        return
    m.mms[mm].leaf = 0
    m.mms[mm].pgd = 0
    table_free(m, mm, t, <int>m.levels - 1)
    m.table_epoch += 1


cdef int free_below(machine_t *m, uint32_t mm, uint32_t t, int level, uint64_t base, uint64_t start,
                    uint64_t end) noexcept nogil:
    """Free what lies below upper table t in [start, end); 1 if nothing is left in t."""
    cdef uint32_t shift = 12 + <uint32_t>level * m.pt_shift
    cdef uint64_t span = <uint64_t>1 << shift
    cdef uint64_t table_end = base + (span << m.pt_shift)
    cdef uint64_t *e = &m.ptes[<uint64_t>t << m.pt_shift]
    cdef uint64_t lo = start if start > base else base
    cdef uint64_t hi = end if end < table_end else table_end
    cdef uint64_t at
    cdef uint32_t child, i, n = <uint32_t>1 << m.pt_shift
    cdef int gone = 0
    if lo >= hi:
        return 0
    at = (lo >> shift) << shift
    while at < hi:
        i = <uint32_t>(at >> shift) & m.pt_mask
        if e[i] != 0:
            child = <uint32_t>(e[i] >> PTE_SHIFT)
            if level == 1:
                if at >= start and at + span <= end:
                    e[i] = 0
                    table_free(m, mm, child, 0)
                    gone = 1
            elif free_below(m, mm, child, level - 1, at, start, end):
                e[i] = 0
                table_free(m, mm, child, level - 1)
                gone = 1
        at += span
    if not gone and (start > base or end < table_end):
        return 0
    for i in range(n):
        if e[i] != 0:
            return 0
    return 1


cdef void free_pgtables(machine_t *m, uint32_t mm, uint64_t start, uint64_t end) noexcept nogil:
    cdef mm_t *mp = &m.mms[mm]
    cdef uint64_t leaf = <uint64_t>1 << m.leaf_shift
    if end >= m.rules.task_size:
        # with four levels user space ends a page before its last table does
        end = (m.rules.task_size + leaf - 1) & ~(leaf - 1)
    if mp.pgd == 0 or start >= end:
        return
    mp.leaf = 0
    m.table_epoch += 1
    free_below(m, mm, mp.pgd, <int>m.levels - 1, 0, start, end)


cdef uint32_t next_leaf(machine_t *m, uint32_t mm, uint64_t *addr, uint64_t end) noexcept nogil:
    cdef uint64_t a = addr[0]
    cdef uint64_t *e
    cdef uint32_t t, shift, slot
    cdef int level
    while a < end:
        t = m.mms[mm].pgd
        level = <int>m.levels - 1
        while level > 0 and t != 0:
            shift = 12 + <uint32_t>level * m.pt_shift
            slot = <uint32_t>(a >> shift) & m.pt_mask
            e = &m.ptes[<uint64_t>t << m.pt_shift]
            if e[slot] == 0:
                # along this table to the next entry that exists, or to the end of what the table covers
                while slot <= m.pt_mask and e[slot] == 0:
                    slot += 1
                a = (((a >> shift) & ~<uint64_t>m.pt_mask) + slot) << shift
                if slot > m.pt_mask or a >= end:
                    t = 0
                    break
            t = <uint32_t>(e[slot] >> PTE_SHIFT)
            level -= 1
        if t != 0:
            addr[0] = a
            return t
        if m.mms[mm].pgd == 0 or level == <int>m.levels - 1:
            break           # the top table has no further entry
    return 0
