"""Traces as .npy files: the array as numpy saves it."""

from __future__ import annotations

import numpy as np

from vmcore._fast.arguments import trace


def read(path: str) -> np.ndarray:
    with open(path, "rb") as f:
        try:
            array = np.load(f, allow_pickle=False)
        except (ValueError, EOFError, OSError, SyntaxError, KeyError, TypeError, OverflowError, MemoryError) as e:
            raise ValueError(f"{path}: not a .npy file, or truncated: {e}") from None
    try:
        return trace(array)
    except (TypeError, ValueError) as e:
        raise ValueError(f"{path}: {e}") from None


def write(path: str, records: np.ndarray) -> None:
    with open(path, "wb") as f:
        np.save(f, records, allow_pickle=False)
