"""One measurement: ours and its peers in turn, round by round, on one thread and one clock.

A round is: prepare (not timed), each peer, ours. Ours is timed by pytest-benchmark, peers by the same clock, in the
setup that precedes each round of ours. A ratio is that of the medians; its spread is that of the rounds.
"""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from bench.boxes import grown

Action = Callable[[], object]


class Race:
    """The fixture `race`; call it once in a test."""

    def __init__(self, benchmark: Any) -> None:
        self.benchmark = benchmark
        self.counters: dict[str, int] = {}      # growth of vmstat over the last round of ours
        self.history: list[dict[str, int]] = []     # the same of every round, warm-up included

    def __call__(
        self,
        path: str,
        ours: Action,
        *,
        pattern: str,
        items: int,
        peers: Mapping[str, Action] | None = None,
        targets: Mapping[str, str] | None = None,
        rate: bool = False,
        unit: str = "ns",
        kernel: str | None = None,
        prepare: Action | None = None,
        vmstat: Callable[[], dict[str, int]] | None = None,
        rounds: int = 7,
        warmup: int = 1,
        clock: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        """Measure `ours` per item beside each of `peers`.

        targets: id in targets.py -> name of the peer that it is measured against. rate: the ratio is peer / ours.
        """
        peers = peers or {}
        times: dict[str, list[int]] = {name: [] for name in peers}
        before: dict[str, int] = {}

        def count() -> None:
            if before and vmstat is not None:
                self.counters = grown(vmstat(), before)
                self.history.append(self.counters)

        def setup() -> None:
            count()
            if prepare is not None:
                prepare()
            for name, peer in peers.items():
                begin = clock()
                peer()
                times[name].append(clock() - begin)
            if vmstat is not None:
                before.update(vmstat())

        self.benchmark.pedantic(ours, setup=setup, rounds=rounds, warmup_rounds=warmup, iterations=1)
        count()
        measured = [t * 1e9 / items for t in self.benchmark.stats.stats.data]
        self.benchmark.extra_info.update(
            path=path,
            pattern=pattern,
            kernel=kernel,
            items=items,
            unit=unit,
            rate=rate,
            ours=figure(measured),
            peers={name: figure([t / items for t in taken[-rounds:]]) for name, taken in times.items()},
            targets=dict(targets or {}),
            counters=self.counters,
        )

    def also(self, path: str, *, unit: str, ours: float, against: str, peer: float, pattern: str, target: str) -> None:
        """A further figure of the same run, with a target of its own."""
        info = self.benchmark.extra_info
        info.setdefault("also", []).append(
            {"path": path, "pattern": pattern, "kernel": info["kernel"], "unit": unit, "rate": False,
             "ours": figure([ours]), "peers": {against: figure([peer])}, "targets": {target: against}})

    def note(self, **facts: object) -> None:
        """Facts beside the figures."""
        self.benchmark.extra_info.setdefault("notes", {}).update(facts)


def figure(values: list[float]) -> dict[str, Any]:
    """The median of some rounds, and the rounds."""
    return {"median": median(values), "rounds": values}
