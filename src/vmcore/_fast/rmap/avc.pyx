"""Links of vmas to anon_vmas, and the index of an anon_vma over its links. See avc.pxd.

Source: mm/rmap.c, mm/interval_tree.c; fact sheet linux-modern sections 1.1, 1.2, 1.8, 2.2. The interval tree reads a
link's range from its vma, so a vma whose range changes takes its links out before and puts them back after it
(vma_adjust_begin, vma_adjust_end of the design). A query costs O(log n + vmas found) with the tree, all links with the
list.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from vmcore._fast.check_base cimport CHECK_ANON_VMA, check_t, fail, in_pool
from vmcore._fast.counters cimport (
    ANON_VMA_CHAINS_ALLOCATED, ANON_VMA_CHAINS_FREED, ANON_VMA_NODES_VISITED, count)
from vmcore._fast.frame cimport GFP_KERNEL
from vmcore._fast.interval_tree cimport it_check, it_first, it_init, it_insert, it_next, it_remove, it_view
from vmcore._fast.pool cimport pool_alloc, pool_free
from vmcore._fast.ranges cimport vma_ranges
from vmcore._fast.rbtree cimport rb_first, rb_next
from vmcore._fast.records cimport CACHE_AVC, POOL_AVC, POOL_VMA, anon_vma_t, avc_t, machine_t
from vmcore._fast.slab cimport cache_alloc, cache_free


# ---------------------------------------------------------------- records

cdef uint32_t avc_alloc(machine_t *m) noexcept nogil:
    cdef uint32_t avc = pool_alloc(m, POOL_AVC)
    if avc == 0:
        return 0
    memset(&m.avcs[avc], 0, sizeof(avc_t))
    if cache_alloc(m, CACHE_AVC, avc, GFP_KERNEL) < 0:
        pool_free(m, POOL_AVC, avc)
        return 0
    m.avcs[avc].live = 1
    count(m, ANON_VMA_CHAINS_ALLOCATED)
    return avc


cdef void avc_free(machine_t *m, uint32_t avc) noexcept nogil:
    m.avcs[avc].live = 0
    cache_free(m, CACHE_AVC, avc)
    pool_free(m, POOL_AVC, avc)
    count(m, ANON_VMA_CHAINS_FREED)


# ---------------------------------------------------------------- the list of a vma

cdef void avc_link(machine_t *m, uint32_t avc, uint32_t vma, uint32_t a) noexcept nogil:
    cdef avc_t *c = &m.avcs[avc]
    cdef uint32_t head = m.vmas[vma].avc
    c.vma = vma
    c.anon_vma = a
    c.vma_prev = 0
    c.vma_next = head
    if head != 0:
        m.avcs[head].vma_prev = avc
    m.vmas[vma].avc = avc
    avc_insert(m, avc)


cdef void avc_unlist(machine_t *m, uint32_t avc) noexcept nogil:
    cdef avc_t *c = &m.avcs[avc]
    if c.vma_prev != 0:
        m.avcs[c.vma_prev].vma_next = c.vma_next
    else:
        m.vmas[c.vma].avc = c.vma_next
    if c.vma_next != 0:
        m.avcs[c.vma_next].vma_prev = c.vma_prev


cdef int avc_singular(machine_t *m, uint32_t vma) noexcept nogil:
    cdef uint32_t avc = m.vmas[vma].avc
    return avc != 0 and m.avcs[avc].vma_next == 0


# ---------------------------------------------------------------- the index of an anon_vma

cdef inline void view_of(it_view *v, machine_t *m) noexcept nogil:
    """For queries; what changes the tree needs it_init as well."""
    v.rb.base = <char *>m.avcs
    v.rb.stride = sizeof(avc_t)
    v.rb.off = <uint64_t>(<char *>&m.avcs.rb_parent - <char *>m.avcs)
    v.rb.augment = NULL
    v.rb.value = <uint64_t>(<char *>&m.avcs.last - <char *>m.avcs)
    vma_ranges(&v.range, m)
    v.range.via = <char *>&m.avcs.vma
    v.range.via_stride = sizeof(avc_t)


cdef void avc_insert(machine_t *m, uint32_t avc) noexcept nogil:
    cdef avc_t *c = &m.avcs[avc]
    cdef anon_vma_t *av = &m.anon_vmas[c.anon_vma]
    cdef it_view view
    if m.rules.avc_tree:
        view_of(&view, m)
        it_init(&view, view.rb.base, view.rb.stride, view.rb.off, view.rb.value)
        it_insert(&view, &av.head, &av.leftmost, avc)
    elif av.nr == 0:
        c.rb_left = c.rb_right = avc
        av.head = avc
    else:                                   # at the tail of the ring
        c.rb_left = av.head
        c.rb_right = m.avcs[av.head].rb_right
        m.avcs[c.rb_right].rb_left = avc
        m.avcs[av.head].rb_right = avc
    av.nr += 1


cdef void avc_remove(machine_t *m, uint32_t avc) noexcept nogil:
    cdef avc_t *c = &m.avcs[avc]
    cdef anon_vma_t *av = &m.anon_vmas[c.anon_vma]
    cdef it_view view
    av.nr -= 1
    if m.rules.avc_tree:
        view_of(&view, m)
        it_init(&view, view.rb.base, view.rb.stride, view.rb.off, view.rb.value)
        it_remove(&view, &av.head, &av.leftmost, avc)
        return
    m.avcs[c.rb_right].rb_left = c.rb_left
    m.avcs[c.rb_left].rb_right = c.rb_right
    if av.nr == 0:
        av.head = 0
    elif av.head == avc:
        av.head = c.rb_left


cdef uint32_t list_next(machine_t *m, anon_walk *w) noexcept nogil:
    cdef uint32_t avc = w.node
    if w.left == 0:
        return 0
    w.left -= 1
    w.node = m.avcs[avc].rb_left
    count(m, ANON_VMA_NODES_VISITED)
    return m.avcs[avc].vma


cdef uint32_t tree_next(machine_t *m, anon_walk *w) noexcept nogil:
    """left: 1 before the first."""
    cdef anon_vma_t *av = &m.anon_vmas[w.object]
    cdef it_view view
    view_of(&view, m)
    if w.left:
        w.left = 0
        w.node = it_first(&view, av.head, av.leftmost, w.index, w.index, &m.counters[ANON_VMA_NODES_VISITED])
    elif w.node != 0:
        w.node = it_next(&view, w.node, w.index, w.index, &m.counters[ANON_VMA_NODES_VISITED])
    return m.avcs[w.node].vma if w.node != 0 else 0


cdef void avc_walk(machine_t *m, anon_walk *w) noexcept nogil:
    if m.rules.avc_tree:
        w.next = tree_next
        w.node = 0
        w.left = 1
    else:
        w.next = list_next
        w.node = m.anon_vmas[w.object].head
        w.left = m.anon_vmas[w.object].nr


# ---------------------------------------------------------------- for check

cdef int link_ok(check_t *c, uint32_t a, uint64_t avc, uint64_t n) noexcept nogil:
    cdef machine_t *m = c.m
    if not in_pool(m, POOL_AVC, avc) or m.avcs[avc].live != 1 or m.avcs[avc].anon_vma != a:
        fail(c, CHECK_ANON_VMA, a, avc, n)
        return 0
    if not in_pool(m, POOL_VMA, m.avcs[avc].vma) or m.vmas[m.avcs[avc].vma].mm == 0:
        fail(c, CHECK_ANON_VMA, a, avc, m.avcs[avc].vma)
        return 0
    return 1


cdef int64_t tree_check(check_t *c, uint32_t a, uint64_t *active) noexcept nogil:
    cdef machine_t *m = c.m
    cdef anon_vma_t *av = &m.anon_vmas[a]
    cdef uint32_t bad = 0
    cdef uint32_t avc
    cdef int64_t n
    cdef it_view view
    # it follows links to their vmas: the caller has seen that all name one
    view_of(&view, m)
    it_init(&view, view.rb.base, view.rb.stride, view.rb.off, view.rb.value)
    n = it_check(&view, av.head, av.leftmost, m.pools[<int>POOL_AVC].next, &bad)
    if n < 0:
        return fail(c, CHECK_ANON_VMA, a, bad, 0)
    avc = rb_first(&view.rb, av.head)
    while avc != 0:
        if not link_ok(c, a, avc, n):
            return -1
        active[0] += m.vmas[m.avcs[avc].vma].anon_vma == a
        avc = rb_next(&view.rb, avc)
    return n


cdef int64_t list_check(check_t *c, uint32_t a, uint64_t *active) noexcept nogil:
    cdef machine_t *m = c.m
    cdef uint32_t head = m.anon_vmas[a].head
    cdef uint32_t avc = head
    cdef uint32_t next
    cdef int64_t n = 0
    while True:
        if not link_ok(c, a, avc, n):
            return -1
        next = m.avcs[avc].rb_left
        if not in_pool(m, POOL_AVC, next) or m.avcs[next].rb_right != avc:
            return fail(c, CHECK_ANON_VMA, a, avc, next)
        active[0] += m.vmas[m.avcs[avc].vma].anon_vma == a
        n += 1
        avc = next
        if avc == head:
            return n
        if <uint64_t>n > m.pools[<int>POOL_AVC].live:
            return fail(c, CHECK_ANON_VMA, a, avc, n)


cdef int64_t avc_check(check_t *c, uint32_t a, uint64_t *active) noexcept nogil:
    return tree_check(c, a, active) if c.m.rules.avc_tree else list_check(c, a, active)
