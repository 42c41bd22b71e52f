"""anonmm: an anonymous page knows its virtual address and the mm that had it first; who else has it is a relative.

Hugh Dickins's design: 2.5.65-mm3, anobjrmap 1 to 6 of 18 March 2004, and mainline for the days between "rmap 10" and
"rmap 38" of May 2004. Source: mm/rmap.c of that state (AMM); fact sheet linux-2004 sections 0.3, 2.4, 5.4, 12.1.

One anonmm per mm. Those that descend by fork from one exec are a group: a ring whose head was made at exec. A page has
PG_ANON, mapping = the anonmm of the mm that mapped it first, index = its virtual address, the same in every mm of the
group. So nothing is kept per page, nothing per vma, and vmas merge as they like.

    page --mapping--> anonmm C      head A -> B -> C -> D -> back to A       a new child goes to the tail
         --index----> address       walk: C itself, D, A, B; stops when as many ptes were found as mapcount says

Cost: a page that one mm maps is found with one look (the shortcut); a page that k of n relatives map costs up to n
looks, since an mm that never had it is asked too. A page has one address, so mremap of a shared page must copy it
(page_move), and so must a swap-in at another address than where a relative has the page (page_misplaced).

count of an anonmm: its mm (1, until exit), being head (1), its members, each page whose mapping it is. At 0, or 1 for a
head, it goes; so an orphan (mm 0) lives while relatives map what its mm had first. page_referenced hands such pages on
to the first relative that it finds them in (migration). rules.anonmm_full_walk: the design of 2003, without the
shortcut; a walk then begins at the head.
"""
from libc.errno cimport EAGAIN, ENOMEM
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from vmcore._fast.records cimport (
    machine_t, frame_t, anonmm_t, rmap_ops, CACHE_ANONMM, PAGE_MASK_LOW, PG_ANON, PG_SWAPCACHE, POOL_ANONMM, POOL_MM)
from vmcore._fast.pool cimport pool_alloc, pool_free, safe_point
from vmcore._fast.locks cimport (
    page_map_lock, page_map_unlock, spin_lock_anon_vma, spin_trylock_ptl, spin_unlock_anon_vma, spin_unlock_ptl)
from vmcore._fast.bugs cimport (
    bug, BUG_ANONMM_HEAD_COUNT, BUG_ANONMM_HEAD_MEMBERS, BUG_ANONMM_LOST, BUG_RMAP_ADD_ANON_MAPPING,
    BUG_RMAP_REMOVE_UNMAPPED, BUG_UNMAP_ANON_NOT_SWAPCACHE, BUG_UNMAP_UNMAPPED)
from vmcore._fast.counters cimport (
    count, count_n, ANONMM_GROUP_MAX, ANONMMS_ALLOCATED, ANONMMS_FREED, RMAP_GROUP_MMS, RMAP_INDEX_UPDATES,
    RMAP_MIGRATIONS, RMAP_MMS_SKIPPED, RMAP_MMS_VISITED, RMAP_PAGES_WALKED, RMAP_PTES_EXAMINED, RMAP_SHORTCUT_HITS,
    RMAP_TRYLOCK_FAILS, RMAP_VMAS_VISITED)
from vmcore._fast.check_base cimport (
    CHECK_ANONMM, CHECK_ANONMM_COUNT, CHECK_POOL_BOUNDS, check_t, fail, in_pool)
from vmcore._fast.frame cimport GFP_KERNEL
from vmcore._fast.slab cimport cache_alloc, cache_free
from vmcore._fast.pagetable cimport pte_lookup
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.rmap.objrmap cimport (
    file_page_add, file_page_remove, find_file, maps_page, page_referenced_file, referenced_in, try_to_unmap_file,
    unmap_found, WALK_AHEAD, WALK_SAFE)
from vmcore._fast.rmap.rmap cimport (
    count_unmap, owner_vma, rmap_defaults, test_clear_referenced, unmap_refused, SWAP_AGAIN, SWAP_FAIL, SWAP_SUCCESS)

cdef struct walk_t:
    uint32_t cur            # next anonmm to look ahead at
    uint32_t left           # of the group, from there on
    uint32_t nr             # looked at ahead, to be acted on: mms that are there and have pages
    uint32_t mapped         # ptes of the page not found yet
    uint32_t busy           # a lock was
    uint64_t passed         # anonmms looked at
    uint64_t acted
    uint32_t anonmm[16]
    uint32_t pte[16]
    uint64_t upto[16]       # `passed` when this one had been found


