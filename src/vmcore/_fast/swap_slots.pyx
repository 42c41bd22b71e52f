"""Swap areas and their slots. mm/swapfile.c of 2.6.5; fact sheet linux-2004 8.1.

The kernel looks for free slots by scanning the byte map from lowest_bit, 256 allocations apart: on a fragmented area of
millions of slots that is most of the time of a swap storm. The same slots are found here over three bitmaps (free
slots; words of them with a free one; words wholly free): a run of 256 free slots always contains three whole words.
SWAP_SLOTS_SCANNED counts what the kernel's scan would have looked at.

On a worn area a cluster search finds no run and takes the lowest free slot, so the next 256 allocations pick the lowest
holes of the area, thousands of slots apart. Each would miss; look_ahead() knows them beforehand.
"""
from libc.errno cimport EINVAL, ENOMEM, EPERM
from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t

from vmcore._fast.bugs cimport BUG_SWAP_FREE, bug
from vmcore._fast.counters cimport SWAP_CLUSTER_SEARCHES, SWAP_SLOTS_ALLOCATED, SWAP_SLOTS_SCANNED, count, count_n
from vmcore._fast.pool cimport pool_reserve
from vmcore._fast.prefetch cimport prefetch_write
from vmcore._fast.records cimport (
    DEV_SWAP, MAX_SWAPFILES, POOL_SLOT_TOKEN, POOL_SWAP_ANY, POOL_SWAP_FULL, POOL_SWAP_SLOT, POOL_SWAP_WORD,
    SWAP_MAP_BAD, SWAP_MAP_MAX, SWP_OFFSET_MASK, SWP_TYPE_SHIFT, SWP_USED, SWP_WRITEOK, machine_t, swap_area_t,
    swap_word_t,
)

cdef extern from *:
    """
    #define vm_ctz(x) ((unsigned)__builtin_ctzll(x))
    #define vm_clz(x) ((unsigned)__builtin_clzll(x))
    """
    uint32_t vm_ctz(uint64_t x) noexcept nogil
    uint32_t vm_clz(uint64_t x) noexcept nogil

cdef enum:
    SWAPFILE_CLUSTER = 256
    SLOTS_AHEAD = 8         # free slots between the prefetch of one and its use
    WORDS_AHEAD = 8         # words with free slots between the prefetch of one and the search in it
    EXTENT = 4096           # areas start on whole words of both bitmaps

cdef uint64_t ALL = ~<uint64_t>0


# ---------------------------------------------------------------- bitmaps of free slots

cdef inline void bit_set_free(machine_t *m, uint64_t slot) noexcept nogil:
    cdef uint64_t w = slot >> 6
    cdef uint64_t old = m.swap_words[w].free
    cdef uint64_t new = old | <uint64_t>1 << (slot & 63)
    m.swap_words[w].free = new
    if old == 0:
        m.swap_any[w >> 6] |= <uint64_t>1 << (w & 63)
    if new == ALL:
        m.swap_full[w >> 6] |= <uint64_t>1 << (w & 63)


cdef inline void bit_set_used(machine_t *m, uint64_t slot) noexcept nogil:
    cdef uint64_t w = slot >> 6
    cdef uint64_t old = m.swap_words[w].free
    cdef uint64_t new = old & ~(<uint64_t>1 << (slot & 63))
    m.swap_words[w].free = new
    if new == 0:
        m.swap_any[w >> 6] &= ~(<uint64_t>1 << (w & 63))
    if old == ALL:
        m.swap_full[w >> 6] &= ~(<uint64_t>1 << (w & 63))


cdef uint64_t next_bit(const uint64_t *bits, uint64_t at, uint64_t end, uint64_t flip) noexcept nogil:
    """First position >= at and < end whose bit, xor flip, is set; end if there is none."""
    cdef uint64_t w = at >> 6
    cdef uint64_t word
    if at >= end:
        return end
    word = (bits[w] ^ flip) & (ALL << (at & 63))
    while word == 0:
        w += 1
        if w << 6 >= end:
            return end
        word = bits[w] ^ flip
    at = (w << 6) + vm_ctz(word)
    return at if at < end else end


