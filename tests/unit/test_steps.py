"""Scenarios made of steps: what each step does, counts against the fact sheet's shapes, what fits predicts.

The shapes are of the fact sheet linux-2004, 10.2 to 10.7. Kernels are looped over by what they are made of.
"""

import math

import pytest

import vmcore
from vmcore import scenario
from vmcore.scenario import fits
from vmcore.scenario.formulas import evaluate, sizes
from vmcore.scenario.layout import Layout
from vmcore.scenario.script import name_of
from vmcore.scenario.splitmix import draws, splitmix64
from vmcore.scenario.steps import Map

PAGE = 4096
HEAD = """
workload = "steps"
name = "mine"
ram = "64M"
arch = "i386"
"""
STEPS = [name for name in scenario.builtin_names() if scenario.load(name).__struct_config__.tag == "steps"]
SMALL = {       # settings that keep what a scenario shows, at a size for tests
    "windows": ["n=12", "s=60", "t=12", "ram=7"], "revmap": ["pages=60", "rounds=3"], "desktop": ["processes=6"],
    "oracle": ["tasks=20", "segment=8", "ram=1"], "privfork": ["children=20", "ram=12M"],
    "cowkeep": ["keepers=4", "writers=4", "chunk=2", "ram=6M"], "mremapcow": ["chunk=2", "ram=32M"],
    "mprot": ["tasks=2", "arena=1"], "nonlin": ["tasks=2", "size=2", "ram=5M"], "mlocked": ["locked=8", "chunk=2",
    "ram=16M"], "uml": ["memory=2", "windows=128", "ram=5M"],
}


def run(name, kernel, *settings):
    chosen = scenario.load(name, settings=[*SMALL[name], *settings])
    assert kernel in vmcore.KERNELS
    try:
        return scenario.run(chosen, kernel)
    except scenario.CannotRun as reason:
        pytest.skip(f"{kernel}: {reason}")


def kernels(**fields):
    """Names of the kernels whose fields have these values."""
    return [name for name, kernel in vmcore.KERNELS.items()
            if "i386" in kernel.archs and all(getattr(kernel, key) == value for key, value in fields.items())]


def per_page(result, counter, name=""):
    """For each page looked up in the phases of that name."""
    phases = [phase for phase in result["phases"] if phase["name"].startswith(name)]
    return sum(phase[counter] for phase in phases) / sum(phase["rmap_pages_walked"] for phase in phases)


# ---- parameters


@pytest.mark.parametrize(("text", "value"), [
    ("n", 3), ("n * (s + 1)", 15), ("7 // 2", 3), ("7 / 2", 3.5), ("word", "linear"), ("2 - n", -1),
])
def test_formula(text, value):
    assert evaluate(text, {"n": 3, "s": 4, "word": "linear"}, "here") == value


@pytest.mark.parametrize("text", ["", "m", "n(1)", "n.real", "1 if n else 2", "n ** 9", "1 // 0", "word + 1", "[n]",
                                  "(" * 500 + "1" + ")" * 500, "word * 1000000000", "2 * word", "n * word",
                                  "'x' * 9", "9" * 5000, "1" + " + 1" * 5000, "-" * 5000 + "1", "9" * 30, "1e308 * 10",
                                  "4294967296 * 4294967296 * 2", "1e999", "True", "n" * 2000])
def test_no_formula(text):
    with pytest.raises(scenario.ScenarioError, match="a formula has numbers"):
        evaluate(text, {"n": 3, "word": "x"}, "here")


def test_variants_and_parameters():
    t3 = scenario.load("windows", settings=["variant=T3", "s=5"])
    assert t3.parameters["n"] == 10000 and t3.parameters["s"] == 5 and t3.ram == 256 << 20
    [step] = [step for step in t3.steps if isinstance(step, Map) and step.region == "windows"]
    assert (step.windows, step.pages, step.gap) == (10000, 5, 1)
    with pytest.raises(scenario.ScenarioError, match="no variant 'T4'; there are: T1, T2, T3"):
        scenario.load("windows", settings=["variant=T4"])


