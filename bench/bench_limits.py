"""Limits of this host: what no simulation can beat, in C and in numpy (performance-targets section 1)."""

import numpy as np
import pytest

from bench import scaled, streams
from bench.race import Race
from bench.streams import limits

pytestmark = pytest.mark.benchmark(group="limits")
ITEMS = scaled(1 << 22)
MASK = np.uint64(0x60)      # accessed and dirty
WORDS = 8                   # of a 32-byte record


@pytest.mark.parametrize("pattern", ["uniform", "zipf", "sequential"])
def bench_gather_or(race: Race, pattern: str) -> None:
    make = {"uniform": lambda: streams.uniform(ITEMS, ITEMS, 1), "zipf": lambda: streams.zipf(ITEMS, ITEMS, 2),
            "sequential": lambda: streams.sequential(ITEMS)}[pattern]
    index, a, b = make(), np.ones(ITEMS, "u8"), np.ones(ITEMS, "u8")

    def in_numpy() -> None:
        b[index] |= MASK

    race("numpy a[ix] |= m", in_numpy, peers={"C gather-or": lambda: limits.gather_or(a, index, MASK)}, items=ITEMS,
         pattern=f"{ITEMS:,} u64, {pattern} index array of i64")


def bench_sequential_or(race: Race) -> None:
    a, b = np.ones(ITEMS, "u8"), np.ones(ITEMS, "u8")
    race("numpy a |= m", lambda: np.bitwise_or(b, MASK, out=b),
         peers={"C sequential or": lambda: limits.sequential_or(a, MASK)}, items=ITEMS,
         pattern=f"{ITEMS:,} u64 in order, no index")


def bench_memcpy(race: Race) -> None:
    n = max(ITEMS // 2, 1)
    a, b = np.ones(n, "u8"), np.zeros(n, "u8")
    race("numpy copyto", lambda: np.copyto(b, a), peers={"memcpy": lambda: limits.copy(b, a)}, items=n,
         pattern=f"{n:,} u64 in order")


def bench_chase(race: Race) -> None:
    order = streams.permutation(ITEMS, 3)
    scattered, ordered = np.zeros((ITEMS, WORDS), "u4"), np.zeros((ITEMS, WORDS), "u4")
    scattered[order, 0] = np.roll(order, -1)
    ordered[:, 0] = np.roll(np.arange(ITEMS), -1)
    starts = order[:: max(ITEMS // 8, 1)][:8].astype("u4")
    hops = max(ITEMS // 8, 8)
    race("pointer chase, dependent", lambda: limits.chase(scattered, int(starts[0]), hops), items=hops,
         pattern=f"{ITEMS:,} records of 32 bytes, {hops:,} hops in random order; beside it eight chases at once, and in"
                 " order",
         peers={"eight at once": lambda: limits.chase8(scattered, starts, hops),
                "in order": lambda: limits.chase(ordered, 0, hops)}, rounds=5)