cdef uint64_t next_free(machine_t *m, uint64_t at, uint64_t end) noexcept nogil:
    """First free slot >= at and < end; end if there is none."""
    cdef uint64_t w = at >> 6
    cdef uint64_t last = (end + 63) >> 6
    cdef uint64_t word
    if at >= end:
        return end
    word = m.swap_words[w].free & (ALL << (at & 63))
    if word == 0:
        w = next_bit(m.swap_any, w + 1, last, 0)
        if w >= last:
            return end
        word = m.swap_words[w].free
    at = (w << 6) + vm_ctz(word)
    return at if at < end else end


cdef inline void cluster_may_begin(machine_t *m, swap_area_t *a, uint64_t slot) noexcept nogil:
    """A slot became free. Only beside a wholly free word can that complete a run of 256: then the next search must look
    here again. A run that was too short so far spans at most five words."""
    cdef uint64_t w = slot >> 6
    cdef uint64_t low = w - 6 if w > 6 else 0
    cdef uint64_t near
    if low >= a.cluster_from:
        return
    near = m.swap_full[w >> 6] >> (w & 63)
    near |= m.swap_full[(w + 1) >> 6] >> ((w + 1) & 63)
    if w > 0:
        near |= m.swap_full[(w - 1) >> 6] >> ((w - 1) & 63)
    if near & 1:
        a.cluster_from = low


cdef uint64_t find_cluster(machine_t *m, swap_area_t *a, uint64_t lo, uint64_t hi) noexcept nogil:
    """Start of the first 256 free slots in [lo, hi], as a linear search finds it; hi + 1 if there are none.

    256 slots hold three whole words, so only places where three summary bits stand in a row are looked at, and only
    from a.cluster_from on: what lies before was found too short, and nothing next to it was freed since."""
    cdef swap_word_t *word = m.swap_words
    cdef uint64_t *full = m.swap_full
    cdef uint64_t end = hi + 1
    cdef uint64_t wend = (end + 63) >> 6
    cdef uint64_t send = (end + 4095) >> 12
    cdef uint64_t x, y, after, w, last, start, stop
    cdef uint64_t done = lo >> 6            # words before this one are judged
    cdef uint64_t s
    if done < a.cluster_from:
        done = a.cluster_from
    s = done >> 6
    while s < send:
        x = full[s]
        if x != 0:
            after = full[s + 1] if s + 1 < send else 0
            y = x & ((x >> 1) | (after << 63)) & ((x >> 2) | (after << 62))
            while y != 0:
                w = (s << 6) + vm_ctz(y)
                if w < done:                # begins before lo, or belongs to a run that was too short
                    y &= y - 1
                    continue
                last = next_bit(full, w, wend, ALL)
                start = w << 6
                if start > lo:
                    start -= vm_clz(~word[w - 1].free) if ~word[w - 1].free != 0 else 64
                if start < lo:
                    start = lo
                stop = last << 6
                if stop < end and ~word[last].free != 0:
                    stop += vm_ctz(~word[last].free)
                if stop > end:
                    stop = end
                if start + SWAPFILE_CLUSTER <= stop:
                    a.cluster_from = w
                    return start
                done = last
                y &= y - 1
        s += 1
    a.cluster_from = end >> 6
    return end


# ---------------------------------------------------------------- areas

