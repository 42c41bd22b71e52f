"""Machines larger than their host: accepted with a warning, refused by MemoryError where it ends, whole afterwards.

What the host has is bounded in a child process: RLIMIT_AS bounds what can be reserved, RLIMIT_RSS (which Linux does not
enforce) what the engine asks for, and a cgroup, where this user may make one, both of them for real.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them"),
    pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers take memory of their own"),
]

HEAD = """
import json, resource, sys, warnings
import vmcore
from vmcore import Machine, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE
from vmcore._fast.engine import host_bytes

INF, G, M = resource.RLIM_INFINITY, 1 << 30, 1 << 20
RW, PRIVATE = PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS

def status(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))

def bound(size):
    "So much more than there is now."
    resource.setrlimit(resource.RLIMIT_RSS, (status("VmRSS") + size, INF))

def refused(call, *args, **options):
    try:
        call(*args, **options)
    except MemoryError as error:
        return str(error)
    raise AssertionError("it was not refused")

def area(task, size):
    return task.mmap(None, size, RW, PRIVATE)

out = {}
"""


def child(text: str, *args: str) -> dict[str, Any]:
    """What a script puts into ``out``."""
    done = subprocess.run([sys.executable, "-c", HEAD + text + "\nprint(json.dumps(out))", *args], capture_output=True,
                          text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)      # type: ignore[no-any-return]


def test_an_idle_tebibyte_costs_nothing() -> None:
    out = child("""
before = status("VmRSS")
machines = [Machine(ram="1T", kernel="2.6.5-aa1"), Machine(ram="256G", kernel="6.18")]
out["grown"] = status("VmRSS") - before
out["frames"] = [len(m.frames) for m in machines]
""")
    assert out["frames"] == [1 << 28, 1 << 26]
    assert out["grown"] < 32 << 20


@pytest.mark.parametrize("kernel", ["2.4", "2.6.5", "2.6.5-aa1", "2.6.7", "6.18"])
def test_a_tebibyte_ends_where_the_host_does(kernel: str) -> None:
    out = child("""
bound(320 * M)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    m = Machine(ram="1T", swap="64G", kernel=sys.argv[1], overcommit_memory=1)
out["warnings"] = [str(one.message) for one in said]
big, small = m.spawn("big"), m.spawn("small")
b = area(small, 64 * M)
small.touch_range(b, 64 * M, write=True)
a = area(big, 256 * G)
out["why"] = refused(big.touch_range, a, 256 * G, write=True)
report = m.check()
out["present"] = report.present
out["rss"] = big.status()["RssAnon"]

# all that would take more is refused and changes nothing
for call, args in ((big.fork, ("c",)), (big.touch, (a,)), (area, (big, M)), (m.spawn, ("x",)),
                   (small.mremap, (b, M, 2 * M)), (m.reclaim, (1,)), (m.open, ("file", M))):
    refused(call, *args)
assert m.check() == report
out["tasks"] = int((m.mms["task"] != 0).sum())

# what gives back is not
small.munmap(b, 64 * M)
out["unmapped"] = m.check().present
big.exit()
out["left"] = m.check().present

