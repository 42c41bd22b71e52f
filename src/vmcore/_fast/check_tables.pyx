"""Verification of page tables, from each mm's top table down. Fact sheet linux-2004, section 12.

Every table is read once. A leaf is cut at the borders of the vmas, so that inside a piece the vma is known and outside
nothing may stand. What the rest of the check needs to know of 30 million ptes is gathered in this pass: a census per
frame, a sum of hashes of (pte, frame), the uses of swap slots. The frames of the entries ahead are prefetched.
"""
from libc.stdint cimport uint32_t, uint64_t

from vmcore._fast.check_base cimport (
    CENSUS_WRITABLE, CHECK_MM_ANON_RSS, CHECK_MM_CACHE, CHECK_MM_RSS, CHECK_MM_SWAPENTS, CHECK_PTE_ANON,
    CHECK_PTE_EXCLUSIVE, CHECK_PTE_FRAME, CHECK_PTE_KIND, CHECK_PTE_MARKER, CHECK_PTE_NO_VMA, CHECK_PTE_PFN,
    CHECK_PTE_PROT, CHECK_PTE_RMAP_ANON, CHECK_PTE_RMAP_FILE, CHECK_PTE_SPECIAL, CHECK_PTE_SWAP, CHECK_TABLE_COUNT,
    CHECK_TABLE_ENTRY, CHECK_TABLE_INDEX, CHECK_TABLE_META, check_t, fail, in_pool, interrupted, mix, prefetch_read,
    used_pfn)
from vmcore._fast.check_maps cimport mm_is_live
from vmcore._fast.pagetable cimport pte_is_file, pte_is_marker, pte_is_swap, pte_pfn, pte_pgoff, pte_present
from vmcore._fast.populate cimport can_populate
from vmcore._fast.records cimport (
    MAX_SWAPFILES, PG_ANON, PG_BUDDY, PG_PCP, PG_RESERVED, PG_SLAB, PG_SWAPCACHE, PG_TABLE, POOL_MM, POOL_TABLE,
    PTE_ANON, PTE_EXCLUSIVE, PTE_FILE, PTE_LOW, PTE_P, PTE_PROTNONE, PTE_RW, PTE_SHIFT, PTE_SPECIAL, RMAP_NODES_ALL,
    RMAP_NODES_ANON, SWP_OFFSET_MASK, SWP_TYPE_SHIFT, SWP_USED, VM_EXEC, VM_MAYBE_GUARD, VM_NONLINEAR, VM_PKEY, VM_READ,
    VM_RESERVED, VM_SHARED, VM_WRITE, frame_t, machine_t, mm_t, swap_area_t, table_t, vma_t)

cdef enum:
    AHEAD = 24              # entries between the prefetch of a frame and its use
    MAX_LEVELS = 6


cdef struct walk_t:         # one mm
    uint32_t mm
    uint32_t vma            # first vma that ends above what was walked; 0 = none
    uint64_t rss
    uint64_t anon_rss
    uint64_t swapents
    uint64_t leaves
    uint64_t uppers


cdef int check_swap_pte(check_t *c, walk_t *w, uint64_t addr, uint64_t pte) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t entry = pte >> PTE_SHIFT
    cdef swap_area_t *s
    cdef uint64_t slot
    if entry >= <uint64_t>MAX_SWAPFILES << SWP_TYPE_SHIFT:
        return fail(c, CHECK_PTE_SWAP, w.mm, addr, pte)
    s = &m.swap[entry >> SWP_TYPE_SHIFT]
    slot = s.base + (entry & SWP_OFFSET_MASK)
    if (s.flags & SWP_USED) == 0 or (entry & SWP_OFFSET_MASK) == 0 or (entry & SWP_OFFSET_MASK) >= s.max:
        return fail(c, CHECK_PTE_SWAP, w.mm, addr, pte)
    if slot >= m.slots_used or (m.vmas[w.vma].flags & VM_SHARED) != 0:
        return fail(c, CHECK_PTE_SWAP, w.mm, addr, pte)
    if m.rules.vma_anon_vma and m.vmas[w.vma].anon_vma == 0:
        return fail(c, CHECK_PTE_SWAP, w.mm, addr, pte)
    if pte & PTE_EXCLUSIVE and (m.rules.anon_exclusive == 0
                                or m.swap_slots[slot].map != 1 + (m.swap_slots[slot].cache != 0)):
        return fail(c, CHECK_PTE_EXCLUSIVE, w.mm, addr, pte)
    if c.slots[slot] != 0xFFFF:
        c.slots[slot] += 1
    w.swapents += 1
    return 0


