"""Where the regions of a steps scenario lie: one behind the other, a page apart, the same in every task."""

from collections.abc import Iterable
from typing import Any

from .model import PAGE_SIZE
from .steps import Map


class Layout:
    """Addresses of regions, and the pages of files that are mapped."""

    def __init__(self, steps: Iterable[Any], base: int, gap: int = 1) -> None:
        self._gap = gap * PAGE_SIZE
        self._next = self._base = base
        self._specs: dict[str, Map] = {}
        self._bases: dict[str, int] = {}
        self._files: dict[str, int] = {}
        for step in steps:
            if not isinstance(step, Map):
                continue
            if step.region not in self._specs:
                self._specs[step.region] = step
                self.move(step.region)
            if step.file:
                last = max(step.offset(0), step.offset(step.count - 1)) + step.window
                self._files[step.file] = max(self._files.get(step.file, 0), last)

    def spec(self, region: str) -> Map:
        """The step that mapped it first."""
        return self._specs[region]

    def base(self, region: str) -> int:
        return self._bases[region]

    def end(self, region: str) -> int:
        spec = self._specs[region]
        return self._bases[region] + spec.count * spec.window * PAGE_SIZE

    def move(self, region: str) -> int:
        """A new place for a region; returns its address."""
        self._bases[region] = self._next
        self._next = self.end(region) + self._gap
        return self._bases[region]

    @property
    def length(self) -> int:
        """Bytes from the first region to behind the last one."""
        return self._next - self._base

    def file_pages(self, name: str) -> int:
        """Pages of a file up to the last one mapped."""
        return self._files.get(name, 0)
