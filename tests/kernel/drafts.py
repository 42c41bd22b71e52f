"""From drawn numbers to a script that hits something.

Hypothesis draws drafts: operations whose process is "the n-th that lives" and whose addresses may be "the n-th page
that is mapped". The writer keeps an idea of what is mapped, no more: whether a call really succeeds is Linux's to say.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tests.kernel.script import HEAP, MAP, PAGE, TOP, WINDOW, Op

MOST_PROCESSES = 5
MOST_PAGES = 256        # of one mapping that are remembered


class At(NamedTuple):
    """An address that depends on what is mapped."""

    how: str            # mapped: the n-th mapped page; below: `far` pages under the n-th mapped range
    n: int
    odd: int = 0        # bytes behind it
    far: int = 0


class Draft(NamedTuple):
    """An operation of the n-th process that lives."""

    proc: int
    name: str
    args: tuple


class _Idea:
    """What one process has mapped, about."""

    def __init__(self, pages: set[int] = frozenset(), brk: int = HEAP) -> None:
        self.pages = set(pages)
        self.brk = brk

    def range(self, addr: int, length: int) -> set[int]:
        first = addr // PAGE
        return set(range(first, first + min(-(-length // PAGE), MOST_PAGES)))

    def find(self, at: At) -> int:
        pages = sorted(self.pages)
        if not pages:
            return WINDOW + at.n % 24 * PAGE + at.odd
        if at.how == "below":
            starts = [p for p in pages if p - 1 not in self.pages]
            return (starts[at.n % len(starts)] - at.far) * PAGE + at.odd
        return pages[at.n % len(pages)] * PAGE + at.odd


class Writer:
    """Writes the operations of drafts, and takes note of what they map."""

    def __init__(self) -> None:
        self.alive = {0: _Idea()}
        self.born = 1
        self.limited = False
        self.ops: list[Op] = []

    def write(self, draft: Draft) -> None:
        numbers = sorted(self.alive)
        proc = numbers[draft.proc % len(numbers)]
        idea = self.alive[proc]
        args = tuple(idea.find(a) % (1 << 64) if isinstance(a, At) else a for a in draft.args)
        if draft.name == "fork":
            if self.born >= MOST_PROCESSES:
                return
            self.alive[self.born] = _Idea(idea.pages, idea.brk)
            self.born += 1
        elif draft.name == "exec" and self.limited:
            return                      # the runner itself may not fit any more
        elif draft.name == "exit":
            if len(self.alive) == 1:
                return
            del self.alive[proc]
        else:
            self.limited |= draft.name == "setrlimit"
            self.note(idea, draft.name, args)
        self.ops.append(Op(proc, draft.name, args))

    def note(self, idea: _Idea, name: str, args: tuple) -> None:
        if name == "mmap":
            self.mmap(idea, *args[:4])
        elif name == "munmap" and args[0] % PAGE == 0:
            idea.pages -= idea.range(*args)
        elif name == "mremap":
            addr, old, new, flags, to = args
            if flags & 2 and to % PAGE == 0:
                idea.pages -= idea.range(addr, old)
                idea.pages |= idea.range(to, new)
            elif new < old:
                idea.pages -= idea.range(addr + new, old - new)
        elif name == "brk" and args[0] >= HEAP:
            idea.pages -= idea.range(HEAP, idea.brk - HEAP)
            idea.brk = args[0]
            idea.pages |= idea.range(HEAP, idea.brk - HEAP)
        elif name == "exec":
            idea.pages.clear()
            idea.brk = HEAP

    def mmap(self, idea: _Idea, addr: int, length: int, prot: int, flags: int) -> None:
        if length == 0 or length > MOST_PAGES * PAGE or addr > TOP:
            return
        if flags & MAP["fixed"]:
            if addr % PAGE:
                return
        elif idea.range(addr, length) & idea.pages or not addr:
            addr = TOP - length
            while idea.range(addr, length) & idea.pages:
                addr -= PAGE
        idea.pages |= idea.range(addr, length)


def written(drafts: Iterable[Draft]) -> list[Op]:
    writer = Writer()
    for draft in drafts:
        writer.write(draft)
    return writer.ops
