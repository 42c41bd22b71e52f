"""The classes of vmcore.intervals: arrays in, arrays out, the work without the GIL. See vmcore/intervals.py.

One class does it all over the table of its structure; the others only name theirs. A batch of queries is worked off in
the order of its left ends, because neighbours in that order walk the same nodes and find them in the cache; what comes
back is in the order of the batch. So is a batch of inserts. Between stretches of work the host's signals are looked at,
so that Ctrl-C ends a batch; what came before it in that order has happened.
"""
from operator import index as to_int

import numpy as np

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport E2BIG
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from vmcore._fast.busy cimport vm_claim, vm_release
from vmcore._fast.intervals.btree_nodes cimport btree_free, btree_init
from vmcore._fast.intervals.store cimport sort_order, store_free, store_init
from vmcore._fast.intervals.structures cimport (
    BTREE, INTERVAL_TREE, LIST, PRIO_TREE, RBTREE, index_t, structure)

cdef enum:
    STRETCH = 1 << 20       # nodes that queries enter between two looks at the host's signals,
    STRETCH_CALLS = 1 << 14     # and operations
    SORT_FROM = 64          # a batch that is worth sorting,
    SORT_SIZE = 1024        # over an index of that size

TOP = (1 << 64) - 1
NUMPY_BOOL = np.bool_


def has_bool(x):
    """A truth value among the items of a list: numpy takes them for numbers."""
    for v in x:
        if type(v) is bool or type(v) is NUMPY_BOOL:
            return True
    return False


def points(what, x, copy=False):
    """x as a contiguous u64 array of one dimension; TypeError or ValueError that says what is wrong with it.

    copy: memory that nobody else can change meanwhile."""
    a = np.asarray(x)
    if type(x) in (list, tuple) and has_bool(x):
        raise TypeError(f"{what} must be integers, not bool")
    if a.dtype.kind not in "iu":
        if isinstance(x, np.ndarray) and a.dtype.kind != "O" or a.ndim != 1 and a.dtype.kind != "O":
            raise TypeError(f"{what} must be integers, not {a.dtype}")
        # a list that is empty, holds numbers beyond 63 bits, or something else
        try:
            whole = [to_int(v) for v in np.asarray(x, object).ravel()]
        except TypeError:
            raise TypeError(f"{what} must be integers, not {a.dtype}") from None
        for v in whole:
            if not 0 <= v <= TOP:
                raise ValueError(f"{what} must be from 0 to 2**64 - 1, not {v}")
        a = np.array(whole, np.uint64).reshape(a.shape)
    if a.ndim != 1:
        raise ValueError(f"{what} must be one number or a one-dimensional array, not of shape {a.shape}")
    if a.dtype.kind == "i" and a.size and int(a.min()) < 0:
        raise ValueError(f"{what} must be from 0 to 2**64 - 1, not {int(a.min())}")
    return np.array(a, np.uint64, order="C") if copy else np.ascontiguousarray(a, np.uint64)


def is_one(x):
    """A single number, not an array of them."""
    return np.ndim(x) == 0


def ranges(starts, lasts, copy=False):
    """Two arrays of equal length, no start behind its last."""
    a = points("starts", [starts] if is_one(starts) else starts, copy)
    b = points("lasts", [lasts] if is_one(lasts) else lasts, copy)
    if a.size != b.size:
        raise ValueError(f"there are {a.size} starts and {b.size} lasts")
    wrong = np.flatnonzero(a > b)
    if wrong.size:
        i = int(wrong[0])
        raise ValueError(f"an interval is [start, last] with start <= last; number {i} is [{a[i]}, {b[i]}]")
    return a, b


