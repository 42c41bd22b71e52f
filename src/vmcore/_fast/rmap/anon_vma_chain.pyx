"""anon_vma chains: every vma has an anon_vma of its own and links to those of its ancestors, so that a page that a
child made is looked for in the child alone. 2.6.34 with lists, 3.7 and later with interval trees.

Source: mm/rmap.c of 2.6.34, 5.x, 7.0-rc; fact sheet linux-modern sections 1.1 to 1.8, 1.15; links and indexes:
avc.pyx. A page names one anon_vma, and every vma that may map it has a link there. What that costs: a fork at depth d
makes d + 1 links and an anon_vma more for each vma, and every split, merge and move of a vma as many.

    parent's vma   [A]            a page of before the fork: mapping A, walked through the vmas of parent and children
    child's vma    [B, A]         a page the child copied: mapping B, one vma
    grandchild's   [C, B, A]

Era differences are rules. 2.6.34: an index is a list (avc_tree 0), no reuse, each anon_vma has its lock. Since 6.0
(avc_reuse 2; 1 is 3.19 to 5.19) a fork takes, instead of a new anon_vma, the oldest of an ancestor that no vma has as
its own and that has at most one child: a daemon that forks and exits in an endless chain stays at three. With
avc_root_lock one lock serves a fork tree and page_referenced only tries to get it; that answer would be "keep", which
v2_6 has no word for, so it counts as referenced.

Which anon_vma a page gets: the vma's own when the page is new; the root of the tree when it comes from the swap
cache, because others may want it too. do_wp_page moves a page that it reuses to its vma's own (page_exclusive), and
with avc_claim_swapin a write fault at swap-in does; only downwards, to a descendant. Reuse itself is judged as in 2.6
(page counts), not by the exclusive mark of 5.19; counts of parents and references are kept for 2.6.34 too, which had
none.

Invariants (I1 to I9): a vma has an anon_vma if and only if it has links, one of them to it; all its links lead to
one root; root's refs = 1 + the others of its tree; num_active_vmas = vmas whose own it is; the num_children of all
anon_vmas add up to their number, because a root counts itself.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from vmcore._fast.bugs cimport (
    bug, BUG_ANON_VMA_EMPTY, BUG_ANON_VMA_MISSING, BUG_MERGE_ANON_VMA, BUG_RMAP_ADD_ANON_MAPPING)
from vmcore._fast.check_base cimport CHECK_ANON_VMA, CHECK_ANON_VMA_COUNT, check_t, fail, in_pool
from vmcore._fast.counters cimport (
    count, ANON_VMAS_ADOPTED, ANON_VMAS_ALLOCATED, ANON_VMAS_FREED, ANON_VMAS_REUSED, RMAP_PAGES_CLAIMED,
    RMAP_PAGES_WALKED, RMAP_TRYLOCK_FAILS)
from vmcore._fast.frame cimport GFP_KERNEL
from vmcore._fast.locks cimport down_read_trylock_anon_root, page_map_lock, page_map_unlock
from vmcore._fast.merge cimport mergeable_neighbour
from vmcore._fast.pool cimport pool_alloc, pool_free, pool_reserve
from vmcore._fast.records cimport (
    CACHE_ANON_VMA, PAGE_SHIFT, PG_ANON, PG_LAZYFREE, PG_SWAPCACHE, POOL_ANON_VMA, POOL_AVC, POOL_VMA,
    anon_vma_t, frame_t, machine_t, rmap_ops, vma_t)
from vmcore._fast.rmap.anon_vma cimport anon_page_remove
from vmcore._fast.rmap.anon_walk cimport anon_walk, find_anon, referenced_anon, unmap_anon
from vmcore._fast.rmap.avc cimport (
    avc_alloc, avc_check, avc_free, avc_insert, avc_link, avc_remove, avc_singular, avc_unlist, avc_walk)
from vmcore._fast.rmap.objrmap cimport file_page_add, find_file, page_referenced_file, try_to_unmap_file
from vmcore._fast.rmap.rmap cimport (
    count_unmap, rmap_defaults, test_clear_referenced, unmap_refused, SWAP_AGAIN, SWAP_FAIL, SWAP_SUCCESS)
from vmcore._fast.slab cimport cache_alloc, cache_free


# ---------------------------------------------------------------- anon_vmas

cdef uint32_t anon_vma_new(machine_t *m, uint32_t parent) noexcept nogil:
    """Without links yet. parent 0: the root of a new tree. 0: no memory."""
    cdef uint32_t a = pool_alloc(m, POOL_ANON_VMA)
    cdef anon_vma_t *av = &m.anon_vmas[a]
    if a == 0:
        return 0
    memset(av, 0, sizeof(anon_vma_t))
    if cache_alloc(m, CACHE_ANON_VMA, a, GFP_KERNEL) < 0:
        pool_free(m, POOL_ANON_VMA, a)
        return 0
    av.refs = 1
    if parent == 0:
        av.root = av.parent = a
        av.num_children = 1         # itself: never reused
    else:
        av.root = m.anon_vmas[parent].root
        av.parent = parent
        m.anon_vmas[av.root].refs += 1
        m.anon_vmas[parent].num_children += 1
    count(m, ANON_VMAS_ALLOCATED)
    return a


cdef void anon_vma_put(machine_t *m, uint32_t a) noexcept nogil:
    """Its links are gone, or never came; the root goes when the last of its tree has."""
    cdef anon_vma_t *av = &m.anon_vmas[a]
    cdef uint32_t root = av.root
    av.refs -= 1
    if av.refs != 0:
        return
    av.nr = av.head = 0
    cache_free(m, CACHE_ANON_VMA, a)
    pool_free(m, POOL_ANON_VMA, a)
    count(m, ANON_VMAS_FREED)
    if root != a:
        anon_vma_put(m, root)


# ---------------------------------------------------------------- vmas

cdef void vma_unlink(machine_t *m, uint32_t vma) noexcept nogil:
    """unlink_anon_vmas: newest first; empty anon_vmas go only when the last link is off, because links name them."""
    cdef uint32_t own = m.vmas[vma].anon_vma
    cdef uint32_t avc, a
    if own != 0:
        m.anon_vmas[own].num_active_vmas -= 1
        m.vmas[vma].anon_vma = 0
    avc = m.vmas[vma].avc
    while avc != 0:
        avc_remove(m, avc)
        a = m.avcs[avc].anon_vma
        if m.anon_vmas[a].nr == 0:
            m.anon_vmas[m.anon_vmas[a].parent].num_children -= 1
        avc = m.avcs[avc].vma_next
    while m.vmas[vma].avc != 0:
        avc = m.vmas[vma].avc
        a = m.avcs[avc].anon_vma
        avc_unlist(m, avc)
        avc_free(m, avc)
        if m.anon_vmas[a].nr == 0:
            anon_vma_put(m, a)


cdef inline int reusable(machine_t *m, uint32_t a, uint32_t own) noexcept nogil:
    """May a child have this anon_vma of an ancestor as its own? own: the parent's."""
    cdef anon_vma_t *av = &m.anon_vmas[a]
    if m.rules.avc_reuse == 2:
        return av.num_active_vmas == 0 and av.num_children <= 1
    return m.rules.avc_reuse == 1 and a != own and av.num_active_vmas + av.num_children < 2


