"""Bad input: the error says what was given and what is allowed, and nothing has changed."""
from __future__ import annotations

import contextlib
import errno
import json
import pickle
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

import vmcore
from vmcore import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, kernels, trace
from vmcore._fast.engine import Engine

PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS
RW = PROT_READ | PROT_WRITE


@pytest.fixture
def task(machine):
    return machine.spawn("t")


@pytest.fixture
def area(task):
    return task.mmap(None, 16 * 4096, RW, PRIVATE)


# ---------------------------------------------------------------- making a machine

@pytest.mark.parametrize(("options", "error", "says"), [
    ({"ram": -1}, ValueError, "ram .*-1"),
    ({"ram": 0}, ValueError, "ram"),
    ({"ram": "lots"}, ValueError, "lots"),
    ({"ram": "16X"}, ValueError, "16X"),
    ({"ram": "-1G"}, ValueError, "-1G"),
    ({"ram": "1.5X"}, ValueError, "1.5X"),
    ({"ram": ""}, ValueError, "ram"),
    ({"ram": 1.5}, TypeError, "ram"),
    ({"ram": None}, TypeError, "ram"),
    ({"ram": True}, TypeError, "ram"),
    ({"ram": 4097}, ValueError, "page size"),
    ({"ram": 8192}, ValueError, "too small"),
    ({"ram": "64T"}, ValueError, "17179869184 frames"),
    ({"ram": "9" * 19}, ValueError, "ram"),
    ({"ram": "8G", "arch": "i386"}, ValueError, "i386"),
    ({"ram": "128G", "arch": "i386-pae"}, ValueError, "i386-pae"),
    ({"arch": "alpha"}, ValueError, "alpha.*x86_64"),
    ({"arch": None}, ValueError, "arch"),
    ({"kernel": "2.6.55"}, ValueError, "did you mean '2.6.5'"),
    ({"kernel": "nt"}, ValueError, "2.6.5-aa1"),
    ({"kernel": 2.6}, TypeError, "kernel"),
    ({"swap": -1}, ValueError, "swap"),
    ({"swap": "8Gx"}, ValueError, "8Gx"),
    ({"swap": 4096}, ValueError, "area 0"),
    ({"swap": 5000}, ValueError, "multiple"),
    ({"swap": True}, TypeError, "swap"),
    ({"swap": 3.5}, TypeError, "swap"),
    ({"swap": ["1M"]}, TypeError, "size, priority"),
    ({"swap": [("1M", 40000)]}, ValueError, "40000"),
    ({"swap": [("1M", "high")]}, TypeError, "priority"),
    ({"swap": [("1M", 0)] * 33}, ValueError, "33 areas"),
    ({"swap": "128G", "arch": "i386", "ram": "64M"}, ValueError, "area 0 has 33554432 pages"),
    ({"swappiness": 101}, ValueError, "swappiness must be in 0..100"),
    ({"swappiness": -1}, ValueError, "swappiness"),
    ({"swappiness": "60"}, TypeError, "swappiness"),
    ({"swappines": 60}, TypeError, "did you mean 'swappiness'"),
    ({"nonsense": 1}, TypeError, "page_cluster"),
    ({"page_cluster": 60}, ValueError, "page_cluster"),
    ({"overcommit_memory": 3}, ValueError, "overcommit_memory"),
    ({"cpus": 2}, ValueError, "cpus"),
    ({"highpte": True, "arch": "x86_64"}, ValueError, "highpte"),
    ({"highpte": 1, "arch": "i386"}, TypeError, "highpte"),
    ({"l1_line": 48, "arch": "i386"}, ValueError, "16, 32, 64, 128"),
    ({"l1_line": 32, "arch": "x86_64"}, ValueError, "64, 128"),
    ({"trylock_rate": 1025}, ValueError, "trylock_rate"),
    ({"seed": -1}, ValueError, "seed"),
])
def test_machine(options, error, says):
    with pytest.raises(error, match=f"(?s){says}"):
        vmcore.Machine(**({"ram": "16M"} | options))


def test_a_machine_that_might_not_fit_warns_with_the_bytes():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        m = vmcore.Machine(ram="15T")
    assert "bytes" in str(caught[0].message) and caught[0].filename == __file__
    t = m.spawn("t")
    a = t.mmap(None, 1 << 20, RW, PRIVATE)
    t.touch_range(a, 1 << 20, write=True)
    assert t.pagemap(a, 1 << 20)["present"].all()


