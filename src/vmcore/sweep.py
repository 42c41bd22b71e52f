"""Many runs of a scenario: each combination of kernels and of values for its keys, on any concurrent.futures.Executor.

>>> from vmcore import sweep
>>> found = sweep.run("windows", ["2.6.5", "2.6.7"], {"n": [5, 10]}, settings=["s=10"])
>>> [(run.kernel, run.values["n"], run.result["vmstat"]["rmap_vmas_visited"]) for run in found.runs]

A run is a machine of its own and takes seconds to minutes, so it is a task of its own for the executor; counts are the
same wherever it runs. What goes wrong with one run is that run's outcome, and the others go on.
"""

import contextlib
import itertools
import json
import math
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from dataclasses import dataclass, field
from typing import Any

import vmcore
from vmcore import cost, kernels, scenario
from vmcore._fast.engine import host_bytes
from vmcore.scenario import size

__all__ = ["MOST", "Interrupted", "Point", "Run", "Sweep", "attempt", "how_many", "points", "processors", "run"]

MOST = 1000             # runs of a sweep
SEED = "seed"           # the one key that is no scenario's: of everything random in a run
IMPORTED = 40 << 20     # what a process takes before its machine: Python, numpy, vmcore (measured: 35 to 40 MB)
GRACE = 10.0            # seconds that runs have after Ctrl-C to end, and to hand in what they measured
DIED = "its process was killed or ended, and gave no result"

Outcome = dict[str, Any]        # {"result": ...}, {"not_run": reason} or {"error": message, "status": n}


@dataclass(frozen=True)
class Point:
    """One combination, checked: a scenario that is ready to run, and where it stands in the sweep."""

    kernel: str
    values: dict[str, Any]          # of the keys that vary
    scenario: scenario.Scenario
    seed: int

    @property
    def label(self) -> str:
        return label(self.kernel, self.values)


