"""vmcore.intervals beside its peers: batches of stabs (P11), insert and delete (P12), at a million intervals.

The peers of P11 are static: they are built once and never change. Starts are uniform over 2^30 and lengths such that a
point is covered by one interval in the mean, or by sixteen; queries are uniform and in no order. All answers are
compared before anything is timed. Each figure is one call over all queries.
"""
from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from bench import scaled
from bench.race import Race
from vmcore import intervals

pytestmark = pytest.mark.benchmark(group="intervals")
N = scaled(1_000_000)
SPAN = 1 << 30
KINDS = [intervals.BTree, intervals.IntervalTree, intervals.PrioTree]
LENGTH = 100        # of an interval that is inserted
SOME_AT_ONCE = 16
SOME = 20_000       # queries of the rbtree, which looks at half a million nodes for each; ... // 1000 are asked


def population(hits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts and lasts of N intervals, and N points; a point is covered by `hits` intervals in the mean."""
    rng = np.random.default_rng(hits)
    starts = rng.integers(0, SPAN, N).astype("i8")
    lasts = starts + rng.integers(0, max(2 * hits * SPAN // N, 1), N)
    return starts, lasts, rng.integers(0, SPAN, N).astype("i8")


def static_peers(starts: np.ndarray, lasts: np.ndarray, points: np.ndarray,
                 expected: np.ndarray) -> tuple[dict[str, Any], dict[str, str]]:
    """The peers that are installed and give the same answers; and notes of those that do not."""
    peers, counted = {}, {}
    try:
        from ncls import NCLS
        index = NCLS(starts, lasts + 1, np.arange(N))
        ids = np.arange(N)
        ends = points + 1
        found, _ = index.all_overlaps_both(points, ends, ids)
        counted["ncls"] = np.bincount(found, minlength=N)
        peers["ncls"] = lambda: index.all_overlaps_both(points, ends, ids)
    except ImportError:
        pass
    try:
        from superintervals import IntervalMap
        narrow = [a.astype("i4") for a in (starts, lasts, points)]
        other = IntervalMap.from_arrays(narrow[0], narrow[1])
        other.build()
        counted["superintervals"] = np.asarray(other.count_batch(narrow[2], narrow[2]))
        peers["superintervals"] = lambda: other.count_batch(narrow[2], narrow[2])
    except ImportError:
        pass
    wrong = [name for name in peers if not np.array_equal(counted[name], expected)]
    return ({name: peer for name, peer in peers.items() if name not in wrong},
            {f"left out: {name}": "its answers are not ours" for name in wrong})


def fastest(race: Race) -> str | None:
    """The peer with the lower median of the last race."""
    peers = race.benchmark.extra_info["peers"]
    return min(peers, key=lambda name: peers[name]["median"]) if peers else None


@pytest.mark.parametrize("hits", [1, 16])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def bench_stab(race: Race, kind: type[intervals.Index], hits: int) -> None:
    starts, lasts, points = population(hits)
    index = kind(starts, lasts)
    expected = np.searchsorted(np.sort(starts), points, "right") - np.searchsorted(np.sort(lasts), points, "left")
    assert np.array_equal(index.stab_count(points), expected)
    peers, left_out = static_peers(starts, lasts, points, expected)
    before = index.visited
    race(f"stab, {hits} hits, {kind.__name__}", lambda: index.stab_count(points), items=N,
         pattern=f"stab_count of {N:,} points over {N:,} intervals, uniform, {hits} hits in the mean; peers: ncls"
                 " all_overlaps_both, superintervals count_batch, both static",
         peers=peers, rounds=5)
    race.note(nodes_per_query=(index.visited - before) / (6 * N), bytes_per_interval=index.nbytes / N, **left_out)
    better = fastest(race)
    if better is not None and hits == 1:
        race.benchmark.extra_info["targets"] = {"P11" if kind is intervals.BTree else "P11 trees": better}


def bench_stab_values(race: Race) -> None:
    starts, lasts, points = population(1)
    index = intervals.BTree(starts, lasts)
    expected = index.stab_count(points)
    peers, left_out = static_peers(starts, lasts, points, expected)
    peers.pop("superintervals", None)       # its batch counts
    offsets, _ = index.stab(points)
    assert np.array_equal(np.diff(offsets), expected)
    race("stab with values, BTree", lambda: index.stab(points), items=N,
         pattern=f"stab of {N:,} points over {N:,} intervals, one hit in the mean: offsets and values", peers=peers,
         rounds=5)
    race.note(**left_out)


def bench_stab_plain_trees(race: Race) -> None:
    """The rbtree without augmentation looks at half of all intervals: counted, without a target."""
    starts, lasts, points = population(1)
    points = points[: max(scaled(SOME) // 1000, 1)]
    index = intervals.RBTree(starts, lasts)
    assert np.array_equal(index.stab_count(points), intervals.BTree(starts, lasts).stab_count(points))
    before = index.visited
    race("stab, RBTree", lambda: index.stab_count(points), items=points.size,
         pattern=f"stab_count of {points.size:,} points over {N:,} intervals", rounds=1, warmup=0)
    race.note(nodes_per_query=(index.visited - before) / points.size)


def sorted_peer(starts: np.ndarray, lasts: np.ndarray, new: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """sortedcontainers, if it is installed: the same intervals by start; the new ones in, then out."""
    try:
        from sortedcontainers import SortedKeyList
    except ImportError:
        return {}
    items = SortedKeyList(zip(starts.tolist(), lasts.tolist(), range(N), strict=True), key=lambda item: item[0])
    mine = list(zip(new.tolist(), (new + LENGTH).tolist(), values.tolist(), strict=True))

    def in_and_out() -> None:
        for item in mine:
            items.add(item)
        for item in mine:
            items.remove(item)

    return {"sortedcontainers": in_and_out}


@pytest.mark.parametrize("kind", [*KINDS, intervals.RBTree, intervals.List], ids=lambda kind: kind.__name__)
def bench_insert_delete(race: Race, kind: type[intervals.Index]) -> None:
    """One by one in effect: a batch of both in no order, into and out of a million."""
    starts, lasts, _ = population(1)
    index = kind(starts, lasts)
    batch = scaled(100_000)
    new = np.random.default_rng(3).integers(0, SPAN, batch).astype("i8")
    values = np.arange(batch) + N
    peers = sorted_peer(starts, lasts, new, values) if kind in KINDS else {}

    def ours() -> None:
        index.insert(new, new + LENGTH, values)
        index.remove(new, new + LENGTH, values)

    race(f"insert and delete, {kind.__name__}", ours, items=2 * batch, rate=True,
         pattern=f"insert of {batch:,} intervals among {N:,}, and remove of them; peer: SortedKeyList by start, add and"
                 " remove",
         peers=peers, targets={"P12": "sortedcontainers"} if peers else {}, rounds=3)
    index.check()
    assert len(index) == N


@pytest.mark.parametrize("what", ["insert", "remove", "mixed"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def bench_changes(race: Race, kind: type[intervals.Index], what: str) -> None:
    """Each alone; and a mix of half stabs, a quarter inserts and a quarter removes, in batches of sixteen."""
    starts, lasts, points = population(1)
    index = kind(starts, lasts)
    batch = scaled(100_000)
    new = np.random.default_rng(4).integers(0, SPAN, batch).astype("i8")
    values = np.arange(batch) + N
    insert = partial(index.insert, new, new + LENGTH, values)
    remove = partial(index.remove, new, new + LENGTH, values)

    def mixed() -> None:
        for at in range(0, batch, SOME_AT_ONCE):
            some = slice(at, at + SOME_AT_ONCE)
            index.insert(new[some], new[some] + LENGTH, values[some])
            index.stab_count(points[2 * at:2 * at + 2 * SOME_AT_ONCE])
            index.remove(new[some], new[some] + LENGTH, values[some])

    ours, prepare, items = {
        "insert": (insert, lambda: remove() if len(index) > N else None, batch),
        "remove": (remove, insert, batch),
        "mixed": (mixed, None, 4 * batch),
    }[what]
    race(f"{what}, {kind.__name__}", ours, items=items, prepare=prepare, rounds=3,
         pattern={"insert": f"{batch:,} intervals in one call, in no order, among {N:,}",
                  "remove": f"the same {batch:,}, out of {N:,}",
                  "mixed": f"calls of {SOME_AT_ONCE} inserts, {2 * SOME_AT_ONCE} stabs, {SOME_AT_ONCE} removes among"
                           f" {N:,}"}[what])
    index.check()
