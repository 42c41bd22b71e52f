"""Scenarios: TOML to checked, scaled structs; the orders of a sweep; the arithmetic of forktree; what reports write."""

import pytest

from vmcore import scenario
from vmcore.report import figures, html, text
from vmcore.scenario.forktree import expected_chain_bytes
from vmcore.scenario.model import Size
from vmcore.scenario.splitmix import shuffled, splitmix64
from vmcore.scenario.tasks import Server

MIB = 1 << 20
MINIMAL = """
workload = "forktree"
name = "mine"
ram = "64M"
arch = "i386"
size = "1M"
"""


@pytest.mark.parametrize(("given", "size"), [
    (4096, 4096), ("4096", 4096), ("64K", 65536), ("64k", 65536), ("1.5G", 3 << 29), ("2 GiB", 2 << 30),
    ("1T", 1 << 40),
])
def test_size(given, size):
    assert Size.parse(given) == size


@pytest.mark.parametrize("given", ["", "G", "12X", "-1", -1, 1.5, None, True, [], "1e99T", 1 << 62, "0x10"])
def test_no_size(given):
    with pytest.raises(ValueError, match="is no size"):
        Size.parse(given)


def test_size_reads_well():
    assert [str(Size(n)) for n in (24 << 30, 3 << 29, 64 << 10, 12 * MIB)] == ["24 GiB", "1.5 GiB", "64 KiB", "12 MiB"]


@pytest.mark.parametrize("name", scenario.builtin_names())
def test_built_in(name):
    chosen = scenario.load(name)
    assert chosen.name == name
    assert chosen.summary
    assert scenario.from_builtins(scenario.to_builtins(chosen)) == chosen
    assert scenario.loads(scenario.builtin_text(name)) == chosen
    with pytest.raises(AttributeError):
        chosen.ram = 1


def test_hundred_tasks_is_what_design_says():
    chosen = scenario.load("hundred-tasks")
    assert scenario.builtin_names()[0] == "hundred-tasks"
    assert (chosen.ram, chosen.anon, chosen.tasks, chosen.arch) == (16 << 30, 24 << 30, 100, "i386-pae")
    assert sum(area.size for area in chosen.swap) == 12 << 30
    assert len({area.priority for area in chosen.swap}) == len(chosen.swap) == 2
    assert chosen.shared.size == 1 << 30
    sizes = chosen.libraries.sizes()
    assert len(sizes) == 30
    assert (sizes[0], sizes[-1]) == (64 << 10, 4 * MIB)
    assert sizes == sorted(sizes)
    assert all(size % 4096 == 0 for size in sizes)


def test_forktree_is_what_the_fact_sheet_says():
    chosen = scenario.load("forktree")
    assert (chosen.ram, chosen.size, chosen.levels, chosen.arch) == (1 << 30, 512 * MIB, 10, "i386")
    assert chosen.swap == ()
    assert chosen.tunables == {"l1_line": 128, "highpte": 0, "overcommit_memory": 1}


def test_set():
    chosen = scenario.load("hundred-tasks", settings=[
        "tasks=3", "order=random", "libraries.count = 2", "tunables.swappiness=0", "ram='2G'", "ram=1G", "swap=3G"])
    assert (chosen.tasks, chosen.order, chosen.libraries.count, chosen.ram) == (3, "random", 2, 1 << 30)
    assert chosen.tunables == {"swappiness": 0}
    assert [(area.size, area.priority) for area in chosen.swap] == [(3 << 30, -1)]


def test_swap_may_be_written_short():
    for value, areas in [("0", []), ('"1G"', [(1 << 30, -1)]), ("[]", []),
                         ('["1G", {size = "2G", priority = 7}]', [(1 << 30, -1), (2 << 30, 7)])]:
        chosen = scenario.loads(MINIMAL + f"swap = {value}")
        assert [(area.size, area.priority) for area in chosen.swap] == areas


def test_scale_is_for_sizes_only_and_whole_pages():
    chosen = scenario.load("hundred-tasks", settings=["scale=0.01"])
    assert chosen.tasks == 100
    assert chosen.scale == 0.01
    sizes = [chosen.ram, chosen.anon, chosen.slice, chosen.shared.size, *(area.size for area in chosen.swap),
             *chosen.libraries.sizes()]
    assert all(size > 0 and size % 4096 == 0 for size in sizes)
    assert chosen.ram == pytest.approx(0.01 * (16 << 30), abs=4096)
    tiny = scenario.load("hundred-tasks", settings=["scale=1e-9"])
    assert tiny.anon == 100 * 4096


