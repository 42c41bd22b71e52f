"""Machines for the benchmarks: one task with one anonymous mapping, host memory behind all pools touched beforehand."""

from collections.abc import Mapping

import numpy as np

import vmcore
import vmcore.designs
from bench.streams import PAGE
from vmcore import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE
from vmcore._fast.records import PG_SWAPCACHE

GIB = (1 << 30) // PAGE      # pages


class Box:
    """A machine, a task, and a mapping of `pages` pages at `start`."""

    def __init__(self, kernel: str, ram: int, swap: int, pages: int, **tunables: int) -> None:
        self.kernel = kernel
        # 1: fork and mmap are never refused for what might be written later
        self.machine = vmcore.Machine(ram=ram * PAGE, swap=swap * PAGE, kernel=kernel, arch="x86_64",
                                      overcommit_memory=1, **tunables)
        self.task = self.machine.spawn("bench")
        self.pages = pages
        self.start = map_anonymous(self.task, pages)

    @property
    def length(self) -> int:
        return self.pages * PAGE

    def fill(self) -> None:
        """Write every page once, in order."""
        self.task.touch_range(self.start, self.length, write=True)

    def remap(self) -> None:
        """The mapping goes with all its pages, and a new one of the same size comes."""
        self.task.munmap(self.start, self.length)
        self.start = map_anonymous(self.task, self.pages)

    def prefault(self) -> None:
        """First touch of everything and munmap: the host has then committed the pools that the pages need."""
        self.fill()
        self.remap()

    def vmstat(self) -> dict[str, int]:
        return self.machine.vmstat()

    def held_frames(self) -> int:
        """Frames that hold the task's pages: mapped ones, and those in the swap cache only."""
        here = self.task.pagemap(self.start, self.length)
        frames = self.machine.frames
        cached = (frames["flags"] & PG_SWAPCACHE) != 0
        cached[here["frame"][here["present"]]] = False
        return int(np.count_nonzero(here["present"])) + int(np.count_nonzero(cached))


def map_anonymous(task: vmcore.Task, pages: int) -> int:
    return task.mmap(None, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)


def grown(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """What changed from one vmstat to the next."""
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def designs() -> dict[str, str]:
    """The first kernel of each design of the reverse map, by what the design is."""
    out: dict[str, str] = {}
    for name, kernel in vmcore.KERNELS.items():
        if "x86_64" in kernel.archs and not name.startswith(("lazy", "cow")):
            rules = kernel.rules("x86_64")
            tree = " in trees" if rules["avc_tree"] else ""
            out.setdefault(kernel.rmap + tree, name)
    return out


def rmap_lookups(box: Box) -> int:
    """Pages whose ptes the reverse map was asked for; where there is none, ptes that the walk of all mms looked at."""
    finds = vmcore.designs.RMAP[vmcore.KERNELS[box.kernel].rmap].finds_pages
    return box.vmstat()["rmap_pages_walked" if finds else "rmap_ptes_examined"]