# ---------------------------------------------------------------- groups

cdef void release(machine_t *m, uint32_t a) noexcept nogil:
    m.anonmms[a].head = 0
    cache_free(m, CACHE_ANONMM, a)
    pool_free(m, POOL_ANONMM, a)
    count(m, ANONMMS_FREED)


cdef void head_put(machine_t *m, uint32_t head) noexcept nogil:
    """One reference on a head less; the last one is that it is head."""
    cdef anonmm_t *h = &m.anonmms[head]
    h.count -= 1
    if h.count == 0:
        bug(m, BUG_ANONMM_HEAD_COUNT, head, h.mm, h.nr)
    elif h.count == 1:
        if h.next != head or h.nr != 1:
            bug(m, BUG_ANONMM_HEAD_MEMBERS, head, h.next, h.nr)
            return
        release(m, head)


cdef void put(machine_t *m, uint32_t a) noexcept nogil:
    """One reference less: the mm or a page. May free the anonmm, and then its head."""
    cdef anonmm_t *p = &m.anonmms[a]
    cdef uint32_t head = p.head
    if head == a:
        head_put(m, a)
        return
    p.count -= 1
    if p.count != 0:
        return
    spin_lock_anon_vma(m, head)
    m.anonmms[p.prev].next = p.next
    m.anonmms[p.next].prev = p.prev
    m.anonmms[head].nr -= 1
    spin_unlock_anon_vma(m, head)
    release(m, a)
    head_put(m, head)


cdef int mm_init(machine_t *m, uint32_t mm, uint32_t parent) noexcept nogil:
    """exec begins a group, fork adds to its tail. The mm's rss is 0, so that no walk looks into it yet."""
    cdef uint32_t a = pool_alloc(m, POOL_ANONMM)
    cdef anonmm_t *p = &m.anonmms[a]
    cdef anonmm_t *h
    if a == 0:
        return -ENOMEM
    memset(p, 0, sizeof(anonmm_t))
    if cache_alloc(m, CACHE_ANONMM, a, GFP_KERNEL) < 0:
        pool_free(m, POOL_ANONMM, a)
        return -ENOMEM
    count(m, ANONMMS_ALLOCATED)
    p.mm = mm
    if parent == 0:
        p.head = p.next = p.prev = a
        p.count = 2
        p.nr = 1
        h = p
    else:
        p.head = m.anonmms[m.mms[parent].anonmm].head
        p.count = 1
        h = &m.anonmms[p.head]
        spin_lock_anon_vma(m, p.head)
        p.next = p.head
        p.prev = h.prev
        m.anonmms[h.prev].next = a
        h.prev = a
        h.count += 1
        h.nr += 1
        spin_unlock_anon_vma(m, p.head)
    if h.nr > m.counters[ANONMM_GROUP_MAX]:
        m.counters[ANONMM_GROUP_MAX] = h.nr
    m.mms[mm].anonmm = a
    return 0


cdef void mm_exit(machine_t *m, uint32_t mm) noexcept nogil:
    cdef uint32_t a = m.mms[mm].anonmm
    m.mms[mm].anonmm = 0
    m.anonmms[a].mm = 0
    put(m, a)


# ---------------------------------------------------------------- pages

cdef void page_add(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t pte, int anon) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t a = m.mms[m.vmas[vma].mm].anonmm
    if not anon:
        file_page_add(m, pfn, vma)
        return
    addr &= ~<uint64_t>PAGE_MASK_LOW
    page_map_lock(m, pfn)
    if m.mapcount[pfn] == 0:
        if f.flags & <uint32_t>PG_ANON or f.mapping != 0:
            bug(m, BUG_RMAP_ADD_ANON_MAPPING, pfn, vma, f.mapping)
        f.flags |= <uint32_t>PG_ANON
        f.mapping = a
        f.index = addr
        m.anonmms[a].count += 1
        m.nr_mapped_pages += 1
    elif not f.flags & <uint32_t>PG_ANON or f.index != addr:
        bug(m, BUG_RMAP_ADD_ANON_MAPPING, pfn, vma, f.mapping)      # page_misplaced was not asked
    m.mapcount[pfn] += 1
    page_map_unlock(m, pfn)


