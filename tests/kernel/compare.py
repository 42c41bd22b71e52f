"""The first difference between what Linux did and what vmcore did, in words to act on."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.kernel.script import PAGE, Op, dump, show_addr
from tests.kernel.state import Outcome, Page, Space, State, canonical, without_frames

# what is compared, in this order; a difference is of the first that differs
LEVELS = ("result", "vmas", "pages", "frames", "sizes", "faults")


@dataclass(frozen=True, slots=True)
class Step:
    """After one operation. state: canonical; None where nobody looked."""

    outcome: Outcome
    state: State | None


@dataclass(frozen=True)
class Difference:
    """Where two runs part. told: what differs, a line each."""

    number: int
    ops: tuple[Op, ...]
    level: str
    told: tuple[str, ...]
    linux: Step
    vmcore: Step

    @property
    def op(self) -> Op:
        return self.ops[self.number]

    def __str__(self) -> str:
        out = [f"operation {self.number}: {self.op}", f"{self.level} differs (left Linux, right vmcore)"]
        out += [f"  {line}" for line in self.told]
        out += ["", *side_by_side(self.linux.state or {}, self.vmcore.state or {})]
        out += ["", "the script:", *(f"  {line}" for line in dump(self.ops[: self.number + 1]).splitlines())]
        return "\n".join(out)


def difference(ops: Sequence[Op], number: int, linux: Step, vmcore: Step, levels: Iterable[str] = LEVELS,
               frames: bool = True) -> Difference | None:
    """None if they agree after operation `number`. frames: Linux showed frame numbers; else the zero page is not told
    from a page that others have too."""
    if not frames and linux.state is not None and vmcore.state is not None:
        linux, vmcore = (Step(s.outcome, without_frames(s.state or {})) for s in (linux, vmcore))
    for level in levels:
        if level == "result":
            told = _results(linux.outcome, vmcore.outcome)
        elif level == "faults":
            a, b = linux.outcome.faults, vmcore.outcome.faults
            told = [] if a == b else [f"faults (minor, major): {a} | {b}"]
        elif linux.state is None or vmcore.state is None:
            continue
        else:
            told = _states(level, linux.state, vmcore.state)
        if told:
            return Difference(number, tuple(ops), level, tuple(told), linux, vmcore)
    return None


def _results(a: Outcome, b: Outcome) -> list[str]:
    return [] if a[:2] == b[:2] else [f"{a} | {b}"]


def _states(level: str, a: State, b: State) -> list[str]:
    if a.keys() != b.keys():
        return [f"processes: {sorted(a)} | {sorted(b)}"]
    told: list[str] = []
    for proc in sorted(a):
        told += [f"p{proc}: {line}" for line in _SPACES[level](a[proc], b[proc])]
    return told


def _vmas(a: Space, b: Space) -> list[str]:
    if a.vmas == b.vmas:
        return []
    only = [f"only Linux: {v}" for v in a.vmas if v not in b.vmas]
    return only + [f"only vmcore: {v}" for v in b.vmas if v not in a.vmas]


def _sizes(a: Space, b: Space) -> list[str]:
    return [f"{name}: {a.sizes[name]} | {b.sizes[name]} pages" for name in a.sizes
            if name in b.sizes and a.sizes[name] != b.sizes[name]]


def _pages(a: Space, b: Space) -> list[str]:
    if {k: v[:2] for k, v in a.pages.items()} == {k: v[:2] for k, v in b.pages.items()}:
        return []
    return _runs(a, b, lambda page: str(page) if page else "absent")


def _frames(a: Space, b: Space) -> list[str]:
    if a.pages == b.pages:
        return []
    return _runs(a, b, lambda page: f"frame {page.frame}" if page else "absent")


def _runs(a: Space, b: Space, word) -> list[str]:
    """Places that differ, neighbours with the same difference together."""
    out: list[list] = []
    for addr in sorted(a.pages.keys() | b.pages.keys()):
        pair = (word(a.pages.get(addr)), word(b.pages.get(addr)))
        if pair[0] == pair[1]:
            continue
        if out and out[-1][1] == addr and out[-1][2] == pair:
            out[-1][1] = addr + PAGE
        else:
            out.append([addr, addr + PAGE, pair])
    return [f"{show_addr(start)}{'' if end == start + PAGE else '..' + show_addr(end - PAGE)}: {x} | {y}"
            for start, end, (x, y) in out]


_SPACES = {"vmas": _vmas, "sizes": _sizes, "pages": _pages, "frames": _frames}


def lines(space: Space) -> list[str]:
    """An address space, a line for each mapping and for each run of equal pages."""
    out = []
    for vma in space.vmas:
        out.append(str(vma))
        run: list = []
        for addr in [a for a in sorted(space.pages) if vma.start <= a < vma.end]:
            page = space.pages[addr]
            if run and run[1] == addr and str(run[2]) == str(page):
                run[1] = addr + PAGE
            else:
                if run:
                    out.append(_run(*run))
                run = [addr, addr + PAGE, page]
        if run:
            out.append(_run(*run))
    return out


def _run(start: int, end: int, page: Page) -> str:
    return f"  {show_addr(start)}{'' if end == start + PAGE else '..' + show_addr(end - PAGE)} {page}"


def side_by_side(a: State, b: State) -> list[str]:
    out = []
    for proc in sorted(a.keys() | b.keys()):
        left, right = (lines(s[proc]) if proc in s else ["(not there)"] for s in (a, b))
        width = max([len(x) for x in left] + [24])
        out.append(f"p{proc} {'Linux':<{width}} | vmcore")
        for i in range(max(len(left), len(right))):
            x, y = (side[i] if i < len(side) else "" for side in (left, right))
            out.append(f"   {x:<{width}} {' ' if x == y else '|'} {y}".rstrip())
    return out


def run(box, ops: Sequence[Op], states: bool = True) -> Iterable[Step]:
    """Do a script on one side, step by step."""
    for op in ops:
        outcome = box.do(op)
        yield Step(outcome, canonical(box.state()) if states else None)


def first_difference(ops: Sequence[Op], linux: Iterable[Step], vmcore: Iterable[Step],
                     levels: Iterable[str] = LEVELS, frames: bool = True) -> Difference | None:
    """Both sides, operation by operation; neither goes on after the first difference."""
    for i, (a, b) in enumerate(zip(linux, vmcore, strict=False)):
        found = difference(ops, i, a, b, levels, frames)
        if found is not None:
            return found
    return None