@dataclass(frozen=True)
class Run:
    """A combination and what became of it: a result (as ``scenario.run`` gives it), or why there is none."""

    kernel: str
    values: dict[str, Any]
    result: dict[str, Any] | None = None
    not_run: str | None = None      # the kernel lacks a call of the scenario, or its arch
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it ran to its end and nothing was wrong; what a kernel cannot run is not wrong."""
        return self.not_run is not None or (self.result is not None and bool(self.result["ok"]))


@dataclass(frozen=True)
class Sweep:
    """All runs, in the order asked for: by kernel, and the last key changes fastest."""

    scenario: dict[str, Any]        # before any key varies
    vary: dict[str, list[Any]]
    seed: int
    runs: list[Run] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As one JSON object."""
        return {"vmcore": vmcore.__version__, "scenario": self.scenario, "seed": self.seed, "vary": self.vary,
                "runs": [{"kernel": one.kernel, "values": one.values,
                          **{name: value for name in ("result", "not_run", "error")
                             if (value := getattr(one, name)) is not None}} for one in self.runs]}


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep; ``sweep`` has the runs that were complete."""

    def __init__(self, sweep: Sweep) -> None:
        super().__init__("interrupted")
        self.sweep = sweep


# ---- what is to run


def shown(value: Any) -> str:
    """A value as TOML has it, a string without its quotes."""
    return value if isinstance(value, str) else toml(value)


def label(kernel: str, values: Mapping[str, Any]) -> str:
    """What a run is called: ``2.6.5 n=10 s=20``."""
    return " ".join([kernel, *(f"{key}={shown(value)}" for key, value in values.items())])


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and math.isfinite(value):
        return repr(float(value))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(key)} = {toml(item)}' for key, item in value.items())}}}"
    if hasattr(value, "item"):      # a number of numpy
        return toml(value.item())
    raise scenario.ScenarioError(f"{value!r} is no value of a scenario: a number, string, boolean, list or table is")


def points(name: Any, names: Iterable[str], vary: Mapping[str, Iterable[Any]], *, settings: Iterable[str] = (),
           seed: int = 0) -> list[Point]:
    """Every combination, each checked as ``scenario.load`` checks it; ``ScenarioError`` says what makes no sense."""
    names, settings = _kernel_names(names), list(settings)
    values = {key: list(items) for key, items in vary.items()}
    _check(names, values, settings)
    found: list[Point] = []
    seen: dict[str, Point] = {}
    for combination in itertools.product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        number = _seed(chosen.get(SEED, seed))
        loaded = scenario.load(name, settings=[*settings, *(f"{key}={toml(value)}" for key, value in chosen.items()
                                                            if key != SEED)])
        whole = json.dumps([number, scenario.to_builtins(loaded)], sort_keys=True)
        here = [Point(kernel, chosen, loaded, number) for kernel in names]
        if whole in seen:
            first, second = (one.label.removeprefix(names[0] + " ") for one in (seen[whole], here[0]))
            raise scenario.ScenarioError(f"{first} and {second} are the same scenario")
        seen[whole] = here[0]
        found += here
    order = {kernel: place for place, kernel in enumerate(names)}
    return sorted(found, key=lambda point: order[point.kernel])     # which leaves the combinations in their order


def _kernel_names(names: Iterable[str]) -> list[str]:
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise scenario.ScenarioError("no kernel is named")
    for kernel in names:
        if not isinstance(kernel, str):
            raise TypeError(f"a kernel is named by the name of a preset, not by {kernel!r}")
        try:
            kernels.get(kernel)
        except ValueError as error:
            raise scenario.ScenarioError(str(error)) from None
        if names.count(kernel) > 1:
            raise scenario.ScenarioError(f"kernel {kernel!r} is named twice")
    return names


def _check(names: list[str], values: dict[str, list[Any]], settings: list[str]) -> None:
    """Before anything is loaded."""
    if not values:
        raise scenario.ScenarioError("nothing varies: name a key of the scenario and its values")
    fixed = {setting.partition("=")[0].strip() for setting in settings}
    for key, items in values.items():
        if not items:
            raise scenario.ScenarioError(f"{key}: no values")
        if key in fixed:
            raise scenario.ScenarioError(f"{key} is set and varies: one of the two")
        texts = [toml(item) for item in items]
        for text in texts:
            if texts.count(text) > 1:
                raise scenario.ScenarioError(f"{key}: the value {text} is there twice")
    total = len(names) * math.prod(map(len, values.values()))
    if total > MOST:
        parts = [f"{len(names)} kernels", *(f"{len(items)} of {key}" for key, items in values.items())]
        raise scenario.ScenarioError(f"{' x '.join(parts)} are {total} runs; a sweep has {MOST} at most")


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise scenario.ScenarioError(f"seed {value!r}: an integer from 0 to 2**64 - 1 is needed")
    return value


def processors() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def how_many(asked: Iterable[Point], most: int | None = None) -> int:
    """Runs that may be under way at the same time: as many as there are processors (or ``most``), fewer where the
    host's memory does not hold the largest of them at once (``vmcore size``)."""
    most = most or processors()
    takes = []
    for point in asked:
        with contextlib.suppress(scenario.Refused):     # takes nothing
            takes.append(IMPORTED + size.predict(point.scenario, point.kernel).total)
    largest = itertools.accumulate(sorted(takes, reverse=True)[:most])
    room = host_bytes()
    return max(sum(together <= room for together in largest), 1)


# ---- one run


def attempt(chosen: scenario.Scenario, kernel: str, seed: int, costs: cost.CostModel,
            progress: scenario.Progress | None = None) -> Outcome:
    """Run it; what is wrong with it is an outcome like another. After Ctrl-C the result is what was measured until
    then, if there is anything."""
    try:
        preset = kernels.get(kernel)
        if chosen.arch not in preset.archs:
            return {"not_run": preset.no_arch(chosen.arch)}
        return {"result": scenario.run(chosen, kernel, seed=seed, progress=progress, costs=costs)}
    except scenario.Interrupted as interrupted:
        return {"result": interrupted.result}
    except scenario.CannotRun as reason:
        return {"not_run": str(reason)}
    except (scenario.Refused, scenario.ScenarioError) as error:
        return {"error": str(error), "status": 2}
    except MemoryError as error:
        return {"error": f"the host has not enough memory: {error}", "status": 1}


def _attempt(job: dict[str, Any]) -> Outcome:
    """``attempt`` in another process, which gets plain data."""
    with _open_to_interrupts():
        return attempt(scenario.from_builtins(job["scenario"]), job["kernel"], job["seed"],
                       cost.from_builtins(job["costs"]))


# ---- all of them