cdef int clone(machine_t *m, uint32_t dst, uint32_t src, int fork) noexcept nogil:
    """anon_vma_clone: dst, which has no links, gets one for each of src's, oldest first. 0; -ENOMEM and none."""
    cdef uint32_t avc = m.vmas[src].avc
    cdef uint32_t new, a
    cdef uint64_t n = 1
    # a long list is more than what one stretch between safe points may take
    while m.avcs[avc].vma_next != 0:
        avc = m.avcs[avc].vma_next
        n += 1
    if pool_reserve(m, POOL_AVC, n + 1) < 0:
        m.vmas[dst].anon_vma = 0
        return -ENOMEM
    while avc != 0:
        new = avc_alloc(m)
        if new == 0:
            m.vmas[dst].anon_vma = 0        # not counted as its own yet
            vma_unlink(m, dst)
            return -ENOMEM
        a = m.avcs[avc].anon_vma
        avc_link(m, new, dst, a)
        if fork and m.vmas[dst].anon_vma == 0 and reusable(m, a, m.vmas[src].anon_vma):
            m.vmas[dst].anon_vma = a
        avc = m.avcs[avc].vma_prev
    if m.vmas[dst].anon_vma != 0:
        m.anon_vmas[m.vmas[dst].anon_vma].num_active_vmas += 1
    return 0