@pytest.mark.parametrize(("settings", "message"), [
    (["sweepz=1"], r"unknown key 'sweepz'.*; known here: .*sweeps"),
    (["libraries.cnt=1"], r"unknown key 'libraries\.cnt'.*; known here: count, largest, smallest"),
    (["swap=[{size='1G', prio=3}]"], r"unknown key 'swap\[0\]\.prio'.*; known here: priority, size"),
    (["tasks=0"], r"tasks = 0: .*>= 1"),
    (["tasks=-5"], r"tasks = -5"),
    (["tasks=99999999999999999999999"], r"tasks = 9999"),
    (["tasks=many"], r"tasks = 'many': expected an integer, got a string"),
    (["tasks=1.5"], r"tasks = 1\.5: expected an integer"),
    (["write=1.5"], r"write = 1\.5: .*<= 1"),
    (["order=zig"], r"order = 'zig': one of 'round-robin', 'task-by-task', 'random'"),
    (["arch=mips"], r"arch = 'mips': one of 'i386', 'i386-pae', 'x86_64'"),
    (["ram=much"], r"ram = 'much': 'much' is no size"),
    (["ram=true"], r"ram = True: True is no size"),
    (["ram=-1"], r"ram = -1"),
    (["anon=4K"], r"a page or more for each task"),
    (["slice=100"], r"slice must be a multiple of 4096"),
    (["libraries.smallest=8M"], r"smallest must be more than 0 and not above largest"),
    (["scale=0"], r"scale = 0"),
    (["scale=nan"], r"scale = nan"),
    (["shared=3"], r"shared = 3: expected a table"),
    (["tunables.swappiness=x"], r"expected an integer or a boolean, got a string"),
    (["workload=other"], r"unknown workload 'other'; there are: tasks, forktree, steps"),
    (["workload=3"], r"unknown workload 3"),
    (["sweeps"], r"give it as key=value"),
    (["=3"], r"give it as key=value"),
    (["a..b=3"], r"give it as key=value"),
    (["ram.x=2"], r"'ram' is a value, not a table"),
])
def test_bad_settings(settings, message):
    with pytest.raises(scenario.ScenarioError, match=message):
        scenario.load("hundred-tasks", settings=settings)


@pytest.mark.parametrize(("toml", "message"), [
    ("", "the key 'workload' is missing"),
    ("workload = 'tasks'", "the key '.*' is missing"),
    ("workload = [", "not valid TOML"),
    (MINIMAL[:-5], "not valid TOML"),
    (MINIMAL + "name = 'again'", "not valid TOML"),
    (MINIMAL + "levels = 21", "levels = 21"),
    (MINIMAL + "size = '1M'", "not valid TOML"),
    (MINIMAL.replace("1M", "1000"), "size must be a multiple of 4096"),
    (MINIMAL.replace("'mine'", "3").replace('"mine"', "3"), "name = 3: expected a string"),
    (MINIMAL + "tasks = 3", "unknown key 'tasks'"),
    (MINIMAL + "x = " + "[" * 3000, "not valid TOML"),
    (MINIMAL + "x = " + "[" * 100 + "]" * 100, "more than 20 levels deep"),
    (MINIMAL + "x" + ".x" * 5000 + " = 1", "more than 20 levels deep"),
    (MINIMAL + "[x" + ".x" * 5000 + "]", "more than 20 levels deep"),
    (MINIMAL + "swap = " + "9" * 5000, "not valid TOML"),
])
def test_bad_toml(toml, message):
    with pytest.raises(scenario.ScenarioError, match=message):
        scenario.loads(toml)


def test_every_truncation_of_a_file_is_an_error_or_a_scenario():
    whole = scenario.builtin_text("hundred-tasks")
    for end in range(0, len(whole), 7):
        try:
            scenario.loads(whole[:end])
        except scenario.ScenarioError as error:
            assert str(error)


def test_files(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    assert scenario.load(path) == scenario.load(str(path)) == scenario.loads(MINIMAL)
    with pytest.raises(scenario.ScenarioError, match="No such file"):
        scenario.load(tmp_path / "none.toml")
    with pytest.raises(scenario.ScenarioError, match="neither built in"):
        scenario.load("no-such-thing")
    with pytest.raises(scenario.ScenarioError, match="directory"):
        scenario.load(tmp_path)
    with pytest.raises(scenario.ScenarioError, match="null"):
        scenario.load("a\0b.toml")
    with pytest.raises(scenario.ScenarioError, match="neither built in"):
        scenario.load("x" * 5000)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(scenario.ScenarioError, match="not UTF-8"):
        scenario.load(path)


# ---- what a sweep touches


class OneMachine:
    """What Server needs of a run before it starts."""

    seed = 5


def server(**settings):
    chosen = scenario.load("hundred-tasks", settings=["scale=0.01", *(f"{k}={v}" for k, v in settings.items())])
    one = Server(chosen, OneMachine())
    one.alive = ["a", "b", "c"]
    return one


def plan(one):
    own, shared = one.slices(1 << 30, MIB), one.slices(2 << 30, MIB)
    return one.sweep_plan([(3 << 30, 8192)], shared, own)


def test_slices_cover_everything_once():
    assert server(slice="16M").slices(0, 400_000) == [(0, 167936), (167936, 167936), (335872, 64128)]


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 1])
def test_share_of_slices_written(share):
    one = server(write=share, slice="1600K")
    own = [piece for piece in plan(one) if piece.address >> 30 == 1]
    assert sum(piece.write for piece in own) == pytest.approx(share * len(own), abs=1)
    assert sum(piece.length for piece in own) == MIB


