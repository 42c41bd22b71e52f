"""What the calls of 6.18 do to VMAs that the scripts of tests/kernel cannot show by themselves: accounts, limits that a
machine has for itself, the layout of an address space."""
from __future__ import annotations

import errno
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

import vmcore
from vmcore import (
    CAP_IPC_LOCK,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_NORESERVE,
    MAP_PRIVATE,
    MAP_SHARED,
    MCL_FUTURE,
    MREMAP_DONTUNMAP,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    RLIMIT_DATA,
    RLIMIT_MEMLOCK,
    RLIMIT_STACK,
)
from vmcore._fast import records
from vmcore._fast.check_shim import _py_poke

PAGE = 4096
BASE = 0x20000000
TOP = 0x7FFFFFFFF000
ANON = MAP_PRIVATE | MAP_ANONYMOUS
FIXED = ANON | MAP_FIXED


@pytest.fixture
def machine() -> vmcore.Machine:
    return vmcore.Machine("64M", kernel="6.18")


@pytest.fixture
def task(machine: vmcore.Machine) -> vmcore.Task:
    return machine.spawn("a")


def fails(number: int, call: Callable[..., object], *args: Any) -> None:
    with pytest.raises(OSError) as e:
        call(*args)
    assert e.value.errno == number, e.value


def committed(machine: vmcore.Machine) -> int:
    return machine.meminfo()["Committed_AS"] // 4


# ---------------------------------------------------------------- the layout

def test_mappings_go_down_from_below_the_stack(task: vmcore.Task) -> None:
    assert task.mmap(None, 4 * PAGE, 3, ANON) == TOP - (128 << 20) - 4 * PAGE
    assert task.mmap(None, PAGE, 1, ANON) == TOP - (128 << 20) - 5 * PAGE
    task.munmap(TOP - (128 << 20) - 2 * PAGE, 2 * PAGE)
    assert task.mmap(None, 3 * PAGE, 1, ANON) == TOP - (128 << 20) - 8 * PAGE   # the hole at the top is too small
    assert task.mmap(None, 2 * PAGE, 1, ANON) == TOP - (128 << 20) - 2 * PAGE


def test_huge_pages_would_fit(task: vmcore.Task) -> None:
    task.mmap(None, PAGE, 3, ANON)
    a = task.mmap(None, 2 << 20, 3, ANON)
    assert a % (2 << 20) == 0
    assert task.mmap(None, (2 << 20) + PAGE, 3, ANON) % (2 << 20) != 0
    assert task.mmap(BASE, 2 << 20, 3, ANON) == BASE


def test_bottom_up_when_the_top_is_full(machine: vmcore.Machine) -> None:
    task = machine.spawn("low", mmap_base=1 << 20)
    assert task.mmap(None, PAGE, 3, ANON) == (1 << 20) - PAGE
    assert task.mmap(None, 2 << 20, 3, ANON) > 0x2AAAAAAAB000 - 1


def poke(machine: vmcore.Machine, pid: int, field: str, value: int) -> int:
    """A field of the address space of a task, which becomes another number; what it was."""
    dtype, offset = records.mm_t.fields[field][:2]
    mm = int(machine.tasks["mm"][pid])
    return int(_py_poke(machine._engine, records.POOL_NAMES.index("mm"), mm, offset, dtype.itemsize, value))


