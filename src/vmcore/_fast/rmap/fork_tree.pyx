"""fork_tree: the anonymous vmas of a fork group are in one tree, by the linear offsets that they cover.

"I think the winning answer will actually lie between yours and mine: the anon vmas linked into one tree belonging to
the whole fork group" (Hugh Dickins, 18 March 2004); nobody built it. Source: the seed thread; fact sheet linux-2004
2.6, 2.5 for offsets, 3.3 for the tree.

From anonmm it has the group: made at exec, shared by all that descend by fork, gone with the last mm. From anon_vma it
has the offset: page.index is linear (vma.pgoff + pages), mremap keeps it, so a moved page needs nothing. A page's
mapping is its group, the same for every vma of the group, so nothing is to be decided when vmas split, merge, or take
pages from a neighbour; only offsets that do not run on forbid a merge.

    page --mapping--> group --root--> prio_tree of vmas by (pgoff, length)   address = vma.start + (index - pgoff) pages
         --index--------------------> query [index, index]

A vma enters the tree when its first anonymous page comes (vma.anon_vma names the group from then on), and with fork,
split and mremap; a child's vma of its parent's range goes into the parent's vm_set, without a way down.

Cost: nothing per page; four words per vma; a walk visits log n nodes and every vma of the group that covers the offset,
in whatever mm. That is Andrea Arcangeli's objection: those that cannot hold the page, because their mm made it or them
after the fork, are asked all the same. They are counted (RMAP_CANDIDATES_MISSED). A walk stops when as many ptes were
found as mapcount says.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from vmcore._fast.records cimport (
    machine_t, frame_t, vma_t, anonmm_t, rmap_ops, CACHE_ANONMM, PAGE_SHIFT, PG_ANON, PG_SWAPCACHE, POOL_ANONMM,
    POOL_MM, POOL_VMA)
from vmcore._fast.pool cimport pool_alloc, pool_free, safe_point
from vmcore._fast.locks cimport page_map_lock, page_map_unlock, spin_lock_anon_vma, spin_unlock_anon_vma
from vmcore._fast.bugs cimport (
    bug, BUG_ANON_TREE, BUG_ANON_VMA_MISSING, BUG_ANONMM_HEAD_MEMBERS, BUG_RMAP_ADD_ANON_MAPPING,
    BUG_RMAP_REMOVE_UNMAPPED, BUG_UNMAP_ANON_NOT_SWAPCACHE, BUG_UNMAP_UNMAPPED)
from vmcore._fast.counters cimport (
    count, count_n, ANON_TREE_DUPLICATES, ANON_TREE_EXPANSIONS, ANON_TREE_INSERTS, ANON_TREE_LOOKUPS,
    ANON_TREE_NODES_VISITED, ANON_TREE_PROMOTIONS, ANON_TREE_REMOVES, ANONMM_GROUP_MAX, ANONMMS_ALLOCATED,
    ANONMMS_FREED, RMAP_CANDIDATES_MISSED, RMAP_GROUP_MMS, RMAP_PAGES_WALKED, RMAP_VMAS_VISITED)
from vmcore._fast.check_base cimport (
    CHECK_ANON_TREE, CHECK_ANONMM_COUNT, CHECK_POOL_BOUNDS, check_t, fail, in_pool)
from vmcore._fast.frame cimport GFP_KERNEL
from vmcore._fast.slab cimport cache_alloc, cache_free
from vmcore._fast.pagetable cimport pte_lookup
from vmcore._fast.prefetch cimport prefetch_read, prefetch_write
from vmcore._fast.prio_tree cimport (
    prio_add, prio_check, prio_counts, prio_first, prio_insert, prio_iter, prio_next, prio_remove, prio_view)
from vmcore._fast.ranges cimport range_first, range_last, vma_ranges
from vmcore._fast.rmap.objrmap cimport (
    file_page_add, file_page_remove, find_file, find_in_vma, page_in_vma, page_referenced_file, referenced_one,
    try_to_unmap_file, unmap_one, WALK_AHEAD, WALK_SAFE)
from vmcore._fast.rmap.rmap cimport (
    count_unmap, rmap_defaults, test_clear_referenced, unmap_refused, SWAP_AGAIN, SWAP_FAIL, SWAP_SUCCESS)

cdef struct batch_t:        # candidates of a walk whose ptes are fetched together
    uint32_t nr
    uint32_t vma[16]
    uint32_t pte[16]
    uint64_t nodes[16]      # tree nodes visited when this vma had been found


# ---------------------------------------------------------------- groups

cdef int mm_init(machine_t *m, uint32_t mm, uint32_t parent) noexcept nogil:
    cdef uint32_t g
    cdef anonmm_t *p
    if parent != 0:
        g = m.mms[parent].anonmm
    else:
        g = pool_alloc(m, POOL_ANONMM)
        if g == 0:
            return -ENOMEM
        memset(&m.anonmms[g], 0, sizeof(anonmm_t))
        if cache_alloc(m, CACHE_ANONMM, g, GFP_KERNEL) < 0:
            pool_free(m, POOL_ANONMM, g)
            return -ENOMEM
        count(m, ANONMMS_ALLOCATED)
        m.anonmms[g].head = g
    p = &m.anonmms[g]
    p.count += 1
    if p.count > m.counters[ANONMM_GROUP_MAX]:
        m.counters[ANONMM_GROUP_MAX] = p.count
    m.mms[mm].anonmm = g
    return 0


cdef void mm_exit(machine_t *m, uint32_t mm) noexcept nogil:
    """An mm's vmas have left the tree before it goes, and a page is mapped by some vma: count is of mms alone."""
    cdef uint32_t g = m.mms[mm].anonmm
    cdef anonmm_t *p = &m.anonmms[g]
    m.mms[mm].anonmm = 0
    p.count -= 1
    if p.count != 0:
        return
    if p.nr != 0:
        bug(m, BUG_ANONMM_HEAD_MEMBERS, g, p.root, p.nr)
        return
    p.head = 0
    cache_free(m, CACHE_ANONMM, g)
    pool_free(m, POOL_ANONMM, g)
    count(m, ANONMMS_FREED)