def test_kernel_replace():
    base = vmcore.KERNELS["2.6.5"]
    assert base.replace(rmap="anon_vma").rules("i386")["vma_size"] == 76
    with pytest.raises(ValueError, match=r"btree.*list"):
        base.replace(i_mmap="btree")
    with pytest.raises(TypeError, match="colour"):
        base.replace(colour="red")
    with pytest.raises(AttributeError):
        base.rmap = "anon_vma"


# ---------------------------------------------------------------- touches

@pytest.mark.parametrize(("addresses", "error", "says"), [
    (-1, ValueError, "-1"),
    (1 << 64, ValueError, "18446744073709551616"),
    (1.0, TypeError, "float"),
    ("0x1000", TypeError, "str"),
    (None, TypeError, "None"),
    (True, TypeError, "bool"),
    ([1.5], TypeError, "float64"),
    ([-4096], ValueError, "-4096"),
    ([[4096]], ValueError, r"shape \(1, 1\)"),
    ([[1], [2, 3]], ValueError, "addresses"),
    (["a"], TypeError, "addresses"),
    (np.array([4096.0]), TypeError, "float64"),
    (np.array([True]), TypeError, "bool"),
    (np.array([0, -1]), ValueError, "item 1"),
    (np.zeros((2, 2), np.uint64), ValueError, "dimension"),
    (np.array([1 << 63, -1], object), TypeError, "object"),
])
def test_touch_addresses(machine, task, addresses, error, says):
    before = machine.vmstat()
    with pytest.raises(error, match=says):
        task.touch(addresses)
    assert machine.vmstat() == before


@pytest.mark.parametrize(("write", "error", "says"), [
    (1, TypeError, "write"),
    ("yes", TypeError, "write"),
    (None, TypeError, "write"),
    ([True], ValueError, r"shape \(1,\).*shape \(2,\)"),
    (np.array([1, 0]), TypeError, "int64"),
    (np.array([[True, False]]), ValueError, "write"),
])
def test_touch_write(machine, task, area, write, error, says):
    before = machine.vmstat()
    with pytest.raises(error, match=says):
        task.touch(np.array([area, area], np.uint64), write)
    with pytest.raises((TypeError, ValueError)):
        task.touch(area, write)
    assert machine.vmstat() == before


def test_touch_range(task, area):
    for args, error in (((area, -1), ValueError), ((-1, 1), ValueError), (((1 << 64) - 1, 2), ValueError),
                        ((area, 1.0), TypeError), ((area, 4096, 1), TypeError), (("a", 1), TypeError)):
        with pytest.raises(error):
            task.touch_range(*args)


def test_tokens(task, area):
    for value in (-1, 1 << 64):
        with pytest.raises(ValueError, match="value"):
            task.write(area, value)
    with pytest.raises(TypeError):
        task.write(area, "x")
    with pytest.raises(ValueError):
        task.read(-1)
    assert task.read(area) == 0


def test_faults_say_where(task, area):
    with pytest.raises(vmcore.SegmentationFault) as caught:
        task.touch([area, area + 4096, 0x1234, area], write=True)
    fault = caught.value
    assert (fault.task, fault.address, fault.code, fault.index) == (task, 0x1234, 1, 2)
    assert task.alive and task.pagemap(area, 3 * 4096)["present"].tolist() == [True, True, False]
    task.mprotect(area, 4096, PROT_READ)
    with pytest.raises(vmcore.SegmentationFault) as caught:
        task.touch(area, write=True)
    assert (caught.value.code, caught.value.index) == (2, 0)
    for beyond in (1 << 63, (1 << 64) - 1):
        with pytest.raises(vmcore.SegmentationFault):
            task.touch(beyond)


def test_words_of_a_fault(machine, task, area):
    """One access says no index; a batch does. Where a guard marker stands there is a mapping."""
    with pytest.raises(vmcore.SegmentationFault) as e:
        task.read(0x5000)
    assert str(e.value) == f"{task}: access to 0x5000: no mapping there"
    assert (e.value.index, e.value.guard) == (0, False)
    with pytest.raises(vmcore.SegmentationFault, match="access 1 to 0x5000: no mapping there"):
        task.touch([area, 0x5000])
    one = vmcore.Machine("16M", kernel="6.18").spawn("a")
    at = one.mmap(None, 8192, 3, PRIVATE)
    one.madvise(at, 4096, vmcore.MADV_GUARD_INSTALL)
    with pytest.raises(vmcore.SegmentationFault, match=f"access to {at:#x}: a guard marker is there") as e:
        one.write(at, 1)
    assert (e.value.code, e.value.guard) == (1, True)
    copy = pickle.loads(pickle.dumps(vmcore.SegmentationFault(None, at, 1, None, True)))
    assert str(copy) == f"None: access to {at:#x}: a guard marker is there"
    one.mprotect(at, 4096, vmcore.PROT_EXEC)
    with pytest.raises(vmcore.SegmentationFault, match="executable only"):
        one.read(at)
    with pytest.raises(vmcore.SegmentationFault, match="not a canonical address"):
        one.read(1 << 63)


