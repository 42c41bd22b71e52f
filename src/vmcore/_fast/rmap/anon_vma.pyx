"""anon_vma: anonymous pages are found through the list of vmas that may map them; file pages by objrmap. 2.6.5-rc1-aa1,
and 2.6.7, where it was merged.

Source: mm/objrmap.c of -aa, mm/rmap.c of 2.6.7; fact sheet linux-2004 sections 2.5, 5.1, 5.8, 12.1. An anonymous page
has PG_ANON, mapping = the anon_vma, index = its linear offset, set at mapcount 0 -> 1 and cleared at 1 -> 0; between
these nothing changes them. A vma enters the list when its first anonymous page comes, and with fork and split; new ones
go to the front. Cost: nothing per page; a walk visits every vma of the list, mapped there or not.

    page --mapping--> anon_vma --head--> child2 <-> child1 <-> parent    address = vma.start + (index - vma.pgoff) pages

frame.rmap of an anonymous page is a hint for the host, not part of the design: the pte index where the page was mapped
first. If that pte maps the page still, and the anon_vma has one vma, it is the only one (a vma can map a page at one
address), and the walk need not be walked to be counted: most pages of most loads.

-aa1: anon_prepare always makes a new anon_vma, page_referenced walks the whole list, try_to_unmap stops at the first
FAIL or when nothing maps the page any more. 2.6.7, by rules: a vma without takes the anon_vma of a neighbour with which
it could merge but for its access rights (anon_vma_adopt); page_referenced stops as well when it has seen all ptes
(walk_counts_down), walks pass over mms that map nothing (walk_skips_empty), a young pte fails try_to_unmap, and so does
a page that get_user_pages holds.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.records cimport (
    machine_t, vma_t, frame_t, anon_vma_t, rmap_ops, POOL_ANON_VMA, POOL_VMA, CACHE_ANON_VMA, PG_ANON, PG_LAZYFREE,
    PG_LOCKED, PG_RESERVED, PG_SWAPCACHE, PAGE_SHIFT, PTE_A, PTE_P, PTE_SHIFT, PTE_SPECIAL)
from vmcore._fast.merge cimport mergeable_neighbour
from vmcore._fast.pool cimport pool_alloc, pool_free
from vmcore._fast.locks cimport spin_lock_anon_vma, spin_unlock_anon_vma, page_map_lock, page_map_unlock
from vmcore._fast.bugs cimport (
    bug, BUG_ANON_VMA_EMPTY, BUG_ANON_VMA_MISSING, BUG_MERGE_ANON_VMA, BUG_RMAP_ADD_ANON_MAPPING,
    BUG_RMAP_ADD_FILE_ANON, BUG_RMAP_REMOVE_UNMAPPED, BUG_UNMAP_NOT_LOCKED, BUG_UNMAP_RESERVED)
from vmcore._fast.counters cimport (
    count, RMAP_MMS_VISITED, RMAP_PTES_EXAMINED, RMAP_PAGES_WALKED, RMAP_VMAS_VISITED, RMAP_RANGE_SKIPS,
    RMAP_UNMAP_SUCCESS, RMAP_UNMAP_AGAIN, RMAP_UNMAP_FAIL, ANON_VMA_NODES_VISITED, ANON_VMAS_ADOPTED,
    ANON_VMAS_ALLOCATED, ANON_VMAS_FREED)
from vmcore._fast.check_base cimport CHECK_ANON_VMA, CHECK_ANON_VMA_COUNT, check_t, fail, in_pool
from vmcore._fast.frame cimport GFP_KERNEL
from vmcore._fast.slab cimport cache_alloc, cache_free
from vmcore._fast.pagetable cimport pte_lookup
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.rmap.rmap cimport rmap_defaults, test_clear_referenced, SWAP_SUCCESS, SWAP_AGAIN, SWAP_FAIL
from vmcore._fast.rmap.anon_walk cimport anon_walk, find_anon, referenced_anon, unmap_anon
from vmcore._fast.rmap.objrmap cimport (
    find_file, page_in_vma, page_referenced_file, referenced_one, try_to_unmap_file, unmap_one, WALK_OUTSIDE)

cdef struct long_way_t:     # called through a table: kept out of the frames of the short ways, which most pages take
    int (*referenced)(machine_t *m, uint32_t pfn) noexcept nogil
    int (*unmap)(machine_t *m, uint32_t pfn) noexcept nogil
    int (*referenced_file)(machine_t *m, uint32_t pfn) noexcept nogil

cdef long_way_t long_way


# ---------------------------------------------------------------- lists

cdef void list_add_before(machine_t *m, uint32_t a, uint32_t vma, uint32_t at) noexcept nogil:
    """On the ring before `at`, which is on it; 0: the ring is empty."""
    cdef vma_t *v = &m.vmas[vma]
    spin_lock_anon_vma(m, a)
    if at == 0:
        v.anon_next = vma
        v.anon_prev = vma
    else:
        v.anon_next = at
        v.anon_prev = m.vmas[at].anon_prev
        m.vmas[v.anon_prev].anon_next = vma
        m.vmas[at].anon_prev = vma
    m.anon_vmas[a].nr += 1
    v.anon_vma = a
    spin_unlock_anon_vma(m, a)


cdef void list_add_front(machine_t *m, uint32_t a, uint32_t vma) noexcept nogil:
    list_add_before(m, a, vma, m.anon_vmas[a].head)
    m.anon_vmas[a].head = vma


cdef void list_take(machine_t *m, uint32_t vma) noexcept nogil:
    cdef vma_t *v = &m.vmas[vma]
    cdef anon_vma_t *av = &m.anon_vmas[v.anon_vma]
    m.vmas[v.anon_prev].anon_next = v.anon_next
    m.vmas[v.anon_next].anon_prev = v.anon_prev
    if av.head == vma:
        av.head = v.anon_next
    av.nr -= 1
    v.anon_vma = 0
    v.anon_next = 0
    v.anon_prev = 0


cdef int anon_prepare(machine_t *m, uint32_t vma) noexcept nogil:
    cdef uint32_t a, near
    if m.vmas[vma].anon_vma != 0:
        return 0
    if m.rules.anon_vma_adopt:
        near = mergeable_neighbour(m, vma, 1)
        if near == 0:
            near = mergeable_neighbour(m, vma, 0)
        if near != 0:
            count(m, ANON_VMAS_ADOPTED)
            list_add_front(m, m.vmas[near].anon_vma, vma)
            return 0
    a = pool_alloc(m, POOL_ANON_VMA)
    if a == 0:
        return -ENOMEM
    # a record in use but not filled must not look like one with a list while the allocation reclaims
    m.anon_vmas[a].head = 0
    m.anon_vmas[a].nr = 0
    if cache_alloc(m, CACHE_ANON_VMA, a, GFP_KERNEL) < 0:
        pool_free(m, POOL_ANON_VMA, a)
        return -ENOMEM
    count(m, ANON_VMAS_ALLOCATED)
    list_add_front(m, a, vma)
    return 0


cdef int vma_share(machine_t *m, uint32_t new, uint32_t old) noexcept nogil:
    """fork, split, mremap: the new vma may hold the same pages. split has copied the pointer already."""
    cdef uint32_t a = m.vmas[old].anon_vma
    m.vmas[new].anon_vma = 0
    if a != 0:
        list_add_front(m, a, new)
    return 0


cdef int vma_adopt(machine_t *m, uint32_t to, uint32_t from_) noexcept nogil:
    """Right behind from_, so that the place is from_'s own when that goes."""
    if m.vmas[to].anon_vma == 0 and m.vmas[from_].anon_vma != 0:
        list_add_before(m, m.vmas[from_].anon_vma, to, m.vmas[from_].anon_next)
    return 0