@pytest.mark.parametrize(("toml", "message"), [
    ('[[steps]]\ndo = "dance"\n', r"steps\[0\]\.do|dance"),
    ('[[steps]]\ndo = "spawn"\n', r"steps\[0\]\.who' is missing"),
    ('[[steps]]\ndo = "spawn"\nwho = "a"\nhow = 1\n',
     r"unknown key 'steps\[0\]\.how'.*; known here: count, do, phase, who"),
    ('[[steps]]\ndo = "touch"\nwho = "a"\nregion = "r"\n', "no group 'a' yet; there are: none"),
    ('[[steps]]\ndo = "spawn"\nwho = "a"\n[[steps]]\ndo = "touch"\nwho = "a"\nregion = "r"\n', "no region 'r' yet"),
    ('[[steps]]\ndo = "spawn"\nwho = "a"\n[[steps]]\ndo = "map"\nwho = "a"\nregion = "r"\n', "either size or windows"),
    ('[[steps]]\ndo = "spawn"\nwho = "a"\n[[steps]]\ndo = "map"\nwho = "a"\nregion = "r"\nsize = "4K"\nfile = "f"\n',
     "no file 'f'; there are: none"),
    ('[[steps]]\ndo = "spawn"\nwho = "a"\ncount = "= n"\n', "no parameter 'n'"),
    ("parameters = 3\nsteps = []\n", "parameters = 3"),
    ('variants = 5\nvariant = "a"\nsteps = []\n', "variants = 5: a table"),
    ('variants = "abc"\nvariant = "a"\nsteps = []\n', "variants = 'abc': a table"),
    ('variant = ["a"]\nsteps = []\n', r"variant = \['a'\]: a name"),
    ('variants.a = 5\nvariant = "a"\nsteps = []\n', "no variant 'a'"),
])
def test_steps_that_make_no_sense(toml, message):
    with pytest.raises(scenario.ScenarioError, match=message):
        scenario.loads(HEAD + toml)


def steps(text):
    """TOML of steps, one a line: `touch a r write=1` is do = "touch", who = "a", region = "r", write = 1."""
    lines = []
    for line in text.strip().splitlines():
        do, *words = line.split()
        names = iter(("size",) if do == "reclaim" else ("who", "into") if do == "fork" else ("who", "region"))
        pairs = [word.split("=") if "=" in word else (next(names), f'"{word}"') for word in words]
        lines.append("".join([f'[[steps]]\ndo = "{do}"\n', *(f"{key} = {value}\n" for key, value in pairs)]))
    return "".join(lines)


A = "spawn a\nmap a r size=65536\n"
RO = 'spawn a\nmap a r size=65536 access="r"\n'