def test_bus_error(machine, task):
    f = machine.open("f", 4096)
    a = task.mmap(None, 8192, PROT_READ, MAP_PRIVATE, f)
    task.touch(a)
    with pytest.raises(vmcore.BusError) as caught:
        task.touch(a + 4096)
    assert (caught.value.task, caught.value.address, caught.value.index) == (task, a + 4096, 0)


# ---------------------------------------------------------------- system calls

@pytest.mark.parametrize(("call", "args", "error", "says"), [
    ("mmap", (-1, 4096, 3, PRIVATE), ValueError, "addr"),
    ("mmap", (None, -4096, 3, PRIVATE), ValueError, "length"),
    ("mmap", (None, 1 << 64, 3, PRIVATE), ValueError, "length"),
    ("mmap", (None, "4K", 3, PRIVATE), TypeError, "length"),
    ("mmap", (None, 4096, -1, PRIVATE), ValueError, "prot"),
    ("mmap", (None, 4096, 3, 1 << 40), ValueError, "flags"),
    ("mmap", (None, 4096, 3, MAP_PRIVATE, "f"), TypeError, "file"),
    ("mmap", (None, 4096, 3, PRIVATE, None, -1), ValueError, "offset"),
    ("munmap", (0, -1), ValueError, "length"),
    ("munmap", (1.5, 1), TypeError, "addr"),
    ("mprotect", (0, 4096, "r"), TypeError, "prot"),
    ("brk", (-1,), ValueError, "addr"),
    ("mlock", (0, -1), ValueError, "length"),
    ("mlockall", (-1,), ValueError, "flags"),
    ("fork", (7,), TypeError, "name"),
    ("fork", ("",), ValueError, "name"),
    ("fork", ("x" * 32,), ValueError, "1..31"),
    ("fork", ("a\0b",), ValueError, "NUL"),
    ("exec", ("x", -1), ValueError, "argpages"),
    ("setrlimit", (0, 1), ValueError, "not simulated"),
    ("setrlimit", (9, "x"), TypeError, "limit"),
    ("setrlimit", (9, (1, 2, 3)), ValueError, "soft, hard"),
    ("pagemap", (0, -1), ValueError, "length"),
    ("pagemap", (0, 1 << 63), ValueError, "length"),
    ("mincore", (-4096, 1), ValueError, "addr"),
    ("capset", (-1,), ValueError, "caps"),
])
def test_senseless_arguments(machine, task, call, args, error, says):
    before = machine.vmstat()
    with pytest.raises(error, match=says):
        getattr(task, call)(*args)
    assert machine.vmstat() == before


@pytest.mark.parametrize(("call", "args", "number"), [
    ("mmap", (None, 4096, 3, MAP_PRIVATE), errno.EBADF),
    ("mmap", (None, 4096, 3, MAP_ANONYMOUS), errno.EINVAL),
    ("mmap", (1, 4096, 3, PRIVATE | MAP_FIXED), errno.EINVAL),
    ("munmap", (1, 4096), errno.EINVAL),
    ("munmap", (0, 0), errno.EINVAL),
    ("mprotect", (1, 4096, 3), errno.EINVAL),
    ("mprotect", (0x1000, 4096, 3), errno.ENOMEM),
    ("mlock", (0x1000, 4096), errno.ENOMEM),
    ("mlockall", (0,), errno.EINVAL),
    ("mincore", (1, 4096), errno.EINVAL),
    ("mincore", (0x1000, 4096), errno.ENOMEM),
    ("exec", ("x", 33), errno.E2BIG),
    ("setrlimit", (99, 1), errno.EINVAL),
    ("setrlimit", (9, (2, 1)), errno.EINVAL),
])
def test_errno(task, call, args, number):
    with pytest.raises(OSError, match=rf"{call}\(") as caught:
        getattr(task, call)(*args)
    assert caught.value.errno == number


