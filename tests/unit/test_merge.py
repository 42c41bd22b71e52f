"""vma_merge and vma_adjust: which neighbours become one, case by case, and that their pages are still found.

Fact sheet linux-2004 6.2 (2.6.7's cases 1 to 8, Hugh Dickins' test), 5.8; linux-modern 1.7, 1.12. The live oracles are
of 6.18; those that do not need mremap are here, by the letters of the table.
"""
from __future__ import annotations

import errno

import pytest

import vmcore

PAGE = 4096
NONE, R, RW = 0, 1, 3
PRIVATE_ANON, PRIVATE, SHARED, FIXED, NORESERVE = 0x22, 0x02, 0x01, 0x10, 0x4000
BASE = 0x20000000

MERGING = tuple(name for name, k in vmcore.KERNELS.items() if k.rules(k.archs[-1])["merge_mprotect"] == 2)


class Space:
    """A task, and pages of it by number."""

    def __init__(self, kernel: str | vmcore.kernels.Kernel, **options: object) -> None:
        self.machine = vmcore.Machine(**{"ram": "16M", "swap": "8M", "kernel": kernel} | options)
        self.task = self.machine.spawn("a")
        # today a mapping that was never written to pays its charge back when it becomes read-only, and merges only with
        # its like (test_merge_6_18.py): here nothing is charged there
        self.anon = PRIVATE_ANON | FIXED | (NORESERVE if self.machine.kernel.calls == "v6" else 0)
        self.token = 0
        self.written: dict[int, int] = {}

    def map(self, first: int, last: int, prot: int = RW) -> None:
        self.task.mmap(BASE + first * PAGE, (last - first) * PAGE, prot, self.anon)

    def write(self, *pages: int) -> None:
        for page in pages:
            self.token += 1
            self.task.write(BASE + page * PAGE, self.token)
            self.written[page] = self.token

    def protect(self, first: int, last: int, prot: int) -> None:
        self.task.mprotect(BASE + first * PAGE, (last - first) * PAGE, prot)

    def ranges(self, task: vmcore.Task | None = None) -> list[tuple[int, int, str]]:
        records = [r for r in (task or self.task).maps() if r.start >= BASE]
        return [((r.start - BASE) // PAGE, (r.end - BASE) // PAGE, r.perms[:2]) for r in records]

    def found(self) -> None:
        """Every page is found from its frame, and goes to swap and back."""
        m = self.machine
        m.check(walk=1000)
        for _ in range(40):
            m.reclaim(pages=64)
        m.check(walk=1000)
        for page, token in self.written.items():
            if any(first <= page < last and perms[0] == "r" for first, last, perms in self.ranges()):
                assert self.task.read(BASE + page * PAGE) == token
        m.check(walk=1000)


@pytest.fixture(params=MERGING)
def space(request: pytest.FixtureRequest) -> Space:
    return Space(request.param)


# ---------------------------------------------------------------- 2.6.7's cases

def test_case_1_hole_between_two(space: Space) -> None:
    space.map(0, 2)
    space.map(3, 5)
    space.write(0, 1)
    space.map(2, 3)
    assert space.ranges() == [(0, 5, "rw")]
    space.write(4)
    space.found()


def test_cases_2_and_3_at_either_end(space: Space) -> None:
    space.map(4, 6)
    space.write(4, 5)
    space.map(6, 8)
    space.map(2, 4)
    assert space.ranges() == [(2, 8, "rw")]
    space.write(2, 7)
    space.found()


@pytest.mark.parametrize("faulted", [(), (0, 1, 2, 3), (2,), (5,), (0, 5), (2, 5)])
def test_case_4_border_goes_down(space: Space, faulted: tuple[int, ...]) -> None:
    """The tail of the lower one joins the upper one; whoever has no anon_vma adopts the other's."""
    space.map(0, 8)
    space.protect(4, 8, R)
    if 5 in faulted:
        space.protect(4, 8, RW)
        space.protect(0, 4, R)
        space.write(5)
        space.protect(4, 8, R)
        space.protect(0, 4, RW)
    space.write(*(p for p in faulted if p < 4))
    assert [r[:2] for r in space.ranges()] in ([(0, 4), (4, 8)],)
    space.protect(2, 4, R)
    assert space.ranges() == [(0, 2, "rw"), (2, 8, "r-")]
    space.found()


@pytest.mark.parametrize("faulted", [(), (1,), (4, 5), (6,), (1, 4)])
def test_case_5_border_goes_up(space: Space, faulted: tuple[int, ...]) -> None:
    space.map(0, 8)
    space.protect(0, 4, R)
    space.write(*(p for p in faulted if p >= 4))
    if 1 in faulted:
        space.protect(0, 4, RW)
        space.write(1)
        space.protect(0, 4, R)
    assert space.ranges() == [(0, 4, "r-"), (4, 8, "rw")]
    space.protect(4, 6, R)
    assert space.ranges() == [(0, 6, "r-"), (6, 8, "rw")]
    space.found()


def test_case_6_middle_joins_both(space: Space) -> None:
    space.map(0, 9)
    space.write(*range(9))
    before = space.machine.vmstat()
    space.protect(3, 6, R)
    assert space.ranges() == [(0, 3, "rw"), (3, 6, "r-"), (6, 9, "rw")]
    space.protect(3, 6, RW)
    assert space.ranges() == [(0, 9, "rw")]
    after = space.machine.vmstat()
    assert after["vma_splits"] - before["vma_splits"] == 2
    assert after["vma_merges"] - before["vma_merges"] == 2
    space.found()


def test_case_7_swallows_the_next(space: Space) -> None:
    space.map(0, 6)
    space.write(*range(6))
    space.protect(3, 6, R)
    space.protect(3, 6, RW)
    assert space.ranges() == [(0, 6, "rw")]
    space.found()


@pytest.mark.parametrize("faulted", [(), (0,), (4,), (0, 4)])
def test_case_8_joins_the_next_whole(space: Space, faulted: tuple[int, ...]) -> None:
    space.map(0, 6)
    space.protect(3, 6, R)
    if 4 in faulted:
        space.protect(3, 6, RW)
        space.protect(0, 3, R)
        space.write(4)
        space.protect(3, 6, R)
        space.protect(0, 3, RW)
    space.write(*(p for p in faulted if p < 3))
    space.protect(0, 3, R)
    assert space.ranges() == [(0, 6, "r-")]
    space.found()


def test_over_several_at_once(space: Space) -> None:
    """A call over many vmas joins them as it goes; the last border too."""
    space.map(0, 20)
    space.write(*range(20))
    for page in range(1, 20, 2):
        space.protect(page, page + 1, R)
    assert len(space.ranges()) == 20
    space.protect(2, 17, RW)
    assert space.ranges() == [(0, 1, "rw"), (1, 2, "r-"), (2, 17, "rw"), (17, 18, "r-"), (18, 19, "rw"), (19, 20, "r-")]
    space.protect(0, 20, RW)
    assert space.ranges() == [(0, 20, "rw")]
    space.found()


def test_a_hole_ends_the_call(space: Space) -> None:
    space.map(0, 3)
    space.map(4, 6)
    with pytest.raises(OSError) as caught:
        space.protect(0, 6, R)
    assert caught.value.errno == errno.ENOMEM
    assert space.ranges() == [(0, 3, "r-"), (4, 6, "rw")]
    space.machine.check()


def test_files_merge_too(space: Space) -> None:
    """Private and shared mappings of a file, whose offsets run on."""
    for flags in (PRIVATE, SHARED):
        file = space.machine.open(f"f{flags}", size=12 * PAGE)
        at = space.task.mmap(None, 12 * PAGE, RW, flags, file)
        space.task.touch_range(at, 12 * PAGE, write=True)
        vmas = len(space.task.maps())
        space.task.mprotect(at + 3 * PAGE, 4 * PAGE, R)
        assert len(space.task.maps()) == vmas + 2
        space.machine.check(walk=100)
        space.task.mprotect(at + 3 * PAGE, 4 * PAGE, RW)
        assert len(space.task.maps()) == vmas
        space.machine.check(walk=100)
    space.found()


def test_same_file_another_offset(space: Space) -> None:
    file = space.machine.open("f", size=12 * PAGE)
    at = space.task.mmap(None, 4 * PAGE, RW, SHARED, file)
    space.task.mmap(at + 4 * PAGE, 4 * PAGE, RW, SHARED | FIXED, file, 5 * PAGE)
    space.task.mprotect(at, 8 * PAGE, R)
    assert len(space.task.maps()) == 2


# ---------------------------------------------------------------- anon_vmas of neighbours

def test_hughs_test(space: Space) -> None:
    """Repeat {extend by a page, write it, mprotect it read-only}: one vma."""
    for page in range(64):
        space.map(page, page + 1)
        space.write(page)
        space.protect(page, page + 1, R)
    assert space.ranges() == [(0, 64, "r-")]
    stat = space.machine.vmstat()
    assert stat["nr_anon_vmas"] == 1
    assert stat["anon_vmas_allocated"] == 1 and stat["anon_vmas_adopted"] == 63
    space.found()


def test_hughs_test_without_adoption() -> None:
    """-aa1 gives every page a vma and an anon_vma of its own."""
    space = Space("2.6.5-aa1")
    for page in range(64):
        space.map(page, page + 1)
        space.write(page)
        space.protect(page, page + 1, R)
    assert len(space.ranges()) == 64
    assert space.machine.vmstat()["nr_anon_vmas"] == 64


@pytest.mark.parametrize("order", [(0, 6), (6, 0)])
def test_oracle_e(space: Space, order: tuple[int, int]) -> None:
    """map 0-9, mprotect 3-6 r, write page 0 and 6, restore: the two outer ones did not share an anon_vma."""
    space.map(0, 9)
    space.protect(3, 6, R)
    space.write(*order)
    space.protect(3, 6, RW)
    assert space.ranges() == [(0, 6, "rw"), (6, 9, "rw")]
    assert space.machine.vmstat()["vma_merges_refused_anon_vma"] >= 1
    space.found()


@pytest.mark.parametrize("order", [(0, 4), (4, 0)])
def test_halves_that_differ_in_rights_share(space: Space, order: tuple[int, int]) -> None:
    """1.7: two halves differing only in access rights, each faulted then, merge later in either fault order."""
    space.map(0, 6)
    space.protect(3, 6, 7)
    space.write(*order)
    assert len(space.ranges()) == 2
    assert space.machine.vmstat()["anon_vmas_adopted"] == 1
    space.protect(3, 6, RW)
    assert space.ranges() == [(0, 6, "rw")]
    space.found()


def test_oracle_a_nothing_faulted(space: Space) -> None:
    space.map(0, 2)
    space.map(3, 4)
    space.map(2, 3)
    assert space.ranges() == [(0, 4, "rw")]


def test_oracle_b_left_wins(space: Space) -> None:
    space.map(0, 2)
    space.write(0, 1)
    space.map(3, 5)
    space.write(3, 4)
    space.map(2, 3)
    assert space.ranges() == [(0, 3, "rw"), (3, 5, "rw")]
    space.found()


def test_oracle_c(space: Space) -> None:
    space.map(0, 2)
    space.write(0, 1)
    space.map(2, 4)
    assert space.ranges() == [(0, 4, "rw")]


def test_oracle_m_border(space: Space) -> None:
    space.map(0, 8)
    space.write(*range(8))
    space.protect(4, 8, R)
    space.protect(4, 6, RW)
    assert space.ranges() == [(0, 6, "rw"), (6, 8, "r-")]
    space.found()


def test_oracle_n(space: Space) -> None:
    space.map(0, 2)
    space.write(0)
    space.map(4, 6)
    space.write(4)
    space.map(2, 4)
    space.write(2)
    assert space.ranges() == [(0, 4, "rw"), (4, 6, "rw")]
    space.found()


def test_oracle_o_downwards(space: Space) -> None:
    for page in range(8, 0, -1):
        space.map(page, page + 1)
        space.write(page)
    assert space.ranges() == [(1, 9, "rw")]
    assert space.machine.vmstat()["nr_anon_vmas"] == 1
    space.found()


def test_oracle_p_commit_by_steps(space: Space) -> None:
    """PROT_NONE reserve of 64, commit in steps of 4 pages with mprotect."""
    space.map(0, 64, NONE)
    for step in range(4):
        space.protect(4 * step, 4 * step + 4, RW)
        space.write(4 * step)
    assert space.ranges() == [(0, 16, "rw"), (16, 64, "--")]
    space.found()


def test_oracle_l_child_restores(space: Space) -> None:
    """A child splits what it inherited and joins it again: the halves have one anon_vma."""
    space.map(0, 6)
    space.write(*range(6))
    child = space.task.fork("b")
    child.mprotect(BASE + 2 * PAGE, 2 * PAGE, R)
    assert len(space.ranges(child)) == 3
    child.mprotect(BASE + 2 * PAGE, 2 * PAGE, RW)
    assert space.ranges(child) == [(0, 6, "rw")]
    child.touch(BASE + 3 * PAGE, write=True)
    space.found()


def test_oracle_k_child_extends_what_was_not_faulted(space: Space) -> None:
    space.map(0, 2)
    child = space.task.fork("b")
    child.mmap(BASE + 2 * PAGE, 2 * PAGE, RW, space.anon)
    assert space.ranges(child) == [(0, 4, "rw")]
