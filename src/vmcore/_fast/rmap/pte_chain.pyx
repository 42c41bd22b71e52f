"""pte_chain: every page knows the ptes that map it (2.6.0 to 2.6.6).

What it answers: "which ptes map this page", without any lookup. Cost: one word a page for the first mapping, then nodes
of one cache line; removing is linear in the chain. Source: mm/rmap.c and include/asm-generic/rmap.h of 2.6.5; fact
sheet linux-2004 section 2.2, which has the golden example.

    frame.rmap --PG_DIRECT--> pte                        mapped once
    frame.rmap --> [idx 5 | . . . . . b a] --> [idx 0 | h g f e d c i] --> 0

Invariants: only the head node has free slots; they are the low ones, idx is the lowest used; a page mapped once may be
direct or a chain of one (collapse happens in page_referenced only); frame.rmap is 0 exactly if mapcount is 0.

A node that leaves a chain goes to the one-deep cache m.chain_spare first, as on the kernel's one CPU; page_add takes
its node there.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from vmcore._fast.records cimport (
    machine_t, frame_t, table_t, pool_t, rmap_ops, POOL_PTE_CHAIN, CACHE_PTE_CHAIN, PG_DIRECT, PG_REFERENCED,
    PG_SWAPCACHE, VM_LOCKED, PAGE_SHIFT, PTE_A, PTE_SPECIAL)
from vmcore._fast.pool cimport pool_alloc, pool_free
from vmcore._fast.locks cimport spin_trylock_ptl, spin_unlock_ptl, page_map_lock, page_map_unlock
from vmcore._fast.bugs cimport (
    bug, BUG_RMAP_ADD_ANON_MAPPING, BUG_RMAP_REMOVE_UNMAPPED, BUG_UNMAP_NO_MAPPING, BUG_UNMAP_NO_MM)
from vmcore._fast.counters cimport (
    count, count_n, RMAP_PAGES_WALKED, RMAP_PTES_EXAMINED, RMAP_VMAS_VISITED, RMAP_NODES_ALLOCATED, RMAP_NODES_FREED,
    RMAP_CHAIN_ADDS, RMAP_CHAIN_CONVERSIONS, RMAP_CHAIN_COLLAPSES, RMAP_CHAIN_NODES_SEARCHED,
    RMAP_CHAIN_SLOTS_SEARCHED, RMAP_TRYLOCK_FAILS)
from vmcore._fast.frame cimport GFP_KERNEL, page_mapped
from vmcore._fast.pagetable cimport file_pte, pte_pfn, pte_present
from vmcore._fast.slab cimport cache_alloc, cache_free
from vmcore._fast.prefetch cimport prefetch_read, prefetch_write
from vmcore._fast.rmap.rmap cimport (
    count_unmap, owner_vma, referenced_pte, rmap_defaults, test_clear_referenced, unmap_pte, unmap_refused,
    SWAP_SUCCESS, SWAP_AGAIN, SWAP_FAIL)

cdef enum:
    IDX_BITS = 5
    IDX_MASK = 31


# ---------------------------------------------------------------- nodes

cdef inline uint32_t *node_at(machine_t *m, uint32_t node) noexcept nogil:
    """Word 0 is next << 5 | idx; slot i is word 1 + i."""
    return &m.chains[<uint64_t>node * m.chain_words]


cdef void node_free(machine_t *m, uint32_t node) noexcept nogil:
    """A node left its chain; its slots are all 0."""
    node_at(m, node)[0] = 0
    count(m, RMAP_NODES_FREED)
    if m.chain_spare == 0:
        m.chain_spare = node
        return
    cache_free(m, CACHE_PTE_CHAIN, node)
    pool_free(m, POOL_PTE_CHAIN, node)


cdef int reserve(machine_t *m) noexcept nogil:
    cdef uint32_t node
    if m.chain_spare != 0:
        return 0
    node = pool_alloc(m, POOL_PTE_CHAIN)
    if node == 0:
        return -ENOMEM
    if cache_alloc(m, CACHE_PTE_CHAIN, node, GFP_KERNEL) < 0:
        pool_free(m, POOL_PTE_CHAIN, node)
        return -ENOMEM
    node_at(m, node)[0] = 0         # held the pool's free link; the slots of a free node are 0
    if m.chain_spare != 0:
        # the allocation reclaimed, and that freed a node into the empty place
        cache_free(m, CACHE_PTE_CHAIN, node)
        pool_free(m, POOL_PTE_CHAIN, node)
        return 0
    m.chain_spare = node
    return 0


cdef uint32_t take_spare(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil:
    cdef uint32_t node
    if m.chain_spare == 0 and reserve(m) < 0:
        bug(m, BUG_RMAP_ADD_ANON_MAPPING, pfn, pte, 0)      # the caller did not reserve()
        return 0
    node = m.chain_spare
    m.chain_spare = 0
    count(m, RMAP_NODES_ALLOCATED)
    return node


# ---------------------------------------------------------------- add, remove

cdef void page_add(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t pte, int anon) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t nrpte = m.nrpte
    cdef uint32_t node
    cdef uint32_t *w
    page_map_lock(m, pfn)
    if m.mapcount[pfn] == 0:
        f.rmap = pte
        f.flags |= <uint32_t>PG_DIRECT
        m.mapcount[pfn] = 1
        m.nr_mapped_pages += 1
        page_map_unlock(m, pfn)
        return
    if f.flags & <uint32_t>PG_DIRECT:
        node = take_spare(m, pfn, pte)
        if node == 0:
            return
        w = node_at(m, node)
        w[nrpte] = f.rmap
        w[nrpte - 1] = pte
        w[0] = nrpte - 2
        f.rmap = node
        f.flags &= ~<uint32_t>PG_DIRECT
        count(m, RMAP_CHAIN_CONVERSIONS)
        count(m, RMAP_CHAIN_ADDS)
    else:
        count(m, RMAP_CHAIN_ADDS)
        w = node_at(m, f.rmap)
        if w[0] & IDX_MASK:
            w[0] -= 1
            w[1 + (w[0] & IDX_MASK)] = pte
        else:
            node = take_spare(m, pfn, pte)
            if node == 0:
                return
            w = node_at(m, node)
            w[nrpte] = pte
            w[0] = f.rmap << IDX_BITS | (nrpte - 1)
            f.rmap = node
    m.mapcount[pfn] += 1
    page_map_unlock(m, pfn)


cdef inline void drop_head_slot(machine_t *m, frame_t *f) noexcept nogil:
    """The lowest used slot of the head is vacated (its entry filled a hole, or was the one to go)."""
    cdef uint32_t head = f.rmap
    cdef uint32_t *w = node_at(m, head)
    cdef uint32_t idx = w[0] & IDX_MASK
    w[1 + idx] = 0
    if idx + 1 == m.nrpte:
        f.rmap = w[0] >> IDX_BITS
        node_free(m, head)
    else:
        w[0] += 1


cdef void page_remove(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t nrpte = m.nrpte
    cdef uint32_t node, i, next_node
    cdef uint64_t searched = 0
    cdef uint64_t nodes = 0
    cdef uint32_t *w
    cdef uint32_t *head
    page_map_lock(m, pfn)
    if m.mapcount[pfn] == 0:
        bug(m, BUG_RMAP_REMOVE_UNMAPPED, pfn, pte, 0)
        return
    if f.flags & <uint32_t>PG_DIRECT:
        if f.rmap != pte:
            bug(m, BUG_RMAP_REMOVE_UNMAPPED, pfn, pte, f.rmap)
            return
        f.rmap = 0
        f.flags &= ~<uint32_t>PG_DIRECT
    else:
        head = node_at(m, f.rmap)
        node = f.rmap
        while node != 0:
            w = node_at(m, node)
            next_node = w[0] >> IDX_BITS
            if next_node != 0:
                prefetch_read(node_at(m, next_node))
            nodes += 1
            i = w[0] & IDX_MASK
            while i < nrpte and w[1 + i] != pte:
                searched += 1
                i += 1
            if i < nrpte:
                searched += 1
                w[1 + i] = head[1 + (head[0] & IDX_MASK)]
                drop_head_slot(m, f)
                break
            node = next_node
        count_n(m, RMAP_CHAIN_SLOTS_SEARCHED, searched)
        count_n(m, RMAP_CHAIN_NODES_SEARCHED, nodes)
        if node == 0:
            bug(m, BUG_RMAP_REMOVE_UNMAPPED, pfn, pte, f.rmap)
            return
    m.mapcount[pfn] -= 1
    if m.mapcount[pfn] == 0:
        m.nr_mapped_pages -= 1
    page_map_unlock(m, pfn)


# ---------------------------------------------------------------- the two walks of reclaim

cdef int page_referenced(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t nrpte = m.nrpte
    cdef uint32_t node, i, idx
    cdef uint64_t entries = 0
    cdef int referenced = test_clear_referenced(f)
    cdef uint32_t *w = NULL
    if not page_mapped(m, pfn, f):
        return referenced
    count(m, RMAP_PAGES_WALKED)
    page_map_lock(m, pfn)
    if f.flags & <uint32_t>PG_DIRECT:
        count(m, RMAP_PTES_EXAMINED)
        referenced += referenced_pte(m, f.rmap)
        page_map_unlock(m, pfn)
        return referenced
    node = f.rmap
    while node != 0:
        w = node_at(m, node)
        idx = w[0] & IDX_MASK
        node = w[0] >> IDX_BITS
        if node != 0:
            prefetch_read(node_at(m, node))
        for i in range(idx, nrpte):
            prefetch_write(&m.ptes[w[1 + i]])
        for i in range(idx, nrpte):
            referenced += referenced_pte(m, w[1 + i])
        entries += nrpte - idx
    if entries == 1:
        node = f.rmap
        f.rmap = w[nrpte]
        f.flags |= <uint32_t>PG_DIRECT
        w[nrpte] = 0
        node_free(m, node)
        count(m, RMAP_CHAIN_COLLAPSES)
    count_n(m, RMAP_PTES_EXAMINED, entries)
    page_map_unlock(m, pfn)
    return referenced


cdef int unmap_one(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil:
    cdef table_t *t = &m.tables[pte >> m.pt_shift]
    cdef uint32_t mm = t.mm
    cdef uint64_t addr
    cdef uint32_t vma
    count(m, RMAP_PTES_EXAMINED)
    if mm == 0:
        bug(m, BUG_UNMAP_NO_MM, pfn, pte, 0)
        return SWAP_FAIL
    addr = t.base + (<uint64_t>(pte & m.pt_mask) << PAGE_SHIFT)
    if not spin_trylock_ptl(m, mm):
        count(m, RMAP_TRYLOCK_FAILS)
        return SWAP_AGAIN
    count(m, RMAP_VMAS_VISITED)
    vma = owner_vma(m, mm, addr)
    if vma == 0 or m.vmas[vma].flags & <uint32_t>VM_LOCKED:
        spin_unlock_ptl(m, mm)
        return SWAP_FAIL
    unmap_pte(m, pfn, mm, pte)
    # a nonlinear place is remembered in the pte. While mremap moves ptes that no vma covers yet, find_vma gives the one
    # above, and a linear place can come out of this as a file pte too: it says the same
    if m.ptes[pte] == 0 and m.frames[pfn].index != m.vmas[vma].pgoff + ((addr - m.vmas[vma].start) >> PAGE_SHIFT):
        m.ptes[pte] = file_pte(m.frames[pfn].index)
    spin_unlock_ptl(m, mm)
    m.mapcount[pfn] -= 1
    return SWAP_SUCCESS


cdef int unmap_chain(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t nrpte = m.nrpte
    cdef uint32_t node, next_node, i, first
    cdef int r, ret = SWAP_SUCCESS
    cdef uint32_t *w
    cdef uint32_t *head
    node = f.rmap
    while node != 0:
        # a node freed below keeps no link, so next is read first; entries moved into a hole were tried already
        w = node_at(m, node)
        next_node = w[0] >> IDX_BITS
        first = w[0] & IDX_MASK
        if next_node != 0:
            prefetch_read(node_at(m, next_node))
        for i in range(first, nrpte):
            prefetch_write(&m.ptes[w[1 + i]])
        for i in range(first, nrpte):
            r = unmap_one(m, pfn, w[1 + i])
            if r == SWAP_FAIL:
                return SWAP_FAIL
            if r == SWAP_AGAIN:
                ret = SWAP_AGAIN
                continue
            head = node_at(m, f.rmap)
            w[1 + i] = head[1 + (head[0] & IDX_MASK)]
            drop_head_slot(m, f)
        node = next_node
    return ret


cdef int try_to_unmap(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef int r
    if unmap_refused(m, pfn):
        return SWAP_FAIL
    if f.mapping == 0 and not f.flags & <uint32_t>PG_SWAPCACHE:
        bug(m, BUG_UNMAP_NO_MAPPING, pfn, f.flags, 0)
        return SWAP_FAIL
    if m.mapcount[pfn] == 0:
        return SWAP_SUCCESS
    count(m, RMAP_PAGES_WALKED)
    page_map_lock(m, pfn)
    if f.flags & <uint32_t>PG_DIRECT:
        r = unmap_one(m, pfn, f.rmap)
        if r == SWAP_SUCCESS:
            f.rmap = 0
            f.flags &= ~<uint32_t>PG_DIRECT
    else:
        r = unmap_chain(m, pfn)
    if m.mapcount[pfn] == 0:
        m.nr_mapped_pages -= 1
    page_map_unlock(m, pfn)
    return count_unmap(m, r)


cdef void prefetch(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if f.flags & <uint32_t>PG_DIRECT:
        prefetch_write(&m.ptes[f.rmap])
        prefetch_read(&m.tables[f.rmap >> m.pt_shift])
    elif f.rmap != 0 and m.mapcount[pfn] != 0:
        prefetch_read(node_at(m, f.rmap))


# ---------------------------------------------------------------- mremap

cdef int page_move(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t old, uint32_t new) noexcept nogil:
    """Remove and add, as the kernel does. Needs no node that the removal does not give up: if it empties the head, that
    node is the spare, or there is one already."""
    page_remove(m, pfn, old)
    page_add(m, pfn, vma, addr, new, 0)
    return 0


# ---------------------------------------------------------------- looking at chains

cdef uint32_t pte_chain_list(machine_t *m, uint32_t pfn, uint32_t *out, uint32_t max) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t node, i, n = 0
    cdef uint32_t *w
    if f.flags & <uint32_t>PG_DIRECT:
        if max > 0:
            out[0] = f.rmap
            n = 1
        return n
    if m.mapcount[pfn] == 0:
        return 0            # rmap of a free frame is not ours
    node = f.rmap
    while node != 0:
        w = node_at(m, node)
        for i in range(w[0] & IDX_MASK, m.nrpte):
            if n == max:
                return n
            out[n] = w[1 + i]
            n += 1
        node = w[0] >> IDX_BITS
    return n


cdef uint32_t pte_chain_nodes(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t node, n = 0
    if f.flags & <uint32_t>PG_DIRECT or m.mapcount[pfn] == 0:
        return 0
    node = f.rmap
    while node != 0:
        n += 1
        node = node_at(m, node)[0] >> IDX_BITS
    return n


cdef inline uint64_t maps(machine_t *m, uint32_t pte, uint32_t pfn) noexcept nogil:
    cdef uint64_t e = m.ptes[pte]
    return 1 if pte_present(e) and (e & PTE_SPECIAL) == 0 and pte_pfn(e) == pfn else 0


cdef uint64_t find(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint64_t n = 0
    cdef uint32_t node, i
    cdef uint32_t *w
    if f.flags & <uint32_t>PG_DIRECT:
        return maps(m, f.rmap, pfn)
    node = f.rmap
    while node != 0:
        w = node_at(m, node)
        for i in range(m.nrpte):
            n += maps(m, w[1 + i], pfn)
        node = w[0] >> IDX_BITS
    return n


cdef rmap_ops ops
rmap_defaults(&ops)
ops.reserve = reserve
ops.page_add = page_add
ops.page_remove = page_remove
ops.page_referenced = page_referenced
ops.try_to_unmap = try_to_unmap
ops.prefetch = prefetch
ops.page_move = page_move
ops.find = find


cdef const rmap_ops *pte_chain_ops() noexcept nogil:
    return &ops


# ---------------------------------------------------------------- test shim

cdef class _py_ChainMachine:
    """A machine with nothing but frames, ptes and chain nodes, for tests/unit/test_pte_chain.py.

    The spare is taken from and returned to the pool around each call, so that no slab is needed.
    """
    cdef machine_t *m
    cdef uint32_t nr_ptes
    cdef uint32_t nr_frames

    def __cinit__(self, uint32_t nrpte, uint32_t frames=16, uint32_t ptes=1024, uint32_t nodes=1024):
        cdef pool_t *p
        cdef machine_t *m = <machine_t *>calloc(1, sizeof(machine_t))
        if m == NULL:
            raise MemoryError
        self.m = m
        self.nr_ptes = ptes
        self.nr_frames = frames
        m.nrpte = nrpte
        m.chain_words = nrpte + 1
        m.frames = <frame_t *>calloc(frames, sizeof(frame_t))
        m.mapcount = <uint32_t *>calloc(frames, 4)
        m.ptes = <uint64_t *>calloc(ptes, 8)
        m.chains = <uint32_t *>calloc(nodes, m.chain_words * 4)
        if m.frames == NULL or m.mapcount == NULL or m.ptes == NULL or m.chains == NULL:
            raise MemoryError
        p = &m.pools[POOL_PTE_CHAIN]
        p.base = <char *>m.chains
        p.stride = m.chain_words * 4
        p.max = p.limit = nodes
        p.next = 1

    def __dealloc__(self):
        if self.m != NULL:
            free(self.m.frames)
            free(self.m.mapcount)
            free(self.m.ptes)
            free(self.m.chains)
            free(self.m)

    cdef int give_back(self) except -1:
        cdef uint32_t node = self.m.chain_spare
        self.m.chain_spare = 0
        if node != 0:
            pool_free(self.m, POOL_PTE_CHAIN, node)
        if self.m.bug:
            raise AssertionError(f"bug {self.m.bug}: {self.m.bug_arg}")
        return 0

    cdef int known(self, uint32_t pfn, uint32_t pte) except -1:
        if not 0 < pfn < self.nr_frames or not 0 < pte < self.nr_ptes:
            raise ValueError(f"no such page or pte: {pfn}, {pte}")
        return 0

    def add(self, uint32_t pfn, uint32_t pte):
        self.known(pfn, pte)
        self.m.chain_spare = pool_alloc(self.m, POOL_PTE_CHAIN)
        if self.m.chain_spare == 0:
            raise MemoryError
        node_at(self.m, self.m.chain_spare)[0] = 0
        page_add(self.m, pfn, 0, 0, pte, 1)
        self.give_back()

    def remove(self, uint32_t pfn, uint32_t pte):
        self.known(pfn, pte)
        page_remove(self.m, pfn, pte)
        self.give_back()

    def referenced(self, uint32_t pfn):
        cdef int n
        self.known(pfn, 1)
        n = page_referenced(self.m, pfn)
        self.give_back()
        return n

    def set_young(self, uint32_t pte):
        self.known(1, pte)
        self.m.ptes[pte] |= PTE_A

    def set_referenced(self, uint32_t pfn):
        self.known(pfn, 1)
        self.m.frames[pfn].flags |= <uint32_t>PG_REFERENCED

    def direct(self, uint32_t pfn):
        """The direct pte, or None if the page is unmapped or has a chain."""
        self.known(pfn, 1)
        return self.m.frames[pfn].rmap if self.m.frames[pfn].flags & <uint32_t>PG_DIRECT else None

    def chain(self, uint32_t pfn):
        """[(idx, slots)] from the head on; [] for a direct or unmapped page."""
        cdef uint32_t node, i
        cdef uint32_t *w
        self.known(pfn, 1)
        out = []
        node = 0 if self.m.frames[pfn].flags & <uint32_t>PG_DIRECT else self.m.frames[pfn].rmap
        while node:
            w = node_at(self.m, node)
            out.append((w[0] & IDX_MASK, [w[1 + i] for i in range(self.m.nrpte)]))
            node = w[0] >> IDX_BITS
        return out

    def entries(self, uint32_t pfn):
        cdef uint32_t out[1024]
        cdef uint32_t n, i
        self.known(pfn, 1)
        n = pte_chain_list(self.m, pfn, out, 1024)
        return [out[i] for i in range(n)]

    def nodes(self, uint32_t pfn):
        self.known(pfn, 1)
        return pte_chain_nodes(self.m, pfn)

    def mapcount(self, uint32_t pfn):
        self.known(pfn, 1)
        return self.m.mapcount[pfn]

    def counts(self):
        cdef uint64_t *c = self.m.counters
        return {"mapped": self.m.nr_mapped_pages, "nodes_live": self.m.pools[POOL_PTE_CHAIN].live,
                "allocated": c[RMAP_NODES_ALLOCATED], "freed": c[RMAP_NODES_FREED],
                "conversions": c[RMAP_CHAIN_CONVERSIONS], "collapses": c[RMAP_CHAIN_COLLAPSES],
                "slots_searched": c[RMAP_CHAIN_SLOTS_SEARCHED], "ptes_examined": c[RMAP_PTES_EXAMINED]}