def test_the_dead(machine, task, area):
    child = task.fork("c")
    child.exit()
    assert not child.alive and child.killed_by is None and child.name == "c" and task.alive
    for call in (lambda: child.touch(area), lambda: child.touch([area]), lambda: child.touch_range(area, 1),
                 lambda: child.write(area, 1), lambda: child.mmap(None, 4096, 3, PRIVATE), child.fork, child.exit,
                 child.maps, child.munlockall, lambda: child.pagemap(area, 1), lambda: child.capset(0)):
        with pytest.raises(ProcessLookupError):
            call()
    with pytest.raises(ProcessLookupError):
        machine.task(99)


class Index:
    """A number that is no int."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


CALLS = (   # of 64 pages mapped at "a": every call with numbers, and what it is given
    ("touch", ("a",)), ("touch_range", ("a", 8192)), ("write", ("a", 200)), ("read", ("a",)),
    ("mincore", ("a", 8192)), ("pagemap", ("a", 8192)), ("mprotect", ("a", 4096, 1)), ("madvise", ("a", 4096, 0)),
    ("mlock", ("a", 4096)), ("mlock2", ("a", 4096, 0)), ("munlock", ("a", 4096)), ("msync", ("a", 4096, 4)),
    ("mlockall", (1,)), ("mmap", (0, 8192, 3, PRIVATE, None, 0)), ("mremap", ("a", 4096, 4096, 1)),
    ("mremap", ("a", 4096, 4096, 3, 0x10000000)), ("remap_file_pages", ("a", 4096, 0, 0, 0)), ("brk", (0,)),
    ("munmap", ("a", 4096)), ("setrlimit", (9, 1 << 40)), ("setrlimit", (9, (1 << 40, 1 << 41))), ("getrlimit", (9,)),
    ("capset", (7,)), ("exec", ("x", 1)),
    # sums beyond 64 bits, and beyond what a small type holds
    ("mincore", (0, 200)), ("mincore", ((1 << 63) - 4096, 8192)), ("mincore", ((1 << 64) - 4096, 8192)),
    ("pagemap", ((1 << 63) - 4096, 8192)), ("pagemap", ((1 << 64) - 4096, 8192)), ("pagemap", (200, 200)),
    ("touch_range", ((1 << 64) - 4096, 8192)), ("touch_range", (200, 200)), ("setrlimit", (9, -1)),
    ("mmap", ((1 << 64) - 4096, (1 << 64) - 4096, 3, PRIVATE, None, 0)), ("munmap", ((1 << 63) - 4096, 8192)),
)


def outcome(make, call, args):
    """What a call does on a fresh machine, its numbers made by `make`: its result or error, and the counters."""
    def given(arg):
        if isinstance(arg, tuple):
            return tuple(map(given, arg))
        return make(arg) if isinstance(arg, int) else arg

    m = vmcore.Machine(ram="16M", swap="16M", kernel="2.6.5", overcommit_memory=1)
    t = m.spawn("t")
    a = t.mmap(None, 64 * 4096, RW, PRIVATE)
    t.capset(0xFFFFFFFF)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = getattr(t, call)(*(given(a if arg == "a" else arg) for arg in args))
        except (OSError, ValueError, vmcore.SegmentationFault) as e:
            result = type(e), getattr(e, "errno", None)
    m.check()
    return result.tolist() if isinstance(result, np.ndarray) else result, m.vmstat(), t.maps() if t.alive else None


@pytest.mark.parametrize(("call", "args"), CALLS)
def test_a_number_is_a_number(call, args):
    """numpy's scalars wrap around and objects with __index__ do no arithmetic: neither gets past the conversion."""
    expected = outcome(int, call, args)

    def fits(kind):
        """That type where it holds the number, a Python int where it does not."""
        return lambda n: kind(n) if np.iinfo(kind).min <= n <= np.iinfo(kind).max else n

    for make in (fits(np.uint64), fits(np.int64), fits(np.uint8), Index):
        assert outcome(make, call, args) == expected


@pytest.mark.parametrize("kind", [np.uint64, np.int64, Index])
def test_a_number_is_a_number_to_a_machine(kind):
    m = vmcore.Machine(ram=kind(16 << 20), swap=kind(1 << 20), swappiness=kind(50), seed=kind(3))
    assert m.ram == 16 << 20 and [pages for _, pages, _, _ in m.swaps()] == [256]
    assert vmcore.Machine(ram="16M", swap=kind(0)).swaps() == []
    m.swapon(kind(1 << 20), kind(5))
    f = m.open("f", kind(8192))
    f.truncate(kind(4096))
    assert (f.size, m.file(kind(f.number))) == (4096, f)
    t = m.spawn("t", mmap_base=kind(1 << 30), start_brk=kind(1 << 20))
    assert m.task(kind(t.pid)) == t
    assert m.reclaim(kind(1)) >= 0
    m.swapoff(kind(1))
    m.check(kind(4))


