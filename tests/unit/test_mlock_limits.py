"""Who may lock memory in 2004: root alone, whom the limit binds too (2.6.5); users up to RLIMIT_MEMLOCK, by the patch
of RHEL3 that the thread quotes and by 2.6.9; everybody, by the sysctl that the thread wants. Fact sheet linux-2004
6.8."""
from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import vmcore
from vmcore import (
    CAP_IPC_LOCK,
    MAP_ANONYMOUS,
    MAP_LOCKED,
    MAP_PRIVATE,
    MAP_SHARED,
    MCL_CURRENT,
    MCL_FUTURE,
    RLIMIT_MEMLOCK,
)
from vmcore.kernels import MLOCK_2_6_9, MLOCK_RHEL3

PAGE = 4096
ANON = MAP_PRIVATE | MAP_ANONYMOUS


def box(rules: Mapping[str, int] | None = None, **tunables: Any) -> vmcore.Machine:
    kernel = vmcore.KERNELS["2.6.5"]
    if rules is not None:
        kernel = kernel.replace(name="2.6.5-mlock", data={**kernel.data, **rules})
    return vmcore.Machine("64M", kernel=kernel, **tunables)


def user(machine: vmcore.Machine) -> vmcore.Task:
    task = machine.spawn("user")
    task.capset(task.caps & ~CAP_IPC_LOCK)
    return task


def fails(number: int, call: Callable[..., object], *args: Any) -> None:
    with pytest.raises(OSError) as e:
        call(*args)
    assert e.value.errno == number, e.value


def test_2_6_5_asks_for_the_capability() -> None:
    machine = box()
    task = user(machine)
    a = task.mmap(None, 4 * PAGE, 3, ANON)
    fails(errno.EPERM, task.mlock, a, PAGE)
    fails(errno.EPERM, task.mmap, None, PAGE, 3, ANON | MAP_LOCKED)
    fails(errno.EPERM, task.mlockall, MCL_CURRENT)
    root = machine.spawn("root")
    b = root.mmap(None, 4 * PAGE, 3, ANON)
    root.setrlimit(RLIMIT_MEMLOCK, PAGE)
    fails(errno.ENOMEM, root.mlock, b, 2 * PAGE)        # the limit binds root
    root.mlock(b, PAGE)
    machine.check()


@pytest.mark.parametrize(("rules", "pages"), [(MLOCK_RHEL3, 1), (MLOCK_2_6_9, 8)])
def test_a_user_locks_up_to_the_limit(rules: Mapping[str, int], pages: int) -> None:
    """gnupg and its secrets."""
    task = user(box(rules))
    assert task.getrlimit(RLIMIT_MEMLOCK) == pages * PAGE
    a = task.mmap(None, 16 * PAGE, 3, ANON)
    task.mlock(a, pages * PAGE)
    assert task.status()["VmLck"] == 4 * pages
    fails(errno.ENOMEM, task.mlock, a + pages * PAGE, PAGE)
    fails(errno.EAGAIN, task.mmap, None, PAGE, 3, ANON | MAP_LOCKED)
    task.munlock(a, pages * PAGE)
    assert task.status()["VmLck"] == 0
    b = task.mmap(None, pages * PAGE, 3, ANON | MAP_LOCKED)
    assert task.pagemap(b, pages * PAGE)["present"].all()
    fails(errno.EAGAIN, task.mremap, b, pages * PAGE, (pages + 1) * PAGE, 1)
    task.munlockall()
    task.setrlimit(RLIMIT_MEMLOCK, 0)
    fails(errno.EPERM, task.mlock, a, PAGE)             # no limit at all: no right either
    fails(errno.EPERM, task.mmap, None, PAGE, 3, ANON | MAP_LOCKED)
    task.machine.check()


@pytest.mark.parametrize("rules", [MLOCK_RHEL3, MLOCK_2_6_9])
def test_the_capability_waives_the_limit(rules: Mapping[str, int]) -> None:
    """cdrecord, set-uid root."""
    machine = box(rules)
    task = machine.spawn("cdrecord")
    a = task.mmap(None, 100 * PAGE, 3, ANON)
    task.mlockall(MCL_CURRENT | MCL_FUTURE)
    assert task.status()["VmLck"] == 400
    task.mmap(None, 100 * PAGE, 3, ANON)
    assert task.status()["VmLck"] == 800
    assert task.mremap(a, 100 * PAGE, 120 * PAGE, 1)
    assert task.status()["VmLck"] == 880
    machine.check()


def test_rhel3_leaves_a_tenth_of_memory() -> None:
    task = box(MLOCK_RHEL3).spawn("root")
    pages = (64 << 20) // PAGE
    a = task.mmap(None, pages * PAGE, 1, ANON)
    fails(errno.ENOMEM, task.mlock, a, (pages * 90 // 100 + 1) * PAGE)
    task.mlock(a, (pages // 2) * PAGE)


def test_future_alone_touches_nothing_in_2_6_9() -> None:
    for rules, locked in ((MLOCK_RHEL3, 0), (MLOCK_2_6_9, 4)):
        task = box(rules).spawn("root")
        a = task.mmap(None, 4 * PAGE, 3, ANON)
        task.mlock(a, PAGE)
        task.mlockall(MCL_FUTURE)
        assert task.status()["VmLck"] == locked
        task.mmap(None, 2 * PAGE, 3, ANON)
        assert task.status()["VmLck"] == locked + 8


def test_sysctl() -> None:
    """-aa's disable_cap_mlock: no capability needed, but the limit stays."""
    task = user(box(disable_cap_mlock=1))
    a = task.mmap(None, 4 * PAGE, 3, ANON)
    task.mlock(a, 2 * PAGE)
    task.mmap(None, PAGE, 3, ANON | MAP_LOCKED)
    task.setrlimit(RLIMIT_MEMLOCK, 3 * PAGE)
    fails(errno.ENOMEM, task.mlock, a + 2 * PAGE, PAGE)
    task.munlock(a, 4 * PAGE)
    assert task.status()["VmLck"] == 4


def test_presets_are_as_they_were() -> None:
    for name, kernel in vmcore.KERNELS.items():
        if kernel.calls == "v2_6":
            assert all(not kernel.data.get(rule) for rule in MLOCK_RHEL3), name


@pytest.mark.parametrize("kernel", ["2.4", "2.6.5", "2.6.5-aa1", "2.6.7", "6.18"])
def test_mlock_over_the_end_of_a_file(kernel: str) -> None:
    """get_user_pages of 2.6 says how many pages it got, which make_pages_present takes for -1; for the first page it
    says why. 2.4 does not ask. Locked the range is in any case."""
    m = vmcore.Machine("16M", "16M", kernel=kernel, overcommit_memory=1)
    t = m.spawn("t")
    f = m.open("f", 2 * PAGE)
    a = t.mmap(None, 8 * PAGE, 3, MAP_SHARED, f)
    expected = {"2.4": (None, None), "6.18": (errno.ENOMEM, errno.ENOMEM)}.get(kernel, (errno.EPERM, errno.EFAULT))
    for start, error in zip((0, 2), expected, strict=True):
        t.munlock(a, 8 * PAGE)
        if error is None:
            t.mlock(a + start * PAGE, (8 - start) * PAGE)
        else:
            fails(error, t.mlock, a + start * PAGE, (8 - start) * PAGE)
        assert t.status()["VmLck"] == (8 - start) * 4
    m.check()