cdef void vma_unlink(machine_t *m, uint32_t vma) noexcept nogil:
    cdef uint32_t a = m.vmas[vma].anon_vma
    cdef int empty
    if a == 0:
        return
    spin_lock_anon_vma(m, a)
    list_take(m, vma)
    empty = m.anon_vmas[a].nr == 0
    spin_unlock_anon_vma(m, a)
    if empty:
        m.anon_vmas[a].head = 0
        cache_free(m, CACHE_ANON_VMA, a)
        pool_free(m, POOL_ANON_VMA, a)
        count(m, ANON_VMAS_FREED)


cdef int may_merge(machine_t *m, uint32_t a, uint32_t b) noexcept nogil:
    cdef uint32_t x = m.vmas[a].anon_vma if a != 0 else 0
    cdef uint32_t y = m.vmas[b].anon_vma if b != 0 else 0
    return x == y or x == 0 or y == 0


cdef void vma_merge(machine_t *m, uint32_t keep, uint32_t dying) noexcept nogil:
    if m.vmas[dying].anon_vma != 0 and m.vmas[keep].anon_vma != m.vmas[dying].anon_vma:
        bug(m, BUG_MERGE_ANON_VMA, keep, dying, m.vmas[dying].anon_vma)
    vma_unlink(m, dying)


