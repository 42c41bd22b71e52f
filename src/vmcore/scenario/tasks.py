"""The workload ``tasks``: a server and its forks, which share libraries and a segment and need too much memory.

Built in as ``hundred-tasks``. What a sweep touches is a list of pieces, the same for every task, because all of them
are forks of one server and map their own memory at the same address.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

import msgspec

import vmcore
from vmcore import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE

from .model import PAGE_SIZE, Scenario, Share, Size, require
from .runner import Result, Run
from .splitmix import shuffled
from .steps import FileSpec, Fork, Map, Spawn, Touch


class Libraries(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Files mapped private; sizes grow by equal factors from the smallest to the largest."""

    count: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 30
    smallest: Size = Size(64 << 10)
    largest: Size = Size(4 << 20)

    def sizes(self) -> list[int]:
        """Whole pages, in bytes, one for each library."""
        factor = (self.largest / self.smallest) ** (1 / max(self.count - 1, 1))
        return [max(round(self.smallest * factor**i / PAGE_SIZE), 1) * PAGE_SIZE for i in range(self.count)]

    def __post_init__(self) -> None:
        require(0 < self.smallest <= self.largest, "libraries: smallest must be more than 0 and not above largest")


class SharedSegment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One tmpfs file that every task maps shared."""

    size: Size = Size(1 << 30)
    write: Share = 0.25


class Piece(NamedTuple):
    """What a task touches before the next one runs."""

    address: int
    length: int
    write: bool


class TasksScenario(Scenario, tag="tasks", frozen=True):
    """A server and the tasks it forks."""

    tasks: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    anon: Size
    sweeps: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 2
    order: Literal["round-robin", "task-by-task", "random"] = "round-robin"
    slice: Size = Size(16 << 20)
    write: Share = 0.5
    libraries: Libraries = Libraries()
    shared: SharedSegment = SharedSegment()

    def __post_init__(self) -> None:
        require(self.anon // self.tasks >= PAGE_SIZE, "anon must be a page or more for each task")
        require(self.slice >= PAGE_SIZE and self.slice % PAGE_SIZE == 0, "slice must be a multiple of 4096, and not 0")

    def scaled(self) -> Self:
        factor = self.scale
        libraries = Libraries(count=self.libraries.count, smallest=self.libraries.smallest.times(factor),
                              largest=self.libraries.largest.times(factor))
        shared = SharedSegment(size=self.shared.size.times(factor), write=self.shared.write)
        anon = max(self.anon.times(factor), Size(self.tasks * PAGE_SIZE))
        return self._scaled(anon=anon, slice=self.slice.times(factor), libraries=libraries, shared=shared)

    def describe(self) -> str:
        return (f"{self.tasks} tasks with {self.anon} of anonymous memory, {self.libraries.count} libraries and "
                f"a shared segment of {self.shared.size}; {self._on_what()}")

    def plan(self, rules: Mapping[str, int]) -> Any:
        from .plan import Plan

        files = [FileSpec(name=f"lib{i}", size=Size(size)) for i, size in enumerate(self.libraries.sizes())]
        steps: list[Any] = [Spawn(who="server")]
        for file in files:
            steps += [Map(who="server", region=file.name, size=file.size, file=file.name, access="r"),
                      Touch(who="server", region=file.name)]
        if self.shared.size:
            files.append(FileSpec(name="segment", size=self.shared.size, kind="tmpfs"))
            steps += [Map(who="server", region="segment", size=self.shared.size, file="segment", shared=True),
                      Touch(who="server", region="segment", write=1)]
        own = Size(self.anon // self.tasks // PAGE_SIZE * PAGE_SIZE)
        steps += [Fork(who="server", into="task", times=self.tasks), Map(who="task", region="own", size=own),
                  Touch(who="task", region="own", write=1)]
        return Plan(files, steps, rules, gap=0)

    def drive(self, run: Run) -> Result:
        """Server, fork, write, sweeps; the state is taken there; then every task exits."""
        return Server(self, run).drive()


class Server:
    """One run of the workload."""

    def __init__(self, scenario: TasksScenario, run: Run) -> None:
        self.scenario = scenario
        self.run = run
        self.alive: list[Any] = []
        self.swap_used_min: int | None = None
        slices = -(-(scenario.anon // scenario.tasks) // scenario.slice) * scenario.tasks
        per_sweep = slices + scenario.tasks * (
            scenario.libraries.count + -(-scenario.shared.size // scenario.slice))
        self.steps = 1 + scenario.tasks + slices + scenario.sweeps * per_sweep + scenario.tasks
        self.done = 0

    def drive(self) -> Result:
        scenario, run = self.scenario, self.run
        run.phase("server")
        libraries, shared, server = self.start()
        run.phase("fork")
        for number in range(scenario.tasks):
            task = run.call(server.fork, f"task-{number}")
            run.tasks.append(task)
            self.alive.append(task)
            self.step("forking")
        run.phase("write")
        own = self.map_own()
        self.touch(self.ordered([Piece(*piece, True) for piece in own]), "first writes")
        run.extra["swap_used_after_write"] = self.swap_used_min = run.swap_used()
        plan = self.sweep_plan(libraries, shared, own)
        for sweep in range(scenario.sweeps):
            run.phase(f"sweep {sweep + 1}")
            self.touch(self.ordered(plan), f"sweep {sweep + 1} of {scenario.sweeps}")
        run.end_phase()
        state = run.snapshot()
        run.extra["swap_used_min"] = self.swap_used_min
        run.check()
        self.judge(state)
        run.phase("exit")
        for task in [*self.alive, server]:
            if task.alive:
                run.call(task.exit)
            self.step("exiting")
        return state

    def start(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]], Any]:
        """The server with its libraries, read once, and its shared segment, written once."""
        scenario, run = self.scenario, self.run
        server = run.call(run.machine.spawn, "server")
        run.tasks.append(server)
        libraries = []
        for number, size in enumerate(scenario.libraries.sizes()):
            file = run.call(run.machine.open, f"lib{number}.so", size=size)
            address = run.call(server.mmap, None, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0)
            run.call(server.touch_range, address, size, write=False)
            libraries.append((address, size))
        shared = []
        size = int(scenario.shared.size)
        if size:
            segment = run.call(run.machine.tmpfs, "segment", size=size)
            address = run.call(server.mmap, None, size, PROT_READ | PROT_WRITE, MAP_SHARED, segment, 0)
            run.call(server.touch_range, address, size, write=True)
            shared = self.slices(address, size)
        self.step("server")
        return libraries, shared, server

    def map_own(self) -> list[tuple[int, int]]:
        """Every task maps its own memory; the slices of it, at the same addresses in all."""
        size = self.scenario.anon // self.scenario.tasks // PAGE_SIZE * PAGE_SIZE
        addresses = {
            self.run.call(task.mmap, None, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
            for task in self.alive
        }
        assert len(addresses) == 1, "forks of one server map at the same place"
        return self.slices(addresses.pop(), size)

    def slices(self, address: int, size: int) -> list[tuple[int, int]]:
        step = int(self.scenario.slice)
        return [(address + at, min(step, size - at)) for at in range(0, size, step)]

    def sweep_plan(self, libraries: list[tuple[int, int]], shared: list[tuple[int, int]],
                   own: list[tuple[int, int]]) -> list[Piece]:
        """The pieces of one sweep: libraries and shared segment spread evenly among the slices of own memory."""
        def spread(pieces: list[tuple[int, int]], share: float) -> Iterator[tuple[float, Piece]]:
            for i, (address, length) in enumerate(pieces):
                write = int((i + 1) * share) > int(i * share)
                yield (i + 0.5) / len(pieces), Piece(address, length, write)

        scenario = self.scenario
        placed = [*spread(own, scenario.write), *spread(shared, scenario.shared.write), *spread(libraries, 0)]
        return [piece for _, piece in sorted(placed, key=lambda at: at[0])]

    def ordered(self, plan: list[Piece]) -> Iterable[tuple[Any, Piece]]:
        """Which task touches which piece, in the scenario's order."""
        tasks = list(self.alive)
        if self.scenario.order == "round-robin":
            return ((task, piece) for piece in plan for task in tasks)
        by_task = ((task, piece) for task in tasks for piece in plan)
        return by_task if self.scenario.order == "task-by-task" else shuffled(list(by_task), self.run.seed)

    def touch(self, pieces: Iterable[tuple[Any, Piece]], label: str) -> None:
        """Carry the touches out; a task that dies is left out from then on."""
        call = self.run.call
        for task, piece in pieces:
            self.step(label)
            if not task.alive:
                continue
            try:
                call(task.touch_range, piece.address, piece.length, write=piece.write)
            except (vmcore.TaskKilled, ProcessLookupError):
                self.alive = [task for task in self.alive if task.alive]
            if self.swap_used_min is not None:
                self.swap_used_min = min(self.swap_used_min, self.run.swap_used())

    def step(self, label: str) -> None:
        self.done += 1
        self.run.progress(label, self.done / self.steps)

    def judge(self, state: Result) -> None:
        """What must hold at the end, beside ``check()``."""
        tasks, problems = state["tasks"], self.run.problems
        if tasks["killed"]:
            names = ", ".join(str(getattr(t, "name", t)) for t in self.run.tasks if t.killed_by)
            problems.append(f"the OOM killer acted: {tasks['killed']} killed ({names})")
        if tasks["anon_rss"] + tasks["anon_swapped"] != tasks["anon_written"]:
            problems.append(f"anonymous pages: {tasks['anon_rss']} present and {tasks['anon_swapped']} swapped, "
                            f"but {tasks['anon_written']} were written")
