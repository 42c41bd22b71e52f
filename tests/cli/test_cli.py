"""The command as a user runs it: a process, its output, its exit status."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import vmcore
from vmcore import scenario
from vmcore.report import figures

TINY = ["--set", "scale=0.01", "--set", "tasks=5", "--set", "sweeps=1"]
TINY_TREE = ["--set", "levels=4", "--set", "size=8M", "--set", "ram=64M"]
LEDGER = {"mem_map", "page_tables", "upper_tables", "pte_chain", "vma", "anon_vma", "anon_vma_chain", "anonmm", "mm",
          "stack", "slab_other", "page_cache"}


def vm(*args, **options):
    """Run ``python -m vmcore``; text in and out."""
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | options.pop("env", {})
    return subprocess.run([sys.executable, "-m", "vmcore", *args], capture_output=True, text=True, timeout=300,
                          env=environment, check=False, **options)


# ---- what is asked before anything runs


def test_version():
    done = vm("--version")
    assert (done.returncode, done.stdout) == (0, f"vmcore {vmcore.__version__}\n")


@pytest.mark.parametrize("command", [
    [], ["compare"], ["run"], ["calibrate"], ["fits"], ["size"], ["argument"], ["kernels"], ["scenarios"],
    ["scenarios", "copy"]])
def test_help(command):
    done = vm(*command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: vmcore")
    assert done.stderr == ""


def test_console_script():
    script = os.path.join(os.path.dirname(sys.executable), "vmcore")
    if not os.path.exists(script):
        pytest.skip("vmcore is not installed beside this Python")
    done = subprocess.run([script, "kernels"], capture_output=True, text=True, check=True)
    assert "2.6.5-aa1" in done.stdout


@pytest.mark.parametrize(("args", "message"), [
    ([], "COMMAND"),
    (["destroy"], "invalid choice"),
    (["compare", "nothing"], "neither built in"),
    (["compare", "--kernels", "2.6.5,2.6.5-aal"], "did you mean '2.6.5-aa1'"),
    (["compare", "--kernels", ""], "unknown kernel ''"),
    (["compare", "--kernels", "2.6.5,2.6.5"], "named twice"),
    (["compare", "--set", "sweepz=1"], "unknown key 'sweepz'"),
    (["compare", "--set", "ram=64"], "ram"),
    (["compare", "--set", "tunables.swappines=1"], "swappines"),
    (["compare", "--set", "tasks=-1"], "tasks = -1"),
    (["compare", "--set", "scale"], "key=value"),
    (["compare", "--set", "n=" + "[" * 3000], "not a value of TOML"),
    (["compare", "--set", "n=" + "[" * 30 + "]" * 30], "levels deep"),
    (["compare", "--set", "a" + ".a" * 5000 + "=1"], "levels deep"),
    (["compare", "windows", "--set", 'n="x"', "--set", "swap== n*1000000000"], "is a word"),
    (["compare", "windows", "--set", "swap== " + "9" * 5000], "characters"),
    (["compare", "--set", "swap=" + "9" * 5000], "digits"),
    (["compare", "--seed", "-1"], "is no seed"),
    (["compare", "--seed", "one"], "is no seed"),
    (["compare", "--seed", str(1 << 64)], "is no seed"),
    (["compare", "--jobs", "0"], "1 or more"),
    (["compare", "--json", "/no/such/folder/x.json"], "no folder"),
    (["compare", "--json", "."], "it is a folder"),
    (["compare", "--report", "/no/such/folder/x.html"], "no folder"),
    (["run", "--kernel", "3.0"], "unknown kernel '3.0'"),
    (["run", "--set", "tunables.swappines=1"], "swappines"),
    (["kernels", "nothing"], "unknown kernel 'nothing'"),
    (["scenarios", "show", "nothing"], "no built-in scenario 'nothing'"),
])
def test_what_makes_no_sense_is_said_on_stderr_with_status_2(args, message):
    done = vm(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_truncated_file(tmp_path):
    path = tmp_path / "cut.toml"
    text = vm("scenarios", "show", "forktree").stdout
    path.write_text(text[: text.rindex("=") + 1])
    done = vm("compare", str(path))
    assert done.returncode == 2
    assert f"{path}: not valid TOML" in done.stderr


# ---- kernels, scenarios


def test_kernels():
    done = vm("kernels")
    assert done.returncode == 0
    table, _, legend = done.stdout.partition("\n\n")
    assert [line.split()[0] for line in table.splitlines()[1:]] == list(vmcore.KERNELS)
    for kernel in vmcore.KERNELS.values():
        for word in (kernel.rmap, kernel.i_mmap, kernel.reclaim, kernel.merge, kernel.calls):
            assert f"  {word} " in legend
    assert set(json.loads(vm("kernels", "--json").stdout)) == set(vmcore.KERNELS)
    assert "pte_chain" in vm("kernels", "2.6.5").stdout


def test_scenarios(tmp_path):
    lines = vm("scenarios").stdout.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == scenario.builtin_names()
    copied = vm("scenarios", "copy", "forktree", cwd=tmp_path)
    assert copied.returncode == 0
    assert (tmp_path / "forktree.toml").read_text() == vm("scenarios", "show", "forktree").stdout
    again = vm("scenarios", "copy", "forktree", cwd=tmp_path)
    assert (again.returncode, "there already" in again.stderr) == (2, True)
    assert vm("scenarios", "copy", "forktree", "--force", cwd=tmp_path).returncode == 0
    edited = (tmp_path / "forktree.toml").read_text().replace('"512M"', '"4M"').replace('"1G"', '"64M"')
    (tmp_path / "forktree.toml").write_text(edited.replace("levels = 10", "levels = 2"))
    done = vm("run", "forktree.toml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


# ---- the main job, small


@pytest.fixture(scope="module")
def compared():
    """The JSON of a small comparison on both kernels."""
    done = vm("compare", *TINY, "--json", "-", "--seed", "3")
    assert done.stderr == ""
    assert done.returncode == 0
    return json.loads(done.stdout)


def test_json_has_what_design_promises(compared):
    assert {"vmcore", "scenario", "seed", "kernels"} <= set(compared)
    assert compared["vmcore"] == vmcore.__version__
    assert compared["seed"] == 3
    assert compared["scenario"]["tasks"] == 5
    assert list(compared["kernels"]) == ["2.6.5", "2.6.5-aa1"]
    for kernel in compared["kernels"].values():
        assert kernel["ok"] is True
        assert kernel["problems"] == []
        assert set(kernel["ledger"]) >= LEDGER
        assert all(set(line) >= {"bytes", "low_bytes", "peak_bytes"} for line in kernel["ledger"].values())
        assert all(line["low_bytes"] <= line["bytes"] <= line["peak_bytes"] for line in kernel["ledger"].values())
        assert isinstance(kernel["slabinfo"], list)
        assert "total" in kernel["simulated_seconds"]
        assert 0 <= kernel["seconds_outside_engine"] <= kernel["seconds"]


def test_figures_agree_with_each_other(compared):
    pages = compared["scenario"]["anon"] // 5 // 4096 * 5
    for kernel in compared["kernels"].values():
        tasks, stat = kernel["tasks"], kernel["vmstat"]
        assert tasks["killed"] == 0
        assert tasks["anon_rss"] + tasks["anon_swapped"] == tasks["anon_written"] == pages
        assert kernel["touches"] == stat["touches"] == sum(phase["touches"] for phase in kernel["phases"])
        assert stat["pswpout"] >= tasks["anon_swapped"] > 0
        assert stat["pgfault"] >= stat["pgmajfault"]
        assert kernel["swap_used_min"] > 0
        assert kernel["host_peak_bytes"] > kernel["host_import_bytes"] > 0


def test_only_the_design_differs(compared):
    chain, anon = compared["kernels"].values()
    assert chain["ledger"]["pte_chain"]["bytes"] > 0
    assert chain["ledger"]["anon_vma"]["bytes"] == 0
    assert anon["ledger"]["pte_chain"]["bytes"] == 0
    assert anon["ledger"]["anon_vma"]["bytes"] > 0
    assert chain["touches"] == anon["touches"]


def test_same_seed_same_counters(compared):
    again = vm("compare", *TINY, "--json", "-", "--seed", "3", "--jobs", "2")
    for name, kernel in json.loads(again.stdout)["kernels"].items():
        for part in ("vmstat", "meminfo", "slabinfo", "ledger", "tasks", "touches", "swap_used_min"):
            assert kernel[part] == compared["kernels"][name][part], (name, part)


def test_table_file_and_report(tmp_path):
    done = vm("compare", *TINY, "--kernels", "2.6.5-aa1", "--json", "out.json", "--report", "out.html", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert any(line.startswith("2.6.5-aa1") for line in done.stdout.splitlines())
    assert "\r" not in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["kernels"]["2.6.5-aa1"]["ok"]
    assert "<svg" in (tmp_path / "out.html").read_text()


def test_narrow_terminals_get_a_column_for_each_kernel():
    wide, narrow = (vm("run", *TINY, "--set", "sweeps=0", env={"COLUMNS": n}) for n in ("200", "80"))
    assert any(line.split()[:1] == ["kernel"] for line in wide.stdout.splitlines())
    assert any(line.split() == ["2.6.5-aa1"] for line in narrow.stdout.splitlines())


@pytest.mark.parametrize("order", ["task-by-task", "random"])
def test_orders_and_arch(order):
    done = vm("compare", *TINY, "--set", f"order={order}", "--set", "arch=x86_64", "--json", "-")
    assert done.returncode == 0, done.stderr
    assert all(kernel["ok"] for kernel in json.loads(done.stdout)["kernels"].values())


def test_forktree_level_by_level():
    done = vm("compare", "forktree", *TINY_TREE, "--json", "-")
    assert done.returncode == 0, done.stderr
    chain, anon = json.loads(done.stdout)["kernels"].values()
    pages = 2048
    assert [v["pte_chain_bytes"] for v in chain["levels"]] == [0] + [pages * 128] * 4
    assert [v["pte_chain_bytes"] for v in anon["levels"]] == [0] * 5
    for kernel in (chain, anon):
        assert [v["processes"] for v in kernel["levels"]] == [1, 2, 4, 8, 16]
        assert [v["page_table_bytes"] for v in kernel["levels"]] == [2 * 4096 << k for k in range(5)]
        assert kernel["stopped_at"] is None


def test_forktree_says_where_it_ends():
    done = vm("run", "forktree", "--set", "ram=64M", "--set", "size=32M", "--set", "levels=14", "--kernel", "2.6.5")
    assert done.returncode == 0, done.stderr
    assert "ended at level" in done.stdout


def test_killed_tasks_are_not_ok():
    done = vm("run", *TINY, "--set", "swap=1M", "--json", "-")
    assert done.returncode == 1
    [kernel] = json.loads(done.stdout)["kernels"].values()
    assert kernel["ok"] is False
    assert kernel["tasks"]["killed"] > 0
    assert "OOM" in " ".join(kernel["problems"])
    assert done.stderr == "vmcore: NOT OK: 2.6.5-aa1\n"


def test_what_is_not_ok_stands_out():
    """Beside its name in the table, below everything else, and on stderr."""
    done = vm("compare", *TINY, "--kernels", "2.6.5-aa1", "--set", "swap=1M")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert any(line.startswith("2.6.5-aa1 NOT OK  ") for line in lines)
    assert lines[-2] == "" and lines[-1].startswith("NOT OK: 2.6.5-aa1: the OOM killer acted: ")
    assert done.stderr == "vmcore: NOT OK: 2.6.5-aa1\n"


def test_a_check_that_fails_is_not_ok(monkeypatch, capsys):
    from vmcore.cli import main

    def check(machine, walk=0):
        raise vmcore.KernelBug("rss", ("mm 1",))

    monkeypatch.setattr(vmcore.Machine, "check", check)
    assert main(["run", "forktree", *TINY_TREE]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("NOT OK: 2.6.5-aa1: check() failed: ")
    assert said.err == "vmcore: NOT OK: 2.6.5-aa1\n"


# ---- Ctrl-C, pipes


@pytest.mark.parametrize("command", [["compare", "--kernels", "2.6.5-aa1"], ["compare", "--jobs", "2"], ["run"]])
def test_ctrl_c_says_what_is_done(command):
    settings = ["--set", "scale=0.05", "--set", "sweeps=100000", "--json", "-"]
    for patience in (4, 12, 36):            # on a busy host nothing may have begun by then
        process = subprocess.Popen([sys.executable, "-m", "vmcore", *command, *settings], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(patience)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert "interrupted" in err
        assert "Traceback" not in err
        kernels = json.loads(out)["kernels"] if out else {}
        if kernels:
            break
    assert kernels
    assert all(kernel["interrupted"] and not kernel["ok"] for kernel in kernels.values())
    assert time.monotonic() - begin < 20


def test_broken_pipe_is_quiet():
    command = f"'{sys.executable}' -m vmcore scenarios show hundred-tasks | true"
    done = subprocess.run(["bash", "-c", f"for i in 1 2 3; do {command}; done"], capture_output=True, text=True,
                          check=False)
    assert done.stderr == ""


SCRIPT = "import sys; sys.argv[0] = '/bin/vmcore'; import vmcore.cli; vmcore.cli.entry()"


@pytest.mark.parametrize("command", [["-m", "vmcore"], ["-c", SCRIPT]])
def test_ctrl_c_while_modules_are_imported(command):
    """At every moment from the first line of vmcore on: one line or none, and 130. Python's own start is Python's."""
    for moment in range(8):
        process = subprocess.Popen([sys.executable, "-X", "importtime", *command, "compare", "forktree", *TINY_TREE],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:     # importtime writes as modules are done: the clock of this test
            if "vmcore._command" in line:
                break
        time.sleep(moment * 0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        said = [line for line in err.splitlines() if not line.startswith("import time:")]
        assert process.returncode == 130, err
        assert len(said) == 1 and said[0].startswith("vmcore: interrupted")


def test_ctrl_c_inside_exec_is_130_too(tmp_path):
    """Where dataclasses make their methods. `python -m` remembers that, and would end the process by the signal."""
    code = "import vmcore.cli as cli; cli.main = lambda: exec('raise KeyboardInterrupt'); cli.entry()"
    (tmp_path / "command.py").write_text(code)
    done = subprocess.run([sys.executable, "-m", "command"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "vmcore: interrupted\n")


def test_importing_vmcore_leaves_signals_alone():
    code = ("import signal, sys; old = signal.getsignal(signal.SIGINT); import vmcore, vmcore.cli;"
            " assert signal.getsignal(signal.SIGINT) is old")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("args", [
    ["compare", "forktree", *TINY_TREE, "--json", "/dev/full"],
    ["compare", "forktree", *TINY_TREE, "--report", "/dev/full"],
    ["run", "forktree", *TINY_TREE, "--json", "/dev/full"], ["run", "forktree", *TINY_TREE, "--json", "/proc/x"],
    ["fits", "oracle", "--kernels", "2.6.5", "--json", "/dev/full"],
    ["size", "oracle", "--kernels", "2.6.5", "--json", "/dev/full"],
])
def test_a_file_that_cannot_be_written_costs_no_table(args):
    done = vm(*args)
    assert done.returncode == 1
    assert "2.6.5" in done.stdout
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith(f"vmcore: cannot write {args[-1]}: ")


def test_calibrate_that_cannot_write(monkeypatch, capsys):
    from vmcore.cli import calibrate, main

    monkeypatch.setattr(calibrate, "counters", lambda of, bar: {"forks": 1 << of.levels, "fork_tables": 10**9})
    assert main(["calibrate", "--write", "/dev/full"]) == 1
    said = capsys.readouterr()
    assert "time_unit = " in said.out and said.err.startswith("vmcore: cannot write /dev/full: ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize(("redirect", "status", "says"), [
    ("> /dev/full", 1, "vmcore: stdout: No space left on device\n"), (">&-", 0, ""), ("2>&-", 0, ""), ("<&-", 0, ""),
    ("<&- >&- 2>&-", 0, ""), ("2> /dev/full", 0, ""),
])
@pytest.mark.parametrize("command", ["compare", "run"])
def test_streams_that_lead_nowhere(command, redirect, status, says, tmp_path):
    line = f"'{sys.executable}' -m vmcore {command} forktree {' '.join(TINY_TREE)} --json out.json {redirect}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (status, says)
    if status == 0:
        assert json.loads((tmp_path / "out.json").read_text())["kernels"]["2.6.5-aa1"]["ok"]


# ---- fits, calibrate, scenarios of the thread


def test_fits(tmp_path):
    path = tmp_path / "fits.json"
    done = vm("fits", "oracle", "--set", "tasks=5000", "--set", "segment=2048", "--ram", "4G,16G", "--json", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    row = next(line for line in done.stdout.splitlines() if line.startswith("2.6.5-aa1 "))
    assert row.count(" NO") == 2 and "fits" not in row
    kernels = json.loads(path.read_text())["kernels"]
    assert list(kernels) == [name for name, kernel in vmcore.KERNELS.items() if "i386-pae" in kernel.archs]
    for lines in kernels.values():
        assert [line["ram"] for line in lines] == [4 << 30, 16 << 30]
        assert all(line["sum"] == sum(line["low_bytes"].values()) > line["limit"] > 880 << 20 for line in lines)
        assert not any(line["fits"] for line in lines)


@pytest.mark.parametrize(("args", "message"), [
    (["--set", "arch=x86_64"], "all memory of x86_64 is low memory"), (["--ram", "many"], "is no size"),
    (["--ram", "128G"], "from 32M to 64G"), (["--ram", ""], "is no size"),
    (["--kernels", "2.7"], "unknown kernel '2.7'"),
])
def test_fits_refuses(args, message):
    done = vm("fits", *args)
    assert done.returncode == 2 and message in done.stderr


def test_size(tmp_path):
    path = tmp_path / "size.json"
    done = vm("size", "windows", "--kernels", "2.6.5,2.6.5-aa1", "--json", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split("  ")[0]: line.split()[-4:] for line in done.stdout.splitlines()}
    kernels = json.loads(path.read_text())["kernels"]
    shown = [kernels["2.6.5"]["bytes"], kernels["2.6.5"]["full_use"]["bytes"], kernels["2.6.5-aa1"]["bytes"],
             kernels["2.6.5-aa1"]["full_use"]["bytes"]]
    assert lines["together"] == [figures.write("bytes", n) for n in shown]
    assert lines["chain nodes"][2:] == ["0", "0"] and kernels["2.6.5"]["pools"]["pte_chain"] > 1 << 20
    assert all(kernel["bytes"] == sum(kernel["pools"].values()) + kernel["check"] + kernel["python"]
               for kernel in kernels.values())
    done = vm("size", "windows", "--kernels", "all")
    assert done.returncode == 0 and "in full use" in done.stdout and "6.18: not asked: has no arch" in done.stdout
    done = vm("size", "windows", "--json", "-")
    assert json.loads(done.stdout)["scenario"]["name"] == "windows"


@pytest.mark.parametrize(("args", "message"), [
    (["nothing"], "neither built in"), (["--kernels", "6.18"], "has no arch 'i386-pae'"),
    (["--set", "swap=4K"], "an area must have 2.."), (["--json", "/nowhere/x.json"], "there is no folder"),
])
def test_size_refuses(args, message):
    done = vm("size", *args)
    assert done.returncode == 2 and message in done.stderr


@pytest.mark.parametrize("command", ["compare", "run"])
def test_costs_of_the_user(command, tmp_path):
    path = tmp_path / "costs.toml"
    path.write_text("[machine]\nhertz = 1e9\nline = 100\n[events.mine]\npgfault = {cycles = 1e9}\n")
    out = tmp_path / "out.json"
    done = vm(command, "forktree", *TINY_TREE, "--costs", str(path), "--json", str(out))
    assert done.returncode == 0, done.stderr
    for result in json.loads(out.read_text())["kernels"].values():
        assert result["simulated_seconds"]["mine"] == result["final_vmstat"]["pgfault"] == 2048
        assert set(result["simulated_seconds"]) == {"total", "system", "wait", "mine", "process"}
    done = vm(command, "forktree", "--costs", str(tmp_path / "none.toml"))
    assert done.returncode == 2 and "No such file" in done.stderr


def test_all_kernels_side_by_side(tmp_path):
    out = tmp_path / "out.json"
    report = tmp_path / "out.html"
    done = vm("compare", "mprot", "--kernels", "all", "--set", "tasks=1", "--set", "arena=1", "--json", str(out),
              "--report", str(report))
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    allowed = [name for name, kernel in vmcore.KERNELS.items() if "i386" in kernel.archs]
    assert list(document["kernels"]) == allowed
    assert set(document["not_run"]) == set(vmcore.KERNELS) - set(allowed)
    assert "raised by: Andrea Arcangeli" in done.stdout
    assert "the same on all: " in done.stdout
    assert all(f"{name}: not run: has no arch 'i386'" in done.stdout for name in document["not_run"])
    assert "Simulated system seconds" in report.read_text()


def test_scenarios_say_who_raised_them():
    done = vm("scenarios")
    assert "Ingo Molnar" in done.stdout


def test_argument(monkeypatch, capsys, tmp_path):
    """The table of the README, from scenarios at a size for tests."""
    from vmcore.cli import argument, main

    small = {"mprot": ("tasks=1", "arena=1"), "cowkeep": ("keepers=3", "writers=3", "chunk=2", "ram=6M")}
    questions = [q._replace(settings=small[q.scenario]) for q in argument.QUESTIONS if q.scenario in small]
    monkeypatch.setattr(argument, "QUESTIONS", tuple(questions))
    out = tmp_path / "out.json"
    assert main(["argument", "--kernels", "2.6.5,2.6.5-aa1", "--json", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["kernel", "16G", "low", "cowkeep", "mms", "mprot", "VMAs"]
    assert [line.split()[0] for line in printed[1:3]] == ["2.6.5", "2.6.5-aa1"]
    values = json.loads(out.read_text())["kernels"]
    assert values["2.6.5"]["mprot VMAs"] == 1 and values["2.6.5-aa1"]["mprot VMAs"] == 64
    assert values["2.6.5"]["16G low bytes"] > values["2.6.5-aa1"]["16G low bytes"] + (100 << 20)
    assert values["2.6.5-aa1"]["cowkeep mms"] > 3
    # who has no arch of the scenarios has no row
    assert main(["argument", "--kernels", "2.6.5,6.18", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "\n6.18 " not in printed
    assert "6.18: not run: has no arch 'i386', only x86_64; --arch x86_64 has it" in " ".join(printed.split())
    document = json.loads(out.read_text())
    assert list(document["kernels"]) == ["2.6.5"] and list(document["not_run"]) == ["6.18"]
    assert main(["argument", "--kernels", "6.18"]) == 2
    assert "--arch x86_64 has it" in capsys.readouterr().err