cdef void vma_adjust_begin(machine_t *m, uint32_t vma) noexcept nogil:
    if m.vmas[vma].anon_vma != 0:
        spin_lock_anon_vma(m, m.vmas[vma].anon_vma)


cdef void vma_adjust_end(machine_t *m, uint32_t vma) noexcept nogil:
    if m.vmas[vma].anon_vma != 0:
        spin_unlock_anon_vma(m, m.vmas[vma].anon_vma)


# ---------------------------------------------------------------- add, remove

cdef void page_add(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t pte, int anon) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t index
    page_map_lock(m, pfn)
    if anon:
        index = v.pgoff + ((addr - v.start) >> PAGE_SHIFT)
        if v.anon_vma == 0:
            bug(m, BUG_ANON_VMA_MISSING, pfn, vma, addr)
        if m.mapcount[pfn] == 0:
            if f.flags & <uint32_t>PG_ANON or f.mapping != 0:
                bug(m, BUG_RMAP_ADD_ANON_MAPPING, pfn, vma, f.mapping)
            f.flags |= <uint32_t>PG_ANON
            f.mapping = v.anon_vma
            f.index = index
            f.rmap = pte
        elif not f.flags & <uint32_t>PG_ANON or f.mapping != v.anon_vma or f.index != index:
            bug(m, BUG_RMAP_ADD_ANON_MAPPING, pfn, vma, f.mapping)
    elif f.flags & <uint32_t>(PG_ANON | PG_SWAPCACHE) or f.mapping == 0:
        bug(m, BUG_RMAP_ADD_FILE_ANON, pfn, vma, f.flags)
    if m.mapcount[pfn] == 0:
        m.nr_mapped_pages += 1
    m.mapcount[pfn] += 1
    page_map_unlock(m, pfn)