cdef int check_file_pte(check_t *c, walk_t *w, uint64_t addr, uint64_t pte) noexcept nogil:
    """A page offset that a file pte can hold, in a shared nonlinear vma of a file that has populate; or, left behind by
    mremap where reclaim knows ptes (rmap/pte_chain.pyx), what the place linearly says anyway."""
    cdef machine_t *m = c.m
    cdef vma_t *v = &m.vmas[w.vma]
    if not pte_is_file(pte) or v.file == 0 or (pte & PTE_LOW) != PTE_FILE:
        return fail(c, CHECK_PTE_KIND, w.mm, addr, pte)
    if m.rules.rmap_nodes == RMAP_NODES_ALL and pte_pgoff(pte) == v.pgoff + ((addr - v.start) >> 12):
        return 0
    if (v.flags & (VM_NONLINEAR | VM_SHARED)) != (VM_NONLINEAR | VM_SHARED) or not can_populate(m, w.vma):
        return fail(c, CHECK_PTE_KIND, w.mm, addr, pte)
    if m.rules.pte_file_bits != 0 and pte_pgoff(pte) >> m.rules.pte_file_bits != 0:
        return fail(c, CHECK_PTE_KIND, w.mm, addr, pte)
    return 0


cdef int check_special_pte(check_t *c, walk_t *w, uint64_t addr, uint64_t pte) noexcept nogil:
    """The zero page, read-only, in private anonymous memory; or a device's page in a VM_RESERVED vma."""
    cdef vma_t *v = &c.m.vmas[w.vma]
    if v.flags & VM_RESERVED:
        # writable only where everyone sees the write: a private writer has a copy
        if (pte & PTE_RW) != 0 and (v.flags & VM_SHARED) == 0:
            return fail(c, CHECK_PTE_SPECIAL, w.mm, addr, pte)
        return 0
    if pte_pfn(pte) != c.m.zero_pfn or v.file != 0 or (pte & (PTE_RW | PTE_ANON)) != 0:
        return fail(c, CHECK_PTE_SPECIAL, w.mm, addr, pte)
    return 0


cdef inline int check_present_pte(check_t *c, walk_t *w, vma_t *v, uint64_t addr, uint64_t pte,
                                  uint32_t index) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t pfn = pte >> PTE_SHIFT
    cdef uint64_t linear = v.pgoff + ((addr - v.start) >> 12)
    cdef frame_t *f
    cdef uint32_t readable = (v.flags & (VM_READ | VM_WRITE | VM_EXEC)) != 0 and not (
        m.rules.exec_only and v.flags & VM_PKEY)
    # a page that may not be accessed is PROT_NONE, every other is present
    if ((pte & PTE_P) != 0) != readable or ((pte & PTE_PROTNONE) != 0) == readable:
        return fail(c, CHECK_PTE_PROT, w.mm, addr, pte)
    if (pte & PTE_RW) != 0 and (v.flags & VM_WRITE) == 0:
        return fail(c, CHECK_PTE_PROT, w.mm, addr, pte)
    if pte & PTE_SPECIAL:
        return check_special_pte(c, w, addr, pte)
    if not used_pfn(m, pfn):
        return fail(c, CHECK_PTE_PFN, w.mm, addr, pte)
    f = &m.frames[pfn]
    if f.flags & (PG_BUDDY | PG_PCP | PG_TABLE | PG_SLAB | PG_RESERVED):
        return fail(c, CHECK_PTE_FRAME, w.mm, addr, pfn)
    w.rss += 1
    if pte & PTE_ANON:
        w.anon_rss += 1
        if v.flags & VM_SHARED:
            return fail(c, CHECK_PTE_ANON, w.mm, addr, pte)
        if ((f.flags & PG_ANON) != 0) != (m.rules.page_anon != 0):
            return fail(c, CHECK_PTE_ANON, w.mm, addr, pte)
        if not m.rmap.page_fits(m, <uint32_t>pfn, w.vma, addr):
            return fail(c, CHECK_PTE_RMAP_ANON, w.mm, addr, pfn)
        c.census[pfn] += 1
        if pte & (PTE_RW | PTE_EXCLUSIVE):
            c.census[pfn] |= <uint32_t>CENSUS_WRITABLE
        # what may be written without a fault is marked, and nothing is where there are no marks
        if pte & (PTE_EXCLUSIVE if m.rules.anon_exclusive == 0 else PTE_RW) and (
                m.rules.anon_exclusive == 0 or not pte & PTE_EXCLUSIVE):
            return fail(c, CHECK_PTE_EXCLUSIVE, w.mm, addr, pte)
    else:
        if pte & PTE_EXCLUSIVE:
            return fail(c, CHECK_PTE_EXCLUSIVE, w.mm, addr, pte)
        if (f.flags & (PG_ANON | PG_SWAPCACHE)) != 0 or f.mapping == 0 or v.file == 0:
            return fail(c, CHECK_PTE_ANON, w.mm, addr, pte)
        if f.mapping != v.file or (f.index != linear and (v.flags & VM_NONLINEAR) == 0):
            return fail(c, CHECK_PTE_RMAP_FILE, w.mm, addr, pfn)
        # only a page of one's own may be written through a private mapping
        if (pte & PTE_RW) != 0 and (v.flags & VM_SHARED) == 0:
            return fail(c, CHECK_PTE_PROT, w.mm, addr, pte)
        c.census[pfn] += 1
    if pte & PTE_ANON or m.rules.rmap_nodes != RMAP_NODES_ANON:
        c.hash_ptes += mix(index, <uint32_t>pfn)      # to be met by the pages' chains
    return 0


