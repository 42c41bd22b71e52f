"""Sweeps: which runs they are, on which executor, and what becomes of runs that fail or are interrupted."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vmcore import scenario, sweep
from vmcore.report import sweeps
from vmcore.report.figures import FIGURES

SMALL = ["s=4", "t=2", "ram=16"]            # windows of a few pages
NAMES = ["2.6.5", "2.6.7"]
FIGURE = next(f for f in FIGURES if f.heading == "VMAs" and f.group == "bytes held")


class Backwards(Executor):
    """Runs everything when the last is there, that one first."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.waiting: list[tuple[Future[Any], Any, Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, fn, args))
        if len(self.waiting) == self.total:
            for ours, function, given in reversed(self.waiting):
                ours.set_result(function(*given))
        return future


def counts(found: sweep.Sweep) -> list[Any]:
    return [(run.kernel, run.values, run.result["vmstat"]) for run in found.runs if run.result]


@pytest.fixture(scope="module")
def found() -> sweep.Sweep:
    """A sweep in processes of its own."""
    return sweep.run("windows", NAMES, {"n": [2, 3], "s": [3, 5]}, settings=["t=2", "ram=16"], jobs=2)


# ---------------------------------------------------------------- which runs

def test_order_is_the_one_asked_for(found: sweep.Sweep) -> None:
    assert [(run.kernel, *run.values.values()) for run in found.runs] == [
        (kernel, n, s) for kernel in NAMES for n in (2, 3) for s in (3, 5)]
    assert all(run.ok for run in found.runs)
    assert found.vary == {"n": [2, 3], "s": [3, 5]}


def test_a_run_is_what_scenario_run_gives(found: sweep.Sweep) -> None:
    alone = scenario.run(scenario.load("windows", settings=["t=2", "ram=16", "n=3", "s=5"]), "2.6.7")
    assert found.runs[-1].result is not None
    for part in ("vmstat", "meminfo", "slabinfo", "ledger", "tasks", "touches"):
        assert found.runs[-1].result[part] == alone[part]


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(2), lambda: ProcessPoolExecutor(2), lambda: Backwards(8)],
                         ids=["threads", "processes", "backwards"])
def test_any_executor_gives_the_same(found: sweep.Sweep, make: Any) -> None:
    ended = []
    with make() as executor:
        other = sweep.run("windows", NAMES, {"n": [2, 3], "s": [3, 5]}, settings=["t=2", "ram=16"], executor=executor,
                          progress=ended.append)
    assert counts(other) == counts(found)
    assert len(ended) == 8 and all(run in other.runs for run in ended)
    if isinstance(executor, Backwards):
        assert ended != other.runs


def test_values_of_every_kind() -> None:
    points = sweep.points("hundred-tasks", ["2.6.5"], {
        "ram": ["64M", 128 << 20], "tunables.swappiness": np.arange(2), "swap": [[{"size": "64M"}]],
        "order": ("random",), "tunables.highpte": [True], "scale": [np.float64(1.0)]})
    assert [int(point.scenario.ram) >> 20 for point in points] == [64, 64, 128, 128]
    assert [point.scenario.tunables["swappiness"] for point in points] == [0, 1, 0, 1]
    assert points[0].label.startswith("2.6.5 ram=64M tunables.swappiness=0")
    assert points[0].scenario.tunables["highpte"] is True
    assert int(points[0].scenario.swap[0].size) == 64 << 20


def test_the_seed_varies_too() -> None:
    points = sweep.points("windows", ["2.6.5"], {"seed": [1, 2], "n": [2, 3]}, settings=SMALL)
    assert [point.seed for point in points] == [1, 1, 2, 2]
    assert points[0].scenario == points[2].scenario