@pytest.mark.parametrize("ram", ["24M", "24 m", "24MiB", "0.0234375G", "24576.0K", "25165824", 25165824])
def test_a_size_is_written_as_in_scenarios(ram):
    assert vmcore.Machine(ram=ram).ram == 24 << 20


@pytest.mark.parametrize("ram", ["1.5e1M", "1,5G", "-24M", ".5G", "0.1G", "\u0662\u0664M", "24M.", "1" * 21, ""])
def test_what_is_no_size_is_refused(ram):
    with pytest.raises(ValueError, match="ram must be"):
        vmcore.Machine(ram=ram)


# ---------------------------------------------------------------- machine and files

@pytest.mark.parametrize(("call", "args", "error", "says"), [
    ("spawn", (None,), TypeError, "name"),
    ("spawn", ("",), ValueError, "name"),
    ("spawn", ("x" * 32,), ValueError, "1..31"),
    ("spawn", ("\ud800",), ValueError, "UTF-8"),
    ("spawn", ("x", 123), ValueError, "mmap_base"),
    ("spawn", ("x", 1 << 63), ValueError, "mmap_base"),
    ("open", ("f", -1), ValueError, "size"),
    ("open", ("f", "4 kilo"), ValueError, "4 kilo"),
    ("open", ("f", 1 << 60), ValueError, "size"),
    ("open", ("x" * 64, 1), ValueError, "1..63"),
    ("open", (b"f", 1), TypeError, "name"),
    ("open", ("f", 1, 1), TypeError, "readonly"),
    ("tmpfs", ("f", None), TypeError, "size"),
    ("device", ("d", 2.0), TypeError, "size"),
    ("reclaim", (-1,), ValueError, "pages"),
    ("reclaim", ("1",), TypeError, "pages"),
    ("swapon", ("1M", 99999), ValueError, "priority"),
    ("swapon", (100,), ValueError, "multiple"),
    ("swapoff", (-1,), ValueError, "area"),
    ("check", (-1,), ValueError, "walk"),
    ("task", (0,), ValueError, "pid"),
    ("task", ("t",), TypeError, "pid"),
    ("view", ("pages",), ValueError, "swap_slot"),
    ("file", ("nosuch",), FileNotFoundError, "nosuch"),
    ("file", ("\ud800",), ValueError, "UTF-8"),
    ("open", ("\ud800", 1), ValueError, "UTF-8"),
    ("tmpfs", ("\ud800", 1), ValueError, "UTF-8"),
    ("device", ("\ud800", 1), ValueError, "UTF-8"),
    ("file", (99,), FileNotFoundError, "99"),
])
def test_machine_calls(machine, call, args, error, says):
    before = machine.vmstat()
    with pytest.raises(error, match=says):
        getattr(machine, call)(*args)
    assert machine.vmstat() == before


def test_swap_errno(machine):
    with pytest.raises(OSError, match=r"swapoff\(7\)") as caught:
        machine.swapoff(7)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="swapon") as caught:
        machine.swapon(4096)
    assert caught.value.errno == errno.EINVAL
    for size in ("99999999999999999999T", 1 << 70, "1T"):
        with pytest.raises(OSError, match="swapon") as caught:
            machine.swapon(size)
        assert caught.value.errno == errno.EINVAL


def test_closed_and_foreign_files(machine, task):
    f = machine.open("f", 8192)
    other = vmcore.Machine(ram="16M").open("g", 4096)
    with pytest.raises(ValueError, match="another machine"):
        task.mmap(None, 4096, PROT_READ, MAP_PRIVATE, other)
    with pytest.raises(ValueError):
        f.truncate(-1)
    with pytest.raises(TypeError):
        f.invalidate(1)
    f.close()
    f.close()
    for call in (lambda: f.size, lambda: f.name, lambda: f.truncate(0), f.sync, f.invalidate,
                 lambda: task.mmap(None, 4096, PROT_READ, MAP_SHARED, f)):
        with pytest.raises(OSError, match="closed") as caught:
            call()
        assert caught.value.errno == errno.EBADF


# ---------------------------------------------------------------- traces

