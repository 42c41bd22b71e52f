"""libcachesim's LRU and Clock (PyPI) on page streams, in the form that it likes best.

That is a mapped oracleGeneral file (24 bytes a request), objects counted and not sized, default hash power, and C's
process_trace on the calling thread. It decides evictions only: no page tables, no swap, no reverse map.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

try:
    import libcachesim

    MISSING = None
except ImportError as error:
    MISSING = f"libcachesim is not importable: {error}"

REQUEST = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
LRU, CLOCK = NAMES = "libcachesim LRU", "libcachesim Clock"


class Cache:
    """A cache of so many pages, by one of its policies."""

    def __init__(self, name: str, capacity: int) -> None:
        self._cache = {LRU: libcachesim.LRU, CLOCK: libcachesim.Clock}[name](capacity)
        self.name = name
        self._reader: Any = None
        self.misses = 0.0

    @contextmanager
    def trace(self, pages: np.ndarray) -> Iterator[None]:
        """The stream that run() will process, as a file that lives as long as this block."""
        with tempfile.TemporaryDirectory(prefix="vmcore-bench-") as folder:
            path = Path(folder, "trace.oracleGeneral")
            requests = np.zeros(len(pages), REQUEST)
            requests["time"], requests["size"], requests["next"] = 1, 1, -1
            requests["id"] = pages
            requests["id"] += 1
            requests.tofile(path)
            form = libcachesim.TraceType.ORACLE_GENERAL_TRACE
            self._reader = libcachesim.TraceReader(str(path), form, libcachesim.ReaderInitParam(ignore_obj_size=True))
            try:
                yield
            finally:
                self._reader = None

    def run(self) -> None:
        """Every request of the stream."""
        self.misses, _ = self._cache.process_trace(self._reader)

    def warm_up(self, pages: np.ndarray) -> None:
        with self.trace(pages):
            self.run()