# ---------------------------------------------------------------- the tree

cdef inline void view_of(prio_view *v, machine_t *m, prio_counts *events) noexcept nogil:
    v.base = <char *>m.vmas
    v.stride = sizeof(vma_t)
    v.off = <uint64_t>(<char *>&m.vmas.anon_parent - <char *>m.vmas)
    v.counts = events
    vma_ranges(&v.range, m)


cdef void take_counts(machine_t *m, const prio_counts *events) noexcept nogil:
    count_n(m, ANON_TREE_DUPLICATES, events.duplicates)
    count_n(m, ANON_TREE_EXPANSIONS, events.expansions)
    count_n(m, ANON_TREE_PROMOTIONS, events.promotions)


cdef void tree_put(machine_t *m, uint32_t vma, uint32_t like) noexcept nogil:
    """The vma into its group's tree. like: a vma of the same range that is there, 0 = none is known."""
    cdef uint32_t g = m.mms[m.vmas[vma].mm].anonmm
    cdef anonmm_t *p = &m.anonmms[g]
    cdef prio_counts events
    cdef prio_view view
    memset(&events, 0, sizeof(events))
    view_of(&view, m, &events)
    spin_lock_anon_vma(m, g)
    if (like != 0 and range_first(&view.range, vma) == range_first(&view.range, like)
            and range_last(&view.range, vma) == range_last(&view.range, like)):
        prio_add(&view, vma, like)
    elif prio_insert(&view, &p.root, &p.bits, vma) < 0:
        bug(m, BUG_ANON_TREE, g, vma, p.root)
    p.nr += 1
    m.vmas[vma].anon_vma = g
    spin_unlock_anon_vma(m, g)
    count(m, ANON_TREE_INSERTS)
    take_counts(m, &events)


cdef void tree_take(machine_t *m, uint32_t vma) noexcept nogil:
    cdef uint32_t g = m.vmas[vma].anon_vma
    cdef anonmm_t *p = &m.anonmms[g]
    cdef prio_counts events
    cdef prio_view view
    memset(&events, 0, sizeof(events))
    view_of(&view, m, &events)
    spin_lock_anon_vma(m, g)
    prio_remove(&view, &p.root, &p.bits, vma)
    p.nr -= 1
    spin_unlock_anon_vma(m, g)
    count(m, ANON_TREE_REMOVES)
    take_counts(m, &events)


cdef int anon_prepare(machine_t *m, uint32_t vma) noexcept nogil:
    if m.vmas[vma].anon_vma == 0:
        tree_put(m, vma, 0)
    return 0


cdef int vma_fork(machine_t *m, uint32_t child, uint32_t parent) noexcept nogil:
    if m.vmas[parent].anon_vma != 0:
        tree_put(m, child, parent)
    return 0


cdef int vma_share(machine_t *m, uint32_t new, uint32_t old) noexcept nogil:
    """split, mremap: new gets pages of old. split has copied the pointer already."""
    m.vmas[new].anon_vma = 0
    if m.vmas[old].anon_vma != 0:
        tree_put(m, new, 0)
    return 0


