"""What a mistyped word may have meant, and how a kernel of another architecture can be run."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

import vmcore
from vmcore import scenario
from vmcore.cli import main
from vmcore.words import hint, near

STEPS = 'workload = "steps"\nname = "x"\nram = "48M"\narch = "x86_64"\n[[steps]]\n'


@pytest.mark.parametrize(("word", "found"), [
    ("windws", "windows"), ("Windows", "windows"), ("2.6.5-aal", "2.6.5-aa1"), ("aa1", "2.6.5-aa1"),
    ("anon", None), ("", None), ("w", None), ("zzz", None), ("6.19", "6.18"),
])
def test_near(word: str, found: str | None) -> None:
    assert near(word, ["windows", "2.6.5-aa1", "2.6.5-anonmm", "2.6.5-anonmm-prio", "6.18"]) == found


def test_hint() -> None:
    assert hint("windws", ["windows"]) == " (did you mean 'windows'?)"
    assert hint("zzz", ["windows"]) == ""


@pytest.mark.parametrize(("line", "meant"), [
    ("compair", "compare"), ("scenarios shw", "show"), ("scenarios copy forktre", "forktree"),
    ("scenarios windows", "show windows"),
    ("compare windws", "windows"), ("compare --jsn x", "--json"), ("fits orcale", "oracle"),
    ("compare --kernels 2.6.5,anonmm-pro", "2.6.5-anonmm-prio"), ("run --kernel 2.6.5-aal", "2.6.5-aa1"),
    ("kernels 6.19", "6.18"), ("size --set taks=5", "tasks"), ("compare --set libraries.cont=3", "count"),
    ("compare privfork --set chldren=3", "children"), ("compare privfork --set parameters.chldren=3", "children"),
    ("compare privfork --set variant=onw", "own"), ("compare --set arch=x86-64", "x86_64"),
    ("compare --set workload=taks", "tasks"), ("run --set tunables.swapines=1", "swappiness"),
    ("argument --arch x86", "x86_64"), ("explain vma_overlop", "vma_overlap"),
])
def test_a_mistyped_word_gets_a_hint(line: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(line.split())
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr()
    assert (status, said.out) == (2, "")
    assert f"(did you mean '{meant}'?)" in said.err


@pytest.mark.parametrize(("step", "says"), [
    ('do = "spwan"\nwho = "a"',
     r"steps\[0\].do: 'spwan' \(did you mean 'spawn'\?\); there are: spawn, fork, map, .*exit"),
    ('who = "a"', r"the key 'steps\[0\].do' is missing; there are: spawn, fork, "),
    ("do = 3", r"unknown steps\[0\].do: 3; there are: spawn, "),
    ('do = "spawn"\nwho = "parent"\n[[steps]]\ndo = "exit"\nwho = "parnt"',
     r"did you mean 'parent'\?\); there are: parent"),
])
def test_steps_say_what_they_can_be(step: str, says: str) -> None:
    with pytest.raises(scenario.ScenarioError, match=says):
        scenario.loads(STEPS + step)


@pytest.mark.parametrize("command", ["compare windows --kernels 2.6.5,6.18", "run windows --kernel 6.18",
                                     "run windows --kernels 6.18", "size windows --kernels 2.6.34,6.18"])
def test_a_kernel_of_another_arch_says_how_to_run_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert "has no arch 'i386', only x86_64; with --set arch=x86_64 every kernel can run" in said
    assert main([*command.split(), "--set", "arch=x86_64", "--set", "t=3", "--set", "swap=64M"]) == 0


def test_where_no_arch_helps_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fits", "oracle", "--kernels", "6.18"]) == 2
    assert "--set" not in capsys.readouterr().err       # all memory of x86_64 is low memory
    assert main(["argument", "--kernels", "6.18", "--arch", "i386"]) == 2
    assert "with --arch x86_64 every kernel can run" in capsys.readouterr().err


def test_kernels_that_can_run_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from vmcore.cli import options

    few = {name: vmcore.KERNELS[name] for name in ("2.6.5", "2.6.34")}
    few["2.2"] = few["2.6.5"].replace(name="2.2", archs=("i386",))
    monkeypatch.setattr(vmcore, "KERNELS", few)
    with pytest.raises(scenario.ScenarioError, match=r"with --set arch=x86_64 these can run: 2.6.5, 2.6.34"):
        options.kernels("2.6.34", "i386")
    with pytest.raises(scenario.ScenarioError, match=r"no arch has all of 2.2, 2.6.34"):
        options.kernels("2.2,2.6.34", "i386")


def test_run_takes_one_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--kernel", "2.6.5,2.4"]) == 2
    assert "vmcore compare takes several" in capsys.readouterr().err


def test_json_of_names_goes_to_stdout_or_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    for command, name in (("kernels", "2.6.5"), ("explain", "vma_overlap")):
        for words in (["--json", name], [name, "--json"]):
            assert main([command, *words]) == 0
            assert list(json.loads(capsys.readouterr().out)) == [name]
        assert main([command, "--json", str(out), name]) == 0
        assert capsys.readouterr().out == "" and list(json.loads(out.read_text())) == [name]
        assert main([command, "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)) > 10
        assert main([command, "--json", "/no/such/folder/x.json"]) == 1


def test_scenarios_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed) == scenario.builtin_names() and listed["mprot"]["ram"] == 256 << 20


def test_calibrate_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from vmcore.cli import calibrate

    monkeypatch.setattr(calibrate, "counters", lambda of, bar: {"forks": 1 << of.levels, "fork_tables": 10**9})
    assert main(["calibrate", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["time_unit"] > 0
    assert {(one["kernel"], one["levels"]) for one in found["figures"]} >= {("2.6.5", 6), ("2.6.5-aa1", 7)}


def test_a_run_as_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "run.html"
    small = ["--set", "tasks=1", "--set", "arena=1"]
    assert main(["run", "mprot", *small, "--report", str(page)]) == 0
    assert "<svg" in page.read_text() and "2.6.5-aa1" in page.read_text()
    assert main(["run", "mprot", *small, "--report", str(tmp_path / "none" / "x.html")]) == 2


def test_names_that_are_no_names_in_python() -> None:
    m = vmcore.Machine(ram="16M")
    with pytest.raises(ValueError, match=r"unknown pool 'frames' \(did you mean 'frame'\?\)"):
        m.view("frames")
    with pytest.raises(TypeError, match=r"scenario must be what scenario.load\(\) gives, not 'mprot'"):
        scenario.run("mprot", "2.6.5")