@pytest.mark.parametrize("seed", range(8))
def test_a_search_that_remembers_short_gaps_finds_what_one_finds_that_does_not(seed: int) -> None:
    """Two machines; what the one knows of gaps is taken from it before every call."""
    random = Random(seed)
    machines = [vmcore.Machine("64M", kernel="6.18") for _ in range(2)]
    tasks = [machine.spawn("a") for machine in machines]
    known = 0
    for _ in range(400):
        poke(machines[0], tasks[0].pid, "gap_top", 0)
        lines = tasks[0].maps()
        at = random.choice(lines).start + random.randrange(-4, 12) * PAGE if lines else BASE
        length = random.choice((1, 1, 2, 3, 8, 512, 700)) * PAGE
        call = random.choice(("mmap", "mmap", "mmap", "fixed", "stack", "munmap", "munmap", "mprotect", "mremap",
                              "hint"))
        answers = []
        for task in tasks:
            try:
                if call in ("mmap", "fixed", "stack", "hint"):
                    flags = {"fixed": FIXED, "stack": FIXED | MAP_GROWSDOWN}.get(call, ANON)
                    prot = 3 if length == PAGE else 1
                    answers.append(task.mmap(None if call == "mmap" else at, length, prot, flags))
                elif call == "mremap":
                    answers.append(task.mremap(at, length, 2 * length, MREMAP_MAYMOVE))
                elif call == "munmap":
                    answers.append(task.munmap(at, length))
                else:
                    answers.append(task.mprotect(at, length, 1))
            except OSError as e:
                answers.append(e.errno)
        assert answers[0] == answers[1], (call, hex(at), length)
        assert tasks[0].maps() == tasks[1].maps()
        known += int(machines[1].mms["gap_top"][int(machines[1].tasks["mm"][tasks[1].pid])]) != 0
        machines[1].check()
    assert known > 100


def test_check_finds_a_gap_that_is_longer_than_known(machine: vmcore.Machine, task: vmcore.Task) -> None:
    first, second = (task.mmap(None, 8 * PAGE, prot, ANON) for prot in (1, 3))
    task.munmap(first, 8 * PAGE)
    old = poke(machine, task.pid, "gap_top", second)
    with pytest.raises(vmcore.KernelBug, match="mm-cache"):
        machine.check()
    poke(machine, task.pid, "gap_top", old)
    machine.check()


def test_a_gap_below_a_stack_is_its_own(task: vmcore.Task) -> None:
    at = 0x7FFFF0000000
    task.mmap(at, 4 * PAGE, 3, FIXED | MAP_GROWSDOWN)
    assert task.mmap(at - 200 * PAGE, 2 * PAGE, 3, ANON) != at - 200 * PAGE      # a hint in the guard gap
    assert task.mmap(at - 258 * PAGE, 2 * PAGE, 3, ANON) == at - 258 * PAGE


def test_exec_lays_out_a_program(machine: vmcore.Machine) -> None:
    task = machine.spawn("a", mmap_base=0x7FF000000000, start_brk=0x555555560000)
    task.mlockall(MCL_FUTURE)
    task.exec("b", argpages=2)
    (stack,) = task.maps()
    assert (stack.start, stack.end, stack.perms, stack.name) == (TOP - 34 * PAGE, TOP, "rw-p", "[stack]")
    assert task.mmap(None, PAGE, 3, ANON) == 0x7FF000000000 - PAGE
    assert task.brk(0) == 0x555555560000
    assert task.brk(0x555555560000 + PAGE) == 0x555555560000 + PAGE
    assert [line.name for line in task.maps()] == ["[heap]", "", "[stack]"]
    assert task.status()["VmLck"] == 0                              # the new program has locked nothing
    child = task.fork()
    child.exec("c")
    assert child.mmap(None, PAGE, 3, ANON) == 0x7FF000000000 - PAGE
    assert child.brk(0) == 0x555555560000
    machine.check()


def test_a_large_stack_moves_the_mappings_down(task: vmcore.Task) -> None:
    task.setrlimit(RLIMIT_STACK, 1 << 30)
    task.exec("b")
    assert task.mmap(None, PAGE, 3, ANON) == TOP - (1 << 30) - (1 << 20) - PAGE


# ---------------------------------------------------------------- accounts

def test_a_mapping_over_others_is_charged_for_what_is_new(machine: vmcore.Machine, task: vmcore.Task) -> None:
    task.mmap(BASE, 8 * PAGE, 3, FIXED)
    task.mmap(BASE + 4 * PAGE, 8 * PAGE, 7, FIXED)
    assert committed(machine) == 12
    task.mmap(BASE, 2 * PAGE, 3, FIXED | MAP_NORESERVE)
    assert committed(machine) == 10
    machine.check()


