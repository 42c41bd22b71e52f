"""The scenarios' own random stream: splitmix64, as in the engine, so that a seed means the same on every Python."""

from collections.abc import Iterator, MutableSequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
MASK = (1 << 64) - 1


def splitmix64(seed: int) -> Iterator[int]:
    """Numbers of 64 bits."""
    state = seed & MASK
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def shuffled(items: MutableSequence[T], seed: int) -> MutableSequence[T]:
    """The items in a random order (Fisher and Yates), in place."""
    numbers = splitmix64(seed)
    for last in range(len(items) - 1, 0, -1):
        other = next(numbers) * (last + 1) >> 64
        items[last], items[other] = items[other], items[last]
    return items


def draws(seed: int, count: int, below: int) -> np.ndarray:
    """``count`` numbers from 0 to ``below`` - 1: the stream of splitmix64, as u64."""
    step = np.arange(1, count + 1, dtype="u8") * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed & MASK)
    z = (step ^ (step >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    if below < 1 << 32:
        return (z >> np.uint64(32)) * np.uint64(below) >> np.uint64(32)
    return z % np.uint64(below)