cdef void anon_page_remove(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    page_map_lock(m, pfn)
    if m.mapcount[pfn] == 0:
        bug(m, BUG_RMAP_REMOVE_UNMAPPED, pfn, pte, 0)
        return
    m.mapcount[pfn] -= 1
    if m.mapcount[pfn] == 0:
        m.nr_mapped_pages -= 1
        if f.flags & <uint32_t>PG_ANON:
            if f.mapping == 0:
                bug(m, BUG_RMAP_REMOVE_UNMAPPED, pfn, pte, f.flags)
            f.mapping = 0
            f.flags &= ~<uint32_t>(PG_ANON | PG_LAZYFREE)
        elif f.flags & <uint32_t>PG_SWAPCACHE:
            bug(m, BUG_RMAP_ADD_FILE_ANON, pfn, 0, f.flags)
    page_map_unlock(m, pfn)


# ---------------------------------------------------------------- the two walks of reclaim

cdef uint32_t ring_next(machine_t *m, anon_walk *w) noexcept nogil:
    cdef uint32_t vma = w.node
    if w.left == 0:
        return 0
    w.left -= 1
    w.node = m.vmas[vma].anon_next
    count(m, ANON_VMA_NODES_VISITED)
    return vma


cdef int walk_start(machine_t *m, uint32_t pfn, anon_walk *w) noexcept nogil:
    cdef uint32_t a = m.frames[pfn].mapping
    cdef anon_vma_t *av = &m.anon_vmas[a]
    if a == 0 or av.nr == 0:
        bug(m, BUG_ANON_VMA_EMPTY, pfn, a, 0)
        return 0
    w.next = ring_next
    w.object = a
    w.node = av.head
    w.left = av.nr
    w.index = m.frames[pfn].index
    return 1


cdef inline uint32_t only_pte(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t index) noexcept nogil:
    """The pte of a page whose anon_vma has this vma alone."""
    cdef uint32_t pte = m.frames[pfn].rmap
    cdef uint64_t e = m.ptes[pte]
    cdef vma_t *v
    cdef uint64_t page
    if (e & (PTE_P | PTE_SPECIAL)) == PTE_P and <uint32_t>(e >> PTE_SHIFT) == pfn:
        return pte
    v = &m.vmas[vma]
    page = page_in_vma(v, index)
    if page >= (v.end - v.start) >> PAGE_SHIFT:
        return WALK_OUTSIDE
    return pte_lookup(m, v.mm, v.start + (page << PAGE_SHIFT))


cdef inline void count_only(machine_t *m, uint32_t pte) noexcept nogil:
    """A walk of one vma."""
    count(m, RMAP_VMAS_VISITED)
    count(m, ANON_VMA_NODES_VISITED)
    if pte == <uint32_t>WALK_OUTSIDE:
        count(m, RMAP_RANGE_SKIPS)


cdef int page_referenced_anon(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef uint32_t pte
    cdef uint32_t left = 1
    cdef int referenced = 0
    cdef anon_walk w
    if not walk_start(m, pfn, &w):
        return 0
    spin_lock_anon_vma(m, w.object)
    if w.left == 1:                 # a region that was never forked: most of them
        pte = only_pte(m, pfn, w.node, w.index)
        count_only(m, pte)
        if pte != <uint32_t>WALK_OUTSIDE:
            referenced = referenced_one(m, pfn, w.node, pte, &left)
    else:
        referenced = referenced_anon(m, pfn, &w)
    spin_unlock_anon_vma(m, w.object)
    return referenced


cdef int try_to_unmap_anon(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef uint32_t pte
    cdef int r = SWAP_AGAIN
    cdef anon_walk w
    if not m.frames[pfn].flags & <uint32_t>PG_SWAPCACHE:
        return SWAP_AGAIN
    if not walk_start(m, pfn, &w):
        return SWAP_AGAIN
    spin_lock_anon_vma(m, w.object)
    if w.left == 1:
        pte = only_pte(m, pfn, w.node, w.index)
        count_only(m, pte)
        if pte != <uint32_t>WALK_OUTSIDE:
            r = unmap_one(m, pfn, w.node, pte)
        if r != SWAP_FAIL and m.mapcount[pfn] == 0:
            r = SWAP_SUCCESS
    else:
        r = unmap_anon(m, pfn, &w)
    spin_unlock_anon_vma(m, w.object)
    return r


cdef int page_referenced(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef int referenced = test_clear_referenced(f)
    cdef uint32_t pte
    cdef uint64_t e
    if f.flags & <uint32_t>PG_ANON:
        count(m, RMAP_PAGES_WALKED)
        pte = f.rmap
        e = m.ptes[pte]
        if ((e & (PTE_P | PTE_SPECIAL)) == PTE_P and <uint32_t>(e >> PTE_SHIFT) == pfn
                and m.anon_vmas[f.mapping].nr == 1 and m.trylock_rate == 0):
            # the walk below for a list of one, in short
            count(m, RMAP_VMAS_VISITED)
            count(m, ANON_VMA_NODES_VISITED)
            count(m, RMAP_MMS_VISITED)
            count(m, RMAP_PTES_EXAMINED)
            if e & PTE_A:
                m.ptes[pte] = e & ~<uint64_t>PTE_A
                referenced += 1
            return referenced
        return referenced + long_way.referenced(m, pfn)
    if m.mapcount[pfn] == 0:
        return referenced
    count(m, RMAP_PAGES_WALKED)
    return referenced + long_way.referenced_file(m, pfn)


cdef int try_to_unmap(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef int r
    if f.flags & <uint32_t>PG_RESERVED:
        bug(m, BUG_UNMAP_RESERVED, pfn, f.flags, 0)
        return SWAP_FAIL
    if not f.flags & <uint32_t>PG_LOCKED:
        bug(m, BUG_UNMAP_NOT_LOCKED, pfn, f.flags, 0)
        return SWAP_FAIL
    if m.mapcount[pfn] == 0:
        return SWAP_SUCCESS
    count(m, RMAP_PAGES_WALKED)
    if f.flags & <uint32_t>PG_ANON:
        r = long_way.unmap(m, pfn)
    else:
        r = try_to_unmap_file(m, pfn)
    count(m, RMAP_UNMAP_SUCCESS if r == SWAP_SUCCESS else RMAP_UNMAP_AGAIN if r == SWAP_AGAIN else RMAP_UNMAP_FAIL)
    return r


cdef void prefetch(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if f.flags & <uint32_t>PG_ANON:
        prefetch_write(&m.ptes[f.rmap])


# ---------------------------------------------------------------- verification

cdef uint64_t find(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef anon_walk w
    if not m.frames[pfn].flags & <uint32_t>PG_ANON:
        return find_file(m, pfn)
    return find_anon(m, pfn, &w) if walk_start(m, pfn, &w) else 0


cdef int page_fits(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef vma_t *v = &m.vmas[vma]
    return f.mapping != 0 and f.mapping == v.anon_vma and f.index == v.pgoff + ((addr - v.start) >> PAGE_SHIFT)


cdef int64_t ring_size(check_t *c, uint32_t a) noexcept nogil:
    """Vmas on the list of an anon_vma; -1 after a failure."""
    cdef machine_t *m = c.m
    cdef uint32_t head = m.anon_vmas[a].head
    cdef uint32_t i = head
    cdef uint32_t next
    cdef int64_t n = 0
    while True:
        if not in_pool(m, POOL_VMA, i) or m.vmas[i].mm == 0 or m.vmas[i].anon_vma != a:
            return fail(c, CHECK_ANON_VMA, a, i, n)
        next = m.vmas[i].anon_next
        if not in_pool(m, POOL_VMA, next) or m.vmas[next].anon_prev != i:
            return fail(c, CHECK_ANON_VMA, a, i, next)
        n += 1
        i = next
        if i == head:
            return n
        if <uint64_t>n > c.r.vmas:
            return fail(c, CHECK_ANON_VMA, a, i, n)


cdef int verify(void *check) noexcept nogil:
    cdef check_t *c = <check_t *>check
    cdef machine_t *m = c.m
    cdef uint64_t i
    cdef uint64_t vmas = 0
    cdef int64_t n
    for i in range(1, m.pools[<int>POOL_ANON_VMA].next):
        if m.anon_vmas[i].nr == 0:
            continue
        c.r.anon_vmas += 1
        n = ring_size(c, <uint32_t>i)
        if n < 0:
            return -1
        if <uint64_t>n != m.anon_vmas[i].nr:
            return fail(c, CHECK_ANON_VMA_COUNT, i, n, m.anon_vmas[i].nr)
        vmas += n
    # each list is closed, links back and names its object, so equal sums mean that every vma is on its list
    if vmas != c.anon_vmas:
        return fail(c, CHECK_ANON_VMA_COUNT, 0, vmas, c.anon_vmas)
    return 0


long_way.referenced = page_referenced_anon
long_way.unmap = try_to_unmap_anon
long_way.referenced_file = page_referenced_file

cdef rmap_ops ops
rmap_defaults(&ops)
ops.anon_prepare = anon_prepare
ops.page_add = page_add
ops.page_remove = anon_page_remove
ops.page_referenced = page_referenced
ops.try_to_unmap = try_to_unmap
ops.prefetch = prefetch
ops.vma_fork = vma_share
ops.vma_split = vma_share
ops.vma_copy = vma_share
ops.vma_adopt = vma_adopt
ops.vma_unlink = vma_unlink
ops.may_merge = may_merge
ops.vma_merge = vma_merge
ops.vma_adjust_begin = vma_adjust_begin
ops.vma_adjust_end = vma_adjust_end
ops.find = find
ops.page_fits = page_fits
ops.verify = verify


cdef const rmap_ops *anon_vma_ops() noexcept nogil:
    return &ops