def test_libraries_are_only_read_and_lie_between_the_rest():
    pieces = plan(server())
    [place] = [i for i, piece in enumerate(pieces) if piece.address == 3 << 30]
    assert not pieces[place].write
    assert 0 < place < len(pieces) - 1


def test_orders():
    pieces = plan(server())
    turns = list(server(order="round-robin").ordered(pieces))
    assert [task for task, _ in turns[:4]] == ["a", "b", "c", "a"]
    by_task = list(server(order="task-by-task").ordered(pieces))
    assert [task for task, _ in by_task] == ["a"] * len(pieces) + ["b"] * len(pieces) + ["c"] * len(pieces)
    drawn = list(server(order="random").ordered(pieces))
    assert drawn != by_task
    assert drawn == list(server(order="random").ordered(pieces))
    assert sorted(drawn) == sorted(turns) == sorted(by_task)


def test_splitmix64_has_the_known_stream():
    numbers = splitmix64(1234567)
    assert [next(numbers) for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert sorted(shuffled(list(range(100)), 1)) == list(range(100))


# ---- forktree


def test_chain_bytes_of_the_fact_sheet():
    """Fact sheet linux-2004, 10.1: 131,072 pages, nodes of 128 bytes with 31 entries."""
    found = [expected_chain_bytes(131072, 1 << level, 128, 31) / MIB for level in range(10)]
    assert found == [0, 16, 16, 16, 16, 32, 48, 80, 144, 272]


# ---- reports


@pytest.mark.parametrize(("kind", "value", "written"), [
    ("bytes", 0, "0"), ("bytes", 9999, "9999"), ("bytes", 192 * MIB, "192M"), ("bytes", 5 * MIB // 2, "2.50M"),
    ("bytes", 12 << 40, "12.0T"), ("count", 12_345_678, "12.3M"), ("count", 999_999, "1.00M"), ("count", 9999, "9999"),
    ("ratio", 1 / 3, "0.33"), ("seconds", 12.345, "12.35"), ("bytes", None, "-"), ("bytes", 1 << 60, "1048576T"),
])
def test_write(kind, value, written):
    assert figures.write(kind, value) == written


def result(**changes):
    """A kernel's object of the JSON as a run gives it, invented."""
    counters = ("pgfault", "pgmajfault", "pswpin", "pswpout", "pgsteal_high", "rmap_ptes_examined",
                "rmap_vmas_visited", "rmap_mms_visited")
    line = {"bytes": 3 * MIB, "low_bytes": MIB, "peak_bytes": 3 * MIB}
    return {
        "vmstat": {**dict.fromkeys(counters, 100), "rmap_ptes_examined": 250}, "meminfo": {"HighTotal": 1},
        "slabinfo": [],
        "ledger": dict.fromkeys(["mem_map", "page_tables", "upper_tables", "pte_chain", "vma", "anon_vma"], line),
        "tasks": {"anon_rss": 1, "anon_swapped": 2, "anon_written": 3, "killed": 0}, "touches": 1000, "seconds": 2.0,
        "seconds_outside_engine": 0.1,
        "simulated_seconds": {"total": 1.5, "system": 1.0, "wait": 0.5, "fork": 0.25, "rmap_walk": 0.75},
        "ok": True, "problems": [],
        "phases": [{"name": "fork", "seconds": 0.5, "touches": 0, "pgfault": 3}], **changes}


def test_a_row_for_each_kernel_where_there_is_room_else_a_column():
    other = {name: value + 1 for name, value in result()["vmstat"].items()}
    kernels = {"one": result(), "<two>": result(vmstat=other, problems=["what went <wrong>"])}
    for width in (None, 200, 120, 100):
        lines = text.compare_table(kernels, width).splitlines()
        assert any(line.startswith("one ") for line in lines)
        assert all(len(line) <= width for line in lines) if width else True
    lines = text.compare_table(kernels, 99).splitlines()
    assert lines[0].split() == ["one", "<two>"]
    assert ["PTEs", "2.50", "2.49"] in [line.split() for line in lines]
    assert "the same on all: " in "\n".join(lines)
    assert "pte_chains 3.00M/1.00M" in " ".join(" ".join(lines).split())
    alone = text.compare_table({"one": result()}, 99).splitlines()
    assert ["pte_chains", "3.00M/1.00M"] in [line.split() for line in alone]


def test_nothing_reclaimed_is_no_division():
    counters = result()["vmstat"] | {"pgsteal_high": 0}
    assert "-" in text.compare_table({"one": result(vmstat=counters)}, None).split()


def test_html_escapes_and_loads_nothing():
    kernels = {"<two>": result(problems=["what went <wrong>"], levels=[], stopped_at=None)}
    page = html.page({"vmcore": "1", "seed": 0, "scenario": {"name": "a&b", "summary": "<s>"}, "kernels": kernels})
    assert "<two>" not in page
    assert "<wrong>" not in page
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")
