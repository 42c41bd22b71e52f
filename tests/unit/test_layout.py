"""Text that fits where it is read."""
from __future__ import annotations

import sys
from typing import Any

import pytest

import vmcore
from vmcore import scenario
from vmcore.cli import main
from vmcore.designs import ABOUT, CALLS, I_MMAP, MERGE, RECLAIM, RMAP
from vmcore.report import layout, text
from vmcore.report.figures import NAMES, looked_at

ROWS = [["kernel", "a", "bb", "long heading", "d"],
        ["2.6.5", "1", "22", "333", "4"], ["2.6.5-aa1", "1000", "2", "3", "5"]]
GROUPS = ["", "held", "held", "per page", "per page"]


def cells(lines: list[str]) -> dict[str, str]:
    """What stands under each heading, however the table is cut: rows joined by commas."""
    found: dict[str, str] = {}
    for block in "\n".join(lines).split("\n\n"):
        rows = block.splitlines()
        head = next(row for row in rows if row.startswith("kernel"))
        at = rows.index(head)
        for heading in head[10:].split("  "):
            if heading.strip():
                end = head.index(heading.strip()) + len(heading.strip())
                found[heading.strip()] = ",".join(row[:end].split(" ")[-1] for row in rows[at + 1:])
    return found


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_a_grid_is_cut_into_blocks_that_fit(groups: list[str] | None) -> None:
    wide = layout.grid(ROWS, None, groups=groups)
    assert len(wide) == 3 + bool(groups)
    assert layout.grid(ROWS, 200, groups=groups) == wide
    for width in range(24, 60):
        lines = layout.grid(ROWS, width, groups=groups)
        assert max(map(len, lines)) <= width
        assert sum(line.startswith("2.6.5 ") for line in lines) == sum(line.startswith("kernel") for line in lines)
    narrow = layout.grid(ROWS, 24, groups=groups)
    assert cells(narrow) == {"a": "1,1000", "bb": "22,2", "long heading": "333,3", "d": "4,5"}
    assert "" in narrow


def test_a_group_stays_together_where_it_can() -> None:
    lines = layout.grid(ROWS, 30, groups=GROUPS)
    assert [line.strip() for line in lines if "held" in line or "per page" in line] == ["held", "per page"]
    assert layout.grid(ROWS, 24, groups=["", *["all"] * 4])[0].strip() == "all"


def test_a_listing_folds_its_last_column() -> None:
    rows = [["a", "one two three four five six seven eight nine ten"], ["bbb", "one"]]
    assert layout.listing(rows) == ["a    " + rows[0][1], "bbb  one"]
    folded = layout.listing(rows, 45)
    assert folded[0].startswith("a    one") and folded[1].startswith("     ") and folded[-1] == "bbb  one"
    assert all(len(line) <= 45 for line in folded)
    below = layout.listing([["x" * 30, rows[0][1]]], 45)
    assert below[0] == "x" * 30 and below[1].startswith("    one two")


def test_prose() -> None:
    assert layout.prose("one two three") == ["one two three"]
    assert layout.prose("name: " + "word " * 10, 30) == ["name: word word word word word", "  word word word word word"]


def test_a_pipe_is_as_wide_as_it_gets_and_columns_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    for asked, width in ((None, None), ("", None), ("0", None), ("x", None), ("90", 90)):
        monkeypatch.delenv("COLUMNS", raising=False)
        if asked is not None:
            monkeypatch.setenv("COLUMNS", asked)
        assert layout.terminal() == width


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("command", [
    "kernels", "kernels 6.18", "explain", "explain unmap_vm_reserved", "scenarios", "fits oracle",
    "fits oracle --set tasks=5000 --set segment=2048 --set tunables.highpte=true", "size windows --kernels all",
    "size --kernels 2.6.5", "run privfork --set scale=0.2", "compare mprot --kernels all --set tasks=1 --set arena=1",
    "--help", "compare --help", "fits --help", "size --help", "argument --help",
])
def test_every_command_fits_the_terminal(command: str, width: int, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    try:
        status = main(command.split())
    except SystemExit as ended:
        status = ended.code
    out = capsys.readouterr().out
    assert status == 0
    assert [line for line in out.splitlines() if len(line) > width] == []
    if "--kernels all" in command or command == "kernels":
        assert all(name in out for name in vmcore.KERNELS)


def test_colour_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert text.emphasised("x") == "\033[1;31mx\033[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert text.emphasised("x") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert text.emphasised("x") == "x"


# ---- what a scenario says to look at


@pytest.mark.parametrize("name", scenario.builtin_names())
def test_what_is_to_be_looked_at_is_a_figure(name: str) -> None:
    chosen = scenario.load(name)
    assert chosen.look_at and set(chosen.look_at) <= set(NAMES)


def invented(**vmstat: int) -> dict[str, Any]:
    """A kernel's object of the JSON, of a machine without high memory that reclaimed nothing."""
    counters = ("pgfault", "pgmajfault", "rmap_ptes_examined", "rmap_vmas_visited", "rmap_mms_visited")
    return {"vmstat": dict.fromkeys(counters, 0) | vmstat, "meminfo": {}, "ledger": {}, "tasks": {"killed": 0},
            "simulated_seconds": {"system": 1.0}, "phases": [], "seconds": 1.0, "touches": 1}


@pytest.mark.parametrize("width", [None, 80])
def test_what_is_to_be_looked_at_is_shown(width: int | None) -> None:
    kernels = {"one": invented(pgmajfault=3), "two": invented(pgmajfault=4)}
    names = ["faults: major", "tasks: killed", "bytes held: low memory", "per page reclaimed: PTEs"]
    figures = looked_at(names, kernels)
    assert [f.heading for f in figures] == ["major", "killed"]      # what no kernel has is not named
    said = text.introduction("title", "", "shows", figures, width)
    assert said[-1] == "look at: faults (major); tasks (killed)"
    lines = text.compare_table(kernels, width, figures)
    assert "killed" in lines.split("the same on all")[0]            # though it is the same
    assert "killed" not in text.compare_table(kernels, width).split("the same on all")[0]


def test_a_figure_that_is_none(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(scenario.builtin_text("mprot").replace("bytes held: VMAs", "bytes held: VMA"))
    assert main(["compare", str(path)]) == 2
    assert "no figure 'bytes held: VMA' (did you mean 'bytes held: VMAs'?)" in capsys.readouterr().err


def test_every_design_is_said_in_words() -> None:
    known = {"rmap": RMAP, "i_mmap": I_MMAP, "reclaim": RECLAIM, "merge": MERGE, "calls": CALLS}
    assert {kind: set(words) for kind, words in ABOUT.items()} == {kind: set(names) for kind, names in known.items()}