cdef int anon_prepare(machine_t *m, uint32_t vma) noexcept nogil:
    cdef uint32_t a, avc, near
    if m.vmas[vma].anon_vma != 0:
        return 0
    avc = avc_alloc(m)
    if avc == 0:
        return -ENOMEM
    # only from a neighbour that was not inherited: its pages are all its own
    near = mergeable_neighbour(m, vma, 1)
    if near == 0 or not avc_singular(m, near):
        near = mergeable_neighbour(m, vma, 0)
    if near != 0 and avc_singular(m, near):
        a = m.vmas[near].anon_vma
        count(m, ANON_VMAS_ADOPTED)
    else:
        a = anon_vma_new(m, 0)
        if a == 0:
            avc_free(m, avc)
            return -ENOMEM
    m.vmas[vma].anon_vma = a
    m.anon_vmas[a].num_active_vmas += 1
    avc_link(m, avc, vma, a)
    return 0


cdef int vma_fork(machine_t *m, uint32_t child, uint32_t parent) noexcept nogil:
    cdef uint32_t a, avc
    m.vmas[child].anon_vma = 0
    if m.vmas[parent].anon_vma == 0:
        return 0
    if clone(m, child, parent, 1) < 0:
        return -ENOMEM
    if m.vmas[child].anon_vma != 0:
        count(m, ANON_VMAS_REUSED)
        return 0
    avc = avc_alloc(m)
    a = anon_vma_new(m, m.vmas[parent].anon_vma) if avc != 0 else 0
    if a == 0:
        if avc != 0:
            avc_free(m, avc)
        vma_unlink(m, child)
        return -ENOMEM
    m.vmas[child].anon_vma = a
    m.anon_vmas[a].num_active_vmas = 1
    avc_link(m, avc, child, a)
    return 0


cdef int vma_clone(machine_t *m, uint32_t new, uint32_t old) noexcept nogil:
    """split, mremap, adoption by a neighbour: the same anon_vmas, the same own."""
    if m.vmas[old].anon_vma == 0:
        return 0
    m.vmas[new].anon_vma = m.vmas[old].anon_vma
    return clone(m, new, old, 0)


cdef int vma_adopt(machine_t *m, uint32_t to, uint32_t from_) noexcept nogil:
    return vma_clone(m, to, from_) if m.vmas[to].anon_vma == 0 else 0


cdef int may_merge(machine_t *m, uint32_t a, uint32_t b) noexcept nogil:
    cdef uint32_t x = m.vmas[a].anon_vma if a != 0 else 0
    cdef uint32_t y = m.vmas[b].anon_vma if b != 0 else 0
    if x == y:
        return 1
    if x != 0 and y != 0:
        return 0
    # one is faulted: a child's inherited links would spread
    return not m.rules.merge_fork_child or avc_singular(m, a if x != 0 else b)


cdef void vma_merge(machine_t *m, uint32_t keep, uint32_t dying) noexcept nogil:
    if m.vmas[dying].anon_vma != 0 and m.vmas[keep].anon_vma != m.vmas[dying].anon_vma:
        bug(m, BUG_MERGE_ANON_VMA, keep, dying, m.vmas[dying].anon_vma)
    vma_unlink(m, dying)


cdef void vma_adjust_begin(machine_t *m, uint32_t vma) noexcept nogil:
    cdef uint32_t avc = m.vmas[vma].avc if m.rules.avc_tree else 0
    while avc != 0:
        avc_remove(m, avc)
        avc = m.avcs[avc].vma_next


cdef void vma_adjust_end(machine_t *m, uint32_t vma) noexcept nogil:
    cdef uint32_t avc = m.vmas[vma].avc if m.rules.avc_tree else 0
    while avc != 0:
        avc_insert(m, avc)
        avc = m.avcs[avc].vma_next


# ---------------------------------------------------------------- pages

cdef uint32_t link_to(machine_t *m, uint32_t vma, uint32_t a) noexcept nogil:
    """The link of vma to a, 0 if there is none."""
    cdef uint32_t avc = m.vmas[vma].avc
    while avc != 0 and m.avcs[avc].anon_vma != a:
        avc = m.avcs[avc].vma_next
    return avc