def test_run_refuses(machine, task, area):
    good = trace.make([area, area], task.pid, [0, 1])
    assert machine.run(good) == (2, 0, 0)
    before = machine.vmstat()
    for bad, error, says in (
        (None, TypeError, "addr, task, op"),
        ([1, 2], TypeError, "addr, task, op"),
        (np.zeros(3), TypeError, "float64"),
        (np.zeros(3, [("addr", "u8"), ("op", "u1")]), ValueError, "addr, op"),
        (good.reshape(1, 2), ValueError, "dimension"),
        (trace.make([area], 99), ValueError, "record 0: there is no task 99"),
        (trace.make([area, area], [task.pid, 0]), ValueError, "record 1: there is no task 0"),
        (np.array([(area, -1, 0)], [("addr", "u8"), ("task", "i8"), ("op", "u1")]), ValueError, "task"),
        (np.array([(area, 1 << 32, 0)], [("addr", "u8"), ("task", "i8"), ("op", "u1")]), ValueError, "4294967296"),
        (np.array([(1.5, 1, 0)], [("addr", "f8"), ("task", "u4"), ("op", "u1")]), TypeError, "addr"),
    ):
        with pytest.raises(error, match=says):
            machine.run(bad)
    bad = good.copy()
    bad["op"][1] = 2
    with pytest.raises(ValueError, match="record 1: op must be 0"):
        machine.run(bad)
    assert machine.vmstat() == before


@pytest.mark.parametrize(("text", "says"), [
    ("", "empty"),
    ("a,b\n", "first line"),
    ("addr,task,op\n1,2\n", ":2: 2 fields"),
    ("addr,task,op\n1,2,r\nx,2,r\n", ":3: addr must be a number, not 'x'"),
    ("addr,task,op\n1,-2,r\n", ":2: task"),
    ("addr,task,op\n0x1ffffffffffffffff,2,r\n", ":2: addr"),
    ("addr,task,op\n1,2,z\n", ":2: op"),
    ("addr,task,op\n\u00e9,2,r\n", ":2: not a text file"),
])
def test_bad_csv(tmp_path, text, says):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=says):
        trace.read(path)


def test_trace_files(tmp_path):
    t = trace.make([0x1000, (1 << 64) - 1], [1, 2], [0, 1])
    for suffix in trace.FORMATS:
        trace.write(tmp_path / f"t{suffix}", t)
        assert (trace.read(tmp_path / f"t{suffix}") == t).all()
    with pytest.raises(ValueError, match=r"\.npy or \.csv"):
        trace.read("t.txt")
    raw = (tmp_path / "t.npy").read_bytes()
    for n in (0, 5, 20, len(raw) - 1):
        (tmp_path / "short.npy").write_bytes(raw[:n])
        with pytest.raises(ValueError, match=r"short\.npy"):
            trace.read(tmp_path / "short.npy")
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"o\.npy"):
        trace.read(tmp_path / "o.npy")
    with pytest.raises(FileNotFoundError):
        trace.read(tmp_path / "none.csv")
    np.savez(tmp_path / "z.npz", t)
    zipped = (tmp_path / "z.npz").read_bytes()
    magic = b"\x93NUMPY\x01\x00"
    for raw in (b"PK\x03\x04garbage", zipped, *(magic + len(h).to_bytes(2, "little") + h for h in (
            b"'''", b"(", b"(" * 9000, b"{'descr': (", b"1" * 9000, b"\xff"))):
        (tmp_path / "bad.npy").write_bytes(raw)
        with pytest.raises(ValueError, match=r"bad\.npy"):
            trace.read(tmp_path / "bad.npy")


# ---------------------------------------------------------------- saved machines