cdef int vma_adopt(machine_t *m, uint32_t to, uint32_t from_) noexcept nogil:
    """The group is the same, so any vma can take pages of any other."""
    if m.vmas[to].anon_vma == 0 and m.vmas[from_].anon_vma != 0:
        tree_put(m, to, 0)
    return 0


cdef void vma_unlink(machine_t *m, uint32_t vma) noexcept nogil:
    if m.vmas[vma].anon_vma != 0:
        tree_take(m, vma)
        m.vmas[vma].anon_vma = 0


cdef void vma_merge(machine_t *m, uint32_t keep, uint32_t dying) noexcept nogil:
    vma_adopt(m, keep, dying)
    vma_unlink(m, dying)


cdef void vma_adjust_begin(machine_t *m, uint32_t vma) noexcept nogil:
    if m.vmas[vma].anon_vma != 0:
        tree_take(m, vma)


cdef void vma_adjust_end(machine_t *m, uint32_t vma) noexcept nogil:
    if m.vmas[vma].anon_vma != 0:
        tree_put(m, vma, 0)


# ---------------------------------------------------------------- pages

cdef void page_add(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t pte, int anon) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t index = v.pgoff + ((addr - v.start) >> PAGE_SHIFT)
    if not anon:
        file_page_add(m, pfn, vma)
        return
    page_map_lock(m, pfn)
    if v.anon_vma == 0:
        bug(m, BUG_ANON_VMA_MISSING, pfn, vma, addr)
    if m.mapcount[pfn] == 0:
        if f.flags & <uint32_t>PG_ANON or f.mapping != 0:
            bug(m, BUG_RMAP_ADD_ANON_MAPPING, pfn, vma, f.mapping)
        f.flags |= <uint32_t>PG_ANON
        f.mapping = v.anon_vma
        f.index = index
        m.nr_mapped_pages += 1
    elif not f.flags & <uint32_t>PG_ANON or f.mapping != v.anon_vma or f.index != index:
        bug(m, BUG_RMAP_ADD_ANON_MAPPING, pfn, vma, f.mapping)
    m.mapcount[pfn] += 1
    page_map_unlock(m, pfn)


