"""The structures of vmcore.intervals: what each does with an interval that comes, goes, or is asked for.

The first four keep their nodes in the records of the store and are the kernel's indexes over a file's mappings, by the
same modules; which of them visits what is told in i_mmap/i_mmap.pxd. The B+ tree keeps its intervals itself.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from vmcore._fast.interval_tree cimport it_check, it_first, it_init, it_insert, it_next, it_remove, it_view
from vmcore._fast.intervals.btree cimport (
    btree_check, btree_dump, btree_insert, btree_query, btree_remove)
from vmcore._fast.intervals.btree_nodes cimport btree_bytes, btree_reserve
from vmcore._fast.intervals.store cimport interval_t, store_add, store_bytes, store_drop, store_find, store_reserve
from vmcore._fast.prio_tree cimport (
    prio_check, prio_first, prio_insert, prio_iter, prio_next, prio_remove, prio_view)
from vmcore._fast.ranges cimport range_view
from vmcore._fast.rbtree cimport rb_check, rb_erase, rb_first, rb_insert, rb_left, rb_next, rb_right, rb_view

cdef index_ops OPS[5]


cdef inline void range_of(range_view *r, interval_t *rec) noexcept nogil:
    r.base = <char *>rec
    r.stride = sizeof(interval_t)
    r.via = NULL
    r.via_stride = 0
    r.first = <uint64_t>(<char *>&rec.first - <char *>rec)
    r.lo = r.first
    r.hi = <uint64_t>(<char *>&rec.last - <char *>rec)
    r.shift = 0
    r.less = 0


cdef inline void rb_of(rb_view *v, interval_t *rec) noexcept nogil:
    v.base = <char *>rec
    v.stride = sizeof(interval_t)
    v.off = <uint64_t>(<char *>&rec.parent - <char *>rec)
    v.augment = NULL
    v.value = <uint64_t>(<char *>&rec.most - <char *>rec)


cdef int records_reserve(index_t *x, uint64_t n) noexcept nogil:
    return store_reserve(&x.store, n)


cdef uint64_t records_bytes(index_t *x) noexcept nogil:
    return store_bytes(&x.store)


cdef inline uint64_t put(uint64_t *out, uint64_t room, uint64_t n, uint64_t value) noexcept nogil:
    if n < room:
        out[n] = value
    return n + 1


cdef inline void dump_one(interval_t *r, uint64_t n, uint64_t *firsts, uint64_t *lasts,
                          uint64_t *values) noexcept nogil:
    firsts[n] = r.first
    lasts[n] = r.last
    values[n] = r.value


# ---------------------------------------------------------------- list

cdef int list_insert(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    cdef uint32_t i = store_add(&x.store, first, last, value)
    cdef interval_t *rec = x.store.rec
    if x.root == 0:
        rec[i].left = i
        rec[i].right = i
        x.root = i
    else:
        rec[i].left = x.root
        rec[i].right = rec[x.root].right
        rec[rec[i].right].left = i
        rec[x.root].right = i
    return 0


cdef int list_remove(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    cdef uint32_t i = store_find(&x.store, first, last, value)
    cdef interval_t *rec = x.store.rec
    if i == 0:
        return 0
    rec[rec[i].right].left = rec[i].left
    rec[rec[i].left].right = rec[i].right
    if x.root == i:
        x.root = rec[i].left if rec[i].left != i else 0
    store_drop(&x.store, i)
    return 1


cdef uint64_t list_query(index_t *x, uint64_t a, uint64_t b, uint64_t *out, uint64_t room) noexcept nogil:
    cdef uint64_t n = 0
    cdef uint32_t i = x.root
    cdef interval_t *rec = x.store.rec
    x.visited += x.size
    while i != 0:
        if rec[i].first <= b and rec[i].last >= a:
            n = put(out, room, n, rec[i].value)
        i = rec[i].left if rec[i].left != x.root else 0
    return n


cdef void list_dump(index_t *x, uint64_t *firsts, uint64_t *lasts, uint64_t *values) noexcept nogil:
    cdef uint64_t n = 0
    cdef uint32_t i = x.root
    while i != 0:
        dump_one(&x.store.rec[i], n, firsts, lasts, values)
        n += 1
        i = x.store.rec[i].left if x.store.rec[i].left != x.root else 0


cdef int64_t list_check(index_t *x) noexcept nogil:
    cdef int64_t n = 0
    cdef uint32_t i = x.root
    cdef uint32_t next
    while i != 0:
        next = x.store.rec[i].left
        if next == 0 or next >= x.store.next or x.store.rec[next].right != i or <uint64_t>n > x.size:
            return -1
        n += 1
        i = next if next != x.root else 0
    return n


# ---------------------------------------------------------------- rbtree by (first, length)

cdef inline int is_below(interval_t *a, interval_t *b) noexcept nogil:
    return a.first < b.first if a.first != b.first else a.last < b.last


cdef int rbtree_insert(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    cdef uint32_t i = store_add(&x.store, first, last, value)
    cdef interval_t *rec = x.store.rec
    cdef uint32_t parent = 0
    cdef uint32_t at = x.root
    cdef int right = 0
    cdef rb_view v
    rb_of(&v, rec)
    while at != 0:
        x.counts.insert_steps += 1
        parent = at
        right = not is_below(&rec[i], &rec[at])
        at = rb_right(&v, at) if right else rb_left(&v, at)
    rb_insert(&v, &x.root, i, parent, right)
    return 0


cdef int rbtree_remove(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    cdef uint32_t i = store_find(&x.store, first, last, value)
    cdef rb_view v
    if i == 0:
        return 0
    rb_of(&v, x.store.rec)
    rb_erase(&v, &x.root, i)
    store_drop(&x.store, i)
    return 1


cdef uint64_t rbtree_query(index_t *x, uint64_t a, uint64_t b, uint64_t *out, uint64_t room) noexcept nogil:
    cdef uint64_t n = 0
    cdef interval_t *rec = x.store.rec
    cdef uint32_t i
    cdef rb_view v
    rb_of(&v, rec)
    i = rb_first(&v, x.root)
    while i != 0:
        x.visited += 1
        if rec[i].first > b:
            break
        if rec[i].last >= a:
            n = put(out, room, n, rec[i].value)
        i = rb_next(&v, i)
    return n


cdef void rb_dump(index_t *x, uint64_t *firsts, uint64_t *lasts, uint64_t *values) noexcept nogil:
    cdef uint64_t n = 0
    cdef uint32_t i
    cdef rb_view v
    rb_of(&v, x.store.rec)
    i = rb_first(&v, x.root)
    while i != 0:
        dump_one(&x.store.rec[i], n, firsts, lasts, values)
        n += 1
        i = rb_next(&v, i)


cdef int64_t rbtree_check(index_t *x) noexcept nogil:
    cdef uint32_t bad = 0
    cdef uint32_t i, prev
    cdef rb_view v
    cdef int64_t n
    rb_of(&v, x.store.rec)
    n = rb_check(&v, x.root, x.store.next, &bad)
    i = rb_first(&v, x.root) if n > 0 else 0
    while i != 0:
        prev = i
        i = rb_next(&v, i)
        if i != 0 and is_below(&x.store.rec[i], &x.store.rec[prev]):
            return -1
    return n


# ---------------------------------------------------------------- prio_tree

cdef inline void prio_of(prio_view *v, index_t *x) noexcept nogil:
    cdef interval_t *rec = x.store.rec
    v.base = <char *>rec
    v.stride = sizeof(interval_t)
    v.off = <uint64_t>(<char *>&rec.parent - <char *>rec)
    v.counts = &x.counts
    range_of(&v.range, rec)


cdef int prio_tree_insert(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    cdef uint32_t i = store_add(&x.store, first, last, value)
    cdef prio_view v
    prio_of(&v, x)
    return prio_insert(&v, &x.root, &x.bits, i)


cdef int prio_tree_remove(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    cdef uint32_t i = store_find(&x.store, first, last, value)
    cdef prio_view v
    if i == 0:
        return 0
    prio_of(&v, x)
    prio_remove(&v, &x.root, &x.bits, i)
    store_drop(&x.store, i)
    return 1


cdef uint64_t prio_tree_query(index_t *x, uint64_t a, uint64_t b, uint64_t *out, uint64_t room) noexcept nogil:
    cdef uint64_t n = 0
    cdef uint64_t visited = 0
    cdef interval_t *rec = x.store.rec
    cdef uint32_t i
    cdef prio_view v
    cdef prio_iter it
    prio_of(&v, x)
    i = prio_first(&v, x.root, x.bits, a, b, &it, &visited)
    while i != 0:
        n = put(out, room, n, rec[i].value)
        i = prio_next(&v, &it, &visited)
    x.visited += visited
    return n


cdef void prio_tree_dump(index_t *x, uint64_t *firsts, uint64_t *lasts, uint64_t *values) noexcept nogil:
    cdef uint64_t n = 0
    cdef uint64_t visited = 0
    cdef uint32_t i
    cdef prio_view v
    cdef prio_iter it
    prio_of(&v, x)
    i = prio_first(&v, x.root, x.bits, 0, ~<uint64_t>0, &it, &visited)
    while i != 0:
        dump_one(&x.store.rec[i], n, firsts, lasts, values)
        n += 1
        i = prio_next(&v, &it, &visited)


cdef int64_t prio_tree_check(index_t *x) noexcept nogil:
    cdef uint32_t bad = 0
    cdef uint32_t height = 0
    cdef prio_view v
    prio_of(&v, x)
    return prio_check(&v, x.root, x.bits, x.store.next, &height, &bad)


# ---------------------------------------------------------------- interval tree

cdef inline void it_of(it_view *v, interval_t *rec) noexcept nogil:
    """For queries; what changes the tree needs it_init as well."""
    rb_of(&v.rb, rec)
    range_of(&v.range, rec)


cdef inline void it_for_change(it_view *v, interval_t *rec) noexcept nogil:
    it_of(v, rec)
    it_init(v, v.rb.base, v.rb.stride, v.rb.off, v.rb.value)


cdef int interval_tree_insert(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    cdef uint32_t i = store_add(&x.store, first, last, value)
    cdef it_view v
    it_for_change(&v, x.store.rec)
    x.counts.insert_steps += it_insert(&v, &x.root, &x.leftmost, i)
    return 0


cdef int interval_tree_remove(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    cdef uint32_t i = store_find(&x.store, first, last, value)
    cdef it_view v
    if i == 0:
        return 0
    it_for_change(&v, x.store.rec)
    it_remove(&v, &x.root, &x.leftmost, i)
    store_drop(&x.store, i)
    return 1


cdef uint64_t interval_tree_query(index_t *x, uint64_t a, uint64_t b, uint64_t *out, uint64_t room) noexcept nogil:
    cdef uint64_t n = 0
    cdef uint64_t visited = 0
    cdef interval_t *rec = x.store.rec
    cdef uint32_t i
    cdef it_view v
    it_of(&v, rec)
    i = it_first(&v, x.root, x.leftmost, a, b, &visited)
    while i != 0:
        n = put(out, room, n, rec[i].value)
        i = it_next(&v, i, a, b, &visited)
    x.visited += visited
    return n


cdef int64_t interval_tree_check(index_t *x) noexcept nogil:
    cdef uint32_t bad = 0
    cdef it_view v
    it_for_change(&v, x.store.rec)
    return it_check(&v, x.root, x.leftmost, x.store.next, &bad)


# ---------------------------------------------------------------- B+ tree

cdef int b_reserve(index_t *x, uint64_t n) noexcept nogil:
    return btree_reserve(&x.btree, n)


cdef int b_insert(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    return btree_insert(&x.btree, first, last, value, &x.counts.insert_steps)


cdef int b_remove(index_t *x, uint64_t first, uint64_t last, uint64_t value) noexcept nogil:
    return btree_remove(&x.btree, first, last, value, &x.counts.remove_steps)


cdef uint64_t b_query(index_t *x, uint64_t a, uint64_t b, uint64_t *out, uint64_t room) noexcept nogil:
    return btree_query(&x.btree, a, b, out, room, &x.visited)


cdef void b_dump(index_t *x, uint64_t *firsts, uint64_t *lasts, uint64_t *values) noexcept nogil:
    btree_dump(&x.btree, firsts, lasts, values)


cdef uint64_t b_bytes(index_t *x) noexcept nogil:
    return btree_bytes(&x.btree)


cdef int64_t b_check(index_t *x) noexcept nogil:
    return btree_check(&x.btree)


# ---------------------------------------------------------------- tables

for _i in range(4):
    OPS[_i].reserve = records_reserve
    OPS[_i].bytes = records_bytes
    OPS[_i].dump = rb_dump
OPS[<int>LIST].insert = list_insert
OPS[<int>LIST].remove = list_remove
OPS[<int>LIST].query = list_query
OPS[<int>LIST].dump = list_dump
OPS[<int>LIST].check = list_check
OPS[<int>RBTREE].insert = rbtree_insert
OPS[<int>RBTREE].remove = rbtree_remove
OPS[<int>RBTREE].query = rbtree_query
OPS[<int>RBTREE].check = rbtree_check
OPS[<int>PRIO_TREE].insert = prio_tree_insert
OPS[<int>PRIO_TREE].remove = prio_tree_remove
OPS[<int>PRIO_TREE].query = prio_tree_query
OPS[<int>PRIO_TREE].dump = prio_tree_dump
OPS[<int>PRIO_TREE].check = prio_tree_check
OPS[<int>INTERVAL_TREE].insert = interval_tree_insert
OPS[<int>INTERVAL_TREE].remove = interval_tree_remove
OPS[<int>INTERVAL_TREE].query = interval_tree_query
OPS[<int>INTERVAL_TREE].check = interval_tree_check
OPS[<int>BTREE].reserve = b_reserve
OPS[<int>BTREE].insert = b_insert
OPS[<int>BTREE].remove = b_remove
OPS[<int>BTREE].query = b_query
OPS[<int>BTREE].dump = b_dump
OPS[<int>BTREE].bytes = b_bytes
OPS[<int>BTREE].check = b_check


cdef const index_ops *structure(int which) noexcept nogil:
    return &OPS[which]
