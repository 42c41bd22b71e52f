"""vmcore.intervals beside its peers: batches of stabs (P11), insert and delete (P12), at a million intervals.

The peers of P11 are static: they are built once and never change. Starts are uniform over 2^30 and lengths such that a
point is covered by one interval in the mean, or by sixteen; queries are uniform and in no order. All answers are
compared before anything is timed. Each figure is one call over all queries.
"""
from __future__ import annotations

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
SOME = 20_000       # queries of the rbtree, which looks at half a million nodes for each; ... // 1000 are asked


def population(hits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts and lasts of N intervals, and N points; a point is covered by `hits` intervals in the mean."""
    rng = np.random.default_rng(hits)
    starts = rng.integers(0, SPAN, N).astype("i8")
    lasts = starts + rng.integers(0, max(2 * hits * SPAN // N, 1), N)
    return starts, lasts, rng.integers(0, SPAN, N).astype("i8")


def static_peers(starts: np.ndarray, lasts: np.ndarray, points: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """The peers that are installed, each shown to give the same answers."""
    peers = {}
    try:
        from ncls import NCLS
        index = NCLS(starts, lasts + 1, np.arange(N))
        ids = np.arange(N)
        ends = points + 1
        found, _ = index.all_overlaps_both(points, ends, ids)
        assert np.array_equal(np.bincount(found, minlength=N), expected)
        peers["ncls"] = lambda: index.all_overlaps_both(points, ends, ids)
    except ImportError:
        pass
    try:
        from superintervals import IntervalMap
        narrow = [a.astype("i4") for a in (starts, lasts, points)]
        other = IntervalMap.from_arrays(narrow[0], narrow[1])
        other.build()
        assert np.array_equal(np.asarray(other.count_batch(narrow[2], narrow[2])), expected)
        peers["superintervals"] = lambda: other.count_batch(narrow[2], narrow[2])
    except ImportError:
        pass
    return peers


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
    peers = static_peers(starts, lasts, points, expected)
    before = index.visited
    race(f"stab, {hits} hits, {kind.__name__}", lambda: index.stab_count(points), items=N,
         pattern=f"stab_count of {N:,} points over {N:,} intervals, uniform, {hits} hits in the mean; peers: ncls"
                 " all_overlaps_both, superintervals count_batch, both static",
         peers=peers, rounds=5)
    race.note(nodes_per_query=(index.visited - before) / (6 * N), bytes_per_interval=index.nbytes / N)
    better = fastest(race)
    if better is not None and hits == 1:
        race.benchmark.extra_info["targets"] = {"P11" if kind is intervals.BTree else "P11 trees": better}


def bench_stab_values(race: Race) -> None:
    starts, lasts, points = population(1)
    index = intervals.BTree(starts, lasts)
    expected = index.stab_count(points)
    peers = static_peers(starts, lasts, points, expected)
    peers.pop("superintervals", None)       # its batch counts
    offsets, _ = index.stab(points)
    assert np.array_equal(np.diff(offsets), expected)
    race("stab with values, BTree", lambda: index.stab(points), items=N,
         pattern=f"stab of {N:,} points over {N:,} intervals, one hit in the mean: offsets and values", peers=peers,
         rounds=5)


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


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def bench_insert_delete(race: Race, kind: type[intervals.Index]) -> None:
    """One by one in effect: a batch of both in no order, into and out of a million."""
    starts, lasts, _ = population(1)
    index = kind(starts, lasts)
    batch = scaled(100_000)
    rng = np.random.default_rng(3)
    new = rng.integers(0, SPAN, batch).astype("i8")
    values = np.arange(batch) + N
    peers = {}
    try:
        from sortedcontainers import SortedKeyList
        items = SortedKeyList(zip(starts.tolist(), lasts.tolist(), range(N), strict=True), key=lambda item: item[0])
        mine = list(zip(new.tolist(), (new + 100).tolist(), values.tolist(), strict=True))

        def in_and_out() -> None:
            for item in mine:
                items.add(item)
            for item in mine:
                items.remove(item)

        peers["sortedcontainers"] = in_and_out
    except ImportError:
        pass

    def ours() -> None:
        index.insert(new, new + 100, values)
        index.remove(new, new + 100, values)

    race(f"insert and delete, {kind.__name__}", ours, items=2 * batch, rate=True,
         pattern=f"insert of {batch:,} intervals among {N:,}, and remove of them; peer: SortedKeyList by start, add and"
                 " remove",
         peers=peers, targets={"P12": "sortedcontainers"} if peers else {}, rounds=3)
    index.check()
    assert len(index) == N