def run(name: Any, names: Iterable[str], vary: Mapping[str, Iterable[Any]], *, settings: Iterable[str] = (),
        seed: int = 0, costs: cost.CostModel | None = None, executor: Executor | None = None, jobs: int | None = None,
        progress: Callable[[Run], None] | None = None) -> Sweep:
    """Run scenario ``name`` (built in, or the path of a TOML file) on each kernel with each combination of values.

    ``vary`` gives the values of each key, as ``vmcore compare --set KEY=VALUE`` takes them; the key ``seed`` is the
    seed of the run. ``settings`` are the same for all. Runs go to ``executor``, whichever it is; without one each has a
    process of its own, ``jobs`` at the same time (``how_many`` says the default). ``progress`` is called with each run
    as it ends. The runs of the ``Sweep`` are in the order asked for, whatever ended first.

    ``ScenarioError`` is raised for what makes no sense, before anything runs. Ctrl-C raises ``Interrupted``, which
    carries what was complete; runs that an executor of the caller's has begun go on there.
    """
    settings = list(settings)
    varied = {key: list(items) for key, items in vary.items()}
    asked = points(name, names, varied, settings=settings, seed=seed)
    costs = costs or cost.load()
    plain = cost.to_builtins(costs)
    todo = [{"scenario": scenario.to_builtins(point.scenario), "kernel": point.kernel, "seed": point.seed,
             "costs": plain} for point in asked]
    ended: dict[int, Run] = {}

    def end(place: int, outcome: Outcome) -> None:
        ended[place] = one = as_run(asked[place], outcome)
        if progress is not None:
            progress(one)

    def whole() -> Sweep:
        return Sweep(base(name, settings), varied, seed, [ended[place] for place in sorted(ended)])

    try:
        if executor is not None:
            for place in _collect({executor.submit(_attempt, job): place for place, job in enumerate(todo)}, end):
                end(place, {"error": DIED, "status": 1})
        else:
            _in_processes(todo, jobs or how_many(asked), end)
    except KeyboardInterrupt:
        raise Interrupted(whole()) from None
    return whole()


def base(name: Any, settings: Iterable[str]) -> dict[str, Any]:
    """The scenario before any key varies; where it makes no sense without them, its name."""
    try:
        return scenario.to_builtins(scenario.load(name, settings=list(settings)))
    except scenario.ScenarioError:
        return {"name": str(name)}


def as_run(point: Point, outcome: Outcome) -> Run:
    return Run(point.kernel, point.values, outcome.get("result"), outcome.get("not_run"), outcome.get("error"))


def _collect(futures: Mapping[Future[Outcome], int], end: Callable[[int, Outcome], None]) -> list[int]:
    """Take what comes back; returns the runs whose process broke under them."""
    broken = []
    try:
        for future in as_completed(futures):
            place, error = futures[future], future.exception()
            if isinstance(error, BrokenExecutor):
                broken.append(place)
            elif error is not None:
                end(place, {"error": str(error) or type(error).__name__, "status": 1})
            elif future.result().get("result", {}).get("interrupted"):
                end(place, {"error": "interrupted", "status": 130})
            else:
                end(place, future.result())
    except KeyboardInterrupt:
        for future in futures:
            future.cancel()
        raise
    return broken


def _in_processes(todo: list[dict[str, Any]], jobs: int, end: Callable[[int, Outcome], None]) -> None:
    """A process for each run. One that dies takes the pool with it, and no one knows which it was: the runs that are
    left then go one by one."""
    left = _in_pool(dict(enumerate(todo)), jobs, end)
    for place in sorted(left):
        if _in_pool({place: todo[place]}, 1, end):
            end(place, {"error": DIED, "status": 1})


def _in_pool(todo: dict[int, dict[str, Any]], jobs: int, end: Callable[[int, Outcome], None]) -> list[int]:
    import multiprocessing  # takes its time, and most that import this module need neither
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")      # a machine is not to be born with what this process holds
    before = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(min(jobs, len(todo)), mp_context=context, max_tasks_per_child=1)
    try:
        with closed_to_interrupts():        # processes are born as they are to live
            futures = {executor.submit(_attempt, job): place for place, job in todo.items()}
        return _collect(futures, end)
    except KeyboardInterrupt:
        ours = [child for child in multiprocessing.active_children() if child not in before]
        for child in ours:
            if child.pid is not None:
                os.kill(child.pid, signal.SIGINT)
        for child in ours:
            child.join(GRACE)
            if child.is_alive():
                child.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def closed_to_interrupts() -> Iterator[None]:
    """Ctrl-C waits, here and in processes that are started, until they let it in."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def interrupt_once(*_: object) -> None:
    """A handler of Ctrl-C for a process that was started: the terminal sends it to the whole group, and the parent
    passes it on as well."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextlib.contextmanager
def _open_to_interrupts() -> Iterator[None]:
    """In a process of ours, which was born closed to it, Ctrl-C comes in while a machine runs."""
    import multiprocessing

    if multiprocessing.parent_process() is None or signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set()):
        yield
        return

    signal.signal(signal.SIGINT, interrupt_once)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