cdef int check_piece(check_t *c, walk_t *w, uint32_t t, uint32_t first, uint32_t last, uint64_t base) noexcept nogil:
    """Entries [first, last) of leaf t, all inside vma w.vma (0: inside none)."""
    cdef machine_t *m = c.m
    cdef uint64_t *ptes = &m.ptes[<uint64_t>t << m.pt_shift]
    cdef uint32_t i
    cdef uint64_t pte, addr
    cdef vma_t *v = &m.vmas[w.vma]
    for i in range(first, last):
        if i + AHEAD < last:
            pte = ptes[i + AHEAD]
            if (pte & PTE_P) != 0:
                prefetch_read(&m.frames[pte >> PTE_SHIFT])
                prefetch_read(&c.census[pte >> PTE_SHIFT])
        pte = ptes[i]
        if pte == 0:
            continue
        addr = base + (<uint64_t>i << 12)
        c.r.ptes += 1
        if w.vma == 0:
            return fail(c, CHECK_PTE_NO_VMA, w.mm, addr, pte)
        if pte_present(pte):
            c.r.present += 1
            if check_present_pte(c, w, v, addr, pte, (t << m.pt_shift) | i) < 0:
                return -1
        elif pte_is_swap(pte):
            c.r.swap_ptes += 1
            if check_swap_pte(c, w, addr, pte) < 0:
                return -1
        elif pte_is_marker(pte):
            if not v.flags & VM_MAYBE_GUARD:
                return fail(c, CHECK_PTE_MARKER, w.mm, addr, pte)
        elif check_file_pte(c, w, addr, pte) < 0:
            return -1
    return 0


cdef int check_leaf(check_t *c, walk_t *w, uint32_t t, uint64_t base) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t end = base + (<uint64_t>1 << m.leaf_shift)
    cdef uint64_t at = base
    cdef uint64_t upto
    cdef uint32_t vma
    while at < end:
        while w.vma != 0 and m.vmas[w.vma].end <= at:
            w.vma = m.vmas[w.vma].next
        vma = w.vma
        if vma != 0 and m.vmas[vma].start <= at:
            upto = m.vmas[vma].end
        else:
            upto = m.vmas[vma].start if vma != 0 else end
            w.vma = 0
        if upto > end:
            upto = end
        if check_piece(c, w, t, <uint32_t>((at - base) >> 12), <uint32_t>((upto - base) >> 12), base) < 0:
            return -1
        w.vma = vma
        at = upto
    return 0