@pytest.mark.parametrize(("text", "message"), [
    (A + "protect a r piece=0", r"steps\[2\].*piece must be a multiple of 4096, and not 0"),
    (A + "grow a r piece=0", "piece must be a multiple of 4096, and not 0"),
    (A + "grow a r piece=100", "piece must be a multiple of 4096, and not 0"),
    (A + "unmap a r\ntouch a r", r"steps\[3\] \(touch\): group 'a' does not map region 'r'"),
    (A + "unmap a r\nunmap a r", r"steps\[3\] \(unmap\): group 'a' does not map region 'r'"),
    (A + "spawn b\ntouch b r", r"steps\[3\] \(touch\): group 'b' does not map region 'r'"),
    (A + "spawn b\nunmap b r", "group 'b' does not map region 'r'"),
    (A + "spawn b\nlock b r", "group 'b' does not map region 'r'"),
    (A + "spawn b\nmove b r", "group 'b' does not map region 'r'"),
    (A + "spawn a\ntouch a r", "not all tasks of group 'a' map region 'r'"),
    (A + "spawn b\nfork a b\ntouch b r", "not all tasks of group 'b' map region 'r'"),
    (A + "fork a b\nmove a r\ntouch b r", "to which .*move.* moved it; group 'b' has it at the old one"),
    (A + "exit a\ntouch a r", r"no group 'a' any more, its tasks left in steps\[2\] \(exit\); there are: none"),
    (A + "exit a\nfork a b\ntouch b r", "no group 'a' any more"),
    (A + "exit a\nspawn a\ntouch a r", "group 'a' does not map region 'r'"),
    (RO + "touch a r write=1", r"steps\[2\] \(touch\): region 'r' cannot be written: its access is r"),
    (RO.replace('"r"', '"none"') + "touch a r", "region 'r' cannot be read: its access is none"),
    (A + "protect a r piece=4096\ntouch a r write=0.5", "cannot be written: its access is r, rw"),
    ("spawn " + "\u00e9" * 24, "at most 24 bytes"), ('spawn who="a\\u0000"', "no NUL"),
    ("spawn a\nfork a " + "\u00e9" * 24, "at most 24 bytes"),
    ("spawn a\nmap a r windows=10000000 pages=10000000", "bytes of addresses, i386 has"),
    (A + "move a r\n" * 50_000, "bytes of addresses, i386 has"),
])
def test_what_a_group_cannot_do_is_said_before_it_runs(text, message):
    with pytest.raises(scenario.ScenarioError, match=message):
        scenario.loads(HEAD + steps(text))


@pytest.mark.parametrize(("files", "text", "message"), [
    ('[[files]]\nname = "f"\n', 'spawn a\nmap a r windows=2 gap=9223372036854775807 file="f"', "a file has 4294967295"),
    ('[[files]]\nname = "f"\n', 'spawn a\nmap a r windows=3 gap=4000000000 file="f"', "a file has 4294967295"),
    ('[[files]]\nname = "f"\nsize = "16T"\n', "spawn a", "below 16 TiB"),
    ('[[files]]\nname = "' + "\u20ac" * 24 + '"\n', "spawn a", "at most 24 bytes"),
    ('[[files]]\nname = "a\\u0000"\n', "spawn a", "no NUL"),
])
def test_files_that_make_no_sense(files, text, message):
    with pytest.raises(scenario.ScenarioError, match=message):
        scenario.loads(HEAD + steps(text) + files)


@pytest.mark.parametrize("text", [
    A + "fork a b\nexit a\ntouch b r write=1\nunmap b r\nmap b r size=65536\ntouch b r",
    A + "protect a r piece=8192\ntouch a r\ngrow a r piece=4096\ntouch a r write=1",
    A + "fork a a times=2\nmove a r\ntouch a r write=0.5\nfork a b\ntouch b r",
    'spawn a\nmap a r size=65536 access="none"\ntouch a r part=0\ngrow a r piece=4096\nexit a\nspawn a',
    "spawn a\nspawn " + "x" * 24 + " count=3",
])
def test_what_a_group_can_do(text):
    """Accepted means that it runs, and that fits can follow it."""
    chosen = scenario.loads(HEAD + steps(text))
    for kernel in ("2.4", "2.6.5", "2.6.5-aa1"):
        assert scenario.run(chosen, kernel)["problems"] == []
        assert fits.predict(chosen, kernel).fits


def test_groups_that_the_oom_killer_emptied():
    """What it leaves of a group is not known beforehand: steps on an empty group do nothing."""
    text = 'kills = "result"\ntunables.overcommit_memory = 1\n' + steps(
        "spawn a\nmap a r size=33554432\ntouch a r write=1\nfork a b\ntouch b r write=1\n"
        "touch b r order=\"random\" write=0.5\nprotect b r piece=4096")
    chosen = scenario.loads(HEAD.replace("64M", "16M") + text)
    assert scenario.run(chosen, "2.6.5")["tasks"]["killed"] == 1


