"""Runs one scenario on one kernel and collects what the JSON of a kernel holds. A workload's file drives the machine.

Every call into the engine goes through ``Run.call``, which takes its time: what lies between the first and the last
call and in none of them is Python's share (``seconds_outside_engine``).
"""

import os
import resource
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

import vmcore
from vmcore import cost

from .model import Scenario

Result = dict[str, Any]
Progress = Callable[[str, float], None]     # what is being done, and the share of the whole that is done
T = TypeVar("T")

PAGE_SIZE = 4096
NO_VICTIM = "out of memory, and no task left to kill: RAM and swap are too small for this scenario"
# Counters whose growth each phase reports.
PHASE_COUNTERS = (
    "pgfault", "pgmajfault", "pswpin", "pswpout", "fork_ptes_copied", "rmap_pages_walked", "rmap_ptes_examined",
    "rmap_vmas_visited", "rmap_mms_visited", "rmap_nodes_allocated", "rmap_nodes_freed", "cow_copies", "vmas_allocated",
    "vma_merges", "oom_kills",
)


class Refused(ValueError):
    """``Machine(...)`` does not accept what the scenario asks for."""

    @classmethod
    def by(cls, error: Exception, scenario: Scenario) -> "Refused":
        """In the words of ``Machine``, and from what the sizes come."""
        scaled = f" (sizes are those of {scenario.name} times scale = {scenario.scale:g})"
        return cls(f"{error}{scaled if scenario.scale != 1 else ''}")


class CannotRun(Exception):
    """The kernel lacks a system call that the scenario makes; the message says which."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; ``result`` is what was measured until then, its ``ok`` false."""

    def __init__(self, result: Result) -> None:
        super().__init__("interrupted")
        self.result = result


