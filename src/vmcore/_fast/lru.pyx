"""The LRU lists and the page states around them. mm/swap.c of 2.6.5; fact sheet linux-2004 7.1.

Why chunks of frame numbers and not links: the next victims stand side by side, so that their records can be prefetched
(a linked list costs one full memory latency a page looked at; measured three times slower over a whole swap storm).

Invariants of a list: chunks are doubly linked, head to tail. In the head chunk slots [head_slot, LRU_SLOTS) are in use,
in the tail chunk [0, tail_slot), in others all; if head and tail are the same chunk, [head_slot, tail_slot). A used
slot holds a frame or LRU_TOMB; `alive` counts the frames. No chunk with alive 0 stays on a list. Slots of a list <= 2 *
nr + 4 * LRU_SLOTS after every removal.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from vmcore._fast.bugs cimport BUG_LRU_FLAG, bug
from vmcore._fast.counters cimport PGACTIVATE, PGROTATED, count
from vmcore._fast.frame cimport free_hot_cold_page, page_mapped, pfn_zone
from vmcore._fast.pool cimport pool_alloc, pool_destroy, pool_free, pool_init
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.records cimport (
    LRU_ACTIVE, LRU_INACTIVE, LRU_SLOT_BITS, LRU_SLOTS, LRU_TOMB, PAGEVEC_SIZE, PG_ACTIVE, PG_DIRTY, PG_ERROR,
    PG_LOCKED, PG_LRU, PG_RECLAIM, PG_REFERENCED, PG_UPTODATE, POOL_FRAME, POOL_LRU_CHUNK, POOL_MAPCOUNT, frame_t,
    lru_chunk_t, lru_list_t, machine_t, pagevec_t,
)

cdef enum:
    SLOT_MASK = (1 << LRU_SLOT_BITS) - 1
    TAIL_AHEAD = 8          # a list taken page by page: frames whose record is fetched


# ---------------------------------------------------------------- chunks

cdef inline lru_list_t *list_of(machine_t *m, uint32_t pfn, int list) noexcept nogil:
    return &m.lruvecs[0 if m.rules.global_lru else pfn_zone(m, pfn)].lists[list]


cdef inline void zone_count(machine_t *m, uint32_t pfn, int list, int n) noexcept nogil:
    """2.4 counts by zone what it keeps on one list."""
    if m.rules.global_lru:
        m.zones[pfn_zone(m, pfn)].nr_lru[list] += n


cdef uint32_t chunk_new(machine_t *m, lru_list_t *l) noexcept nogil:
    cdef uint32_t c = pool_alloc(m, POOL_LRU_CHUNK)
    cdef lru_chunk_t *k = &m.lru_chunks[c]
    k.prev = 0
    k.next = 0
    k.alive = 0
    k.list = l.id
    l.chunks += 1
    return c


cdef void chunk_free(machine_t *m, lru_list_t *l, uint32_t c) noexcept nogil:
    cdef lru_chunk_t *k = &m.lru_chunks[c]
    cdef uint32_t prev = k.prev
    cdef uint32_t next = k.next
    if prev != 0:
        m.lru_chunks[prev].next = next
    else:
        l.head_chunk = next
        l.head_slot = 0
    if next != 0:
        m.lru_chunks[next].prev = prev
    else:
        l.tail_chunk = prev
        l.tail_slot = LRU_SLOTS
    k.alive = 0
    l.chunks -= 1
    pool_free(m, POOL_LRU_CHUNK, c)


cdef void list_start(machine_t *m, lru_list_t *l, uint32_t slot) noexcept nogil:
    l.head_chunk = chunk_new(m, l)
    l.tail_chunk = l.head_chunk
    l.head_slot = slot
    l.tail_slot = slot


cdef inline uint32_t first_slot(lru_list_t *l, uint32_t c) noexcept nogil:
    return l.head_slot if c == l.head_chunk else 0


cdef inline uint32_t end_slot(lru_list_t *l, uint32_t c) noexcept nogil:
    return l.tail_slot if c == l.tail_chunk else LRU_SLOTS


cdef void compact(machine_t *m, lru_list_t *l) noexcept nogil:
    """Close the gaps towards the tail; order stays. Reading never falls behind writing, so it works in place."""
    cdef uint32_t rc = l.tail_chunk
    cdef uint32_t wc = rc
    cdef uint32_t ws = l.tail_slot
    cdef uint32_t s, lo, pfn, prev
    cdef uint32_t c
    while rc != 0:
        s = end_slot(l, rc)
        lo = first_slot(l, rc)
        while s > lo:
            s -= 1
            pfn = m.lru_chunks[rc].pfn[s]
            if pfn == LRU_TOMB:
                continue
            if ws == 0:
                wc = m.lru_chunks[wc].prev
                ws = LRU_SLOTS
            ws -= 1
            if wc != rc or ws != s:
                m.lru_chunks[wc].pfn[ws] = pfn
                m.lru_chunks[rc].pfn[s] = LRU_TOMB
                m.lru_chunks[rc].alive -= 1
                m.lru_chunks[wc].alive += 1
                m.frames[pfn].lru = (wc << LRU_SLOT_BITS) | ws
        rc = m.lru_chunks[rc].prev
    c = m.lru_chunks[wc].prev
    l.head_slot = ws
    while c != 0:
        prev = m.lru_chunks[c].prev
        l.chunks -= 1
        pool_free(m, POOL_LRU_CHUNK, c)
        c = prev
    m.lru_chunks[wc].prev = 0
    l.head_chunk = wc


# ---------------------------------------------------------------- raw lists

cdef void head_room(machine_t *m, lru_list_t *l) noexcept nogil:
    """Make sure that there is a slot before head_slot."""
    cdef uint32_t c
    if l.head_chunk == 0:
        list_start(m, l, LRU_SLOTS)
    elif l.head_slot == 0:
        c = chunk_new(m, l)
        m.lru_chunks[c].next = l.head_chunk
        m.lru_chunks[l.head_chunk].prev = c
        l.head_chunk = c
        l.head_slot = LRU_SLOTS


cdef void lru_add_head(machine_t *m, uint32_t pfn, int list) noexcept nogil:
    cdef lru_list_t *l = list_of(m, pfn, list)
    head_room(m, l)
    l.head_slot -= 1
    m.lru_chunks[l.head_chunk].pfn[l.head_slot] = pfn
    m.lru_chunks[l.head_chunk].alive += 1
    m.frames[pfn].lru = (l.head_chunk << LRU_SLOT_BITS) | l.head_slot
    m.frames[pfn].flags |= PG_LRU
    l.nr += 1
    zone_count(m, pfn, list, 1)


cdef void lru_add_tail(machine_t *m, uint32_t pfn, int list) noexcept nogil:
    cdef lru_list_t *l = list_of(m, pfn, list)
    cdef uint32_t c
    if l.head_chunk == 0:
        list_start(m, l, 0)
    elif l.tail_slot == LRU_SLOTS:
        c = chunk_new(m, l)
        m.lru_chunks[c].prev = l.tail_chunk
        m.lru_chunks[l.tail_chunk].next = c
        l.tail_chunk = c
        l.tail_slot = 0
    m.lru_chunks[l.tail_chunk].pfn[l.tail_slot] = pfn
    m.lru_chunks[l.tail_chunk].alive += 1
    m.frames[pfn].lru = (l.tail_chunk << LRU_SLOT_BITS) | l.tail_slot
    m.frames[pfn].flags |= PG_LRU
    l.tail_slot += 1
    l.nr += 1
    zone_count(m, pfn, list, 1)


cdef void lru_del(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    cdef lru_list_t *l = list_of(m, pfn, LRU_ACTIVE if f.flags & PG_ACTIVE else LRU_INACTIVE)
    cdef uint32_t c = f.lru >> LRU_SLOT_BITS
    cdef lru_chunk_t *k = &m.lru_chunks[c]
    if not (f.flags & PG_LRU) or k.pfn[f.lru & SLOT_MASK] != pfn:
        bug(m, BUG_LRU_FLAG, pfn, f.flags, f.lru)
        return
    k.pfn[f.lru & SLOT_MASK] = LRU_TOMB
    k.alive -= 1
    l.nr -= 1
    zone_count(m, pfn, LRU_ACTIVE if f.flags & PG_ACTIVE else LRU_INACTIVE, -1)
    f.flags &= ~<uint32_t>PG_LRU
    if k.alive == 0:
        chunk_free(m, l, c)
    if <uint64_t>l.chunks * LRU_SLOTS > 2 * l.nr + 4 * LRU_SLOTS:
        compact(m, l)


cdef uint32_t lru_peek(machine_t *m, int zone, int list, uint32_t n, uint32_t *out) noexcept nogil:
    cdef lru_list_t *l = &m.lruvecs[zone].lists[list]
    cdef uint32_t c = l.tail_chunk
    cdef uint32_t k = 0
    cdef lru_chunk_t *chunk
    cdef const uint32_t *at
    cdef const uint32_t *first
    while c != 0 and k < n:
        chunk = &m.lru_chunks[c]
        at = &chunk.pfn[end_slot(l, c)]
        first = &chunk.pfn[first_slot(l, c)]
        while at > first and k < n:
            at -= 1
            out[k] = at[0]              # a tomb is written over
            k += at[0] != LRU_TOMB
        c = chunk.prev
    return k


cdef uint32_t lru_isolate(machine_t *m, int zone, int list, uint32_t n, uint32_t *out) noexcept nogil:
    cdef lru_list_t *l = &m.lruvecs[zone].lists[list]
    cdef lru_chunk_t *c
    cdef const uint32_t *at
    cdef const uint32_t *first
    cdef uint32_t i, before
    cdef uint32_t k = 0
    cdef frame_t *frames = m.frames
    cdef frame_t *f
    while k < n and l.nr != 0:
        c = &m.lru_chunks[l.tail_chunk]
        at = &c.pfn[l.tail_slot]
        first = &c.pfn[first_slot(l, l.tail_chunk)]
        before = k
        while at > first and k < n:
            at -= 1
            out[k] = at[0]              # a tomb is written over
            k += at[0] != LRU_TOMB
        l.tail_slot = <uint32_t>(at - &c.pfn[0])
        c.alive -= k - before
        l.nr -= k - before
        if c.alive == 0:
            chunk_free(m, l, l.tail_chunk)
    for i in range(k):
        f = &frames[out[i]]
        f.flags &= ~<uint32_t>PG_LRU
        f.refs += 1
    return k


cdef void lru_putback(machine_t *m, int zone, int list, const uint32_t *pfn, uint32_t n) noexcept nogil:
    cdef lru_list_t *l = &m.lruvecs[zone].lists[list]
    cdef lru_chunk_t *c
    cdef frame_t *frames = m.frames
    cdef frame_t *f
    cdef uint32_t i = 0
    cdef uint32_t k, room, at
    while i < n:
        head_room(m, l)
        c = &m.lru_chunks[l.head_chunk]
        room = l.head_slot if l.head_slot < n - i else n - i
        at = (l.head_chunk << LRU_SLOT_BITS) | l.head_slot
        for k in range(room):
            f = &frames[pfn[i + k]]
            at -= 1
            f.lru = at
            f.flags |= PG_LRU
            c.pfn[at & SLOT_MASK] = pfn[i + k]
        l.head_slot -= room
        c.alive += room
        l.nr += room
        i += room
    for i in range(n):
        f = &frames[pfn[i]]
        f.refs -= 1
        if f.refs == 0 and not page_mapped(m, pfn[i], f):
            page_free_now(m, pfn[i], 0)


cdef uint64_t lru_nr(machine_t *m, int zone, int list) noexcept nogil:
    return m.lruvecs[zone].lists[list].nr


cdef uint64_t zone_lru_nr(machine_t *m, int zone, int list) noexcept nogil:
    return m.zones[zone].nr_lru[list] if m.rules.global_lru else m.lruvecs[zone].lists[list].nr


cdef uint32_t lru_tail(machine_t *m, int lruvec, int list) noexcept nogil:
    cdef lru_list_t *l = &m.lruvecs[lruvec].lists[list]
    cdef lru_chunk_t *c
    if l.nr == 0:
        return 0
    c = &m.lru_chunks[l.tail_chunk]
    while c.pfn[l.tail_slot - 1] == LRU_TOMB:       # there is a frame: no chunk is empty
        l.tail_slot -= 1
    if l.tail_slot > TAIL_AHEAD and c.pfn[l.tail_slot - 1 - TAIL_AHEAD] != LRU_TOMB:
        prefetch_write(&m.frames[c.pfn[l.tail_slot - 1 - TAIL_AHEAD]])
    return c.pfn[l.tail_slot - 1]


# ---------------------------------------------------------------- pagevecs

cdef void pagevec_flush(machine_t *m, pagevec_t *v, int list) noexcept nogil:
    cdef uint32_t i, pfn
    cdef frame_t *f
    for i in range(v.nr):
        pfn = v.pfn[i]
        f = &m.frames[pfn]
        if f.flags & PG_LRU:
            bug(m, BUG_LRU_FLAG, pfn, f.flags, 0)
            continue
        if list == LRU_ACTIVE:
            f.flags |= PG_ACTIVE
        lru_add_head(m, pfn, list)
    i = v.nr
    v.nr = 0
    while i > 0:
        i -= 1
        put_page(m, v.pfn[i])


cdef void lru_cache_add(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef pagevec_t *v = &m.lru_add
    if m.rules.lru_direct:
        lru_add_head(m, pfn, LRU_INACTIVE)
        return
    m.frames[pfn].refs += 1
    v.pfn[v.nr] = pfn
    v.nr += 1
    if v.nr == PAGEVEC_SIZE:
        pagevec_flush(m, v, LRU_INACTIVE)


cdef void lru_cache_add_active(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef pagevec_t *v = &m.lru_add_active
    if m.rules.anon_inactive:
        lru_cache_add(m, pfn)
        return
    if m.rules.lru_direct:
        m.frames[pfn].flags |= PG_ACTIVE
        lru_add_head(m, pfn, LRU_ACTIVE)
        return
    m.frames[pfn].refs += 1
    v.pfn[v.nr] = pfn
    v.nr += 1
    if v.nr == PAGEVEC_SIZE:
        pagevec_flush(m, v, LRU_ACTIVE)


cdef void lru_add_drain(machine_t *m) noexcept nogil:
    if m.lru_add.nr != 0:
        pagevec_flush(m, &m.lru_add, LRU_INACTIVE)
    if m.lru_add_active.nr != 0:
        pagevec_flush(m, &m.lru_add_active, LRU_ACTIVE)


# ---------------------------------------------------------------- page states

cdef void activate_page(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if f.flags & PG_LRU and not (f.flags & PG_ACTIVE):
        lru_del(m, pfn)
        f.flags |= PG_ACTIVE
        lru_add_head(m, pfn, LRU_ACTIVE)
        count(m, PGACTIVATE)


cdef void mark_page_accessed(machine_t *m, uint32_t pfn) noexcept nogil:
    """The table of fact sheet 7.1: unreferenced -> referenced -> (inactive and on the LRU) active."""
    cdef frame_t *f = &m.frames[pfn]
    if not (f.flags & PG_ACTIVE) and f.flags & PG_REFERENCED and f.flags & PG_LRU:
        activate_page(m, pfn)
        f.flags &= ~<uint32_t>PG_REFERENCED
    else:
        f.flags |= PG_REFERENCED


cdef void rotate_reclaimable_page(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if f.flags & (PG_LOCKED | PG_DIRTY | PG_ACTIVE) or not (f.flags & PG_LRU):
        return
    lru_del(m, pfn)
    lru_add_tail(m, pfn, LRU_INACTIVE)
    count(m, PGROTATED)


cdef void page_free_now(machine_t *m, uint32_t pfn, int cold) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    if f.flags & PG_LRU:
        lru_del(m, pfn)
    f.flags &= ~<uint32_t>(PG_ACTIVE | PG_RECLAIM | PG_REFERENCED | PG_DIRTY | PG_UPTODATE | PG_ERROR)
    free_hot_cold_page(m, pfn, cold)


cdef void put_page(machine_t *m, uint32_t pfn) noexcept nogil:
    cdef frame_t *f = &m.frames[pfn]
    f.refs -= 1
    if f.refs == 0 and not page_mapped(m, pfn, f):
        page_free_now(m, pfn, 0)


# ---------------------------------------------------------------- test shim

cdef class _py_Lru:
    """One list of a machine that has frames and lists and nothing else. For tests/unit/test_lru.py."""

    cdef machine_t *m

    def __cinit__(self, uint32_t frames):
        self.m = <machine_t *>calloc(1, sizeof(machine_t))
        if self.m == NULL:
            raise MemoryError
        if (pool_init(&self.m.pools[<int>POOL_FRAME], sizeof(frame_t), frames + 1, 0) < 0
                or pool_init(&self.m.pools[<int>POOL_MAPCOUNT], 4, frames + 1, 0) < 0
                or pool_init(&self.m.pools[<int>POOL_LRU_CHUNK], sizeof(lru_chunk_t), frames // 400 + 64, 0) < 0):
            raise MemoryError
        self.m.pools[<int>POOL_LRU_CHUNK].limit = self.m.pools[<int>POOL_LRU_CHUNK].max
        self.m.frames = <frame_t *>self.m.pools[<int>POOL_FRAME].base
        self.m.mapcount = <uint32_t *>self.m.pools[<int>POOL_MAPCOUNT].base
        self.m.lru_chunks = <lru_chunk_t *>self.m.pools[<int>POOL_LRU_CHUNK].base
        self.m.nr_zones = 2
        self.m.zones[1].start_pfn = frames + 1
        for pfn in range(1, frames + 1):
            self.m.frames[<uint32_t>pfn].refs = 1

    def __dealloc__(self):
        if self.m != NULL:
            for pool in (POOL_FRAME, POOL_MAPCOUNT, POOL_LRU_CHUNK):
                pool_destroy(&self.m.pools[<int>pool])
            free(self.m)

    def add_head(self, uint32_t pfn):
        lru_add_head(self.m, pfn, LRU_INACTIVE)

    def add_tail(self, uint32_t pfn):
        lru_add_tail(self.m, pfn, LRU_INACTIVE)

    def delete(self, uint32_t pfn):
        lru_del(self.m, pfn)

    def isolate(self, uint32_t n):
        """Up to 32 frames from the tail."""
        cdef uint32_t out[32]
        return [out[i] for i in range(lru_isolate(self.m, 0, LRU_INACTIVE, min(n, 32), out))]

    def putback(self, frames):
        cdef uint32_t pfn[32]
        for i, f in enumerate(frames):
            pfn[i] = f
        lru_putback(self.m, 0, LRU_INACTIVE, pfn, len(frames))

    def order(self):
        """Every frame of the list, tail first."""
        cdef uint32_t n = <uint32_t>lru_nr(self.m, 0, LRU_INACTIVE)
        cdef uint32_t *out = <uint32_t *>calloc(n + 1, 4)
        try:
            return [out[i] for i in range(lru_peek(self.m, 0, LRU_INACTIVE, n + 1, out))]
        finally:
            free(out)

    def state(self):
        """nr, chunks on the list, chunks in use in the pool, first broken invariant."""
        return (self.m.lruvecs[0].lists[0].nr, self.m.lruvecs[0].lists[0].chunks,
                self.m.pools[<int>POOL_LRU_CHUNK].live, self.m.bug)
