"""Traces as .npy files: the array as numpy saves it."""

from __future__ import annotations

from tokenize import TokenError

import numpy as np
from numpy.lib.format import read_array

from vmcore._fast.arguments import trace


def read(path: str) -> np.ndarray:
    with open(path, "rb") as f:
        try:
            array = read_array(f, allow_pickle=False)
        except (ValueError, EOFError, OSError, SyntaxError, TokenError, KeyError, TypeError, OverflowError, MemoryError,
                RecursionError) as e:
            raise ValueError(f"{path}: not a .npy file, or truncated: {e}") from None
    try:
        return trace(array)
    except (TypeError, ValueError) as e:
        raise ValueError(f"{path}: {e}") from None


def write(path: str, records: np.ndarray) -> None:
    with open(path, "wb") as f:
        np.save(f, records, allow_pickle=False)
