"""Verification of the reverse map. Fact sheet linux-2004, sections 2.2, 2.3, 2.5 and 12.

check_tables proved the address formula of every pte. Here the counts are compared, and for pte_chain that each chain
holds exactly the ptes of its page (where only anonymous pages have chains, that no other has one): both sides are
multisets of (pte, frame), and multisets with equal sums of a 64-bit mix are equal; only if they differ are entries
followed one by one, to say which.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.check_base cimport (
    CENSUS_WRITABLE, CHECK_CHAIN_COUNT, CHECK_CHAIN_ENTRY, CHECK_CHAIN_NODE, CHECK_CHAIN_NODES, CHECK_CHAIN_SHAPE,
    CHECK_COW_WRITABLE, CHECK_MAPCOUNT, CHECK_NR_MAPPED, CHECK_WALK, CHECK_ZONE, check_t, fail, in_pool, interrupted,
    mix, stretch_ends)
from vmcore._fast.pagetable cimport pte_pfn, pte_present
from vmcore._fast.rmap.nonlinear cimport maybe_nonlinear
from vmcore._fast.records cimport (
    MAX_SWAPFILES, PG_ANON, PG_DIRECT, PG_SWAPCACHE, POOL_PTE_CHAIN, POOL_TABLE, RMAP_NODES_ANON, SWP_OFFSET_MASK,
    SWP_TYPE_SHIFT, frame_t, machine_t, zone_t)

cdef enum:
    CHAIN_NEXT_SHIFT = 5
    CHAIN_IDX = 31


cdef int sole_user(machine_t *m, uint64_t pfn) noexcept nogil:
    """Of a swap-cache page: no swap pte and no other cache wants its slot, so a write through its one pte hurts
    nobody."""
    cdef uint32_t entry = m.frames[pfn].priv
    cdef uint64_t slot
    if (entry >> SWP_TYPE_SHIFT) >= MAX_SWAPFILES:
        return 0
    slot = m.swap[entry >> SWP_TYPE_SHIFT].base + (entry & SWP_OFFSET_MASK)
    return slot < m.slots_used and m.swap_slots[slot].map == 1


cdef int check_mapcounts(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t pfn
    cdef uint64_t mapped = 0
    cdef uint32_t n
    cdef int z
    cdef zone_t *zone
    for z in range(<int>m.nr_zones):
        zone = &m.zones[z]
        if zone.start_pfn > zone.bump or zone.bump > zone.end_pfn or zone.end_pfn > m.nr_frames:
            return fail(c, CHECK_ZONE, z, zone.bump, zone.end_pfn)
        for pfn in range(zone.start_pfn, zone.bump):
            if stretch_ends(c, pfn):
                return -1
            n = c.census[pfn] & ~<uint32_t>CENSUS_WRITABLE
            if n != m.mapcount[pfn]:
                return fail(c, CHECK_MAPCOUNT, pfn, n, m.mapcount[pfn])
            if n == 0:
                continue
            mapped += 1
            if (c.census[pfn] & <uint32_t>CENSUS_WRITABLE) != 0 and n != 1:
                return fail(c, CHECK_COW_WRITABLE, pfn, n, 0)
            if (c.census[pfn] & <uint32_t>CENSUS_WRITABLE) != 0 and (m.frames[pfn].flags & PG_SWAPCACHE) != 0:
                if not sole_user(m, pfn):
                    return fail(c, CHECK_COW_WRITABLE, pfn, n, m.frames[pfn].priv)
    if mapped != m.nr_mapped_pages:
        return fail(c, CHECK_NR_MAPPED, mapped, m.nr_mapped_pages, 0)
    return 0


cdef int64_t read_chain(check_t *c, uint64_t pfn, uint32_t follow) noexcept nogil:
    """Entries of a mapped page's chain; adds to c.r.chain_nodes. follow: look behind each entry. -1 after a failure."""
    cdef machine_t *m = c.m
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t node = f.rmap
    cdef uint32_t word, idx, i
    cdef uint32_t *slots
    cdef int64_t n = 0
    cdef uint32_t head = 1
    while node != 0:
        if not in_pool(m, POOL_PTE_CHAIN, node):
            return fail(c, CHECK_CHAIN_NODE, pfn, node, n)
        slots = &m.chains[<uint64_t>node * m.chain_words]
        word = slots[0]
        slots += 1
        idx = word & CHAIN_IDX
        # only the head has free slots, and they are the low ones
        if idx >= m.nrpte or (idx != 0 and not head):
            return fail(c, CHECK_CHAIN_SHAPE, pfn, node, idx)
        for i in range(m.nrpte):
            if (slots[i] != 0) != (i >= idx):
                return fail(c, CHECK_CHAIN_SHAPE, pfn, node, i)
            if i >= idx:
                c.hash_ptes -= mix(slots[i], <uint32_t>pfn)
                if follow and check_entry(c, pfn, slots[i]) < 0:
                    return -1
        n += m.nrpte - idx
        c.r.chain_nodes += 1
        head = 0
        node = word >> CHAIN_NEXT_SHIFT
        if n > <int64_t>m.mapcount[pfn]:
            return fail(c, CHECK_CHAIN_COUNT, pfn, n, m.mapcount[pfn])
    return n