def test_a_fault_ends_a_run_as_a_problem():
    class Touch:
        def phase(self):
            raise vmcore.SegmentationFault(None, 4096, 1)

    chosen = scenario.loads(HEAD + steps(A))
    broken = type("Broken", (), {"drive": lambda self, run: Touch().phase(), "ram": chosen.ram, "swap": (),
                                 "arch": "i386", "tunables": {}})()
    [problem] = scenario.run(broken, "2.6.5")["problems"]
    assert "no mapping there" in problem


def test_names_of_tasks():
    assert name_of("x" * 24, 7) == "x" * 24 + "-7"
    assert name_of("x" * 24, 12345678) == "x" * 22 + "-12345678"
    assert name_of("\u00e9" * 12, 12345678) == "\u00e9" * 11 + "-12345678"


def test_the_tables_of_large_regions_are_counted_and_not_listed():
    text = steps("spawn a\nmap a r size=\"100T\"\nmap a s size=4096\ntouch a r\ntouch a s write=1\nlock a r")
    chosen = scenario.loads(HEAD.replace("i386", "x86_64") + text)
    rules = vmcore.KERNELS["2.6.5"].rules("x86_64")
    last = chosen.plan(rules).loads()[-1]
    assert last.leaf_tables == (100 << 40 >> 21) + 1


def test_draws_are_splitmix64():
    numbers = splitmix64(77)
    assert draws(77, 5, 1 << 62).tolist() == [next(numbers) % (1 << 62) for _ in range(5)]
    assert draws(3, 1000, 7).max() == 6


def test_layout():
    steps = [Map(who="a", region="x", windows=3, pages=2, gap=1, file="f", reversed=True),
             Map(who="a", region="y", size=PAGE)]
    layout = Layout(steps, 0x40000000)
    assert layout.base("y") == layout.end("x") + PAGE == 0x40000000 + 7 * PAGE
    assert [steps[0].offset(w) for w in range(3)] == [6, 3, 0]
    assert layout.file_pages("f") == 8
    assert layout.move("x") == layout.base("x") == 0x40000000 + 9 * PAGE


# ---- what happens, on every kernel


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("kernel", kernels())
def test_every_scenario_runs_on_every_kernel(name, kernel):
    chosen = scenario.load(name)
    assert chosen.raised and chosen.shows and chosen.summary
    result = run(name, kernel)
    assert result["ok"], result["problems"]
    assert result["final_vmstat"]["nr_tasks"] == 0
    assert result["simulated_seconds"]["system"] > 0


@pytest.mark.parametrize("name", STEPS)
def test_published_sizes_can_be_asked_for(name):
    chosen = scenario.load(name)
    for variant in chosen.variants:
        assert scenario.load(name, settings=[f"variant={variant}"]).variant == variant


# ---- the shapes of the fact sheet


@pytest.mark.parametrize("kernel", kernels(rmap="pte_chain"))
def test_windows_with_chains_are_the_mappers(kernel):
    assert 10.5 <= per_page(run("windows", kernel), "rmap_ptes_examined", "touch") <= 12


@pytest.mark.parametrize("kernel", [k for k in kernels(i_mmap="list") if vmcore.KERNELS[k].rmap == "anon_vma"])
def test_windows_on_lists_are_all_vmas_of_the_file(kernel):
    """10.2: every page walks n * t entries to find t; what stops a walk early is that its last mapper is unmapped."""
    result = run("windows", kernel)
    assert 10.5 <= per_page(result, "rmap_mms_visited", "touch") <= 12
    assert 0.95 * 12 * 12 <= per_page(result, "rmap_vmas_visited", "touch") <= 12 * 12


@pytest.mark.parametrize("kernel", [k for k in kernels(i_mmap="prio_tree") if vmcore.KERNELS[k].rmap == "anon_vma"])
def test_windows_on_a_tree_are_a_logarithm_and_the_mappers(kernel):
    assert 10.5 <= per_page(run("windows", kernel), "rmap_vmas_visited", "touch") <= 12 + 2 * math.log2(12 * 61) + 12


