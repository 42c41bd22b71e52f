"""The cost model: a table of costs, what a run's counts come to by it, and the two scalars that calibration fits."""

import math

import pytest

import vmcore
from vmcore import cost, scenario
from vmcore.cli import calibrate as command

TABLE = """
[machine]
hertz = 1e9
line = 100
[scalars]
time_unit = 2.0
process = 0.5
[events.fork]
fork_ptes_copied = {cycles = 50, lines = 0.5}
fork_tables = {cycles = 1000}
[events.exit]
zap_ptes = {cycles = 10, why = "a reason"}
"""


def test_seconds_by_cause():
    model = cost.loads(TABLE)
    counts = {"fork_ptes_copied": 3_000_000, "fork_tables": 2000, "zap_ptes": 10_000_000, "forks": 3, "pgfault": 99}
    assert model.raw(counts) == pytest.approx({"fork": 0.302, "exit": 0.1})
    assert model.system(counts) == pytest.approx({"fork": 0.604, "exit": 0.2, "process": 1.5})
    assert model.simulated(counts, 4.0) == pytest.approx(
        {"total": 6.304, "system": 2.304, "wait": 4.0, "fork": 0.604, "exit": 0.2, "process": 1.5})
    assert cost.from_builtins(cost.to_builtins(model)) == model


@pytest.mark.parametrize(("old", "new", "message"), [
    ("hertz = 1e9", "", "hertz"), ("hertz = 1e9", "hertz = 0", "hertz"), ("line = 100", "lines = 100", "lines"),
    ("zap_ptes", "zap_pte", r"no counter of vmstat has this name \(did you mean 'zap_ptes'"),
    ("zap_ptes", "fork_tables", r"stands in events\.fork already"), ("[events.exit]", "[events.total]", "taken"),
    ("cycles = 10", "cycles = -1", "cycles"), ("cycles = 10", "cycle = 1", "cycle"), ("[machine]", "[machine", "TOML"),
    ("time_unit = 2.0", "time_unit = 0", "time_unit"), ("cycles = 10,", "cycles = nan,", "cycles"),
    ("hertz = 1e9", "hertz = 1e-300", "1.0"), ("hertz = 1e9", "hertz = inf", "hertz"),
    ("line = 100", "line = 1e16", "line"), ("process = 0.5", "process = nan", "process"),
    ("line = 100", "line = " + "9" * 5000, "TOML"), ("line = 100", "line = " + "[" * 5000, "TOML"),
    ("line = 100", "line" + ".a" * 5000 + " = 1", "mine.toml"),
])
def test_tables_that_make_no_sense(old, new, message):
    with pytest.raises(cost.CostError, match=message):
        cost.loads(TABLE.replace(old, new), "mine.toml")


def test_the_highest_costs_have_seconds():
    table = TABLE.replace("hertz = 1e9", "hertz = 1").replace("line = 100", "line = 1e15").replace(
        "time_unit = 2.0", "time_unit = 1e15").replace("cycles = 10,", "cycles = 1e12, lines = 1e12,")
    seconds = cost.loads(table).simulated({"zap_ptes": (1 << 64) - 1}, 0.0)
    assert all(map(math.isfinite, seconds.values()))


def test_files(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TABLE)
    assert cost.load(path) == cost.loads(TABLE)
    assert cost.load() == cost.loads(cost.default_text())
    with pytest.raises(cost.CostError, match="No such file"):
        cost.load(tmp_path / "none.toml")
    path.write_bytes(b"\xff")
    with pytest.raises(cost.CostError, match="not UTF-8"):
        cost.load(path)


def test_every_built_in_cost_has_its_reason():
    model = cost.load()
    assert all(event.why for events in model.events.values() for event in events.values())
    assert model.machine.hertz == 2.4e9


def test_calibration_finds_scalars_that_are_there():
    model = cost.loads(TABLE)
    counts = [{"zap_ptes": 1_000_000 * n, "forks": f} for n, f in ((10, 4), (20, 4), (5, 9), (40, 1))]
    measured = [cost.Measured("k", 0, sum(model.system(c).values())) for c in counts]
    fit = cost.calibrate(model, measured, counts)
    assert (fit.time_unit, fit.process) == pytest.approx((2.0, 0.5))
    assert fit.predicted == pytest.approx([m.seconds for m in measured])


def test_a_process_never_costs_less_than_nothing():
    model = cost.loads(TABLE)
    counts = [{"zap_ptes": 1_000_000, "forks": f} for f in (1, 10)]
    fit = cost.calibrate(model, [cost.Measured("k", 0, s) for s in (2.0, 1.0)], counts)
    assert fit.process == 0
    assert fit.time_unit > 0
    with pytest.raises(cost.CostError, match="explain nothing"):
        cost.calibrate(model, [cost.Measured("k", 0, s) for s in (1.0, 2.0)], [{"forks": 1}, {"forks": 2}])


def test_scalars_are_written_into_a_table_and_nothing_else_is():
    fit = cost.Fit(3.25, 0.125, ())
    text = command.with_scalars(TABLE, fit)
    assert cost.loads(text) == cost.loads(TABLE).with_scalars(3.25, 0.125)
    assert len(text.splitlines()) == len(TABLE.splitlines())
    with pytest.raises(cost.CostError, match="must have one line"):
        command.with_scalars(TABLE.replace("process = 0.5", ""), fit)


def test_the_four_figures_of_the_thread():
    """The scalars of the built-in table are those that calibration finds, and what it cannot explain is this much."""
    model = cost.load()
    counts = []
    for m in cost.MEASURED:
        chosen = scenario.load("forktree", settings=[f"levels={m.levels}"])
        counts.append(scenario.run(chosen, m.kernel)["final_vmstat"])
    fit = cost.calibrate(model, cost.MEASURED, counts)
    assert fit.time_unit == pytest.approx(model.scalars.time_unit, rel=1e-3)
    assert fit.process == pytest.approx(model.scalars.process, rel=1e-3)
    residuals = [round(100 * (p / m.seconds - 1), 1) for p, m in zip(fit.predicted, cost.MEASURED, strict=True)]
    assert residuals == [0.5, -0.2, -2.0, 1.7]
    assert "level 7: measured 1.74, predicted 1.71" in command.report(model, fit, counts)


def test_a_run_has_its_time_by_cause():
    tiny = scenario.load("forktree", settings=["size=1M", "levels=2", "ram=32M"])
    result = scenario.run(tiny, "2.6.5", costs=cost.loads(TABLE))
    seconds = result["simulated_seconds"]
    assert set(seconds) == {"total", "system", "wait", "fork", "exit", "process"}
    assert seconds["process"] == 3 * 0.5                        # 4 processes, 3 of them forked
    assert seconds["exit"] == pytest.approx(4 * 256 * 10 * 2.0 / 1e9)     # all of them exit, 256 pages each
    assert seconds["system"] == pytest.approx(sum(seconds[k] for k in ("fork", "exit", "process")))
    assert sum(phase["system_seconds"] for phase in result["phases"]) == pytest.approx(seconds["system"])
    assert vmcore.KERNELS["2.6.5"].rmap == "pte_chain"
