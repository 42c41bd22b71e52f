"""What can be seen of address spaces after an operation, in the same words for Linux and for vmcore."""
from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tests.kernel.script import OWN, PAGE, show_addr

# VmFlags of smaps, by bit of vm_flags, in their order. Left out: sd, which needs CONFIG_MEM_SOFT_DIRTY
LETTERS = {
    0: "rd", 1: "wr", 2: "ex", 3: "sh", 4: "mr", 5: "mw", 6: "me", 7: "ms", 8: "gd", 10: "pf", 11: "gu", 13: "lo",
    14: "io", 15: "sr", 16: "rr", 17: "dc", 18: "de", 19: "lf", 20: "ac", 21: "nr", 22: "ht", 23: "sf",
    25: "wf", 26: "dd", 28: "mm", 29: "hg", 30: "nh", 31: "mg", 24: "dp",       # the last is bit 40 there
}
SHOWN = frozenset(LETTERS.values())


class Outcome(NamedTuple):
    """What an operation did to its caller."""

    kind: str                   # ok, errno, signal, skipped (no such process or file); of vmcore also missing, raised
    value: Any = None           # result; errno; (signal, code, address)
    faults: tuple[int, int] = (0, 0)    # minor and major, of the process that did it

    def __str__(self) -> str:
        import errno
        import signal
        if self.kind == "errno":
            return errno.errorcode.get(self.value, str(self.value))
        if self.kind == "signal":
            number, code, addr = self.value
            return f"{signal.Signals(number).name} code {code} at {show_addr(addr)}"
        if self.kind == "ok":
            return show_addr(self.value) if type(self.value) is int and self.value > 0xFFFF else str(self.value)
        return self.kind if self.value is None else f"{self.kind}: {self.value}"


@dataclass(frozen=True, slots=True)
class Vma:
    start: int
    end: int
    perms: str
    flags: str                  # letters of VmFlags, in the order of their bits
    offset: int                 # bytes; 0 for private anonymous memory, where Linux does not show it
    file: Hashable              # its name in the script; shm0, shm1, ... for shared anonymous memory; None

    def __str__(self) -> str:
        where = f" {self.file}+{self.offset // PAGE}p" if self.file is not None else ""
        return f"{show_addr(self.start)}-{show_addr(self.end)} {self.perms} {self.flags}{where}"


class Page(NamedTuple):
    """A page that is not absent."""

    kind: str                   # zero, anon, file, guard, swap
    once: bool                  # mapped exactly once (bit 56 of pagemap)
    frame: int                  # its frame: number of Linux or vmcore; after canonical() the n-th frame that one meets

    def __str__(self) -> str:
        return f"{self.kind}{'' if self.once or self.kind in ('zero', 'guard', 'swap') else ' shared'}"


@dataclass(frozen=True, slots=True)
class Space:
    """One process."""

    vmas: tuple[Vma, ...]
    pages: dict[int, Page] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)     # pages, by the names of /proc/PID/status


State = dict[int, Space]        # by number of the process


def canonical(state: State) -> State:
    """The same state with frames and unnamed files numbered by first appearance, so that two can be compared."""
    frames: dict[int, int] = {}
    files: dict[Hashable, str] = {}
    out: State = {}
    for proc in sorted(state):
        space = state[proc]
        vmas = tuple(
            replace(v, file=files.setdefault(v.file, f"shm{len(files)}")) if isinstance(v.file, tuple) else v
            for v in space.vmas
        )
        pages = {}
        for addr in sorted(space.pages):
            page = space.pages[addr]
            number = 0 if page.kind in ("zero", "guard", "swap") else frames.setdefault(page.frame, len(frames))
            pages[addr] = page._replace(frame=number)
        out[proc] = Space(vmas, pages, space.sizes)
    return out


def without_frames(state: State) -> State:
    """As it would be seen without the right to frame numbers."""
    def seen(page: Page) -> Page:
        return Page("anon", False, 0) if page.kind == "zero" else page._replace(frame=0)

    return {proc: replace(space, pages={addr: seen(page) for addr, page in space.pages.items()})
            for proc, space in state.items()}


def outside(start: int, end: int) -> bool:
    """Of the runner's own image."""
    return end <= OWN[0] or start >= OWN[1]
