"""What `make bench-track` says of counts that moved, and of builds that differ. Nothing is measured here."""
from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

track = pytest.importorskip("bench.track", reason="the benchmarks are part of the repository, not of an archive")

BUILT = {"compiler": "GCC: 12", "flags": "-O3"}


def test_what_moved_is_marked() -> None:
    before = {"touch": 100.0, "fork": 50.0, "old": 1.0}
    lines = track.report(BUILT, before, BUILT, {"touch": 101.9, "fork": 48.9, "new": 7.0}).splitlines()
    assert lines[0].split() == ["instructions", "an", "item", "committed", "now"]
    found = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:5]}
    assert found == {"touch": "100.0 101.9 +1.9%", "fork": "50.0 48.9 -2.2% <-- moved", "new": "- 7.0 new",
                     "old": "1.0 - gone"}
    assert lines[-1] == "1 of 3 moved by more than 2%"
    assert track.report(BUILT, before, BUILT, before).endswith("nothing moved by more than 2%")


def test_another_build_is_named() -> None:
    said = track.report(BUILT, {"touch": 1.0}, {**BUILT, "flags": "-O1"}, {"touch": 1.0}).splitlines()[-1]
    assert said.endswith("flags -O3 there, -O1 here") and "compiler" not in said


def test_the_file_is_what_the_command_writes() -> None:
    file = tomllib.loads(track.FILE.read_text(encoding="utf-8"))
    assert track.text(file["built"], file["instructions"]) == track.FILE.read_text(encoding="utf-8")
    assert {"compiler", "flags"} <= set(file["built"])


def test_a_dump_of_callgrind(tmp_path: Path) -> None:
    path = tmp_path / "out.1"
    path.write_text("version: 1\ndesc: Trigger: Client Request: touch hit, uniform\nevents: Ir\ntotals: 1234\n")
    assert track.dump(path) == ("touch hit, uniform", 1234)
    path.write_text("version: 1\ndesc: Trigger: Program termination\ntotals: 0\n")
    assert track.dump(path) is None


def test_without_valgrind_the_command_says_how_to_get_it(monkeypatch, capsys) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.argv", ["track"])
    assert track.main() == 1
    assert "there is no valgrind here" in (said := capsys.readouterr().err) and "apt-get install valgrind" in said
