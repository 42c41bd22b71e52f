"""Carries the steps of a scenario out on a machine. What each step means stands in ``steps.py``."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from errno import EINVAL, ENOSYS
from typing import Any

import numpy as np

import vmcore
from vmcore import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    RLIM_INFINITY,
    RLIMIT_MEMLOCK,
)

from .layout import Layout
from .model import PAGE_SIZE
from .runner import CannotRun, Result, Run
from .splitmix import draws
from .steps import (
    Exit,
    Fork,
    Grow,
    Lock,
    Map,
    Move,
    Protect,
    Reclaim,
    Scatter,
    Spawn,
    StepsScenario,
    Touch,
    Unmap,
)

PROT = {"none": PROT_NONE, "r": PROT_READ, "rw": PROT_READ | PROT_WRITE}
BATCH = 1 << 16             # touches in one call, so that progress is seen
MREMAP_MAYMOVE_FIXED = 3
TASK_NAME = 31              # bytes


class Script:
    """One run of the steps."""

    def __init__(self, scenario: StepsScenario, run: Run) -> None:
        self.scenario = scenario
        self.run = run
        self.groups: dict[str, list[Any]] = defaultdict(list)
        rules = run.machine.kernel.rules(scenario.arch)
        self.layout = Layout(scenario.steps, rules["unmapped_base"])
        self.chosen: dict[tuple[str, int], list[int]] = {}      # (region, pid): its windows, where not all are mapped
        self.files: dict[str, Any] = {}
        self.step = 0

    def drive(self) -> Result:
        run = self.run
        run.phase("files")
        for spec in self.scenario.files:
            pages = max(self.layout.file_pages(spec.name), -(-spec.size // PAGE_SIZE), 1)
            make = run.machine.tmpfs if spec.kind == "tmpfs" else run.machine.open
            self.files[spec.name] = run.call(make, spec.name, size=pages * PAGE_SIZE)
            if spec.cached:
                self.read(self.files[spec.name], pages)
        for number, step in enumerate(self.scenario.steps):
            self.step = number
            if run.phase_name != step.label:
                run.phase(step.label)
            self.progress(step.label, 0.0)
            ACTIONS[type(step)](self, step)
        run.end_phase()
        state = run.snapshot()
        run.check()
        killed = state["tasks"]["killed"]
        if killed:
            run.extra["killed"] = sorted({str(task.name) for task in run.tasks if task.killed_by})
            if self.scenario.kills == "problem":
                some = run.extra["killed"][:8]
                more = ", ..." if len(run.extra["killed"]) > len(some) else ""
                run.problems.append(f"the OOM killer acted: {killed} killed ({', '.join(some)}{more})")
        run.phase("exit")
        for task in run.tasks:
            if task.alive:
                run.call(task.exit)
        return state

    # ---- helpers

    def progress(self, label: str, share: float) -> None:
        self.run.progress(label, (self.step + share) / len(self.scenario.steps))

    def attempt(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A call that may find its task killed, by this call or before: None then. A call that this kernel does not
        have ends the run."""
        try:
            return self.run.call(function, *args, **kwargs)
        except (vmcore.TaskKilled, ProcessLookupError):
            return None
        except OSError as error:
            if error.errno == ENOSYS:
                raise CannotRun(str(error)) from None
            raise

    def alive(self, who: str, label: str) -> Iterator[Any]:
        """The living tasks of a group."""
        group = self.groups[who]
        for done, task in enumerate(list(group)):
            self.progress(label, done / len(group))
            if task.alive:
                yield task

    def read(self, file: Any, pages: int) -> None:
        """Through a task that maps it for a moment."""
        run = self.run
        task = run.call(run.machine.spawn, "reader")
        address = run.call(task.mmap, None, pages * PAGE_SIZE, PROT_READ, MAP_SHARED, file, 0)
        run.call(task.touch_range, address, pages * PAGE_SIZE, write=False)
        run.call(task.exit)

    def new(self, who: str, task: Any) -> None:
        self.groups[who].append(task)
        self.run.tasks.append(task)

    def windows(self, region: str, task: Any) -> list[int] | None:
        """The windows that a task maps; None: all."""
        return self.chosen.get((region, task.pid))

    def runs(self, region: str, task: Any, pages: int) -> Iterable[tuple[int, int]]:
        """(address, bytes) of the first ``pages`` pages of the region that a task maps, as few pieces as there are."""
        windows = self.windows(region, task)
        base, spec = self.layout.base(region), self.layout.spec(region)
        if windows is None:
            return [(base, pages * PAGE_SIZE)]
        size = spec.window
        return [(base + w * size * PAGE_SIZE, min(size, pages - i * size) * PAGE_SIZE)
                for i, w in enumerate(windows) if i * size < pages]

    def mapped_pages(self, region: str, task: Any) -> int:
        spec, windows = self.layout.spec(region), self.windows(region, task)
        return spec.window * (spec.count if windows is None else len(windows))

    # ---- steps

    def spawn(self, step: Spawn) -> None:
        for number in range(step.count):
            task = self.run.call(self.run.machine.spawn, name_of(step.who, number))
            self.run.call(task.setrlimit, RLIMIT_MEMLOCK, RLIM_INFINITY)
            self.new(step.who, task)

    def fork(self, step: Fork) -> None:
        for _ in range(step.rounds):
            for parent in self.alive(step.who, step.label):
                for _ in range(step.times):
                    child = self.attempt(parent.fork, name_of(step.into, len(self.groups[step.into])))
                    if child is None:
                        break
                    self.new(step.into, child)
                    for (region, pid), windows in list(self.chosen.items()):
                        if pid == parent.pid:
                            self.chosen[region, child.pid] = windows

    def map(self, step: Map) -> None:
        flags = (MAP_SHARED if step.shared else MAP_PRIVATE) | MAP_FIXED | (0 if step.file else MAP_ANONYMOUS)
        base, size = self.layout.base(step.region), step.window * PAGE_SIZE
        file = self.files.get(step.file)
        for number, task in enumerate(self.alive(step.who, step.label)):
            windows: Iterable[int] = range(step.count)
            if step.choose:
                drawn = draws(self.seed(number), step.windows, step.windows)
                windows = sorted(np.argsort(drawn, kind="stable")[:step.choose].tolist())
                self.chosen[step.region, task.pid] = list(windows)
            for w in windows:
                offset = step.offset(w) * PAGE_SIZE if step.file else 0
                if self.attempt(task.mmap, base + w * size, size, PROT[step.access], flags, file, offset) is None:
                    break

    def seed(self, *numbers: int) -> int:
        """A seed for one use, from the run's."""
        seed = self.run.seed
        for number in (self.step, *numbers):
            seed = (seed * 0x9E3779B97F4A7C15 + number + 1) & 0xFFFFFFFFFFFFFFFF
        return seed

    def touch(self, step: Touch) -> None:
        for number in range(step.passes):
            turns = self.random_turns(step, number) if step.order == "random" else self.linear_turns(step)
            for task, address, length, writes in turns:
                if not task.alive:
                    continue
                if isinstance(address, np.ndarray):
                    self.attempt(task.touch, address, writes)
                else:
                    self.attempt(task.touch_range, address, length, write=writes)

    def linear_turns(self, step: Touch) -> Iterator[tuple[Any, Any, int, Any]]:
        """(task, address, bytes, write), task by task or slice by slice."""
        tasks = [(task, round(step.part * self.mapped_pages(step.region, task)))
                 for task in self.groups[step.who]]
        slice_pages = step.slice // PAGE_SIZE or max([1, *(pages for _, pages in tasks)])
        rounds = -(-max((pages for _, pages in tasks), default=0) // slice_pages)
        for turn in range(rounds):
            for number, (task, pages) in enumerate(tasks):
                self.progress(step.label, (turn + number / len(tasks)) / rounds)
                end = min((turn + 1) * slice_pages, pages)
                for address, length in self.between(step.region, task, turn * slice_pages, end):
                    if step.write in (0, 1):
                        yield task, address, length, bool(step.write)
                    else:
                        for at in range(0, length, BATCH * PAGE_SIZE):
                            n = min(BATCH, (length - at) // PAGE_SIZE)
                            pages_now = np.arange(n, dtype="u8")
                            where = address + at + pages_now * PAGE_SIZE
                            yield task, where, 0, evenly(pages_now + at // PAGE_SIZE, step.write)

    def between(self, region: str, task: Any, first: int, end: int) -> Iterator[tuple[int, int]]:
        """(address, bytes) of pages first to end, counted over what the task maps of the region."""
        skip = first
        left = end - first
        for address, length in self.runs(region, task, end):
            pages = length // PAGE_SIZE
            if skip >= pages:
                skip -= pages
                continue
            take = min(pages - skip, left)
            if take > 0:
                yield address + skip * PAGE_SIZE, take * PAGE_SIZE
            left -= take
            skip = 0

    def random_turns(self, step: Touch, number: int) -> Iterator[tuple[Any, Any, int, Any]]:
        """(task, addresses, 0, writes): uniform over what the task maps, in turns of a slice."""
        tasks = self.groups[step.who]
        base, spec = self.layout.base(step.region), self.layout.spec(step.region)
        most = max((round(step.part * self.mapped_pages(step.region, task)) for task in tasks), default=0)
        turn_size = min(step.slice // PAGE_SIZE or BATCH, BATCH)
        for at in range(0, most, turn_size):
            for i, task in enumerate(tasks):
                self.progress(step.label, (at + turn_size * i / len(tasks)) / most)
                pages = self.mapped_pages(step.region, task)
                n = min(turn_size, round(step.part * pages) - at)
                if n <= 0:
                    continue
                page = draws(self.seed(number, i, at), n, pages)
                windows = self.windows(step.region, task)
                if windows is not None:
                    page = np.array(windows, "u8")[page // spec.window] * spec.window + page % spec.window
                writes: Any = bool(step.write)
                if 0 < step.write < 1:
                    writes = evenly(np.arange(n, dtype="u8") + at, step.write)
                yield task, base + page * PAGE_SIZE, 0, writes

    def pieces(self, region: str, piece: int, every: int = 1) -> Iterator[tuple[int, int]]:
        base, end = self.layout.base(region), self.layout.end(region)
        for address in range(base, end, every * piece):
            yield address, min(piece, end - address)

    def protect(self, step: Protect) -> None:
        for task in self.alive(step.who, step.label):
            for address, length in self.pieces(step.region, step.piece, every=2):
                self.attempt(task.mprotect, address, length, PROT[step.access])

    def grow(self, step: Grow) -> None:
        for task in self.alive(step.who, step.label):
            for address, length in self.pieces(step.region, step.piece):
                self.attempt(task.mprotect, address, length, PROT_READ | PROT_WRITE)
                self.attempt(task.touch_range, address, length, write=True)
                if not task.alive:
                    break

    def move(self, step: Move) -> None:
        old, length = self.layout.base(step.region), self.layout.end(step.region) - self.layout.base(step.region)
        new = self.layout.move(step.region)
        for task in self.alive(step.who, step.label):
            self.attempt(task.mremap, old, length, length, MREMAP_MAYMOVE_FIXED, new)

    def scatter(self, step: Scatter) -> None:
        base, spec = self.layout.base(step.region), self.layout.spec(step.region)
        pages = round(step.part * spec.window * spec.count)
        order = np.arange(pages)[::-1]
        for number, task in enumerate(self.alive(step.who, step.label)):
            if step.order == "random":
                order = np.argsort(draws(self.seed(number), pages, 1 << 62), kind="stable")
            for at, page in enumerate(order.tolist()):
                try:
                    self.attempt(task.remap_file_pages, base + at * PAGE_SIZE, PAGE_SIZE, 0, page)
                except OSError as error:
                    if error.errno != EINVAL:       # 2.6.7, once reclaim was there: remap_cursor_refused
                        raise
                if not at & 0xFFF:
                    self.progress(step.label, (number + at / pages) / len(self.groups[step.who]))
                    if not task.alive:
                        break

    def lock(self, step: Lock) -> None:
        base, end = self.layout.base(step.region), self.layout.end(step.region)
        length = max(round((end - base) / PAGE_SIZE * step.part), 1) * PAGE_SIZE
        for task in self.alive(step.who, step.label):
            self.attempt(task.mlock, base, length)

    def reclaim(self, step: Reclaim) -> None:
        self.run.call(self.run.machine.reclaim, max(step.size // PAGE_SIZE, 1))

    def unmap(self, step: Unmap) -> None:
        base, end = self.layout.base(step.region), self.layout.end(step.region)
        for task in self.alive(step.who, step.label):
            self.attempt(task.munmap, base, end - base)

    def exit(self, step: Exit) -> None:
        for task in self.alive(step.who, step.label):
            self.attempt(task.exit)


ACTIONS: dict[type, Callable[[Script, Any], None]] = {
    Spawn: Script.spawn, Fork: Script.fork, Map: Script.map, Touch: Script.touch, Protect: Script.protect,
    Grow: Script.grow, Move: Script.move, Scatter: Script.scatter, Lock: Script.lock, Reclaim: Script.reclaim,
    Unmap: Script.unmap, Exit: Script.exit,
}


def name_of(group: str, number: int) -> str:
    """The name of a task: its group and number, in the bytes that a name may have."""
    tail = f"-{number}"
    return group.encode()[:TASK_NAME - len(tail)].decode(errors="ignore") + tail


def evenly(numbers: np.ndarray, share: float) -> np.ndarray:
    """Which of the touches with these numbers write, so that their share is even everywhere."""
    return np.floor((numbers + 1) * share) > np.floor(numbers * share)
