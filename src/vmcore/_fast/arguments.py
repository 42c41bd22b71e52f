"""Arguments from outside, checked and converted: each function returns what the engine takes or says what was given."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from vmcore._fast.records import trace_t

_FIELDS = ("addr", "task", "op")

U64_MAX = (1 << 64) - 1
U32_MAX = (1 << 32) - 1


def integer(name: str, value: Any, least: int = 0, most: int = U64_MAX) -> int:
    """`value` as an int in least..most."""
    if type(value) is int and least <= value <= most:
        return value
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {_what(value)}") from None
    if not least <= number <= most:
        raise ValueError(f"{name} must be in {least}..{most}, not {number}")
    return number


def flag(name: str, value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name} must be a bool, not {_what(value)}")


def text(name: str, value: Any, most: int) -> bytes:
    """A name as bytes: not empty, no NUL, at most `most` bytes of UTF-8."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {_what(value)}")
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} {value!r} cannot be encoded as UTF-8") from None
    if not raw or b"\0" in raw or len(raw) > most:
        raise ValueError(f"{name} must have 1..{most} bytes and no NUL, {value!r} has {len(raw)}")
    return raw


def addresses(value: Any) -> int | np.ndarray:
    """One address as an int, or many as a contiguous array of u64."""
    if isinstance(value, (str, bytes, bool, np.bool_, float)) or value is None:
        raise TypeError(f"addresses must be an int or an array of unsigned 64-bit integers, not {_what(value)}")
    if hasattr(value, "__index__") and getattr(value, "ndim", 0) == 0:
        return integer("address", value)
    array = _integers("addresses", value)
    return array if isinstance(array, np.ndarray) else int(array)


def writes(value: Any, n: int) -> np.ndarray:
    """One bool each for n accesses."""
    array = np.asarray(value)
    if array.shape == (0,) and isinstance(value, (list, tuple)):
        array = array.astype(np.bool_)
    if array.dtype != np.bool_:
        raise TypeError(f"write must be a bool or a bool array, not {_what(value)}")
    if array.shape != (n,):
        raise ValueError(f"write has shape {array.shape}, addresses have shape ({n},)")
    return np.ascontiguousarray(array)


def trace(value: Any) -> np.ndarray:
    """A trace as a contiguous array of TRACE_DTYPE."""
    if not isinstance(value, np.ndarray) or value.dtype.names is None:
        raise TypeError(f"a trace must be a structured numpy array with the fields addr, task, op, not {_what(value)}")
    missing = [name for name in _FIELDS if name not in value.dtype.names]
    if missing:
        raise ValueError(f"a trace must have the fields addr, task, op; this one has {', '.join(value.dtype.names)}")
    if value.ndim != 1:
        raise ValueError(f"a trace must have one dimension, this one has shape {value.shape}")
    if value.dtype == trace_t:
        return np.ascontiguousarray(value)
    out = np.zeros(value.shape, trace_t)
    for name in _FIELDS:
        most = np.iinfo(trace_t[name]).max
        column = _integers(f"trace field {name}", value[name])
        if column.size and int(column.max()) > most:
            raise ValueError(
                f"trace field {name} must be in 0..{most}, record {int(column.argmax())} has {column.max()}"
            )
        out[name] = column
    return out


def _integers(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as e:
        raise ValueError(f"{name}: {e}") from None
    if array.size == 0 and not isinstance(value, np.ndarray):
        array = array.astype(np.uint64)  # an empty list has no integers to show its kind by
    if array.dtype.kind in "fO" and isinstance(value, (list, tuple)) and all(type(v) is int for v in value):
        # numpy has no common integer for a small and a very large one
        array = np.array([integer(f"{name}, item {i},", v) for i, v in enumerate(value)], np.uint64)
    if array.dtype.kind not in "ui":
        raise TypeError(f"{name} must be unsigned 64-bit integers, not {array.dtype} ({_what(value)})")
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not shape {array.shape}")
    if array.dtype.kind == "i" and array.size and int(array.min()) < 0:
        raise ValueError(f"{name} must not be negative, item {int(array.argmin())} is {array.min()}")
    return np.ascontiguousarray(array, np.uint64)


def _what(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with shape {value.shape}"
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 40 else shown[:37] + '...'}"
