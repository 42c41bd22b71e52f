"""vmcore.intervals: five structures, the same answers; bad input, threads, the top of the range, what is counted."""
from __future__ import annotations

import doctest
import pickle
import random
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmcore import intervals
from vmcore.intervals import BTree, Index, IntervalTree, List, PrioTree, RBTree

CLASSES = [List, RBTree, PrioTree, IntervalTree, BTree]
TOP = 2**64 - 1
every = pytest.mark.parametrize("kind", CLASSES)


class Model:
    """All intervals as arrays, compared one by one."""

    def __init__(self) -> None:
        self.all: list[tuple[int, int, int]] = []

    def hits(self, a: int, b: int) -> list[int]:
        return sorted(v for x, y, v in self.all if x <= b and y >= a)


def random_intervals(n: int, seed: int, span: int, longest: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, span, n, dtype=np.uint64)
    lasts = starts + rng.integers(0, longest, n, dtype=np.uint64)
    return starts, lasts, rng.integers(0, 1 << 40, n, dtype=np.uint64)


def test_examples_of_the_module() -> None:
    assert doctest.testmod(intervals).failed == 0
    assert doctest.testmod(intervals).attempted > 5


@every
@pytest.mark.parametrize(("n", "span", "longest"), [(1, 10, 5), (300, 50, 3), (3000, 1 << 20, 2000), (3000, 100, 40),
                                                    (2000, 1 << 62, 1 << 58)])
def test_batches_against_brute_force(kind: type[Index], n: int, span: int, longest: int) -> None:
    starts, lasts, values = random_intervals(n, n, span, longest)
    index = kind(starts, lasts, values)
    index.check()
    assert len(index) == n
    q, e, _ = random_intervals(500, 7, span, longest)
    counts = ((starts[None, :] <= e[:, None]) & (lasts[None, :] >= q[:, None])).sum(1)
    assert index.overlap_count(q, e).tolist() == counts.tolist()
    offsets, hits = index.overlap(q, e)
    assert offsets.tolist() == [0, *np.cumsum(counts).tolist()]
    for i in range(0, 500, 7):
        expected = np.sort(values[(starts <= e[i]) & (lasts >= q[i])])
        assert np.array_equal(np.sort(hits[offsets[i] : offsets[i + 1]]), expected)
    covered = (starts[None, :] <= q[:, None]) & (lasts[None, :] >= q[:, None])
    assert index.stab_count(q).tolist() == covered.sum(1).tolist()
    offsets, hits = index.stab(q[:50])
    assert np.array_equal(np.sort(hits[offsets[3] : offsets[4]]), np.sort(values[(starts <= q[3]) & (lasts >= q[3])]))
    a, b, v = index.items()
    assert sorted(zip(a.tolist(), b.tolist(), v.tolist(), strict=True)) == sorted(
        zip(starts.tolist(), lasts.tolist(), values.tolist(), strict=True))


@every
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("span", [12, 3000, 1 << 50])
def test_random_life(kind: type[Index], seed: int, span: int) -> None:
    """Single inserts and removes, batches, until it is empty; the structure verified at every step."""
    rng = random.Random(seed)
    index, model = kind(), Model()
    for step in range(700):
        grow = rng.random() < (0.7 if step < 400 else 0.25)
        if grow or not model.all:
            n = rng.choice((1, 1, 1, 30))
            new = []
            for _ in range(n):
                first = rng.randrange(span)
                new.append((first, first + rng.choice((0, 1, rng.randrange(span))), rng.randrange(4)))
            index.insert(*(list(c) for c in zip(*new, strict=True)))
            model.all += new
        else:
            n = min(rng.choice((1, 1, 20)), len(model.all))
            old = rng.sample(model.all, n)
            for item in old:
                model.all.remove(item)
            index.remove(*(list(c) for c in zip(*old, strict=True)))
        if step % 5 == 0:
            index.check()
        assert len(index) == len(model.all)
        a = rng.randrange(span)
        b = a + rng.choice((0, rng.randrange(span)))
        assert sorted(index.overlap(a, b).tolist()) == model.hits(a, b)
        assert index.stab_count(a) == len(model.hits(a, a))
    while model.all:
        index.remove(*model.all.pop())
    index.check()
    assert len(index) == 0
    assert index.overlap_count(0, TOP) == 0


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 3), st.booleans()), max_size=80),
       st.lists(st.tuples(st.integers(0, 80), st.integers(0, 10)), max_size=8))
def test_any_life(ops: list[tuple[int, int, int, bool]], queries: list[tuple[int, int]]) -> None:
    indexes, model = [kind() for kind in CLASSES], Model()
    for first, more, value, remove in ops:
        item = (first, first + more, value)
        if remove and model.all:
            item = model.all.pop((first * 41 + more) % len(model.all))
            for index in indexes:
                index.remove(*item)
        else:
            model.all.append(item)
            for index in indexes:
                index.insert(*item)
    for index in indexes:
        index.check()
        for a, more in [*queries, (0, TOP)]:
            b = min(a + more, TOP)
            assert sorted(index.overlap(a, b).tolist()) == model.hits(a, b)