cdef int check_table(check_t *c, walk_t *w, uint64_t t, int level, uint64_t base, uint64_t parent) noexcept nogil:
    cdef machine_t *m = c.m
    cdef table_t *tp
    cdef uint64_t e
    cdef uint64_t slot
    cdef uint64_t at
    cdef int shift = 12 + level * <int>m.pt_shift
    if not in_pool(m, POOL_TABLE, t):
        return fail(c, CHECK_TABLE_INDEX, w.mm, t, parent)
    tp = &m.tables[t]
    if tp.mm != w.mm or tp.base != (base | <uint64_t>level):
        return fail(c, CHECK_TABLE_META, w.mm, t, tp.base)
    if tp.frame == 0:
        if level != <int>m.levels - 1 or not m.rules.pgd_slab:
            return fail(c, CHECK_TABLE_META, w.mm, t, 0)
    else:
        if not used_pfn(m, tp.frame) or (m.frames[tp.frame].flags & PG_TABLE) == 0:
            return fail(c, CHECK_TABLE_META, w.mm, t, tp.frame)
        if m.frames[tp.frame].mapping != w.mm or m.frames[tp.frame].index != base:
            return fail(c, CHECK_TABLE_META, w.mm, t, tp.frame)
    c.r.tables += 1
    if interrupted(c):
        return -1
    if level == 0:
        w.leaves += 1
        return check_leaf(c, w, <uint32_t>t, base)
    w.uppers += 1
    c.upper_frames += tp.frame != 0
    for slot in range(<uint64_t>1 << m.pt_shift):
        e = m.ptes[(t << m.pt_shift) | slot]
        if e == 0:
            continue
        at = base + (slot << shift)
        if (e & PTE_LOW) != PTE_P or at >= m.rules.task_size or (e >> PTE_SHIFT) >> 32 != 0:
            return fail(c, CHECK_TABLE_ENTRY, w.mm, t, e)
        if check_table(c, w, e >> PTE_SHIFT, level - 1, at, t) < 0:
            return -1
    return 0


cdef int check_tables_of(check_t *c, uint32_t mm) noexcept nogil:
    cdef machine_t *m = c.m
    cdef mm_t *mp = &m.mms[mm]
    cdef walk_t w
    w.mm = mm
    w.vma = mp.mmap
    w.rss = 0
    w.anon_rss = 0
    w.swapents = 0
    w.leaves = 0
    w.uppers = 0
    if mp.pgd != 0 and check_table(c, &w, mp.pgd, <int>m.levels - 1, 0, 0) < 0:
        return -1
    if w.leaves != mp.nr_ptes:
        return fail(c, CHECK_TABLE_COUNT, mm, w.leaves, mp.nr_ptes)
    if w.uppers != mp.nr_upper:
        return fail(c, CHECK_TABLE_COUNT, mm, w.uppers, mp.nr_upper)
    if w.rss != mp.rss:
        return fail(c, CHECK_MM_RSS, mm, w.rss, mp.rss)
    if w.anon_rss != mp.anon_rss:
        return fail(c, CHECK_MM_ANON_RSS, mm, w.anon_rss, mp.anon_rss)
    if w.swapents != mp.swapents:
        return fail(c, CHECK_MM_SWAPENTS, mm, w.swapents, mp.swapents)
    if mp.leaf != 0:
        if not in_pool(m, POOL_TABLE, mp.leaf) or m.tables[mp.leaf].mm != mm:
            return fail(c, CHECK_MM_CACHE, mm, mp.leaf, mp.leaf_tag)
        if m.tables[mp.leaf].base != mp.leaf_tag << m.leaf_shift:
            return fail(c, CHECK_MM_CACHE, mm, mp.leaf, mp.leaf_tag)
    c.leaf_tables += w.leaves
    c.upper_tables += w.uppers
    c.mapped_ptes += w.rss
    return 0


cdef int check_tables(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t mm
    # what the walk computes with; no larger tree can be described
    if m.levels < 2 or m.levels > MAX_LEVELS or m.pt_shift < 9 or m.pt_shift > 10:
        return fail(c, CHECK_TABLE_META, 0, m.levels, m.pt_shift)
    if m.leaf_shift != 12 + m.pt_shift:
        return fail(c, CHECK_TABLE_META, 0, m.leaf_shift, m.pt_shift)
    for mm in range(1, m.pools[<int>POOL_MM].next):
        if mm_is_live(m, mm) and check_tables_of(c, <uint32_t>mm) < 0:
            return -1
    # a table is visited once, because it names its mm and base: none is left that no tree reaches
    if c.r.tables != m.pools[<int>POOL_TABLE].live:
        return fail(c, CHECK_TABLE_COUNT, 0, c.r.tables, m.pools[<int>POOL_TABLE].live)
    return 0