def host_bytes(field: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process; where there is no /proc the peak for both."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class Run:
    """One machine on its way through a workload: its clock, its phases, and what went wrong."""

    def __init__(self, scenario: Scenario, kernel: str, seed: int, progress: Progress | None,
                 costs: cost.CostModel | None = None) -> None:
        self.scenario = scenario
        self.kernel = kernel
        self.seed = seed
        self.progress = progress or (lambda label, share: None)
        self.problems: list[str] = []
        self.phases: list[dict[str, Any]] = []
        self.extra: Result = {}
        self.tasks: list[Any] = []          # every task of the run, dead ones included
        self.first = self.last = self.inside = 0.0
        self.costs = costs or cost.load()
        self.simulated_seconds: dict[str, float] = {}
        self.final: dict[str, int] = {}     # the counters when everything was over
        self._phase: dict[str, Any] | None = None
        for name in ("ram", "swap", "kernel", "arch", "seed"):
            if name in scenario.tunables:
                raise Refused(f"tunables.{name}: give it as a key of its own (seed: --seed, kernel: --kernels)")
        swap = [(int(area.size), area.priority) for area in scenario.swap]
        try:
            self.machine: Any = self.call(vmcore.Machine, ram=int(scenario.ram), swap=swap, kernel=kernel,
                                          arch=scenario.arch, seed=seed, **scenario.tunables)
        except (ValueError, TypeError, OverflowError) as error:
            raise Refused.by(error, scenario) from error

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call into the engine, its time counted as the engine's."""
        begin = perf_counter()
        if not self.first:
            self.first = begin
        try:
            return function(*args, **kwargs)
        finally:
            self.last = end = perf_counter()
            self.inside += end - begin

    # ---- phases

    def phase(self, name: str) -> None:
        """The phase before ends, this one begins."""
        self.end_phase()
        self._phase = {"name": name, "begin": perf_counter(), "now": self.simulated(), "vmstat": self.vmstat()}

    @property
    def phase_name(self) -> str:
        """The phase that runs, or the last one."""
        return self._phase["name"] if self._phase else self.phases[-1]["name"] if self.phases else "boot"

    def end_phase(self) -> None:
        if self._phase is None:
            return
        before, self._phase = self._phase, None
        after = self.vmstat()
        self.phases.append({
            "name": before["name"],
            "seconds": perf_counter() - before["begin"],
            "simulated_seconds": self.simulated() - before["now"],
            "system_seconds": sum(self.costs.system(
                {name: value - before["vmstat"].get(name, 0) for name, value in after.items()}).values()),
            "touches": after["touches"] - before["vmstat"]["touches"],
            **{name: after[name] - before["vmstat"][name] for name in PHASE_COUNTERS if name in after},
        })

    def end(self) -> None:
        """The last phase ends; what the run took in simulated time."""
        self.end_phase()
        self.final = self.vmstat()
        self.simulated_seconds = self.costs.simulated(self.final, self.simulated())

    # ---- what is read often

    def vmstat(self) -> dict[str, int]:
        return self.call(self.machine.vmstat)

    def simulated(self) -> float:
        """Simulated seconds since boot."""
        return self.call(getattr, self.machine, "now") / 1e9

    def swap_used(self) -> int:
        """Bytes of swap in use."""
        return sum(used for _, _, used, _ in self.call(self.machine.swaps)) * PAGE_SIZE

    def low_used(self) -> int:
        """Bytes of low memory in use, page cache and anonymous pages that lie there included."""
        info = self.call(self.machine.meminfo)
        return (info["LowTotal"] - info["LowFree"]) * 1024

    def task_figures(self) -> dict[str, int]:
        """Pages of the anonymous memory of all living tasks, and how many tasks something killed."""
        mms = self.call(getattr, self.machine, "mms")
        mms = mms[mms["task"] != 0]
        return {
            "anon_rss": int(mms["anon_rss"].sum(dtype="u8")),
            "anon_swapped": int(mms["swapents"].sum(dtype="u8")),
            "anon_written": int(mms["anon_written"].sum(dtype="u8")),
            "killed": sum(1 for task in self.tasks if task.killed_by),
        }

    def check(self) -> None:
        """``Machine.check()``; what it finds is a problem of the run. Not part of the run's seconds."""
        begin = perf_counter()
        try:
            self.machine.check()
        except vmcore.KernelBug as bug:
            self.problems.append(f"check() failed: {bug}")
        self.extra["check_seconds"] = self.extra.get("check_seconds", 0.0) + perf_counter() - begin

    def snapshot(self) -> Result:
        """The state of the machine as the JSON has it."""
        return {
            "vmstat": self.vmstat(),
            "meminfo": self.call(self.machine.meminfo),
            "slabinfo": [{**line._asdict(), "bytes": line.bytes} for line in self.call(self.machine.slabinfo)],
            "ledger": self.call(self.machine.ledger),
            "tasks": self.task_figures(),
        }

    def result(self, state: Result) -> Result:
        """One kernel's object of the JSON (DESIGN section 11), with what the workload added."""
        return {
            **state,
            "touches": state["vmstat"]["touches"],
            "seconds": self.last - self.first,
            "seconds_outside_engine": max(self.last - self.first - self.inside, 0.0),
            "simulated_seconds": self.simulated_seconds,
            "final_vmstat": self.final,
            "ok": not self.problems,
            "problems": self.problems,
            "phases": self.phases,
            "host_peak_bytes": host_bytes("VmHWM"),
            **self.extra,
        }


def run(scenario: Scenario, kernel: str, *, seed: int = 0, progress: Progress | None = None,
        costs: cost.CostModel | None = None) -> Result:
    """Run a scenario (as ``load`` gives it) on one kernel and return its object of the JSON.

    Simulated system time is by ``costs`` (``vmcore.cost``; None: the built-in table), of the whole run, exits included.

    ``CannotRun`` is raised if the kernel lacks a call. A broken invariant or an OOM kill makes ``ok`` false and is
    named in ``problems``; Ctrl-C raises ``Interrupted``, which carries what was measured until then.
    """
    if isinstance(scenario, (str, os.PathLike)):
        raise TypeError(f"scenario must be what scenario.load() gives, not {scenario!r}")
    before = host_bytes("VmRSS")
    one = Run(scenario, kernel, seed, progress, costs)
    one.extra["host_import_bytes"] = before
    state: Result | None = None
    try:
        state = scenario.drive(one)
    except vmcore.KernelBug as bug:
        one.problems.append(NO_VICTIM if bug.name == "oom_no_victim" else
                            f"kernel bug: {bug}; vmcore explain {bug.name} says what it is")
    except (OSError, vmcore.TaskKilled, vmcore.SegmentationFault, vmcore.BusError) as error:
        one.problems.append(f"in phase {one.phase_name!r}: {error}")
    except KeyboardInterrupt:
        one.problems.append(f"interrupted in phase {one.phase_name!r}")
        one.end()
        result = one.result(state or one.snapshot())
        result["interrupted"] = True
        raise Interrupted(result) from None
    one.end()
    return one.result(state or one.snapshot())
