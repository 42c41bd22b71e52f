"""The LRU lists (chunks of frame numbers with tombstones) against a literal list: same order after every operation."""
from __future__ import annotations

import random

import pytest

from vmcore._fast.lru import _py_Lru

FRAMES = 9000
CHUNK = 1020        # LRU_SLOTS


def check(lru: _py_Lru, model: list[int]) -> None:
    """model: tail first."""
    assert lru.order() == model
    nr, chunks, live, bug = lru.state()
    assert nr == len(model)
    assert chunks == live
    assert chunks * CHUNK <= 2 * nr + 6 * CHUNK, "a list under half alive is compacted"
    assert bug == 0


def test_both_ends_grow():
    lru = _py_Lru(FRAMES)
    model: list[int] = []
    for pfn in range(1, 3001):
        if pfn % 3:
            lru.add_head(pfn)
            model.append(pfn)
        else:
            lru.add_tail(pfn)
            model.insert(0, pfn)
    check(lru, model)
    for pfn in list(model):
        lru.delete(pfn)
    check(lru, [])
    assert lru.state()[2] == 0, "an empty list holds no chunk"


def test_removal_from_the_middle_compacts():
    lru = _py_Lru(FRAMES)
    for pfn in range(1, FRAMES + 1):
        lru.add_head(pfn)
    kept = [pfn for pfn in range(1, FRAMES + 1) if pfn % 10 == 0]
    for pfn in range(1, FRAMES + 1):
        if pfn % 10:
            lru.delete(pfn)
    check(lru, kept)
    assert lru.state()[1] < 9000 // CHUNK


def test_isolate_takes_the_oldest_and_putback_keeps_order():
    lru = _py_Lru(FRAMES)
    for pfn in range(1, 2101):
        lru.add_head(pfn)
    lru.delete(3)
    taken = lru.isolate(32)
    assert taken == [1, 2, *range(4, 34)]
    lru.putback(taken)
    check(lru, [*range(34, 2101), *taken])


@pytest.mark.parametrize("seed", range(4))
def test_random_operations(seed: int):
    draw = random.Random(seed)
    lru = _py_Lru(FRAMES)
    model: list[int] = []
    free = list(range(1, FRAMES + 1))
    draw.shuffle(free)
    for phase in range(6):
        growing = phase % 2 == 0
        for _ in range(2500):
            what = draw.random()
            if free and what < (0.7 if growing else 0.15):
                pfn = free.pop()
                if draw.random() < 0.8:
                    lru.add_head(pfn)
                    model.append(pfn)
                else:
                    lru.add_tail(pfn)
                    model.insert(0, pfn)
            elif model and what < 0.95:
                pfn = model.pop(draw.randrange(len(model)))
                lru.delete(pfn)
                free.insert(0, pfn)
            elif model:
                n = draw.randrange(1, 33)
                taken = lru.isolate(n)
                assert taken == model[:n]
                lru.putback(taken)
                model = model[len(taken):] + taken
        check(lru, model)