@pytest.mark.parametrize("kernel", kernels(rmap="anon_vma"))
def test_revmap(kernel):
    """10.4: lists: every VMA of the file, until the last mapper was unmapped; a tree: a logarithm and the mappers."""
    result = run("revmap", kernel)
    assert result["vmstat"]["nr_vmas"] == 54 * 8
    assert per_page(result, "rmap_mms_visited") == pytest.approx(8, abs=0.01)
    if vmcore.KERNELS[kernel].i_mmap == "list":
        walks, unmapped = result["vmstat"]["rmap_pages_walked"], result["vmstat"]["rmap_unmap_success"]
        assert (walks - unmapped) * 54 * 8 <= result["vmstat"]["rmap_vmas_visited"] <= walks * 54 * 8
    elif vmcore.KERNELS[kernel].i_mmap in ("prio_tree", "interval_tree"):
        assert per_page(result, "rmap_vmas_visited") <= 8 + 2 * 2 * math.log2(60)


@pytest.mark.parametrize("kernel", kernels(rmap="anon_vma"))
def test_privfork_anon_vma_visits_every_child(kernel):
    """Pages that one task maps: every VMA forked from the parent's is asked, unless the walk may stop early."""
    inherited, own = run("privfork", kernel), run("privfork", kernel, "variant=own")
    assert per_page(own, "rmap_mms_visited") == 1
    assert 10 < per_page(inherited, "rmap_mms_visited", "sweep") <= 21      # half of them, where a walk stops early


@pytest.mark.parametrize("kernel", kernels(rmap="pte_chain"))
def test_privfork_chains_ask_one_pte(kernel):
    result = run("privfork", kernel)
    assert 1 <= per_page(result, "rmap_ptes_examined", "sweep") < 1.1


@pytest.mark.parametrize("kernel", kernels())
def test_mprot_leaves_a_vma_for_each_piece_only_where_mprotect_does_not_merge(kernel):
    vmas = run("mprot", kernel)["vmstat"]["nr_vmas"]
    merges = vmcore.KERNELS[kernel].rules("i386")["merge_mprotect"]
    if vmcore.KERNELS[kernel].merge in ("anon", "flags") or not merges:
        assert vmas == (2 if merges else 2 * 64)
    else:
        assert 2 <= vmas <= 2 * 64      # offsets must fit as well; 126 with one tree for a fork group


@pytest.mark.parametrize("kernel", kernels())
def test_mremapcow_copies_only_where_a_page_has_one_address(kernel):
    result = run("mremapcow", kernel)
    if vmcore.KERNELS[kernel].rules("i386")["anonmm_size"] and vmcore.KERNELS[kernel].rmap.startswith("anonmm"):
        assert result["vmstat"]["cow_copies"] == 4 * 512        # the last child's pages are still the parent's
    else:
        assert result["vmstat"]["cow_copies"] == 0


# ---- sizes alone