cdef void page_remove(machine_t *m, uint32_t pfn, uint32_t pte) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t a = f.mapping
    if not f.flags & <uint32_t>PG_ANON:
        file_page_remove(m, pfn, pte)
        return
    page_map_lock(m, pfn)
    if m.mapcount[pfn] == 0 or a == 0:
        bug(m, BUG_RMAP_REMOVE_UNMAPPED, pfn, pte, a)
        return
    m.mapcount[pfn] -= 1
    if m.mapcount[pfn] == 0:
        m.nr_mapped_pages -= 1
        f.mapping = 0
        f.flags &= ~<uint32_t>PG_ANON
        put(m, a)
    page_map_unlock(m, pfn)


cdef int page_move(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr, uint32_t old, uint32_t new) noexcept nogil:
    """A page has one address: it takes the new one if nobody else has it at the old one."""
    cdef frame_t *f = &m.frames[pfn]
    cdef int r = 0
    if not f.flags & <uint32_t>PG_ANON:
        return 0
    page_map_lock(m, pfn)
    if m.mapcount[pfn] != 1:
        r = -EAGAIN
    else:
        f.index = addr & ~<uint64_t>PAGE_MASK_LOW
        count(m, RMAP_INDEX_UPDATES)
    page_map_unlock(m, pfn)
    return r