@pytest.mark.parametrize(("names", "vary", "says"), [
    (NAMES, {}, "nothing varies"),
    (NAMES, {"n": []}, "n: no values"),
    (NAMES, {"n": [1, 2, 1]}, "the value 1 is there twice"),
    (NAMES, {"scale": ["= 0.5 + 0.5", 1.0]}, "are the same scenario"),
    (NAMES, {"m": [1, 2]}, "unknown key 'm'"),
    (NAMES, {"s": [1, 2]}, "s is set and varies"),
    (NAMES, {"n": [object()]}, "is no value of a scenario"),
    (NAMES, {"n": [float("nan")]}, "is no value of a scenario"),
    (NAMES, {"n": ["many"]}, "is a word"),
    (NAMES, {"n": range(1, 400), "p": range(3)}, "2 kernels x 399 of n x 3 of p are 2394 runs; a sweep has 1000"),
    (NAMES, {"seed": [-1]}, "seed -1"),
    (NAMES, {"seed": ["x"]}, "seed 'x'"),
    ([], {"n": [1]}, "no kernel"),
    (["2.6.5", "2.6.5"], {"n": [1]}, "named twice"),
    (["2.6.55"], {"n": [1]}, "did you mean '2.6.5'"),
])
def test_what_makes_no_sense(names: Any, vary: Any, says: str) -> None:
    with pytest.raises(scenario.ScenarioError, match=says):
        sweep.points("windows", names, vary, settings=["s=4"])


def test_a_kernel_is_a_name() -> None:
    with pytest.raises(TypeError, match="by the name of a preset"):
        sweep.points("windows", [265], {"n": [1]})      # type: ignore[list-item]


# ---------------------------------------------------------------- how many at a time

def test_memory_bounds_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    points = sweep.points("windows", ["2.6.5"], {"n": [2, 3, 4, 5, 6]}, settings=SMALL)
    takes = [sweep.IMPORTED + sweep.size.predict(point.scenario, point.kernel).total for point in points]
    for room, expected in ((sum(takes), 4), (sum(sorted(takes)[-3:]), 3), (sum(sorted(takes)[-3:]) - 1, 2),
                           (max(takes), 1), (0, 1)):
        monkeypatch.setattr(sweep, "host_bytes", lambda room=room: room)
        assert sweep.how_many(points, 4) == expected
    monkeypatch.setattr(sweep, "host_bytes", lambda: 1 << 60)
    assert sweep.how_many(points) == min(sweep.processors(), 5)


# ---------------------------------------------------------------- what goes wrong

def test_a_run_that_fails_is_its_own_outcome() -> None:
    """A machine that is refused, a kernel without remap_file_pages, one without the arch."""
    ended = sweep.run("windows", NAMES, {"tunables.min_free_kbytes": [256, 0]}, settings=SMALL,
                      executor=Backwards(4))
    assert [run.ok for run in ended.runs] == [True, False, True, False]
    assert "min_free_kbytes" in (ended.runs[1].error or "")
    ended = sweep.run("nonlin", ["2.4", "2.6.5"], {"arch": ["i386", "x86_64"]}, executor=Backwards(4))
    assert [bool(run.not_run) for run in ended.runs] == [True, True, False, False]
    ended = sweep.run("windows", ["2.6.34"], {"arch": ["i386", "x86_64"]}, settings=SMALL, executor=Backwards(2))
    assert "has no arch 'i386'" in (ended.runs[0].not_run or "") and ended.runs[1].result
    assert all(run.ok for run in ended.runs)


def die(job: dict[str, Any]) -> sweep.Outcome:
    """In place of a run, in another process: it is killed, or not."""
    if job["kernel"] == "2.6.5" and job["seed"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if job["kernel"] == "2.6.7" and job["seed"] == 3:
        raise RuntimeError("a mistake of ours")
    return {"not_run": str(job["seed"])}


def test_a_process_that_dies_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "_attempt", die)
    ended = sweep.run("windows", NAMES, {"seed": [1, 2, 3]}, settings=SMALL, jobs=2)
    assert [run.not_run for run in ended.runs] == ["1", None, "3", "1", "2", None]
    assert ended.runs[1].error == sweep.DIED
    assert ended.runs[5].error == "a mistake of ours"


