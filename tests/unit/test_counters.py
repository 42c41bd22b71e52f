"""Counters gate: what small scenarios count on every kernel is what tests/counters.toml says, to the last one."""
from __future__ import annotations

import pytest
from tests import counters

TABLES = list(counters.tables())
RUNS = [(table, kernel) for table, _, _, kernels in TABLES for kernel in kernels]


@pytest.mark.parametrize(("table", "kernel"), RUNS)
def test_counters(table: str, kernel: str) -> None:
    line = counters.committed()[table]
    [(name, settings, kernels)] = [run[1:] for run in TABLES if run[0] == table]
    column = kernels.index(kernel)
    expected = {counter: values[column] for counter, values in line.items()
                if counter not in ("settings", "kernels") and values[column]}
    found = counters.count(name, settings, kernel)
    moved = {counter: (expected.get(counter, 0), found.get(counter, 0)) for counter in expected | found
             if expected.get(counter, 0) != found.get(counter, 0)}
    assert not moved, "counted before and now; if that is meant: make counters, and look at the diff"


def test_the_file_is_of_these_runs() -> None:
    """No table more or less, no other settings; sorted."""
    file = counters.committed()
    assert list(file) == [table for table, _, _, _ in TABLES]
    for table, name, settings, kernels in TABLES:
        assert (file[table]["settings"], file[table]["kernels"]) == (settings, kernels)
        names = list(file[table])[2:]
        assert names == sorted(names)
        assert any(file[table].get("rmap_ptes_examined", ())) or name == "forktree", "reclaim looked for pages"