cdef void page_add(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t pte, int anon) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef vma_t *v = &m.vmas[vma]
    cdef uint64_t index
    if not anon:
        file_page_add(m, pfn, vma)
        return
    page_map_lock(m, pfn)
    index = v.pgoff + ((addr - v.start) >> PAGE_SHIFT)
    if v.anon_vma == 0:
        bug(m, BUG_ANON_VMA_MISSING, pfn, vma, addr)
    elif m.mapcount[pfn] == 0:
        if f.flags & <uint32_t>PG_ANON or f.mapping != 0:
            bug(m, BUG_RMAP_ADD_ANON_MAPPING, pfn, vma, f.mapping)
        f.flags |= <uint32_t>PG_ANON
        f.mapping = m.anon_vmas[v.anon_vma].root if f.flags & <uint32_t>PG_SWAPCACHE else v.anon_vma
        f.index = index
    elif not f.flags & <uint32_t>PG_ANON or f.index != index or link_to(m, vma, f.mapping) == 0:
        bug(m, BUG_RMAP_ADD_ANON_MAPPING, pfn, vma, f.mapping)
    if m.mapcount[pfn] == 0:
        m.nr_mapped_pages += 1
    m.mapcount[pfn] += 1
    page_map_unlock(m, pfn)


cdef void page_exclusive(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil:
    """page_move_anon_rmap: from now on only this vma, and what is forked of it, is looked at."""
    cdef frame_t *f = &m.frames[pfn]
    if f.flags & <uint32_t>PG_ANON and f.mapping != m.vmas[vma].anon_vma:
        f.mapping = m.vmas[vma].anon_vma
        count(m, RMAP_PAGES_CLAIMED)


# ---------------------------------------------------------------- the two walks of reclaim

cdef int walk_start(machine_t *m, uint32_t pfn, anon_walk *w) noexcept nogil:
    w.object = m.frames[pfn].mapping
    w.index = m.frames[pfn].index
    if w.object == 0 or m.anon_vmas[w.object].nr == 0:
        bug(m, BUG_ANON_VMA_EMPTY, pfn, w.object, 0)
        return 0
    avc_walk(m, w)
    return 1


cdef int page_referenced(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef int referenced = test_clear_referenced(f)
    cdef anon_walk w
    if m.mapcount[pfn] == 0:
        return referenced
    count(m, RMAP_PAGES_WALKED)
    if not f.flags & <uint32_t>PG_ANON:
        return referenced + page_referenced_file(m, pfn)
    if not walk_start(m, pfn, &w):
        return referenced
    if m.rules.avc_root_lock and not down_read_trylock_anon_root(m, m.anon_vmas[w.object].root):
        count(m, RMAP_TRYLOCK_FAILS)
        return referenced + 1
    return referenced + referenced_anon(m, pfn, &w)


cdef int try_to_unmap(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef anon_walk w
    if unmap_refused(m, pfn):
        return SWAP_FAIL
    if m.mapcount[pfn] == 0:
        return SWAP_SUCCESS
    count(m, RMAP_PAGES_WALKED)
    if not m.frames[pfn].flags & <uint32_t>PG_ANON:
        return count_unmap(m, try_to_unmap_file(m, pfn))
    if not m.frames[pfn].flags & <uint32_t>(PG_SWAPCACHE | PG_LAZYFREE) or not walk_start(m, pfn, &w):
        return count_unmap(m, SWAP_AGAIN)
    return count_unmap(m, unmap_anon(m, pfn, &w))


# ---------------------------------------------------------------- verification

cdef uint64_t find(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef anon_walk w
    if not m.frames[pfn].flags & <uint32_t>PG_ANON:
        return find_file(m, pfn)
    return find_anon(m, pfn, &w) if walk_start(m, pfn, &w) else 0


cdef int page_fits(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef vma_t *v = &m.vmas[vma]
    if f.mapping == 0 or f.index != v.pgoff + ((addr - v.start) >> PAGE_SHIFT):
        return 0
    return f.mapping == v.anon_vma or link_to(m, vma, f.mapping) != 0


cdef int64_t check_links(check_t *c, uint64_t vma) noexcept nogil:
    """The list of a vma: its links, or -1. I1, I2, I4, I6."""
    cdef machine_t *m = c.m
    cdef vma_t *v = &m.vmas[vma]
    cdef uint32_t avc = v.avc
    cdef uint32_t before = 0
    cdef uint32_t root = 0
    cdef int64_t n = 0
    cdef int own = 0
    while avc != 0:
        if not in_pool(m, POOL_AVC, avc) or m.avcs[avc].live != 1 or m.avcs[avc].vma != vma:
            return fail(c, CHECK_ANON_VMA, vma, avc, n)
        if m.avcs[avc].vma_prev != before or not in_pool(m, POOL_ANON_VMA, m.avcs[avc].anon_vma):
            return fail(c, CHECK_ANON_VMA, vma, avc, m.avcs[avc].vma_prev)
        if root != 0 and m.anon_vmas[m.avcs[avc].anon_vma].root != root:
            return fail(c, CHECK_ANON_VMA, vma, avc, root)
        root = m.anon_vmas[m.avcs[avc].anon_vma].root
        own += m.avcs[avc].anon_vma == v.anon_vma
        n += 1
        if <uint64_t>n > m.pools[<int>POOL_AVC].live:
            return fail(c, CHECK_ANON_VMA, vma, avc, n)
        before = avc
        avc = m.avcs[avc].vma_next
    if own != (v.anon_vma != 0) or (n != 0) != (v.anon_vma != 0):
        return fail(c, CHECK_ANON_VMA, vma, v.anon_vma, n)
    return n


cdef int check_object(check_t *c, uint32_t a) noexcept nogil:
    """root, parent, references: I4, I8."""
    cdef machine_t *m = c.m
    cdef anon_vma_t *av = &m.anon_vmas[a]
    if not in_pool(m, POOL_ANON_VMA, av.root) or not in_pool(m, POOL_ANON_VMA, av.parent):
        return fail(c, CHECK_ANON_VMA, a, av.root, av.parent)
    if m.anon_vmas[av.root].nr == 0 or m.anon_vmas[av.root].root != av.root:
        return fail(c, CHECK_ANON_VMA, a, av.root, m.anon_vmas[av.root].root)
    if m.anon_vmas[av.parent].nr == 0 or m.anon_vmas[av.parent].root != av.root or (av.root == a) != (av.parent == a):
        return fail(c, CHECK_ANON_VMA, a, av.root, av.parent)
    if av.refs == 0 or (av.root != a and av.refs != 1) or (av.root == a and av.num_children == 0):
        return fail(c, CHECK_ANON_VMA_COUNT, a, av.refs, av.num_children)
    return 0


cdef int verify(void *check) noexcept nogil:
    cdef check_t *c = <check_t *>check
    cdef machine_t *m = c.m
    cdef uint64_t i, active
    cdef uint64_t links = 0
    cdef uint64_t indexed = 0
    cdef uint64_t children = 0
    cdef uint64_t refs = 0
    cdef uint64_t roots = 0
    cdef int64_t n
    for i in range(1, m.pools[<int>POOL_VMA].next):
        if m.vmas[i].mm != 0:
            n = check_links(c, i)
            if n < 0:
                return -1
            links += n
    # every live link is on the list of the vma that it names, since the lists hold as many as there are
    if links != m.pools[<int>POOL_AVC].live:
        return fail(c, CHECK_ANON_VMA_COUNT, 0, links, m.pools[<int>POOL_AVC].live)
    for i in range(1, m.pools[<int>POOL_ANON_VMA].next):
        if m.anon_vmas[i].nr == 0:
            continue
        c.r.anon_vmas += 1
        active = 0
        n = avc_check(c, <uint32_t>i, &active)
        if n < 0 or check_object(c, <uint32_t>i) < 0:
            return -1
        if <uint64_t>n != m.anon_vmas[i].nr:
            return fail(c, CHECK_ANON_VMA_COUNT, i, n, m.anon_vmas[i].nr)
        if active != m.anon_vmas[i].num_active_vmas:
            return fail(c, CHECK_ANON_VMA_COUNT, i, active, m.anon_vmas[i].num_active_vmas)
        indexed += n
        children += m.anon_vmas[i].num_children
        refs += m.anon_vmas[i].refs
        roots += m.anon_vmas[i].root == i
    if indexed != links:
        return fail(c, CHECK_ANON_VMA_COUNT, 0, indexed, links)
    if children != c.r.anon_vmas or refs != 2 * c.r.anon_vmas - roots:
        return fail(c, CHECK_ANON_VMA_COUNT, 0, children, refs)
    return 0


cdef rmap_ops ops
rmap_defaults(&ops)
ops.anon_prepare = anon_prepare
ops.page_add = page_add
ops.page_remove = anon_page_remove
ops.page_referenced = page_referenced
ops.try_to_unmap = try_to_unmap
ops.vma_fork = vma_fork
ops.vma_split = vma_clone
ops.vma_copy = vma_clone
ops.vma_adopt = vma_adopt
ops.vma_unlink = vma_unlink
ops.may_merge = may_merge
ops.vma_merge = vma_merge
ops.vma_adjust_begin = vma_adjust_begin
ops.vma_adjust_end = vma_adjust_end
ops.page_exclusive = page_exclusive
ops.find = find
ops.page_fits = page_fits
ops.verify = verify


cdef const rmap_ops *anon_vma_chain_ops() noexcept nogil:
    return &ops