SCRIPT = """
import json, signal, sys
from vmcore import sweep
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sweep.run("hundred-tasks", ["2.6.5"], {"sweeps": [0, 1000000]}, settings=["scale=0.01", "tasks=5"], jobs=2,
                  progress=lambda run: print(run.values["sweeps"], flush=True))
    except sweep.Interrupted as interrupted:
        print("interrupted", [(run.values["sweeps"], run.ok) for run in interrupted.sweep.runs])
"""


def test_ctrl_c_gives_what_is_complete(tmp_path: Path) -> None:
    """Sent to the process alone: it passes it on, and no child is left."""
    path = tmp_path / "endless.py"
    path.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    out, err = process.communicate(timeout=60)      # to the end of every child: they share the pipes
    assert (out, err, process.returncode) == ("interrupted [(0, True)]\n", "", 0)
    assert time.monotonic() - begin < 30


# ---------------------------------------------------------------- what is shown

def test_table_and_csv(found: sweep.Sweep) -> None:
    document = found.document()
    lines = sweeps.table(document, None).splitlines()
    assert lines[1].split()[:3] == ["kernel", "n", "s"]
    assert [line.split()[:3] for line in lines[2:10]] == [
        [run.kernel, str(run.values["n"]), str(run.values["s"])] for run in found.runs]
    rows = [line.split(",") for line in sweeps.to_csv(document).splitlines()]
    assert rows[0][:4] == ["kernel", "n", "s", "outcome"] and len(rows) == 9
    for row, run in zip(rows[1:], found.runs, strict=True):
        assert run.result is not None
        assert row[:4] == [run.kernel, str(run.values["n"]), str(run.values["s"]), "ok"]
        assert float(row[rows[0].index("bytes held: VMAs")]) == FIGURE.value(run.result)
        assert row[rows[0].index("pgfault")] == str(run.result["vmstat"]["pgfault"])


def test_picture_has_a_line_for_each_kernel_and_other_key(found: sweep.Sweep) -> None:
    text = sweeps.picture(found.document(), FIGURE)
    assert text is not None and text.count("<polyline") == 4 and text.count("<circle") == 8
    lines = sweeps.lines_of(found.document(), FIGURE.value, float)
    for (kernel, other), line in lines.items():
        assert line == [(run.values["n"], FIGURE.value(run.result)) for run in found.runs
                        if run.result and run.kernel == kernel and f"s={run.values['s']}" == other]
    assert sweeps.picture(found.document(), next(f for f in FIGURES if f.heading == "killed")) is None


@pytest.mark.parametrize(("values", "log"), [([1, 2, 5], False), ([1, 10, 100], True), ([0, 1000], False)])
def test_scales(values: list[float], log: bool) -> None:
    scale = sweeps.Scale(values, 100, from_zero=False)
    places = [scale(value) for value in values]
    assert (scale.log, places[0], places[-1]) == (log, 0, pytest.approx(100))
    assert places == sorted(places)
    for base in (10, 1024):
        ticks = scale.ticks(base)
        assert len(ticks) <= 9 and all(-1e-6 <= scale(tick) <= 100 + 1e-6 for tick in ticks)
    assert len(scale.ticks(10)) >= 3


def test_words_and_sizes_are_values_of_an_axis() -> None:
    assert sweeps.number("64M") == 64 << 20 and sweeps.number(0.5) == 0.5
    assert sweeps.number("random") is None and sweeps.number(True) is None


def test_page_escapes(found: sweep.Sweep) -> None:
    document = found.document() | {"vary": {"<n>": [2, 3], "s": [3, 5]}}
    for run in document["runs"]:
        run["values"] = {"<n>": run["values"]["n"], "s": run["values"]["s"]}
    page = sweeps.page(document)
    assert "<n>" not in page and "&lt;n&gt;" in page and page.count("<polyline") > 4