cdef class _Pin:
    """The memory of a u64 array, held while the GIL is not."""
    cdef Py_buffer buffer
    cdef uint64_t *data
    cdef uint64_t n

    def __cinit__(self, array, bint writable=False):
        PyObject_GetBuffer(array, &self.buffer, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        self.data = <uint64_t *>self.buffer.buf
        self.n = self.buffer.len // 8

    def __dealloc__(self):
        if self.buffer.obj is not None:
            PyBuffer_Release(&self.buffer)


cdef class _Order:
    """In which order the items of a batch are worked off."""
    cdef uint32_t *at       # NULL: as they come

    def __cinit__(self, _Pin keys not None, uint64_t size):
        cdef uint64_t n = keys.n
        cdef uint64_t i
        cdef uint64_t *scratch
        cdef int sorted_already = 1
        if n < <uint64_t>SORT_FROM or n > <uint64_t>0xFFFFFFFF or size < <uint64_t>SORT_SIZE:
            return
        for i in range(1, n):
            if keys.data[i] < keys.data[i - 1]:
                sorted_already = 0
                break
        if sorted_already:
            return
        scratch = <uint64_t *>malloc(n * 20)
        self.at = <uint32_t *>malloc(n * 4)
        if scratch == NULL or self.at == NULL:
            free(scratch)
            raise MemoryError(f"no memory to sort a batch of {n}")
        with nogil:
            sort_order(keys.data, n, self.at, scratch)
        free(scratch)

    def __dealloc__(self):
        free(self.at)


cdef class _Hits:
    """Values found, query after query in the order of work."""
    cdef uint64_t *values
    cdef uint64_t room
    cdef uint64_t n

    def __dealloc__(self):
        free(self.values)

    cdef int more(self, uint64_t need) noexcept nogil:
        cdef uint64_t room = self.room * 2 if self.room * 2 > need else need
        cdef uint64_t *values = <uint64_t *>realloc(self.values, (room if room else 1) * sizeof(uint64_t))
        if values == NULL:
            return -1
        self.values = values
        self.room = room
        return 0


cdef class Index:
    """A dynamic index over closed intervals [start, last] of u64, each with a u64 value. See vmcore.intervals.

    Index(starts=None, lasts=None, values=None): with these in it, as insert() takes them; or empty.
    """
    cdef index_t x
    cdef int busy
    cdef bint made
    cdef uint64_t ever      # intervals inserted, ever

    def __cinit__(self, *args, **kwargs):
        store_init(&self.x.store)
        btree_init(&self.x.btree)

    def __init__(self, starts=None, lasts=None, values=None):
        if not self.made:
            raise TypeError("Index is the base of List, RBTree, PrioTree, IntervalTree and BTree")
        if starts is not None or lasts is not None:
            self.insert(starts, lasts, values)

    def __dealloc__(self):
        store_free(&self.x.store)
        btree_free(&self.x.btree)

    cdef int make(self, int which) except -1:
        self.x.ops = structure(which)
        self.made = True
        return 0

    cdef int claim(self) except -1:
        if not self.made:
            raise TypeError("Index is the base of List, RBTree, PrioTree, IntervalTree and BTree")
        if vm_claim(&self.busy):
            raise RuntimeError("this index is in a call already: of another thread, or interrupted by a signal")
        return 0

    # ---------------------------------------------------------------- insert, remove

    def insert(self, starts, lasts, values=None):
        """Insert intervals, numbers or arrays of shape (n,) of integers; equal ones may be there more than once.

        Without values each gets its number in the order of insertion over the life of the index. TypeError or
        ValueError, and nothing has happened, for what is no interval of u64; MemoryError, with those before it in.
        """
        a, b = ranges(starts, lasts, copy=True)
        if values is None:
            v = None
        else:
            v = points("values", [values] if is_one(values) else values)
            if v.size != a.size:
                raise ValueError(f"there are {a.size} intervals and {v.size} values")
        cdef _Pin first = _Pin(a)
        cdef _Pin last = _Pin(b)
        cdef _Pin value = _Pin(v) if v is not None else None
        cdef _Order order
        cdef uint64_t *own = value.data if v is not None else NULL
        cdef uint64_t n = first.n
        cdef uint64_t done = 0
        cdef uint64_t i, stop
        cdef int r
        self.claim()
        try:
            r = self.x.ops.reserve(&self.x, n)
            if r < 0:
                raise MemoryError(f"no room for {n} more intervals beside {self.x.size}"
                                  + (": an index holds 2**31 - 2 at most" if r == -E2BIG else ""))
            order = _Order(first, self.x.size + n)
            while done < n:
                stop = min(n, done + STRETCH_CALLS)
                with nogil:
                    while done < stop:
                        i = order.at[done] if order.at != NULL else done
                        r = self.x.ops.insert(&self.x, first.data[i], last.data[i],
                                              own[i] if own != NULL else self.ever + i)
                        if r < 0:
                            break
                        self.x.size += 1
                        done += 1
                if r < 0:
                    raise MemoryError(f"no memory after {done} of {n} intervals")
                if done < n:
                    PyErr_CheckSignals()
        finally:
            self.ever += n
            vm_release(&self.busy)

    def remove(self, starts, lasts, values):
        """Remove intervals, numbers or arrays of shape (n,); of equal ones one goes.

        KeyError names the first that is not there; those before it in the arrays are gone then.
        """
        a, b = ranges(starts, lasts)
        v = points("values", [values] if is_one(values) else values)
        if v.size != a.size:
            raise ValueError(f"there are {a.size} intervals and {v.size} values")
        cdef _Pin first = _Pin(a)
        cdef _Pin last = _Pin(b)
        cdef _Pin value = _Pin(v)
        cdef uint64_t n = first.n
        cdef uint64_t i = 0
        cdef uint64_t stop
        cdef int there = 1
        self.claim()
        try:
            while i < n:
                stop = min(n, i + STRETCH_CALLS)
                with nogil:
                    while i < stop:
                        there = self.x.ops.remove(&self.x, first.data[i], last.data[i], value.data[i])
                        if not there:
                            break
                        self.x.size -= 1
                        i += 1
                if not there:
                    raise KeyError((int(a[i]), int(b[i]), int(v[i])))
                if i < n:
                    PyErr_CheckSignals()
        finally:
            vm_release(&self.busy)

    def clear(self):
        """Remove all intervals and give their memory back."""
        self.claim()
        store_free(&self.x.store)
        btree_free(&self.x.btree)
        self.x.root = 0
        self.x.leftmost = 0
        self.x.bits = 0
        self.x.size = 0
        vm_release(&self.busy)

    # ---------------------------------------------------------------- queries

    cdef object counted(self, a, b):
        out = np.zeros(a.size, np.int64)
        cdef _Pin first = _Pin(a)
        cdef _Pin last = _Pin(b)
        cdef _Pin counts = _Pin(out, True)
        cdef _Order order
        cdef uint64_t n = first.n
        cdef uint64_t done = 0
        cdef uint64_t i, until, stop
        self.claim()
        try:
            order = _Order(first, self.x.size)
            while done < n:
                until = self.x.visited + STRETCH
                stop = min(n, done + STRETCH_CALLS)
                with nogil:
                    while done < stop and self.x.visited < until:
                        i = order.at[done] if order.at != NULL else done
                        counts.data[i] = self.x.ops.query(&self.x, first.data[i], last.data[i], NULL, 0)
                        done += 1
                if done < n:
                    PyErr_CheckSignals()
        finally:
            vm_release(&self.busy)
        return out

    cdef object found(self, a, b):
        offsets = np.zeros(a.size + 1, np.int64)
        cdef _Pin first = _Pin(a)
        cdef _Pin last = _Pin(b)
        cdef _Pin ends = _Pin(offsets, True)
        cdef _Hits hits = _Hits()
        cdef _Order order
        cdef _Pin out
        cdef uint64_t n = first.n
        cdef uint64_t done = 0
        cdef uint64_t i, until, stop, got, at
        cdef int short_of = 0
        self.claim()
        try:
            order = _Order(first, self.x.size)
            while done < n:
                until = self.x.visited + STRETCH
                stop = min(n, done + STRETCH_CALLS)
                with nogil:
                    while done < stop and self.x.visited < until:
                        i = order.at[done] if order.at != NULL else done
                        got = self.x.ops.query(&self.x, first.data[i], last.data[i],
                                               hits.values + hits.n if hits.values != NULL else NULL,
                                               hits.room - hits.n)
                        if got > hits.room - hits.n:
                            # they did not fit: room for them, and once more
                            if hits.more(hits.n + got) < 0:
                                short_of = 1
                                break
                            self.x.ops.query(&self.x, first.data[i], last.data[i], hits.values + hits.n, got)
                        hits.n += got
                        ends.data[i + 1] = got
                        done += 1
                if short_of:
                    raise MemoryError(f"no memory for more than {hits.n} hits")
                if done < n:
                    PyErr_CheckSignals()
        finally:
            vm_release(&self.busy)
        np.cumsum(offsets, out=offsets)
        values = np.empty(hits.n, np.uint64)
        if hits.n:
            out = _Pin(values, True)
            with nogil:
                at = 0
                for done in range(n):
                    i = order.at[done] if order.at != NULL else done
                    got = ends.data[i + 1] - ends.data[i]
                    memcpy(out.data + ends.data[i], hits.values + at, got * sizeof(uint64_t))
                    at += got
        return offsets, values

    def overlap_count(self, starts, lasts):
        """How many intervals share a point with [start, last]: i64 of shape (n,), an int for numbers."""
        a, b = ranges(starts, lasts)
        out = self.counted(a, b)
        return int(out[0]) if is_one(starts) and is_one(lasts) else out

    def overlap(self, starts, lasts):
        """The values of the intervals that share a point with [start, last]: u64, for numbers.

        For arrays of shape (n,): (offsets, values), offsets i64 of shape (n + 1,), the hits of query i are
        values[offsets[i]:offsets[i + 1]]. MemoryError if they are too many.
        """
        a, b = ranges(starts, lasts)
        offsets, values = self.found(a, b)
        return values if is_one(starts) and is_one(lasts) else (offsets, values)

    def stab_count(self, at):
        """How many intervals cover a point: i64 of shape (n,), an int for a number."""
        a = points("points", [at] if is_one(at) else at)
        out = self.counted(a, a)
        return int(out[0]) if is_one(at) else out

    def stab(self, at):
        """The values of the intervals that cover a point: u64 for a number, (offsets, values) for an array, as in
        overlap()."""
        a = points("points", [at] if is_one(at) else at)
        offsets, values = self.found(a, a)
        return values if is_one(at) else (offsets, values)

    # ---------------------------------------------------------------- what it is

    def __len__(self):
        return self.x.size

    def __repr__(self):
        return f"<{type(self).__name__} of {self.x.size} intervals>"

    def items(self):
        """(starts, lasts, values) of all intervals, u64 of shape (len,), in the structure's order."""
        self.claim()
        cdef _Pin a, b, v
        try:
            n = self.x.size
            out = np.empty(n, np.uint64), np.empty(n, np.uint64), np.empty(n, np.uint64)
            a, b, v = _Pin(out[0], True), _Pin(out[1], True), _Pin(out[2], True)
            with nogil:
                self.x.ops.dump(&self.x, a.data, b.data, v.data)
        finally:
            vm_release(&self.busy)
        return out

    @property
    def visited(self):
        """Nodes that queries entered, so far."""
        return self.x.visited

    def counters(self):
        """Everything that is counted, by name, since the index was made."""
        out = dict(self.x.counts)
        out["visited"] = self.x.visited
        return out

    @property
    def nbytes(self):
        """Bytes of memory that the intervals hold."""
        return self.x.ops.bytes(&self.x) if self.made else 0

    def check(self):
        """Verify the whole structure; RuntimeError if it is damaged."""
        cdef int64_t n
        self.claim()
        with nogil:
            n = self.x.ops.check(&self.x)
        vm_release(&self.busy)
        if n < 0 or <uint64_t>n != self.x.size:
            raise RuntimeError(f"{self!r} is damaged")

    def __reduce__(self):
        return type(self), self.items()


cdef class List(Index):
    """A linked list in the order of insertion: a query looks at every interval, insert and remove are O(1).

    List(starts=None, lasts=None, values=None): closed intervals and what each stands for; see Index.
    """

    def __cinit__(self, *args, **kwargs):
        self.make(LIST)


cdef class RBTree(Index):
    """A red-black tree by (start, last): a query looks at every interval that starts before its end.

    RBTree(starts=None, lasts=None, values=None): closed intervals and what each stands for; see Index.
    """

    def __cinit__(self, *args, **kwargs):
        self.make(RBTREE)


cdef class PrioTree(Index):
    """A radix priority search tree: a query is O(log n + hits), equal intervals lie together.

    PrioTree(starts=None, lasts=None, values=None): closed intervals and what each stands for; see Index.
    """

    def __cinit__(self, *args, **kwargs):
        self.make(PRIO_TREE)

    @property
    def index_bits(self):
        """Bits of the greatest last that the tree is made for; it never shrinks while it holds an interval."""
        return self.x.bits


cdef class IntervalTree(Index):
    """A red-black tree by start that knows the greatest last of each subtree: a hit costs O(log n) at most.

    IntervalTree(starts=None, lasts=None, values=None): closed intervals and what each stands for; see Index.
    """

    def __cinit__(self, *args, **kwargs):
        self.make(INTERVAL_TREE)


cdef class BTree(Index):
    """A B+ tree of 16 by (start, last, value) with the greatest last of each entry: the fastest.

    BTree(starts=None, lasts=None, values=None): closed intervals and what each stands for; see Index.
    """

    def __cinit__(self, *args, **kwargs):
        self.make(BTREE)

    @property
    def height(self):
        """Levels above the leaves."""
        return self.x.btree.height