@pytest.mark.parametrize("name", [*STEPS, "forktree", "hundred-tasks"])
@pytest.mark.parametrize("kernel", kernels())
def test_fits_predicts_what_is_held(name, kernel):
    """With memory enough for everything, what a run held of low memory at its peak is what sizes alone said."""
    settings = {"forktree": ["levels=4", "size=8M", "ram=256M"],
                "hundred-tasks": ["scale=0.01", "ram=40G", "sweeps=1"]}.get(name, SMALL.get(name))
    more = {"windows": ["ram=256"], "oracle": [], "hundred-tasks": []}.get(name, ["ram=256M"])
    chosen = scenario.load(name, settings=[*settings, *more])
    said = fits.predict(chosen, kernel)
    try:
        result = scenario.run(chosen, kernel)
    except scenario.CannotRun as reason:
        pytest.skip(f"{kernel}: {reason}")
    held = {consumer: result["ledger"][consumer]["low_peak_bytes"] for consumer in fits.CONSUMERS}
    off = {consumer: (said.low[consumer] // PAGE, held[consumer] // PAGE) for consumer in fits.CONSUMERS
           if abs(said.low[consumer] - held[consumer]) > max(2 * PAGE, 0.02 * held[consumer])}
    assert off == {}
    assert said.fits


def test_oracle_of_2003():
    """William Lee Irwin: 5,000 tasks on 2 GiB of shared memory take some 10 GiB of chains and 10 GiB of page tables."""
    chosen = scenario.load("oracle", settings=["tasks=5000", "segment=2048", "arch=i386"])
    chain, objects = (fits.predict(chosen, name) for name in ("2.6.5", "2.6.5-aa1"))
    assert chain.low["page_tables"] == objects.low["page_tables"] == pytest.approx(10 << 30, rel=0.05)
    assert chain.low["pte_chain"] == pytest.approx(10 << 30, rel=0.1)
    assert objects.low["pte_chain"] == 0
    assert not chain.fits and not objects.fits
    # page tables in high memory are what saves the one, and not the other
    high = scenario.load("oracle", settings=["tasks=5000", "segment=2048", "tunables.highpte=true"])
    assert fits.predict(high, "2.6.5-aa1", 16 << 30).fits
    assert not fits.predict(high, "2.6.5", 16 << 30).fits


def test_mem_map_alone():
    """1.3: bytes of mem_map by size of RAM, at 40 bytes a page (44 with PAE and page tables in high memory)."""
    chosen = scenario.load("hundred-tasks", settings=["scale=0.01"])
    found = [fits.predict(chosen, "2.6.5-aa1", gib << 30).low["mem_map"] >> 20 for gib in (4, 16, 64)]
    assert found == [40, 160, 640]
    high = scenario.load("hundred-tasks", settings=["scale=0.01", "tunables.highpte=true"])
    assert fits.predict(high, "2.6.5", 64 << 30).low["mem_map"] >> 20 == 704


def test_fits_is_for_machines_with_high_memory():
    with pytest.raises(scenario.ScenarioError, match="all memory of x86_64 is low"):
        fits.table(scenario.load("hundred-tasks", settings=["arch=x86_64"]), ["2.6.5"], [4 << 30])


@pytest.mark.parametrize(("name", "found"), [
    ("windows", ("s", "ram")), ("oracle", ("segment", "ram")), ("privfork", ("chunk",)),
    ("mlocked", ("locked", "chunk")),
    ("desktop", ()), ("revmap", ()),
])
def test_parameters_that_are_sizes(name, found):
    assert scenario.load(name).sizes == found


def test_the_header_of_a_scaled_run_has_what_runs():
    chosen = scenario.load("windows", settings=["scale=0.1", "s=200"])
    said = chosen.describe()
    assert "6.398 MiB of RAM" in said and "all sizes times 0.1" in said
    assert "n = 50, s = 20, t = 50," in said and said.endswith("ram = 6.4")
    assert [step.pages for step in chosen.steps if getattr(step, "choose", None) == 0][-1] == 20
    assert "times" not in scenario.load("windows").describe()


@pytest.mark.parametrize(("formulas", "found"), [
    (("= a * 4096", "= b"), ["a"]), (("= a * b * 4096", "= c"), []), (("= a * c * 4096", "= c"), ["a"]),
    (("= 4096 * 100 / a", "= b"), []), (("= (a + b) * 4096", "= c"), ["a", "b"]), (("= a * a", "= c"), []),
    (("= a * 4096", "= a"), []), (("= a +", "= b"), []), (("= word", "= b"), []),
])
def test_which_parameters_scale_multiplies(formulas, found):
    size, count = formulas
    data = {"steps": [{"do": "map", "size": size}, {"do": "fork", "times": count}, {"windows": 3, "pages": "= 2"}],
            "variants": {"v": {"a": "= c"}}}
    assert sizes(data, {"a": 1, "b": 2.5, "c": 3, "word": "x"}) == found