@every
def test_top_of_the_range(kind: type[Index]) -> None:
    ranges = [(0, TOP), (TOP, TOP), (0, 0), (2**63, TOP), (2**63 - 1, 2**63), (TOP - 1, TOP)]
    index = kind([a for a, _ in ranges], [b for _, b in ranges], [TOP, 1, 2, 3, 4, 5])
    index.check()
    assert sorted(index.stab(TOP).tolist()) == [1, 3, 5, TOP]
    assert sorted(index.stab(0).tolist()) == [2, TOP]
    assert sorted(index.stab(2**63).tolist()) == [3, 4, TOP]
    assert index.overlap_count(0, TOP) == 6
    for (a, b), v in zip(ranges, [TOP, 1, 2, 3, 4, 5], strict=True):
        index.remove(a, b, v)
        index.check()


@every
def test_closed_intervals(kind: type[Index]) -> None:
    index = kind([10], [20], [7])
    assert [index.stab_count(x) for x in (9, 10, 20, 21)] == [0, 1, 1, 0]
    assert [index.overlap_count(a, b) for a, b in ((0, 9), (0, 10), (20, 30), (21, 30))] == [0, 1, 1, 0]


@every
def test_values_number_the_intervals_unless_given(kind: type[Index]) -> None:
    index = kind([5, 1, 9], [5, 1, 9])
    index.remove(1, 1, 1)
    index.insert(1, 2)
    assert [index.stab(x).tolist() for x in (5, 9, 1)] == [[0], [2], [3]]


@every
def test_empty_batches_and_an_empty_index(kind: type[Index]) -> None:
    index = kind()
    index.insert([], [])
    index.remove([], [], [])
    assert index.stab_count([]).shape == (0,)
    offsets, values = index.stab([1, 2])
    assert offsets.tolist() == [0, 0, 0] and values.shape == (0,) and values.dtype == np.uint64
    assert [c.size for c in index.items()] == [0, 0, 0]
    assert (len(index), index.stab_count(3), index.stab(3).tolist()) == (0, 0, [])
    index.check()


@every
def test_types_and_strides(kind: type[Index]) -> None:
    """Any integer type, any stride, lists, and Python numbers beyond 63 bits."""
    wide = np.arange(40, dtype=np.int32)
    index = kind(wide[::2], wide[1::2])
    assert index.stab_count(np.arange(40, dtype=np.uint8)).sum() == 40
    assert index.stab_count([2**63 + 1, 3]).tolist() == [0, 1]
    assert index.stab_count(np.array([3, 2**64 - 1], object)).tolist() == [1, 0]
    assert index.stab_count(np.uint16(3)) == 1


@every
@pytest.mark.parametrize(("starts", "lasts", "values", "error"), [
    ([1.0], [2], [0], TypeError), (np.array([1.0]), np.array([2.0]), [0], TypeError), (["a"], ["b"], [0], TypeError),
    (None, 3, 0, TypeError), ([-1], [2], [0], ValueError), (1, -2, 0, ValueError), ([2], [1], [0], ValueError),
    ([1, 2], [3], [0, 0], ValueError), ([1, 2], [3, 4], [0], ValueError), ([[1, 2]], [[3, 4]], [0], ValueError),
    ([2**64], [2**64], [0], ValueError), ([1], [2], [2**64], ValueError), (1, 2, -1, ValueError),
    (1, 2, 0.5, TypeError), (b"x", b"y", 0, TypeError), (np.array([True]), np.array([True]), 0, TypeError),
    (True, True, 0, TypeError), (1, 2, True, TypeError), ([1, 1], [2, True], [0, 0], TypeError),
    (np.True_, np.True_, 0, TypeError), ([0, np.True_], [2, 2], [0, 0], TypeError), ((True,), [2], [0], TypeError),
])
def test_nonsense_is_refused_whole(kind: type[Index], starts: Any, lasts: Any, values: Any, error: type) -> None:
    index = kind([4], [9], [0])
    for call in (index.insert, index.remove):
        with pytest.raises(error):
            call(starts, lasts, values)
    assert [c.tolist() for c in index.items()] == [[4], [9], [0]]


@every
def test_what_is_not_there(kind: type[Index]) -> None:
    index = kind([1, 2, 3], [5, 5, 5], [0, 0, 0])
    for item in ((1, 5, 1), (1, 4, 0), (0, 5, 0), (4, 5, 0), (TOP, TOP, 0)):
        with pytest.raises(KeyError) as caught:
            index.remove(*item)
        assert caught.value.args == (item,)
    with pytest.raises(KeyError):
        index.remove([1, 9, 2], [5, 9, 5], [0, 0, 0])
    assert sorted(index.items()[0].tolist()) == [2, 3]          # what came before it is gone
    index.check()


def test_the_base_is_no_index() -> None:
    with pytest.raises(TypeError, match="base"):
        Index()
    bare = Index.__new__(Index)
    for call in (lambda: bare.insert(1, 2), lambda: bare.stab(1), lambda: bare.remove(1, 2, 3), bare.check, bare.items):
        with pytest.raises(TypeError):
            call()
    assert bare.nbytes == 0


