"""Page streams: arrays of page numbers (i8), from the benchmarks' own splitmix64 (limits.pyx), never from numpy's."""

from functools import lru_cache

import numpy as np

from bench.build import load

limits = load()

PAGE = 4096
SKEW = 0.99         # of every zipf stream
UNIT = 1 << 40      # weight of the most frequent page in the zipf table
GUIDE_BITS = 20


def uniform(pages: int, count: int, seed: int) -> np.ndarray:
    """`count` pages out of `pages`, each as likely as any other."""
    out = np.empty(count, "i8")
    limits.uniform(out, pages, seed)
    return out


def permutation(pages: int, seed: int) -> np.ndarray:
    """Every page once, in random order."""
    out = np.empty(pages, "i8")
    limits.permutation(out, seed)
    return out


def sequential(pages: int) -> np.ndarray:
    """Every page once, in order."""
    return np.arange(pages, dtype="i8")


def zipf(pages: int, count: int, seed: int) -> np.ndarray:
    """`count` pages, the k-th most frequent one with weight k ** -0.99; which page has which rank is random."""
    table, guide, shift, page = _zipf_table(pages)
    out = np.empty(count, "i8")
    limits.from_table(out, table, guide, shift, seed)
    return page[out]


@lru_cache(maxsize=1)
def _zipf_table(pages: int) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    weights = np.floor(UNIT * np.arange(1, pages + 1, dtype="f8") ** -SKEW).astype("u8")
    table = np.cumsum(weights, dtype="u8")
    shift = max(int(table[-1]).bit_length() - GUIDE_BITS, 0)
    starts = np.arange((int(table[-1]) >> shift) + 2, dtype="u8") << np.uint64(shift)
    guide = np.minimum(np.searchsorted(table, starts, side="right"), pages - 1).astype("i8")
    return table, guide, shift, permutation(pages, seed=0x21FF)


def addresses(start: int, pages: np.ndarray) -> np.ndarray:
    """Their addresses (u8) in a mapping at `start`."""
    return np.uint64(start) + pages.astype("u8") * np.uint64(PAGE)