cdef int check_entry(check_t *c, uint64_t pfn, uint32_t pte) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint32_t t = pte >> m.pt_shift
    if not in_pool(m, POOL_TABLE, t) or m.tables[t].mm == 0:
        return fail(c, CHECK_CHAIN_ENTRY, pfn, pte, 0)
    if not pte_present(m.ptes[pte]) or pte_pfn(m.ptes[pte]) != pfn:
        return fail(c, CHECK_CHAIN_ENTRY, pfn, pte, m.ptes[pte])
    return 0


cdef int read_page_chain(check_t *c, uint64_t pfn, uint32_t follow) noexcept nogil:
    cdef machine_t *m = c.m
    cdef frame_t *f = &m.frames[pfn]
    cdef int64_t n
    if m.mapcount[pfn] == 0:
        return 0
    if m.rules.rmap_nodes == RMAP_NODES_ANON and not f.flags & PG_ANON:
        if f.rmap != 0 or f.flags & PG_DIRECT:
            return fail(c, CHECK_CHAIN_COUNT, pfn, 1, 0)
        return 0
    if f.rmap == 0:
        return fail(c, CHECK_CHAIN_COUNT, pfn, 0, m.mapcount[pfn])
    if f.flags & PG_DIRECT:
        if m.mapcount[pfn] != 1:
            return fail(c, CHECK_CHAIN_COUNT, pfn, 1, m.mapcount[pfn])
        c.hash_ptes -= mix(f.rmap, <uint32_t>pfn)
        return check_entry(c, pfn, f.rmap) if follow else 0
    n = read_chain(c, pfn, follow)
    if n < 0:
        return -1
    if n != m.mapcount[pfn]:
        return fail(c, CHECK_CHAIN_COUNT, pfn, n, m.mapcount[pfn])
    return 0


cdef int check_chains(check_t *c) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t pfn
    cdef uint64_t spare = m.chain_spare != 0
    cdef int z
    if m.nrpte == 0 or m.nrpte > CHAIN_IDX or m.chain_words != m.nrpte + 1:
        return fail(c, CHECK_CHAIN_SHAPE, 0, m.nrpte, m.chain_words)
    if spare and not in_pool(m, POOL_PTE_CHAIN, m.chain_spare):
        return fail(c, CHECK_CHAIN_NODE, 0, m.chain_spare, 0)
    for z in range(<int>m.nr_zones):
        for pfn in range(m.zones[z].start_pfn, m.zones[z].bump):
            if stretch_ends(c, pfn) or read_page_chain(c, pfn, 0) < 0:
                return -1
    if c.r.chain_nodes + spare != m.pools[<int>POOL_PTE_CHAIN].live:
        return fail(c, CHECK_CHAIN_NODES, c.r.chain_nodes, spare, m.pools[<int>POOL_PTE_CHAIN].live)
    if c.hash_ptes == 0:
        return 0
    # some chain holds a pte that maps another frame, or one pte twice in place of another
    for z in range(<int>m.nr_zones):
        for pfn in range(m.zones[z].start_pfn, m.zones[z].bump):
            if stretch_ends(c, pfn) or read_page_chain(c, pfn, 1) < 0:
                return -1
    return fail(c, CHECK_CHAIN_ENTRY, 0, 0, 0)


# ---------------------------------------------------------------- from the page's side

cdef int check_walk(check_t *c, uint64_t n) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint64_t pfn
    cdef uint64_t found
    cdef uint64_t step = 1
    cdef uint64_t skipped = 0
    cdef int z
    if n == 0 or m.nr_mapped_pages == 0:
        return 0
    if m.nr_mapped_pages > n:
        step = m.nr_mapped_pages // n
    for z in range(<int>m.nr_zones):
        for pfn in range(m.zones[z].start_pfn, m.zones[z].bump):
            if m.mapcount[pfn] == 0:
                continue
            skipped += 1
            if skipped < step:
                continue
            skipped = 0
            if interrupted(c):
                return -1
            found = m.rmap.find(m, <uint32_t>pfn)
            # objects do not lead to nonlinear ptes; then what they find is all the less
            if found != m.mapcount[pfn] and not (found < m.mapcount[pfn] and maybe_nonlinear(m, <uint32_t>pfn)):
                return fail(c, CHECK_WALK, pfn, found, m.mapcount[pfn])
            c.r.walked += 1
            if c.r.walked == n:
                return 0
    return 0