def test_damaged_files(machine, task, area, tmp_path: Path):
    task.touch_range(area, 4 * 4096, write=True)
    path = tmp_path / "m"
    machine.save(path)
    raw = path.read_bytes()
    assert list(tmp_path.iterdir()) == [path]
    bad = tmp_path / "bad"
    header = raw.index(b"{")
    cases = [raw[:n] for n in (0, 4, 8, 11, 12, 40, len(raw) // 2, len(raw) - 1)]
    cases += [b"\x7fELF" + raw[4:], raw + b"\0", raw[:8] + b"\xff\xff\xff\xff" + raw[12:]]
    for at in (header + 3, len(raw) // 2, len(raw) - 2):
        cases.append(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:])
    for case in cases:
        bad.write_bytes(case)
        with pytest.raises(ValueError, match="bad"):
            vmcore.load(bad)
    with pytest.raises(FileNotFoundError):
        vmcore.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        machine.save(tmp_path / "none" / "m")
    vmcore.load(path).check()


def with_header(raw: bytes, header: bytes) -> bytes:
    """A saved machine with another header, and its checksum right."""
    body = raw[:8] + len(header).to_bytes(4, "little") + header + raw[12 + int.from_bytes(raw[8:12], "little") : -4]
    return body + zlib.crc32(body).to_bytes(4, "little")


def test_damaged_headers(machine, task, area, tmp_path: Path):
    """The header is read before the checksum: whatever it is, the file is refused by its name."""
    task.touch_range(area, 4 * 4096, write=True)
    path = tmp_path / "m"
    machine.save(path)
    raw = path.read_bytes()
    header = json.loads(raw[12 : 12 + int.from_bytes(raw[8:12], "little")])
    bad = tmp_path / "bad"
    changes = ({"designs": [[], [], [], []]}, {"designs": [{}, 1, None, "v6"]}, {"designs": ["none", "list", "v2_6"]},
               {"designs": ["none", "list", "v2_6", "v2_6"]}, {"designs": {}}, {"layout": []}, {"meta": []})
    for other in (b"[" * (1 << 20), b'{"a":' * (1 << 17), b"\xff", b"1",
                  *(json.dumps(header | change).encode() for change in changes)):
        bad.write_bytes(with_header(raw, other))
        with pytest.raises(ValueError, match="bad"):
            vmcore.load(bad)


def test_designs_of_another_machine_are_refused(machine, task, area, tmp_path: Path):
    task.touch_range(area, 16 * 4096, write=True)
    task.fork("c").touch_range(area, 4 * 4096, write=True)
    f = machine.open("f", 65536)
    for _ in range(3):
        task.touch_range(task.mmap(None, 65536, RW, MAP_SHARED, f), 65536, write=True)
    path = tmp_path / "m"
    machine.save(path)
    raw = path.read_bytes()
    header = json.loads(raw[12 : 12 + int.from_bytes(raw[8:12], "little")])
    rmap, i_mmap, reclaim, calls = header["designs"]
    refused = 0
    for other in ({"meta": {"kernel": "2.6.55"}}, {"meta": {"kernel": 3}}, {"meta": {}},
                  *({"designs": [r, i_mmap, reclaim, calls]} for r in kernels.RMAP),
                  *({"designs": [rmap, i, reclaim, calls]} for i in kernels.I_MMAP),
                  *({"designs": [rmap, i_mmap, r, calls]} for r in kernels.RECLAIM)):
        path.write_bytes(with_header(raw, json.dumps(header | other).encode()))
        try:
            loaded = vmcore.load(path)
        except ValueError as e:
            assert str(path) in str(e)
            refused += 1
        else:
            loaded.check()
            assert loaded._engine.designs[0] == rmap
    assert refused >= len(kernels.RMAP) - 1


def test_rules_say_which_reverse_map_they_are_of():
    for kernel in vmcore.KERNELS.values():
        for arch in kernel.archs:
            rules = kernel.rules(arch)
            assert [name for name in kernels.RMAP if kernels.brought_along(name, rules)] == [kernel.rmap]


def test_paths_of_bytes(machine, tmp_path: Path):
    path = tmp_path / "m"
    machine.save(bytes(path))
    assert list(tmp_path.iterdir()) == [path]
    vmcore.load(bytes(path)).check()
    with pytest.raises(TypeError):
        machine.save(3)


# ---------------------------------------------------------------- threads

def test_a_second_thread_is_refused(machine, task, area):
    addresses = np.full(4_000_000, area, np.uint64)
    errors: list[BaseException | None] = []
    go = threading.Barrier(2)

    def other() -> None:
        go.wait()
        while not done.is_set():
            for call in (lambda: task.touch(area), machine.vmstat, lambda: task.alive, machine.clone):
                try:
                    call()
                except RuntimeError as e:
                    errors.append(e)

    done = threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    go.wait()
    for _ in range(20):
        with contextlib.suppress(RuntimeError):     # one of the two is refused: whoever came second
            task.touch(addresses)
        if errors:
            break
    done.set()
    thread.join()
    assert errors and "another thread" in str(errors[0])
    machine.check()


def test_errors_are_exceptions_of_their_own():
    for error in (vmcore.SegmentationFault, vmcore.BusError, vmcore.TaskKilled, vmcore.KernelBug):
        assert issubclass(error, Exception) and not issubclass(error, OSError)


def test_an_engine_that_has_not_booted():
    engine = Engine.__new__(Engine)
    for call in (engine.record, engine.segments, engine.clone, engine.numbers, lambda: engine.view("frame"),
                 lambda: engine.touch(1, 1)):
        with pytest.raises(RuntimeError, match="not booted"):
            call()


@pytest.mark.parametrize("kernel", ["2.4", "2.6.5"])
def test_out_of_memory_with_nobody_to_kill_is_a_panic(kernel):
    """Tasks without an address space have a badness of 0: Linux would panic, the machine stays as it was."""
    m = vmcore.Machine(ram="5M", swap=0, kernel=kernel, arch="i386")
    parent = m.spawn("parent")
    with pytest.raises(vmcore.KernelBug, match="oom_no_victim"):
        for number in range(1000):
            parent.fork(str(number))
    m.check()
    assert parent.alive and m.vmstat()["oom_kills"] == 0


def test_a_livelock_that_begins_at_time_0_ends_after_ten_seconds():
    """All memory is locked and swap is free: the killer never acts by itself, and is made to the first time round."""
    m = vmcore.Machine(ram="16M", swap="16M", kernel="2.6.5", overcommit_memory=1)
    t = m.spawn("t")
    at = t.mmap(None, 24 << 20, 3, vmcore.MAP_PRIVATE | vmcore.MAP_ANONYMOUS)
    assert m.now == 0
    with pytest.raises(vmcore.TaskKilled) as e:
        t.mlock(at, 24 << 20)
    assert e.value.by == "oom"
    stat = m.vmstat()
    assert stat["alloc_livelock"] == stat["oom_kills"] == 1
    assert 10e9 < m.now < 11e9
    m.check()


# ---------------------------------------------------------------- kernels made by hand

def _data(base: str = "2.6.7", **rules):
    return {"data": {**vmcore.KERNELS[base].data, **rules}}


@pytest.mark.parametrize(("base", "changes", "says"), [
    ("2.6.7", _data(mm_size=0), "mm_size must be in 4..65536, not 0"),
    ("2.6.7", _data(mm_size=(1 << 32) - 1), "mm_size must be in"),
    ("2.6.7", _data(anon_vma_size=(1 << 32) - 1), "anon_vma_size must be in"),
    ("2.6.7", _data(avc_size=(1 << 32) - 1), "avc_size must be in"),
    ("2.6.7", _data(task_size_bytes=0), "task_size_bytes must be in"),
    ("2.6.7", _data(levels=0), "levels must be in 2..5"),
    ("2.6.7", _data(gup_zero=2), r"gup_zero must be in 0..1, not 2"),
    ("2.6.7", _data(zap_accessed=-1), "zap_accessed must be in 0..2, not -1"),
    ("2.6.7", _data(word_size=0), "word_size is decided by arch"),
    ("2.6.7", _data(nr_zones=5), "nr_zones is decided by arch"),
    ("2.6.7", _data(pt_shift=5), "pt_shift is decided by arch"),
    ("2.6.7", _data(anonmm_size=0), "anonmm_size is decided by rmap"),
    ("2.6.7", _data(rmap_nodes=5), "rmap_nodes is decided by rmap"),
    ("2.6.7", _data(global_lru=5), "global_lru must be in 0..1, not 5"),
    ("2.6.7", _data(global_lru=1), "v2_6.*global_lru=1"),
    ("2.4", {"rmap": "pte_chain", "reclaim": "v2_6"}, "v2_6.*global_lru=1"),
    ("2.6.7", {"reclaim": "v2_4"}, "v2_4.*global_lru=0"),
    ("2.6.7", {"page_bytes": {}}, "page_bytes must have the bytes for words of 4 bytes"),
    ("2.6.7", {"vma_bytes": {}}, "vma_bytes must have"),
    ("2.6.7", {"vma_bytes": {4: 64, 8: 1 << 30}}, r"vma_bytes\[8\] must be in 4..32768"),
    ("2.6.7", {"page_bytes": {4: -1, 8: 64}}, r"page_bytes\[4\] must be in 4..4000, not -1"),
    ("6.18", {"archs": ("i386",)}, "page_bytes must have the bytes for words of 4 bytes"),
])
def test_a_kernel_that_no_engine_can_run(base, changes, says):
    with pytest.raises(ValueError, match=says):
        vmcore.KERNELS[base].replace(**changes)


@pytest.mark.parametrize(("rules", "says"), [
    ({"levels": 2}, "task_size must be a multiple of 4096 of at most 0x40000000,"),
    ({"task_size": (1 << 30) + 1}, "task_size must be a multiple"),
    ({"stack_top": 1 << 50}, "stack_top must be"),
])
def test_an_address_space_that_the_page_tables_do_not_cover(rules, says):
    with pytest.raises(ValueError, match=says):
        vmcore.Machine(ram="16M", kernel=vmcore.KERNELS["2.6.7"].replace(**_data(**rules)))
