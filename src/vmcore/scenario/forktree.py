"""The workload ``forktree``: the benchmark of 18 March 2004 (fact sheet linux-2004 10.1), level by level on a machine.

A process writes ``size`` bytes. At each level every process forks once, so that after level k there are 2^k, and then
every process reads every page. All of them map the same pages, so what a design holds for each mapping can be read
off. It ends at the last level, or where fork fails or the OOM killer acts: that is its subject and no error. What
makes ``ok`` false is a level whose pte_chain nodes or leaf tables have another size than arithmetic gives. Then all of
them exit, which is a good part of the system time that the thread measured.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

import msgspec

import vmcore
from vmcore import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE

from .model import PAGE_SIZE, Scenario, Size, require
from .runner import Result, Run
from .steps import Fork, Map, Spawn, Touch


class ForkTreeScenario(Scenario, tag="forktree", frozen=True):
    """Write, fork level by level, read."""

    size: Size
    levels: Annotated[int, msgspec.Meta(ge=0, le=20)] = 10

    def __post_init__(self) -> None:
        require(self.size >= PAGE_SIZE and self.size % PAGE_SIZE == 0, "size must be a multiple of 4096, and not 0")

    def scaled(self) -> Self:
        return self._scaled(size=self.size.times(self.scale))

    def describe(self) -> str:
        return f"{self.size} written, forked {self.levels} levels deep, read by every process; {self._on_what()}"

    def plan(self, rules: Mapping[str, int]) -> Any:
        from .plan import Plan

        who = "process"
        return Plan((), [Spawn(who=who), Map(who=who, region="memory", size=self.size),
                         Touch(who=who, region="memory", write=1), *[Fork(who=who, into=who)] * self.levels], rules)

    def drive(self, run: Run) -> Result:
        """One level after the other until there is no memory; the state is taken there."""
        return Tree(self, run).drive()


class Stop(Exception):
    """Fork failed, or the OOM killer acted."""


def expected_chain_bytes(pages: int, mappers: int, line: int, slots: int) -> int:
    """Bytes of the nodes of ``pages`` pages that ``mappers`` processes map, nodes filled one after the other."""
    return 0 if mappers <= 1 else pages * line * -(-mappers // slots)


class Tree:
    """One run of the workload."""

    def __init__(self, scenario: ForkTreeScenario, run: Run) -> None:
        self.scenario = scenario
        self.run = run
        self.levels: list[dict[str, Any]] = []
        self.processes: list[Any] = run.tasks
        self.address = 0
        self.pages = int(scenario.size) // PAGE_SIZE
        given = scenario.tunables
        options: dict[str, Any] = {key: given[key] for key in ("highpte", "l1_line") if key in given}
        self.rules = vmcore.KERNELS[run.kernel].rules(scenario.arch, **options)

    def drive(self) -> Result:
        scenario, run = self.scenario, self.run
        run.extra.update(levels=self.levels, stopped_at=None)
        run.phase("write")
        first = run.call(run.machine.spawn, "forktree")
        self.processes.append(first)
        size = int(scenario.size)
        self.address = run.call(first.mmap, None, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
        level = 0
        try:
            self.touch(first, write=True)
            self.record(0)
            for level in range(1, scenario.levels + 1):
                run.phase(f"level {level}: fork")
                for parent in list(self.processes):
                    self.fork(parent)
                    self.progress(level, 0.2 * len(self.processes) / (1 << level))
                run.phase(f"level {level}: read")
                for done, process in enumerate(self.processes):
                    self.touch(process, write=False)
                    self.progress(level, 0.2 + 0.8 * done / len(self.processes))
                self.record(level)
        except Stop as stop:
            run.extra["stopped_at"] = {
                "level": level, "processes": len(self.processes), "alive": sum(task.alive for task in self.processes),
                "why": str(stop), "low_used": self.run.low_used(),
            }
        run.end_phase()
        state = run.snapshot()
        run.check()
        run.phase("exit")
        for process in self.processes:
            if process.alive:
                run.call(process.exit)
        return state

    def fork(self, parent: Any) -> None:
        count = len(self.processes)
        try:
            self.processes.append(self.run.call(parent.fork, f"forktree-{count}"))
        except OSError as error:
            raise Stop(f"fork of process {count + 1} failed: {error.strerror or error}") from None
        except vmcore.TaskKilled:
            raise Stop(f"the OOM killer acted in the fork of process {count + 1}") from None
        self.look_for_kills(f"in the fork of process {count + 1}")

    def touch(self, process: Any, *, write: bool) -> None:
        doing = "while the pages were " + ("written" if write else "read")
        try:
            self.run.call(process.touch_range, self.address, int(self.scenario.size), write=write)
        except (vmcore.TaskKilled, ProcessLookupError):
            raise Stop(f"the OOM killer acted {doing}") from None
        self.look_for_kills(doing)

    def look_for_kills(self, doing: str) -> None:
        """The OOM killer may have taken another process than the one that runs."""
        if self.run.vmstat()["oom_kills"]:
            raise Stop(f"the OOM killer acted {doing}")

    def progress(self, level: int, share: float) -> None:
        # A level costs twice the one before.
        total = (1 << self.scenario.levels + 1) - 1
        self.run.progress(f"level {level} of {self.scenario.levels}", ((1 << level) - 1 + (1 << level) * share) / total)

    def record(self, level: int) -> None:
        """A line of the table, with what arithmetic expects beside it."""
        run = self.run
        stat = run.vmstat()
        mappers = 1 << level
        chains = self.rules["rmap_nodes"]
        line: dict[str, Any] = {
            "level": level,
            "processes": len(self.processes),
            "pte_chain_bytes": stat["rmap_bytes"] if chains else 0,
            "expected_pte_chain_bytes": self.expected_chains(mappers) if chains else 0,
            "page_table_bytes": stat["nr_page_table_pages"] * PAGE_SIZE,
            "expected_page_table_bytes": self.leaf_tables() * mappers * PAGE_SIZE,
            "low_used": self.run.low_used(),
        }
        self.levels.append(line)
        for what in ("pte_chain", "page_table"):
            if line[f"{what}_bytes"] != line[f"expected_{what}_bytes"]:
                run.problems.append(f"level {level}: {line[f'{what}_bytes']} {what} bytes, "
                                    f"{line[f'expected_{what}_bytes']} expected")

    def leaf_tables(self) -> int:
        """Leaf tables that the mapping takes in one process."""
        span = PAGE_SIZE << self.rules["pt_shift"]
        return (self.address + int(self.scenario.size) - 1) // span - self.address // span + 1

    def expected_chains(self, mappers: int) -> int:
        line = self.rules["l1_line"]
        slots = (line - self.rules["word_size"]) // self.rules["pte_addr_size"]
        return expected_chain_bytes(self.pages, mappers, line, slots)