# and with more memory it goes on
resource.setrlimit(resource.RLIMIT_RSS, (INF, INF))
a = area(small, G)
small.touch_range(a, G, write=True)
other = small.fork("other")
other.touch_range(a, G // 4, write=True)
out["after"] = m.check().present
""", kernel)
    assert len(out["warnings"]) == 1
    assert "a machine of 1099511627776 bytes with 68719476736 of swap takes about" in out["warnings"][0]
    assert "bytes left" in out["why"]
    pages = 64 << 8
    assert out["present"] > 8 * pages                   # a stretch at least was filled
    assert out["present"] - pages == out["rss"] >> 2
    assert out["unmapped"] == out["present"] - pages
    assert (out["tasks"], out["left"]) == (2, 0)
    assert out["after"] == 2 << 18


def test_every_call_that_grows_ends_whole() -> None:
    """Fork, many VMAs, a file, tokens, tasks: each until the host ends, and check() after each."""
    out = child("""
m = Machine(ram="64G", swap="8G", kernel="2.6.5", overcommit_memory=1, max_map_count=1 << 30)
parent = m.spawn("parent")
a = area(parent, G)
parent.touch_range(a, G, write=True)

def forks():
    while True:
        parent.fork("child")

def mappings():
    task = m.spawn("mappings")
    at = 1 << 38
    while True:
        task.mmap(at, 4096, RW, PRIVATE | vmcore.MAP_FIXED)
        at += 8192

def file():
    task = m.spawn("file")
    f = m.open("file", size=32 * G)
    b = task.mmap(None, 32 * G, PROT_READ, vmcore.MAP_SHARED, f)
    task.touch_range(b, 32 * G)

def tokens():
    task = m.spawn("tokens")
    b = area(task, 128 * G)
    while True:
        task.write(b, 7)
        b += 4096 * 512

def tasks():
    while True:
        m.spawn("task")

for call in (forks, mappings, file, tokens, tasks):
    bound(136 * M)
    out[call.__name__] = refused(call)
    report = m.check()
    resource.setrlimit(resource.RLIMIT_RSS, (INF, INF))
    parent.touch_range(a, G, write=True)
    m.check()
""")
    assert all("bytes left" in why for why in out.values())
    assert list(out) == ["forks", "mappings", "file", "tokens", "tasks"]


def test_a_reservation_that_fails_is_refused_with_its_bytes() -> None:
    out = child("""
m = Machine(ram="64M", swap="64M", kernel="2.6.5-aa1", overcommit_memory=1)
t = m.spawn("t")
size = status("VmSize")
resource.setrlimit(resource.RLIMIT_AS, (size + 4 * G, INF))
out["why"] = refused(Machine, ram="1T", kernel="2.6.5-aa1")
out["left"] = status("VmSize") - size
a = area(t, 96 * M)
t.touch_range(a, 96 * M, write=True)
m.check()
resource.setrlimit(resource.RLIMIT_AS, (INF, INF))
Machine(ram="1T", kernel="2.6.5-aa1").check()
""")
    assert "refuses to reserve 8590065664 bytes of address space" in out["why"]
    assert "268435456 frames" in out["why"]
    assert out["left"] < 1 << 30                        # nothing of it stays reserved


def test_a_bound_below_the_boot_state_is_refused() -> None:
    out = child("""
bound(4 * M)
out["why"] = refused(Machine, ram="1G", swap="64G", kernel="2.6.5")
out["host"] = host_bytes()
""")
    assert "to boot, the host has" in out["why"]
    assert 0 <= out["host"] <= 4 << 20


# ---------------------------------------------------------------- cgroups

def memory_cgroup() -> tuple[Path, str, str] | None:
    """The folder of this process's memory cgroup, its limit's file, and that of its use."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory" + path), "memory.limit_in_bytes", "memory.usage_in_bytes"
        if not controllers and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return Path("/sys/fs/cgroup" + path), "memory.max", "memory.current"
    return None


@pytest.fixture
def cgroup() -> Iterator[tuple[Path, str]]:
    """A cgroup within ours, and the file of its limit."""
    found = memory_cgroup()
    if found is None:
        pytest.skip("no memory cgroup")
    parent, limit, _ = found
    folder = parent / f"vmcore-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        if not (folder / limit).exists():
            pytest.skip("its cgroups have no memory controller")
        yield folder, limit
    finally:
        folder.rmdir()


def test_the_limit_of_ones_own_cgroup_holds(cgroup: tuple[Path, str]) -> None:
    """Nobody is killed: the engine stops before the limit. Also with a cgroup in between that has none."""
    folder, limit = cgroup
    inner = folder / "inner"
    inner.mkdir()
    try:
        (folder / limit).write_text(str(600 << 20))
        out = child("""
with open(sys.argv[1], "w") as procs:
    procs.write("0")
out["host"] = host_bytes()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    m = Machine(ram="1T", kernel="2.6.5-aa1", overcommit_memory=1)
t = m.spawn("t")
a = area(t, 256 * G)
out["why"] = refused(t.touch_range, a, 256 * G, write=True)
out["present"] = m.check().present
t.exit()
out["left"] = m.check().present
""", str(inner / "cgroup.procs"))
    finally:
        inner.rmdir()
    assert 400 << 20 < out["host"] <= 600 << 20
    assert out["present"] > 1 << 20 and out["left"] == 0
