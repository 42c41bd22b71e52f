"""``vmcore sweep`` as a user runs it."""

import csv
import json
import signal
import subprocess
import sys
import time

import pytest
from tests.cli.test_cli import vm

from vmcore import sweep

SMALL = ["windows", "--set", "t=2", "--set", "ram=16", "--vary", "n=2,3", "--vary", "s=3, 5"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep, and the folder with its files."""
    folder = tmp_path_factory.mktemp("sweep")
    done = vm("sweep", *SMALL, "--seed", "3", "--json", "out.json", "--csv", "out.csv", "--report", "out.html",
              cwd=folder)
    return done, folder


def test_help():
    done = vm("sweep", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--vary KEY=V1,V2,..." in done.stdout


def test_table(swept):
    done, _ = swept
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split()[:3] for line in done.stdout.splitlines() if line.startswith(("kernel", "2.6."))]
    assert rows == [["kernel", "n", "s"], *([kernel, n, s] for kernel in ("2.6.5", "2.6.5-aa1") for n in "23"
                                            for s in "35")]


def test_files(swept):
    _, folder = swept
    document = json.loads((folder / "out.json").read_text())
    assert document["vary"] == {"n": [2, 3], "s": [3, 5]} and document["seed"] == 3
    assert document["scenario"]["parameters"]["t"] == 2
    assert [(run["kernel"], run["values"]) for run in document["runs"]] == [
        (kernel, {"n": n, "s": s}) for kernel in ("2.6.5", "2.6.5-aa1") for n in (2, 3) for s in (3, 5)]
    assert all(run["result"]["ok"] for run in document["runs"])
    rows = list(csv.DictReader((folder / "out.csv").open()))
    assert [row["outcome"] for row in rows] == ["ok"] * 8
    assert [int(row["touches"]) for row in rows] == [run["result"]["vmstat"]["touches"] for run in document["runs"]]
    assert "<polyline" in (folder / "out.html").read_text()


def test_the_same_as_from_python(swept):
    """Workers of the command, processes of the module: the same counts."""
    _, folder = swept
    found = sweep.run("windows", ["2.6.5-aa1"], {"n": [3]}, settings=["t=2", "ram=16", "s=5"], seed=3)
    [run] = [run for run in json.loads((folder / "out.json").read_text())["runs"]
             if (run["kernel"], run["values"]) == ("2.6.5-aa1", {"n": 3, "s": 5})]
    assert run["result"]["vmstat"] == found.runs[0].result["vmstat"]


def test_a_run_that_fails_does_not_end_the_others(tmp_path):
    done = vm("sweep", "windows", "--kernels", "2.6.5", "--set", "n=2", "--set", "s=3", "--vary",
              "tunables.swappiness=0,101,60", "--json", "out.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "2.6.5 tunables.swappiness=101: swappiness must be in 0..100" in done.stderr
    runs = json.loads((tmp_path / "out.json").read_text())["runs"]
    assert ["error" in run for run in runs] == [False, True, False]
    assert sum(line.startswith("2.6.5 ") for line in done.stdout.splitlines()) == 2


def test_what_a_kernel_cannot_run_is_said():
    done = vm("sweep", "windows", "--kernels", "2.6.5,6.18", "--set", "n=2", "--set", "s=3", "--vary",
              "arch=i386,x86_64")
    assert done.returncode == 0, done.stderr
    assert "6.18 arch=i386: not run: has no arch 'i386', only x86_64" in done.stdout


def test_csv_to_stdout_and_narrow_terminals():
    done = vm("sweep", *SMALL, "--kernels", "2.6.5", "--csv", "-")
    assert [line.split(",")[:3] for line in done.stdout.splitlines()] == [
        ["kernel", "n", "s"], *(["2.6.5", n, s] for n in "23" for s in "35")]
    done = vm("sweep", *SMALL, "--kernels", "2.6.5", env={"COLUMNS": "70"})
    assert max(map(len, done.stdout.splitlines()[2:])) <= 70


@pytest.mark.parametrize(("args", "message"), [
    (["windows"], "--vary"),
    (["windows", "--vary", "n"], "KEY=V1,V2"),
    (["windows", "--vary", "=1,2"], "KEY=V1,V2"),
    (["windows", "--vary", "n="], "no values"),
    (["windows", "--vary", "n=1,,2"], "a value is missing"),
    (["windows", "--vary", "n=1,2", "--vary", "n=3"], "there twice"),
    (["windows", "--vary", "n=1,2,0x2"], "the value 2 is there twice"),
    (["windows", "--vary", "m=1,2"], "unknown key 'm'"),
    (["windows", "--vary", "n=-1"], "n"),
    (["windows", "--vary", "seed=1,one"], "seed 'one'"),
    (["windows", "--set", "n=1", "--vary", "n=1,2"], "n is set and varies"),
    (["windows", "--vary", "n=" + ",".join(map(str, range(1, 502)))], "are 1002 runs; a sweep has 1000 at most"),
    (["windows", "--kernels", "6.18", "--vary", "n=1"], "no arch 'i386'"),
    (["nowhere", "--vary", "n=1"], "neither built in"),
    (["windows", "--vary", "n=1", "--json", "-", "--csv", "-"], "only one of them"),
    (["windows", "--vary", "n=1", "--csv", "/no/such/folder/x.csv"], "no folder"),
])
def test_what_makes_no_sense(args, message):
    done = vm("sweep", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("text", "parts"), [
    ("1,2", ["1", "2"]), ("64M, 1G", ["64M", "1G"]), ('[1,2],"a,b"', ["[1,2]", '"a,b"']),
    ("{size = '1M', priority = 1},x", ["{size = '1M', priority = 1}", "x"]), ("", [""]),
])
def test_values_are_split_at_commas(text, parts):
    from vmcore.cli.sweep import split

    assert split(text) == parts


def test_ctrl_c_gives_what_is_complete(tmp_path):
    for patience in (4, 12, 36):            # on a busy host nothing may be complete by then
        process = subprocess.Popen(
            [sys.executable, "-m", "vmcore", "sweep", "--kernels", "2.6.5", "--set", "scale=0.01", "--set", "tasks=5",
             "--vary", "sweeps=0,1000000", "--json", "out.json"], text=True, cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(patience)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        if "1 of 2" in err:
            break
    assert err == "vmcore: interrupted: 1 of 2 runs were complete\n"
    [run] = json.loads((tmp_path / "out.json").read_text())["runs"]
    assert run["values"] == {"sweeps": 0} and run["result"]["ok"]