cdef int swapon(machine_t *m, uint64_t pages, int32_t prio) noexcept nogil:
    cdef int type, k
    cdef swap_area_t *a
    cdef uint64_t cap, i
    cdef int32_t *link
    for type in range(MAX_SWAPFILES):
        if not (m.swap[type].flags & SWP_USED):
            break
    else:
        return -EPERM
    if pages < 2 or pages > <uint64_t>SWP_OFFSET_MASK or pages > (<uint64_t>1 << m.rules.swap_offset_bits) - 1:
        return -EINVAL
    # an extent left by an earlier area that is large enough, else a new one
    k = -1
    for type in range(MAX_SWAPFILES):
        a = &m.swap[type]
        if not (a.flags & SWP_USED) and a.capacity >= pages and (k < 0 or a.capacity < m.swap[k].capacity):
            k = type
    if k < 0:
        for type in range(MAX_SWAPFILES):
            if not (m.swap[type].flags & SWP_USED) and m.swap[type].capacity == 0:
                k = type
                break
        else:
            return -EPERM
        cap = (pages + EXTENT - 1) & ~(<uint64_t>EXTENT - 1)
        if m.slots_used + cap > m.pools[POOL_SWAP_SLOT].max:
            return -ENOMEM
        if pool_reserve(m, POOL_SWAP_SLOT, cap) != 0:
            return -ENOMEM
        m.swap[k].base = m.slots_used
        m.swap[k].capacity = <uint32_t>cap
        m.slots_used += cap
        m.pools[POOL_SWAP_SLOT].next = m.slots_used
        m.pools[POOL_SLOT_TOKEN].next = m.slots_used
        m.pools[POOL_SWAP_WORD].next = m.slots_used >> 6
        m.pools[POOL_SWAP_ANY].next = m.slots_used >> 12
        m.pools[POOL_SWAP_FULL].next = m.slots_used >> 12
    a = &m.swap[k]
    a.flags = SWP_USED | SWP_WRITEOK
    a.max = <uint32_t>pages
    a.device = DEV_SWAP
    if prio < 0:
        m.least_priority -= 1
        prio = m.least_priority
    a.prio = prio
    a.lowest_bit = 1
    a.highest_bit = a.max - 1
    a.cluster_next = 0
    a.cluster_nr = 0
    a.cluster_from = 0
    a.pages = a.max - 1
    a.inuse = 0
    a.ahead = 0
    a.words_ahead = 0
    m.swap_slots[a.base].map = SWAP_MAP_BAD
    for i in range(1, a.max):
        m.swap_slots[a.base + i].map = 0
        bit_set_free(m, a.base + i)
    m.nr_swap_pages += a.pages
    m.total_swap_pages += a.pages
    m.nr_swapfiles += 1
    link = &m.swap_head
    while link[0] >= 0 and m.swap[link[0]].prio > prio:
        link = &m.swap[link[0]].next
    a.next = link[0]
    link[0] = k
    m.swap_next = m.swap_head
    return k


# ---------------------------------------------------------------- slots

cdef uint32_t take_slot(machine_t *m, swap_area_t *a, uint64_t slot) noexcept nogil:
    cdef uint32_t off = <uint32_t>(slot - a.base)
    if off == a.lowest_bit:
        a.lowest_bit += 1
    if off == a.highest_bit:
        a.highest_bit -= 1
    if a.lowest_bit > a.highest_bit:
        a.lowest_bit = a.max
        a.highest_bit = 0
    m.swap_slots[slot].map = 1
    bit_set_used(m, slot)
    a.inuse += 1
    m.nr_swap_pages -= 1
    a.cluster_next = off + 1
    return off


cdef void look_ahead(machine_t *m, swap_area_t *a, uint64_t at, uint64_t end, int n) noexcept nogil:
    """Slot `at` is about to be taken: prefetch what the n free slots after a.ahead need. On a worn area free slots lie
    thousands apart, and every one of them would be a miss. The words that say which they are come first, found by
    the bitmap of words with free slots, which is small."""
    cdef uint64_t ahead = a.ahead if a.ahead > at else at
    cdef uint64_t words = a.words_ahead if a.words_ahead > ahead >> 6 else ahead >> 6
    cdef uint64_t last = (end + 63) >> 6
    while n > 0 and ahead + 1 < end:
        words = next_bit(m.swap_any, words + 1, last, 0)
        prefetch_write(&m.swap_words[words])
        ahead = next_free(m, ahead + 1, end)
        prefetch_write(&m.swap_slots[ahead])
        n -= 1
    a.ahead = ahead
    a.words_ahead = words


cdef void look_ahead_anew(machine_t *m, swap_area_t *a, uint64_t at, uint64_t end) noexcept nogil:
    """The same where a cluster starts."""
    cdef uint64_t last = (end + 63) >> 6
    a.ahead = 0
    a.words_ahead = at >> 6
    for _ in range(WORDS_AHEAD):
        a.words_ahead = next_bit(m.swap_any, a.words_ahead + 1, last, 0)
        prefetch_write(&m.swap_words[a.words_ahead])
    look_ahead(m, a, at, end, SLOTS_AHEAD)