@every
def test_clear_and_pickle(kind: type[Index]) -> None:
    starts, lasts, values = random_intervals(500, 3, 1000, 60)
    index = kind(starts, lasts, values)
    copy = pickle.loads(pickle.dumps(index))
    copy.check()
    assert type(copy) is kind and [c.tolist() for c in copy.items()] == [c.tolist() for c in index.items()]
    held = index.nbytes
    index.clear()
    assert len(index) == 0 and index.nbytes < held and index.overlap_count(0, TOP) == 0
    index.insert(starts, lasts, values)
    index.check()
    assert index.stab_count(starts).tolist() == copy.stab_count(starts).tolist()


@every
def test_equal_intervals(kind: type[Index]) -> None:
    index = kind([7] * 400, [9] * 400, [3] * 400)
    index.check()
    assert index.stab_count(8) == 400
    for left in range(399, -1, -1):
        index.remove(7, 9, 3)
        assert index.stab_count([8, 6]).tolist() == [left, 0]
    with pytest.raises(KeyError):
        index.remove(7, 9, 3)
    index.check()


@pytest.mark.parametrize("order", ["up", "down", "random"])
def test_a_btree_stays_low(order: str) -> None:
    n = 20000
    at = {"up": np.arange(n), "down": np.arange(n)[::-1], "random": np.random.default_rng(5).permutation(n)}[order]
    tree = BTree()
    for i in at.tolist():
        tree.insert(i, i + 5, 0)
    tree.check()
    assert tree.height <= {"up": 3, "down": 4, "random": 4}[order]
    gone = np.random.default_rng(6).permutation(n)
    for part in np.split(gone, 10):
        tree.remove(part, part + 5, np.zeros_like(part))
        tree.check()
    assert (len(tree), tree.height) == (0, 0)


def test_what_a_query_visits() -> None:
    n = 4096
    at = np.arange(n) * 10
    visited = {}
    for kind in CLASSES:
        index = kind(at, at + 5)
        index.stab_count(at)
        visited[kind] = index.visited / n
        assert index.counters()["visited"] == index.visited
    assert visited[List] == n
    assert visited[RBTree] == sum(min(i + 2, n) for i in range(n)) / n
    assert visited[PrioTree] < 2 * 17
    assert visited[IntervalTree] < 2 * 13
    assert visited[BTree] < 6


def test_events_of_a_prio_tree() -> None:
    tree = PrioTree([0, 1], [1, 1])
    assert tree.index_bits == 1
    tree.insert(40, 47)
    assert tree.index_bits == 6
    tree.insert([40, 40], [47, 47])
    counts = tree.counters()
    assert (counts["expansions"], counts["roots_moved"], counts["duplicates"], counts["sets_made"]) == (1, 2, 2, 1)
    tree.remove(40, 47, 2)
    assert tree.counters()["promotions"] == 1


def test_a_sorted_batch_is_answered_in_the_order_of_the_batch() -> None:
    starts, lasts, values = random_intervals(5000, 9, 1 << 30, 1 << 20)
    q = np.random.default_rng(1).integers(0, 1 << 30, 5000, dtype=np.uint64)
    index = BTree(starts, lasts, values)
    one_by_one = [index.stab(int(x)).tolist() for x in q[:300]]
    offsets, hits = index.stab(q)
    assert [hits[offsets[i] : offsets[i + 1]].tolist() for i in range(300)] == one_by_one
    assert index.stab_count(q).tolist() == np.diff(offsets).tolist()


@every
def test_a_second_thread_is_turned_away(kind: type[Index]) -> None:
    """Every call from four threads at once, started by a barrier: an answer or RuntimeError, and a sound index."""
    starts, lasts, values = random_intervals(2000, 4, 5000, 30)
    index = kind(starts, lasts, values)
    barrier = threading.Barrier(4)
    wrong: list[BaseException] = []
    refused = [0] * 4

    def work(n: int) -> None:
        at = slice(n * 100, n * 100 + 100)
        barrier.wait()
        for i in range(60):
            for call in (lambda: index.stab(starts), lambda: index.insert(starts[at], lasts[at], values[at] + 1),
                         lambda: index.overlap_count(starts, lasts), lambda: len(index), lambda: index.nbytes,
                         index.items, index.check):
                try:
                    call()
                except RuntimeError as e:
                    if "in a call already" not in str(e):
                        wrong.append(e)
                    refused[n] += 1
                except BaseException as e:
                    wrong.append(e)
            if i % 20 == 0:
                sys.setswitchinterval(1e-6)

    old = sys.getswitchinterval()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    try:
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(old)
    assert not wrong
    index.check()
    assert (len(index) - 2000) % 100 == 0


def test_a_batch_is_interrupted() -> None:
    """A list of 30,000 asked 30,000 times takes seconds; a signal ends it at the next stretch."""
    import signal

    index = List(np.arange(30000), np.arange(30000))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            index.stab_count(np.tile(np.arange(30000), 4))
    finally:
        signal.signal(signal.SIGALRM, old)
    index.check()
    assert index.stab_count(5) == 1
