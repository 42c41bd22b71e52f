"""Traces: streams of accesses of many tasks, for Machine.run(). One module a format; the suffix of a file's name
chooses.

A trace is a numpy array of TRACE_DTYPE: addr (u8), task (u4, Task.pid), op (u1: 0 read, 1 write), 3 bytes of padding.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import numpy as np

from vmcore._fast.arguments import addresses, trace
from vmcore._fast.records import trace_t as TRACE_DTYPE

__all__ = ["FORMATS", "TRACE_DTYPE", "make", "read", "write"]

FORMATS = {".npy": "vmcore.trace.npy", ".csv": "vmcore.trace.csv"}


def make(addr: Any, task: Any, op: Any = 0) -> np.ndarray:
    """A trace from columns: addresses, and one task and op for all or one each."""
    column = addresses(addr)
    out = np.zeros(np.size(column), TRACE_DTYPE)
    out["addr"] = column
    for name, value, most in (("task", task, 0xFFFFFFFF), ("op", op, 1)):
        array = np.asarray(value)
        if array.dtype.kind not in "uib":
            raise TypeError(f"{name} must be integers, not {array.dtype}")
        if array.size and not 0 <= int(array.min()) <= int(array.max()) <= most:
            raise ValueError(f"{name} must be in 0..{most}, not {array.min()}..{array.max()}")
        if array.shape not in ((), out.shape):
            raise ValueError(f"{name} has shape {array.shape}, addr has shape {out.shape}")
        out[name] = array
    return out


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """The trace in a file. ValueError says what is wrong with it, and where."""
    out: np.ndarray = _format(path).read(os.fspath(path))
    return out


def write(path: str | os.PathLike[str], records: np.ndarray) -> None:
    """Write a trace to a file."""
    _format(path).write(os.fspath(path), trace(records))


def _format(path: str | os.PathLike[str]) -> Any:
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in FORMATS:
        raise ValueError(f"{os.fspath(path)}: a trace's name must end in {' or '.join(FORMATS)}")
    return import_module(FORMATS[suffix])
