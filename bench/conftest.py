"""The fixture `race`; and in a run of the benchmarks: a line for each figure as it comes, and facts for the table."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import SCALE
from bench.race import Race
from bench.table import line, rows_of

GROUPS = ("startup", "limits", "touch", "python", "fault", "calls", "reclaim", "storm", "intervals", "memory", "cores",
          "scenarios")  # in this order


@pytest.fixture
def race(benchmark: Any) -> Race:
    """Measures ours and its peers in turn."""
    return Race(benchmark)


def pytest_configure(config: pytest.Config) -> None:
    # `pytest .` reads this file as well, and finds no benchmarks: its tests are not ours to report.
    if config.inipath == Path(__file__).with_name("pytest.ini"):
        config.pluginmanager.register(Report(config))


class Report:
    """Hooks of a run of the benchmarks."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.skipped: list[dict[str, str]] = []
        self.failed: list[str] = []
        self.load = os.getloadavg()[0]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: GROUPS.index(item.path.stem.removeprefix("bench_")))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        outcome: Any = yield
        report = outcome.get_result()
        if report.skipped:
            self.skipped.append({"name": item.nodeid, "reason": str(report.longrepr[2]).removeprefix("Skipped: ")})
        elif report.failed:
            self.failed.append(item.nodeid)
        elif report.when == "call":
            benchmark = getattr(item, "funcargs", {}).get("benchmark")
            terminal: Any = self.config.pluginmanager.get_plugin("terminalreporter")
            for row in rows_of(benchmark.extra_info) if benchmark is not None and terminal is not None else ():
                terminal.write_line(line(row))

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        # No dots: the line of figures says that it passed.
        if report.failed:
            return None
        return ("skipped" if report.skipped else "passed" if report.when == "call" else "", "", "")

    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        import numpy as np

        import vmcore

        output_json["vmcore_bench"] = {
            "scale": SCALE,
            "versions": {"vmcore": vmcore.__version__, "numpy": np.__version__},
            "skipped": self.skipped,
            "failed": self.failed,
            "load": [self.load, os.getloadavg()[0]],
            "huge_pages": huge_pages(),
            "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }


def huge_pages() -> str:
    """The host's mode: numpy's arrays and the engine's pools ask for them, which needs "madvise" or "always"."""
    try:
        modes = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
        return modes.partition("[")[2].partition("]")[0]
    except OSError:
        return "unknown"
