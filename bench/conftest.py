"""Fixtures of the benchmarks; prints each figure as it comes, and hands skips to the table with their reasons."""

from collections.abc import Iterator
from typing import Any

import pytest

from bench import SCALE
from bench.race import Race
from bench.table import line, rows_of

skipped: list[dict[str, str]] = []
failed: list[str] = []


@pytest.fixture
def race(benchmark: Any) -> Race:
    """Measures ours and its peers in turn."""
    return Race(benchmark)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    name = item.nodeid.removeprefix("bench/")
    if report.skipped:
        skipped.append({"name": name, "reason": str(report.longrepr[2]).removeprefix("Skipped: ")})
    elif report.failed:
        failed.append(name)
    elif report.when == "call":
        benchmark = getattr(item, "funcargs", {}).get("benchmark")
        reporter: Any = item.config.pluginmanager.get_plugin("terminalreporter")
        for row in rows_of(benchmark.extra_info) if benchmark is not None and reporter is not None else ():
            reporter.write_line(line(row))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    # Its line of figures says that it passed.
    return ("passed", "", "") if report.passed else None


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    import numpy as np

    import vmcore

    versions = {"vmcore": vmcore.__version__, "numpy": np.__version__}
    output_json["vmcore_bench"] = {"scale": SCALE, "versions": versions, "skipped": skipped, "failed": failed}
