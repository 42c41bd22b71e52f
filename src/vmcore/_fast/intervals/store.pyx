"""The intervals of one dynamic index, a hash over them, and the order in which a batch is best worked off.

The hash is open addressing with linear probing over record numbers; a removed one leaves GONE behind, and the table is
rebuilt when records and GONEs fill three quarters of it.
"""
from libc.errno cimport E2BIG, ENOMEM
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

cdef enum:
    GONE = 0xFFFFFFFF
    DIGIT = 11              # bits of a key that one pass of the sort looks at
    DIGITS = 6


cdef inline uint64_t hash_of(uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    cdef uint64_t z = first * <uint64_t>0x9E3779B97F4A7C15
    z = (z ^ (z >> 32) ^ last) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 29) ^ value) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)


cdef void store_init(store_t *s) noexcept nogil:
    memset(s, 0, sizeof(store_t))
    s.next = 1


cdef void store_free(store_t *s) noexcept nogil:
    free(s.rec)
    free(s.slots)
    store_init(s)


cdef void enter(store_t *s, uint32_t i) noexcept nogil:
    cdef interval_t *r = &s.rec[i]
    cdef uint64_t at = hash_of(r.first, r.last, r.value) & s.slot_mask
    while s.slots[at] != 0:
        at = (at + 1) & s.slot_mask
    s.slots[at] = i
    s.slots_used += 1


cdef int rehash(store_t *s, uint64_t records) noexcept nogil:
    """A table in which so many records fill no more than three eighths."""
    cdef uint64_t size = 16
    cdef uint64_t at
    cdef uint32_t *old = s.slots
    cdef uint64_t old_size = s.slot_mask + 1 if old != NULL else 0
    while size * 3 < records * 8:
        size *= 2
    s.slots = <uint32_t *>calloc(size, sizeof(uint32_t))
    if s.slots == NULL:
        s.slots = old
        return -ENOMEM
    s.slot_mask = size - 1
    s.slots_used = 0
    for at in range(old_size):
        if old[at] != 0 and old[at] != GONE:
            enter(s, old[at])
    free(old)
    return 0


cdef int store_reserve(store_t *s, uint64_t n) noexcept nogil:
    cdef uint64_t want = s.live + n + 1
    cdef uint64_t room = s.room
    cdef interval_t *rec
    if n > <uint64_t>MAX_INTERVALS or s.live + n > <uint64_t>MAX_INTERVALS:
        return -E2BIG
    if want > room:
        # every record below `next` is in use or on the free list
        room = 64 if room == 0 else room
        while room < want:
            room *= 2
        rec = <interval_t *>realloc(s.rec, room * sizeof(interval_t))
        if rec == NULL:
            return -ENOMEM
        s.rec = rec
        s.room = room
    if s.slots == NULL or (s.slots_used + n) * 4 > (s.slot_mask + 1) * 3:
        return rehash(s, s.live + n)
    return 0


cdef uint32_t store_add(store_t *s, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    cdef uint32_t i = s.free
    cdef interval_t *r
    if i != 0:
        s.free = s.rec[i].parent
    else:
        i = <uint32_t>s.next
        s.next += 1
    r = &s.rec[i]
    memset(r, 0, sizeof(interval_t))
    r.first = first
    r.last = last
    r.value = value
    enter(s, i)
    s.live += 1
    return i


cdef inline uint64_t slot_of(store_t *s, uint32_t i) noexcept nogil:
    cdef interval_t *r = &s.rec[i]
    cdef uint64_t at = hash_of(r.first, r.last, r.value) & s.slot_mask
    while s.slots[at] != i:
        at = (at + 1) & s.slot_mask
    return at


cdef uint32_t store_find(store_t *s, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    cdef uint64_t at
    cdef uint32_t i
    cdef interval_t *r
    if s.live == 0:
        return 0
    at = hash_of(first, last, value) & s.slot_mask
    while s.slots[at] != 0:
        i = s.slots[at]
        if i != GONE:
            r = &s.rec[i]
            if r.first == first and r.last == last and r.value == value:
                return i
        at = (at + 1) & s.slot_mask
    return 0


cdef void store_drop(store_t *s, uint32_t i) noexcept nogil:
    s.slots[slot_of(s, i)] = GONE
    s.rec[i].parent = s.free
    s.free = i
    s.live -= 1


cdef uint64_t store_bytes(store_t *s) noexcept nogil:
    return s.room * sizeof(interval_t) + ((s.slot_mask + 1) * sizeof(uint32_t) if s.slots != NULL else 0)


# ---------------------------------------------------------------- order of a batch

cdef void sort_order(const uint64_t *keys, uint64_t n, uint32_t *order, uint64_t *scratch) noexcept nogil:
    """Least significant digit first; digits in which no two keys differ are passed over."""
    cdef uint64_t count[1 << DIGIT]
    cdef uint64_t differ = 0
    cdef uint64_t i, at, sum, size
    cdef int digit, shift
    cdef uint64_t *from_key = scratch
    cdef uint64_t *to_key = scratch + n
    cdef uint64_t *swap_key
    cdef uint32_t *from_order = order
    cdef uint32_t *to_order = <uint32_t *>(scratch + 2 * n)
    cdef uint32_t *swap_order
    for i in range(n):
        from_key[i] = keys[i]
        from_order[i] = <uint32_t>i
        differ |= keys[i] ^ keys[0]
    for digit in range(DIGITS):
        shift = digit * DIGIT
        if ((differ >> shift) & ((1 << DIGIT) - 1)) == 0:
            continue
        memset(count, 0, sizeof(count))
        for i in range(n):
            count[(from_key[i] >> shift) & ((1 << DIGIT) - 1)] += 1
        sum = 0
        for i in range(1 << DIGIT):
            size = count[i]
            count[i] = sum
            sum += size
        for i in range(n):
            at = (from_key[i] >> shift) & ((1 << DIGIT) - 1)
            to_key[count[at]] = from_key[i]
            to_order[count[at]] = from_order[i]
            count[at] += 1
        swap_key = from_key
        from_key = to_key
        to_key = swap_key
        swap_order = from_order
        from_order = to_order
        to_order = swap_order
    if from_order != order:
        for i in range(n):
            order[i] = from_order[i]