def test_strict_overcommit() -> None:
    machine = vmcore.Machine("64M", kernel="6.18", overcommit_memory=2, overcommit_ratio=50)
    task = machine.spawn("a")
    total = machine.meminfo()["MemTotal"] // 4
    limit = total // 2
    fails(errno.ENOMEM, task.mmap, BASE, (limit + 1) * PAGE, 3, FIXED)
    task.mmap(BASE, (limit // 2) * PAGE, 3, FIXED | MAP_NORESERVE)     # which counts here
    assert committed(machine) == limit // 2
    task.mmap(BASE, (limit // 2 + 8) * PAGE, 3, FIXED)                  # most of it is charged already
    fails(errno.ENOMEM, task.mmap, BASE + (1 << 30), (limit // 2) * PAGE, 3, FIXED)
    machine.check()


def test_guessing_refuses_the_impossible_only(machine: vmcore.Machine, task: vmcore.Task) -> None:
    total = machine.meminfo()["MemTotal"] // 4
    fails(errno.ENOMEM, task.mmap, BASE, (total + 1) * PAGE, 3, FIXED)
    task.mmap(BASE, total * PAGE, 3, FIXED)
    task.mmap(BASE + (1 << 30), total * PAGE, 3, FIXED)
    assert committed(machine) == 2 * total


def test_rlimit_data(task: vmcore.Task) -> None:
    task.setrlimit(RLIMIT_DATA, (8 * PAGE, 8 * PAGE))
    task.mmap(BASE, 6 * PAGE, 3, FIXED)
    task.mmap(BASE + 16 * PAGE, 6 * PAGE, 1, FIXED)
    fails(errno.ENOMEM, task.mmap, BASE + 32 * PAGE, 3 * PAGE, 3, FIXED)
    fails(errno.ENOMEM, task.mprotect, BASE + 16 * PAGE, 3 * PAGE, 3)
    task.mprotect(BASE + 16 * PAGE, 2 * PAGE, 3)
    task.mmap(BASE + 64 * PAGE, 99 * PAGE, 3, FIXED | MAP_GROWSDOWN)    # a stack is no data
    task.mmap(BASE + 200 * PAGE, 99 * PAGE, 3, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED)
    task.machine.check()


def test_what_dontunmap_leaves_locked(machine: vmcore.Machine, task: vmcore.Task) -> None:
    """The kernel forgets to count it off: VmLck keeps it, and so does the limit."""
    task.mmap(BASE, 4 * PAGE, 3, FIXED)
    task.mlock(BASE, 4 * PAGE)
    to = BASE + 64 * PAGE
    task.mremap(BASE, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to)
    assert task.status()["VmLck"] == 32
    task.munmap(BASE, 4 * PAGE)
    task.munmap(to, 4 * PAGE)
    assert task.status()["VmLck"] == 16
    task.capset(task.caps & ~CAP_IPC_LOCK)
    task.setrlimit(RLIMIT_MEMLOCK, 4 * PAGE)
    fails(errno.ENOMEM, task.mlockall, MCL_FUTURE | 1) if task.maps() else None
    machine.check()
    assert task.fork().status()["VmLck"] == 0


# ---------------------------------------------------------------- the number of mappings

def test_max_map_count() -> None:
    machine = vmcore.Machine("64M", kernel="6.18", max_map_count=20)
    task = machine.spawn("a")
    for i in range(21):                             # one more than the limit: mmap looks before it adds
        task.mmap(BASE + 4 * i * PAGE, 3 * PAGE, 3, FIXED)
    fails(errno.ENOMEM, task.mmap, BASE - 64 * PAGE, PAGE, 3, FIXED)
    fails(errno.ENOMEM, task.munmap, BASE + PAGE, PAGE)                 # a hole would be one more
    fails(errno.ENOMEM, task.mprotect, BASE + PAGE, PAGE, 1)
    fails(errno.ENOMEM, task.mremap, BASE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, BASE - 64 * PAGE)
    task.munmap(BASE, PAGE)                         # the ends may go
    task.mprotect(BASE + 4 * PAGE, 3 * PAGE, 1)
    task.munmap(BASE + 5 * PAGE, 8 * PAGE)          # two splits, and two vmas less
    machine.check()