cdef int page_misplaced(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil:
    """Somebody has it already, elsewhere: it was moved there, or here, while this pte was a swap entry."""
    cdef frame_t *f = &m.frames[pfn]
    return (f.flags & <uint32_t>PG_ANON) != 0 and f.index != (addr & ~<uint64_t>PAGE_MASK_LOW)


# ---------------------------------------------------------------- the walk of a group

cdef void look_ahead(machine_t *m, walk_t *w, uint64_t addr, uint32_t max) noexcept nogil:
    """Find the ptes of the next mms of the group: independent misses, fetched together. Counts nothing. Members that
    are gone or have no page at all are passed over."""
    cdef uint64_t stop = w.passed + WALK_SAFE
    cdef uint32_t n = 0
    cdef uint32_t a, mm
    while n < max and w.left != 0 and w.passed != stop:
        a = w.cur
        mm = m.anonmms[a].mm
        w.cur = m.anonmms[a].next
        w.left -= 1
        w.passed += 1
        if mm == 0 or m.mms[mm].rss == 0:
            continue
        w.anonmm[n] = a
        w.pte[n] = pte_lookup(m, mm, addr)
        prefetch_write(&m.ptes[w.pte[n]])
        w.upto[n] = w.passed
        n += 1
    w.nr = n


cdef void walk_start(machine_t *m, uint32_t pfn, walk_t *w) noexcept nogil:
    """At the page's own anonmm and round the group; or, without the shortcut, at the head."""
    cdef uint32_t a = m.frames[pfn].mapping
    cdef uint32_t head = m.anonmms[a].head
    w.cur = head if m.rules.anonmm_full_walk else a
    w.left = m.anonmms[head].nr
    w.mapped = m.mapcount[pfn]
    w.busy = 0
    w.passed = 0
    w.acted = 0
    spin_lock_anon_vma(m, head)
    count_n(m, RMAP_GROUP_MMS, w.left)


cdef void walk_end(machine_t *m, walk_t *w, uint32_t head) noexcept nogil:
    spin_unlock_anon_vma(m, head)
    count_n(m, RMAP_MMS_SKIPPED, w.passed - w.acted)


cdef int unmap_at(machine_t *m, uint32_t pfn, walk_t *w, uint32_t i) noexcept nogil:
    """One mm. Whether the page may go is the vma's to say, so it is looked for; none there: munmap is at it."""
    cdef uint32_t mm = m.anonmms[w.anonmm[i]].mm
    cdef uint64_t addr = m.frames[pfn].index
    cdef uint32_t vma
    cdef int r = SWAP_AGAIN
    w.acted += 1
    if not spin_trylock_ptl(m, mm):
        count(m, RMAP_TRYLOCK_FAILS)
        return SWAP_AGAIN
    count(m, RMAP_MMS_VISITED)
    if w.pte[i] != 0:
        count(m, RMAP_PTES_EXAMINED)
        if maps_page(m, pfn, w.pte[i]):
            count(m, RMAP_VMAS_VISITED)
            vma = owner_vma(m, mm, addr)
            if vma != 0:
                r = unmap_found(m, pfn, mm, m.vmas[vma].flags, w.pte[i])
    spin_unlock_ptl(m, mm)
    return r


cdef int page_referenced_anon(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t own = f.mapping
    cdef uint32_t head = m.anonmms[own].head
    cdef uint32_t orphan = m.anonmms[own].mm == 0
    cdef uint32_t heir = 0
    cdef uint32_t ahead = WALK_AHEAD if m.rules.anonmm_full_walk else 1
    cdef uint32_t i, before
    cdef uint64_t polled = 0
    cdef int referenced = 0
    cdef int stopped = 0
    cdef walk_t w
    walk_start(m, pfn, &w)
    while w.left != 0 and w.mapped != 0:
        look_ahead(m, &w, f.index, ahead)
        ahead = WALK_AHEAD
        for i in range(w.nr):
            before = w.mapped
            w.acted += 1
            referenced += referenced_in(m, pfn, m.anonmms[w.anonmm[i]].mm, 0, w.pte[i], &w.mapped, &w.busy)
            if w.mapped != before and heir == 0:
                heir = w.anonmm[i]
            if w.mapped == 0:
                w.passed = w.upto[i]
                break
        if w.passed - polled >= <uint64_t>WALK_SAFE:
            polled = w.passed
            if safe_point(m) < 0:
                stopped = 1
                break
    walk_end(m, &w, head)
    if w.mapped != 0:
        if not w.busy and not stopped:
            bug(m, BUG_ANONMM_LOST, pfn, own, w.mapped)
        return referenced
    if heir == own and w.passed == 1:
        count(m, RMAP_SHORTCUT_HITS)
    if orphan:
        count(m, RMAP_MIGRATIONS)
        m.anonmms[heir].count += 1
        f.mapping = heir
        put(m, own)
    return referenced


cdef int try_to_unmap_anon(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t head = m.anonmms[f.mapping].head
    cdef uint32_t ahead = 2 if m.rules.anonmm_full_walk else 1
    cdef uint32_t i
    cdef uint64_t polled = 0
    cdef int r = SWAP_AGAIN
    cdef walk_t w
    if not f.flags & <uint32_t>PG_SWAPCACHE:
        bug(m, BUG_UNMAP_ANON_NOT_SWAPCACHE, pfn, f.flags, 0)
        return SWAP_FAIL
    walk_start(m, pfn, &w)
    while w.left != 0 and r != SWAP_FAIL and m.mapcount[pfn] != 0:
        look_ahead(m, &w, f.index, ahead)
        for i in range(w.nr):
            r = unmap_at(m, pfn, &w, i)
            if r == SWAP_FAIL or m.mapcount[pfn] == 0:      # then the page's anonmm, and its group, may be gone
                w.passed = w.upto[i]
                break
        if ahead < <uint32_t>WALK_AHEAD:
            ahead *= 2
        if w.passed - polled >= <uint64_t>WALK_SAFE:
            polled = w.passed
            if safe_point(m) < 0:
                break
    walk_end(m, &w, head)
    if r == SWAP_FAIL:
        return SWAP_FAIL
    return SWAP_SUCCESS if m.mapcount[pfn] == 0 else SWAP_AGAIN


# ---------------------------------------------------------------- what reclaim asks

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
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t mm
    if f.flags & <uint32_t>PG_ANON:
        mm = m.anonmms[f.mapping].mm
        if mm != 0:
            prefetch_write(&m.ptes[pte_lookup(m, mm, f.index)])


# ---------------------------------------------------------------- verification

cdef uint64_t find(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef uint64_t n = 0
    cdef uint32_t a = f.mapping
    cdef uint32_t pte
    if not f.flags & <uint32_t>PG_ANON:
        return find_file(m, pfn)
    while True:
        if m.anonmms[a].mm != 0:
            pte = pte_lookup(m, m.anonmms[a].mm, f.index)
            if pte != 0 and maps_page(m, pfn, pte):
                n += 1
        a = m.anonmms[a].next
        if a == f.mapping:
            return n


cdef int page_fits(machine_t *m, uint32_t pfn, uint32_t vma, uint64_t addr) noexcept nogil:
    """A relative's, at this address."""
    cdef frame_t *f = &m.frames[pfn]
    cdef uint32_t a = m.mms[m.vmas[vma].mm].anonmm
    if not in_pool(m, POOL_ANONMM, f.mapping) or m.anonmms[f.mapping].head == 0 or f.index != addr:
        return 0
    return m.anonmms[f.mapping].head == m.anonmms[a].head


cdef int check_group(check_t *c, uint32_t head, uint64_t *members) noexcept nogil:
    """The ring of one head."""
    cdef machine_t *m = c.m
    cdef uint32_t i = head
    cdef uint32_t next
    cdef uint64_t n = 0
    while True:
        next = m.anonmms[i].next
        if not in_pool(m, POOL_ANONMM, next) or m.anonmms[next].head != head or m.anonmms[next].prev != i:
            return fail(c, CHECK_ANONMM, i, next, head)
        n += 1
        i = next
        if i == head:
            break
        if n > m.pools[<int>POOL_ANONMM].live:
            return fail(c, CHECK_ANONMM, i, next, head)
    if n != m.anonmms[head].nr:
        return fail(c, CHECK_ANONMM_COUNT, head, n, m.anonmms[head].nr)
    members[0] += n
    return 0


cdef int count_pages(check_t *c) noexcept nogil:
    """Into the census, by anonmm: the pages that name it."""
    cdef machine_t *m = c.m
    cdef frame_t *f
    cdef uint64_t pfn
    cdef int z
    for z in range(<int>m.nr_zones):
        for pfn in range(m.zones[z].start_pfn, m.zones[z].bump):
            f = &m.frames[pfn]
            if not f.flags & <uint32_t>PG_ANON:
                continue
            if not in_pool(m, POOL_ANONMM, f.mapping) or m.anonmms[f.mapping].head == 0:
                return fail(c, CHECK_ANONMM, f.mapping, 0, pfn)
            c.census[f.mapping] += 1
    return 0


cdef int verify(void *check) noexcept nogil:
    """Rings whole, each mm with its anonmm, counts equal to what they count."""
    cdef check_t *c = <check_t *>check
    cdef machine_t *m = c.m
    cdef uint64_t next = m.pools[<int>POOL_ANONMM].next
    cdef uint64_t found = 0
    cdef uint64_t members = 0
    cdef uint64_t mms = 0
    cdef uint64_t i, want
    cdef anonmm_t *a
    if next > m.nr_frames:          # each mm and each orphan's page is a frame and more
        return fail(c, CHECK_POOL_BOUNDS, POOL_ANONMM, next, m.nr_frames)
    for i in range(1, next):
        a = &m.anonmms[i]
        if a.head == 0:
            continue
        found += 1
        if not in_pool(m, POOL_ANONMM, a.head) or m.anonmms[a.head].head != a.head:
            return fail(c, CHECK_ANONMM, i, a.head, 0)
        if a.mm != 0:
            mms += 1
            if not in_pool(m, POOL_MM, a.mm) or m.mms[a.mm].anonmm != i:
                return fail(c, CHECK_ANONMM, i, a.head, a.mm)
        if a.head == i and check_group(c, <uint32_t>i, &members) < 0:
            return -1
    if found != m.pools[<int>POOL_ANONMM].live or members != found or mms != c.r.mms:
        return fail(c, CHECK_ANONMM_COUNT, 0, found, members)
    memset(c.census, 0, next * sizeof(uint32_t))
    if count_pages(c) < 0:
        return -1
    for i in range(1, next):
        a = &m.anonmms[i]
        if a.head == 0:
            continue
        want = c.census[i]
        if a.mm != 0:
            want += 1
        elif want == 0 and (a.head != i or a.nr == 1):
            return fail(c, CHECK_ANONMM_COUNT, i, 0, a.count)       # nothing keeps it
        if a.head == i:
            want += a.nr            # itself as the head, and those that it waits for
        if want != a.count:
            return fail(c, CHECK_ANONMM_COUNT, i, want, a.count)
    memset(c.census, 0, next * sizeof(uint32_t))
    return 0


cdef rmap_ops ops
rmap_defaults(&ops)
ops.page_add = page_add
ops.page_remove = page_remove
ops.page_referenced = page_referenced
ops.try_to_unmap = try_to_unmap
ops.prefetch = prefetch
ops.mm_init = mm_init
ops.mm_exit = mm_exit
ops.page_move = page_move
ops.page_misplaced = page_misplaced
ops.find = find
ops.page_fits = page_fits
ops.verify = verify


cdef const rmap_ops *anonmm_ops() noexcept nogil:
    return &ops
