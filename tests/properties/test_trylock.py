"""Trylocks that fail by a seed, as they do on a machine with many CPUs: reclaim and copy-on-write take their other
branches.

No call may fail because of it, no state become inconsistent and no content be lost.
"""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.properties.box import Box
from tests.properties.model import PAGE

import vmcore

MAP_PRIVATE_ANON = 0x22
KERNELS = tuple(vmcore.KERNELS)


class _Trylock265(Box):
    KERNELS = ("2.6.5",)
    OPTIONS = {"trylock_rate": 300, "trylock_seed": 7}


class _Trylock24(Box):
    KERNELS = ("2.4",)
    OPTIONS = {"trylock_rate": 300, "trylock_seed": 5}


class _TrylockAa1(Box):
    KERNELS = ("2.6.5-aa1",)
    OPTIONS = {"trylock_rate": 300, "trylock_seed": 11}


class _Trylock267(Box):
    KERNELS = ("2.6.7",)
    OPTIONS = {"trylock_rate": 300, "trylock_seed": 13}


class _TrylockTwins(Box):
    """The streams of failures differ between the kernels; what user space sees must not."""

    KERNELS = ("2.4", "2.6.5", "2.6.5-aa1")
    OPTIONS = {"trylock_rate": 100, "trylock_seed": 3}


Test265 = _Trylock265.TestCase
Test24 = _Trylock24.TestCase
TestAa1 = _TrylockAa1.TestCase
Test267 = _Trylock267.TestCase
TestTwins = _TrylockTwins.TestCase


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=10)
@given(rate=st.sampled_from((50, 300, 600)), seed=st.integers(1, 1 << 32))
def test_nothing_is_lost(kernel: str, rate: int, seed: int) -> None:
    """Parent and child write more than memory holds; each finds its own contents again."""
    m = vmcore.Machine(ram="8M", swap="16M", kernel=kernel, overcommit_memory=1, trylock_rate=rate, trylock_seed=seed)
    pages = 900
    parent = m.spawn("parent")
    a = parent.mmap(None, pages * PAGE, 3, MAP_PRIVATE_ANON)
    for i in range(pages):
        parent.write(a + i * PAGE, i + 1)
    child = parent.fork("child")
    for i in range(0, pages, 2):
        child.write(a + i * PAGE, 10_000 + i)
    m.check()
    assert m.vmstat()["pswpout"] > 0
    for i in range(pages):
        assert parent.read(a + i * PAGE) == i + 1
        assert child.read(a + i * PAGE) == (i + 1 if i % 2 else 10_000 + i)
    m.check(walk=100)
    child.exit()
    m.check()


@pytest.mark.parametrize("kernel", KERNELS)
def test_same_seed_same_machine(kernel: str) -> None:
    """Failures are drawn from the machine's own stream, so a run can be repeated."""
    seen = []
    for _ in range(2):
        m = vmcore.Machine(ram="8M", swap="8M", kernel=kernel, overcommit_memory=1, trylock_rate=200, trylock_seed=5)
        t = m.spawn("t")
        a = t.mmap(None, 1200 * PAGE, 3, MAP_PRIVATE_ANON)
        t.touch_range(a, 1200 * PAGE, write=True)
        t.touch_range(a, 1200 * PAGE, write=False)
        seen.append(m.vmstat())
    assert seen[0] == seen[1]
    assert seen[0]["rmap_trylock_fails"] > 0