cdef uint32_t scan_swap_map(machine_t *m, swap_area_t *a) noexcept nogil:
    """A free slot's offset with its map set to 1; 0 if the area is full. Sequential in clusters, see fact sheet 8.1."""
    cdef uint64_t at, lo, hi
    if a.cluster_nr != 0:
        lo = a.base + a.cluster_next
        hi = a.base + a.highest_bit
        if lo <= hi:
            at = next_free(m, lo, hi + 1)
            count_n(m, SWAP_SLOTS_SCANNED, at - lo + (at <= hi))
            if at <= hi:
                a.cluster_nr -= 1
                look_ahead(m, a, at, hi + 1, 1)
                return take_slot(m, a, at)
            a.cluster_next = a.highest_bit + 1
    a.cluster_nr = SWAPFILE_CLUSTER
    if a.lowest_bit > a.highest_bit:
        return 0
    lo = a.base + a.lowest_bit
    hi = a.base + a.highest_bit
    count(m, SWAP_CLUSTER_SEARCHES)
    at = find_cluster(m, a, lo, hi)
    if at <= hi:
        count_n(m, SWAP_SLOTS_SCANNED, at - lo + SWAPFILE_CLUSTER)
        return take_slot(m, a, at)
    count_n(m, SWAP_SLOTS_SCANNED, hi - lo + 1)
    at = next_free(m, lo, hi + 1)
    count_n(m, SWAP_SLOTS_SCANNED, at - lo + (at <= hi))
    if at <= hi:
        look_ahead_anew(m, a, at, hi + 1)
        a.lowest_bit = <uint32_t>(at - a.base) + 1
        return take_slot(m, a, at)
    a.lowest_bit = a.max
    a.highest_bit = 0
    return 0


cdef uint32_t get_swap_page(machine_t *m) noexcept nogil:
    cdef int32_t type = m.swap_next
    cdef int32_t next
    cdef int wrapped = 0
    cdef uint32_t off
    cdef swap_area_t *a
    if type < 0 or m.nr_swap_pages == 0:
        return 0
    while True:
        a = &m.swap[type]
        if (a.flags & (SWP_USED | SWP_WRITEOK)) == (SWP_USED | SWP_WRITEOK):
            off = scan_swap_map(m, a)
            if off != 0:
                # areas of equal priority take turns; otherwise the next search starts at the top again
                next = a.next
                m.swap_next = m.swap_head if next < 0 or m.swap[next].prio != a.prio else next
                count(m, SWAP_SLOTS_ALLOCATED)
                return (<uint32_t>type << SWP_TYPE_SHIFT) | off
        type = a.next
        if not wrapped:
            if type < 0 or a.prio != m.swap[type].prio:
                type = m.swap_head
                wrapped = 1
        elif type < 0:
            return 0


cdef int swap_duplicate(machine_t *m, uint32_t entry) noexcept nogil:
    cdef swap_area_t *a = &m.swap[entry >> SWP_TYPE_SHIFT]
    cdef uint16_t *map
    if not (a.flags & SWP_USED) or (entry & SWP_OFFSET_MASK) >= a.max:
        return 0
    map = &m.swap_slots[swp_slot(m, entry)].map
    if map[0] == 0 or map[0] == SWAP_MAP_BAD:
        return 0
    if map[0] < SWAP_MAP_MAX:
        map[0] += 1                 # saturated at SWAP_MAP_MAX: never decremented again
    return 1


cdef void swap_free(machine_t *m, uint32_t entry) noexcept nogil:
    cdef uint32_t type = entry >> SWP_TYPE_SHIFT
    cdef uint32_t off = entry & SWP_OFFSET_MASK
    cdef swap_area_t *a = &m.swap[type]
    cdef uint64_t slot = a.base + off
    cdef uint16_t *map = &m.swap_slots[slot].map
    if off >= a.max or map[0] == 0 or map[0] == SWAP_MAP_BAD:
        bug(m, BUG_SWAP_FREE, entry, off, a.max)
        return
    if map[0] == SWAP_MAP_MAX:
        return
    map[0] -= 1
    if map[0] == 0:
        bit_set_free(m, slot)
        cluster_may_begin(m, a, slot)
        if off < a.lowest_bit:
            a.lowest_bit = off
        if off > a.highest_bit:
            a.highest_bit = off
        a.inuse -= 1
        if not (a.flags & SWP_WRITEOK):
            return                  # in swapoff: its slots are out of the totals already
        if m.swap_next < 0 or a.prio > m.swap[m.swap_next].prio:
            m.swap_next = <int32_t>type
        m.nr_swap_pages += 1