cdef void page_remove(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if not f.flags & <uint32_t>PG_ANON:
        file_page_remove(m, pfn, pte)
        return
    page_map_lock(m, pfn)
    if m.mapcount[pfn] == 0 or f.mapping == 0:
        bug(m, BUG_RMAP_REMOVE_UNMAPPED, pfn, pte, f.mapping)
        return
    m.mapcount[pfn] -= 1
    if m.mapcount[pfn] == 0:
        m.nr_mapped_pages -= 1
        f.mapping = 0
        f.flags &= ~<uint32_t>PG_ANON
    page_map_unlock(m, pfn)


# ---------------------------------------------------------------- the two walks of reclaim

cdef uint32_t gather(machine_t *m, const prio_view *view, uint64_t index, uint32_t vma, prio_iter *it, batch_t *b,
                     uint32_t max, uint64_t *nodes) noexcept nogil:
    """Fill b with up to `max` candidates from `vma` on; returns the one after them, 0 at the end."""
    cdef uint32_t n = 0
    cdef vma_t *v
    while vma != 0 and n < max:
        v = &m.vmas[vma]
        b.vma[n] = vma
        b.pte[n] = pte_lookup(m, v.mm, v.start + (page_in_vma(v, index) << PAGE_SHIFT))
        prefetch_write(&m.ptes[b.pte[n]])
        b.nodes[n] = nodes[0]
        n += 1
        vma = prio_next(view, it, nodes)
    b.nr = n
    return vma


cdef void count_walk(machine_t *m, uint64_t nodes, uint64_t taken, uint64_t found) noexcept nogil:
    count(m, ANON_TREE_LOOKUPS)
    count_n(m, ANON_TREE_NODES_VISITED, nodes)
    count_n(m, RMAP_VMAS_VISITED, nodes)
    count_n(m, RMAP_CANDIDATES_MISSED, taken - found)


cdef int page_referenced_anon(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef anonmm_t *g = &m.anonmms[m.frames[pfn].mapping]
    cdef uint64_t index = m.frames[pfn].index
    cdef uint64_t nodes = 0
    cdef uint64_t taken = 0
    cdef uint64_t polled = 0
    cdef uint32_t left = m.mapcount[pfn]
    cdef uint32_t mapped = left
    cdef uint32_t ahead = 2
    cdef uint32_t vma, i
    cdef int referenced = 0
    cdef batch_t b
    cdef prio_iter it
    cdef prio_view view
    view_of(&view, m, NULL)
    spin_lock_anon_vma(m, g.head)
    count_n(m, RMAP_GROUP_MMS, g.count)
    vma = prio_first(&view, g.root, g.bits, index, index, &it, &nodes)
    while vma != 0 and left != 0:
        vma = gather(m, &view, index, vma, &it, &b, ahead, &nodes)
        for i in range(b.nr):
            taken += 1
            referenced += referenced_one(m, pfn, b.vma[i], b.pte[i], &left)
            if left == 0:
                nodes = b.nodes[i]
                break
        if ahead < <uint32_t>WALK_AHEAD:
            ahead *= 2
        if nodes - polled >= <uint64_t>WALK_SAFE:
            polled = nodes
            if safe_point(m) < 0:
                break
    spin_unlock_anon_vma(m, g.head)
    count_walk(m, nodes, taken, mapped - left)
    return referenced


cdef int try_to_unmap_anon(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef anonmm_t *g = &m.anonmms[m.frames[pfn].mapping]
    cdef uint64_t index = m.frames[pfn].index
    cdef uint64_t nodes = 0
    cdef uint64_t taken = 0
    cdef uint64_t polled = 0
    cdef uint32_t mapped = m.mapcount[pfn]
    cdef uint32_t ahead = 2
    cdef uint32_t vma, i
    cdef int r = SWAP_AGAIN
    cdef batch_t b
    cdef prio_iter it
    cdef prio_view view
    if not m.frames[pfn].flags & <uint32_t>PG_SWAPCACHE:
        bug(m, BUG_UNMAP_ANON_NOT_SWAPCACHE, pfn, m.frames[pfn].flags, 0)
        return SWAP_FAIL
    view_of(&view, m, NULL)
    spin_lock_anon_vma(m, g.head)
    count_n(m, RMAP_GROUP_MMS, g.count)
    vma = prio_first(&view, g.root, g.bits, index, index, &it, &nodes)
    while vma != 0 and r != SWAP_FAIL and m.mapcount[pfn] != 0:
        vma = gather(m, &view, index, vma, &it, &b, ahead, &nodes)
        for i in range(b.nr):
            taken += 1
            r = unmap_one(m, pfn, b.vma[i], b.pte[i])
            if r == SWAP_FAIL or m.mapcount[pfn] == 0:
                nodes = b.nodes[i]
                break
        if ahead < <uint32_t>WALK_AHEAD:
            ahead *= 2
        if nodes - polled >= <uint64_t>WALK_SAFE:
            polled = nodes
            if safe_point(m) < 0:
                break
    spin_unlock_anon_vma(m, g.head)
    # a candidate that said FAIL did map the page
    count_walk(m, nodes, taken, mapped - m.mapcount[pfn] + (r == SWAP_FAIL))
    if r == SWAP_FAIL:
        return SWAP_FAIL
    return SWAP_SUCCESS if m.mapcount[pfn] == 0 else SWAP_AGAIN


cdef int page_referenced(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef int referenced = test_clear_referenced(f)
    if f.flags & <uint32_t>PG_ANON:
        count(m, RMAP_PAGES_WALKED)
        return referenced + page_referenced_anon(m, pfn)
    if m.mapcount[pfn] == 0:
        return referenced
    count(m, RMAP_PAGES_WALKED)
    return referenced + page_referenced_file(m, pfn)


cdef int try_to_unmap(machine_t *m, uint32_t pfn) noexcept nogil:
    if unmap_refused(m, pfn):
        return SWAP_FAIL
    if m.mapcount[pfn] == 0:
        bug(m, BUG_UNMAP_UNMAPPED, pfn, m.frames[pfn].flags, 0)
        return SWAP_SUCCESS
    count(m, RMAP_PAGES_WALKED)
    if m.frames[pfn].flags & <uint32_t>PG_ANON:
        return count_unmap(m, try_to_unmap_anon(m, pfn))
    return count_unmap(m, try_to_unmap_file(m, pfn))


cdef void prefetch(machine_t *m, uint32_t pfn) noexcept nogil:
    if m.frames[pfn].flags & <uint32_t>PG_ANON:
        prefetch_read(&m.vmas[m.anonmms[m.frames[pfn].mapping].root])


# ---------------------------------------------------------------- verification

cdef uint64_t find(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef anonmm_t *g = &m.anonmms[f.mapping]
    cdef uint64_t n = 0
    cdef uint64_t nodes = 0
    cdef uint32_t vma
    cdef prio_iter it
    cdef prio_view view
    if not f.flags & <uint32_t>PG_ANON:
        return find_file(m, pfn)
    view_of(&view, m, NULL)
    vma = prio_first(&view, g.root, g.bits, f.index, f.index, &it, &nodes)
    while vma != 0:
        n += find_in_vma(m, pfn, vma, f.index)
        vma = prio_next(&view, &it, &nodes)
    return n


cdef int page_fits(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef vma_t *v = &m.vmas[vma]
    return f.mapping != 0 and f.mapping == v.anon_vma and f.index == v.pgoff + ((addr - v.start) >> PAGE_SHIFT)


cdef int check_tree(check_t *c, uint32_t g) noexcept nogil:
    """The tree is one, and every vma in it is of this group and says so."""
    cdef machine_t *m = c.m
    cdef anonmm_t *p = &m.anonmms[g]
    cdef uint64_t nodes = 0
    cdef uint32_t height = 0
    cdef uint32_t bad = 0
    cdef uint32_t vma
    cdef int64_t n
    cdef prio_iter it
    cdef prio_view view
    view_of(&view, m, NULL)
    n = prio_check(&view, p.root, p.bits, m.pools[<int>POOL_VMA].next, &height, &bad)
    if n < 0 or (n != 0 and height > 2 * p.bits):
        return fail(c, CHECK_ANON_TREE, g, bad, height)
    if <uint64_t>n != p.nr:
        return fail(c, CHECK_ANONMM_COUNT, g, n, p.nr)
    vma = prio_first(&view, p.root, p.bits, 0, ~<uint64_t>0, &it, &nodes)
    while vma != 0:
        if m.vmas[vma].mm == 0 or m.vmas[vma].anon_vma != g or m.mms[m.vmas[vma].mm].anonmm != g:
            return fail(c, CHECK_ANON_TREE, g, vma, n)
        n -= 1
        vma = prio_next(&view, &it, &nodes)
    return fail(c, CHECK_ANON_TREE, g, 0, n) if n != 0 else 0


cdef int verify(void *check) noexcept nogil:
    """Each mm has a group, which counts it; the trees hold what their vmas say that they hold."""
    cdef check_t *c = <check_t *>check
    cdef machine_t *m = c.m
    cdef uint64_t next = m.pools[<int>POOL_ANONMM].next
    cdef uint64_t mms = 0
    cdef uint64_t vmas = 0
    cdef uint64_t found = 0
    cdef uint64_t i
    cdef uint32_t g
    if next > m.nr_frames:          # a group has an mm, and that takes frames
        return fail(c, CHECK_POOL_BOUNDS, POOL_ANONMM, next, m.nr_frames)
    memset(c.census, 0, next * sizeof(uint32_t))
    for i in range(1, m.pools[<int>POOL_MM].next):
        g = m.mms[i].anonmm         # 0 in a free record
        if g == 0:
            continue
        if not in_pool(m, POOL_ANONMM, g) or m.anonmms[g].head != g:
            return fail(c, CHECK_ANONMM_COUNT, g, i, 0)
        mms += 1
        c.census[g] += 1
    for i in range(1, next):
        if m.anonmms[i].head == 0:
            continue
        found += 1
        if m.anonmms[i].head != i or m.anonmms[i].count != c.census[i] or c.census[i] == 0:
            return fail(c, CHECK_ANONMM_COUNT, i, c.census[i], m.anonmms[i].count)
        if check_tree(c, <uint32_t>i) < 0:
            return -1
        vmas += m.anonmms[i].nr
    memset(c.census, 0, next * sizeof(uint32_t))
    if mms != c.r.mms or found != m.pools[<int>POOL_ANONMM].live:
        return fail(c, CHECK_ANONMM_COUNT, 0, mms, found)
    # each tree proved its vmas to name it, so equal sums mean that every vma that names a group is in its tree
    if vmas != c.anon_vmas:
        return fail(c, CHECK_ANON_TREE, 0, vmas, c.anon_vmas)
    return 0


cdef rmap_ops ops
rmap_defaults(&ops)
ops.anon_prepare = anon_prepare
ops.page_add = page_add
ops.page_remove = page_remove
ops.page_referenced = page_referenced
ops.try_to_unmap = try_to_unmap
ops.prefetch = prefetch
ops.vma_fork = vma_fork
ops.vma_split = vma_share
ops.vma_copy = vma_share
ops.vma_adopt = vma_adopt
ops.vma_unlink = vma_unlink
ops.vma_merge = vma_merge
ops.vma_adjust_begin = vma_adjust_begin
ops.vma_adjust_end = vma_adjust_end
ops.mm_init = mm_init
ops.mm_exit = mm_exit
ops.find = find
ops.page_fits = page_fits
ops.verify = verify


cdef const rmap_ops *fork_tree_ops() noexcept nogil:
    return &ops
