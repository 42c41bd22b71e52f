"""Merging and splitting of VMAs on 6.18: the live sequences of fact sheet linux-modern 1.12 and the scenarios of the
kernel's own suite (tools/testing/vma, 1.13) that system calls can reach.

A drawing has a column a page. Letters are VMAs, lower case if they may only be read, `-` if not even that; a dot is
nothing. What a drawing of the result joins has one letter. Pages that were written are under a `*`.

Not here: scenarios about VMAs with a close() hook and failing preallocation of the VMA tree, which no call of ours can
make, and the flag helpers of that suite.
"""
from __future__ import annotations

import errno

import pytest

import vmcore
from vmcore import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)

PAGE = 4096
BASE = 0x20000000
RW = PROT_READ | PROT_WRITE
ANON = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
MOVE = MREMAP_MAYMOVE | MREMAP_FIXED
PROTS = {"rw-": RW, "r--": PROT_READ, "---": PROT_NONE}


class Space:
    """A task of 6.18, drawn."""

    def __init__(self, machine: vmcore.Machine, task: vmcore.Task) -> None:
        self.machine = machine
        self.task = task

    def map(self, first: int, last: int, prot: int = RW) -> None:
        self.task.mmap(BASE + first * PAGE, (last - first) * PAGE, prot, ANON)

    def file(self, first: int, last: int, kind: int, file: vmcore.File, page: int) -> None:
        self.task.mmap(BASE + first * PAGE, (last - first) * PAGE, RW, kind | MAP_FIXED, file, page * PAGE)

    def protect(self, first: int, last: int, prot: int) -> None:
        self.task.mprotect(BASE + first * PAGE, (last - first) * PAGE, prot)

    def unmap(self, first: int, last: int) -> None:
        self.task.munmap(BASE + first * PAGE, (last - first) * PAGE)

    def write(self, first: int, last: int | None = None) -> None:
        for page in range(first, first + 1 if last is None else last):
            self.task.write(BASE + page * PAGE, page + 1)

    def move(self, first: int, last: int, to: int) -> None:
        n = (last - first) * PAGE
        assert self.task.mremap(BASE + first * PAGE, n, n, MOVE, BASE + to * PAGE) == BASE + to * PAGE

    def fork(self) -> Space:
        return Space(self.machine, self.task.fork("child"))

    def draw(self, width: int = 12) -> str:
        """A letter a VMA, in order of address."""
        out = ["."] * width
        for n, line in enumerate(r for r in self.task.maps() if BASE <= r.start < BASE + width * PAGE):
            letter = chr(ord("A") + n)
            for page in range((line.start - BASE) // PAGE, min((line.end - BASE) // PAGE, width)):
                out[page] = {"rw-": letter, "r--": letter.lower(), "---": "-"}[line.perms[:3]]
        self.machine.check(walk=200)
        return "".join(out).rstrip(".")


@pytest.fixture
def s() -> Space:
    machine = vmcore.Machine("64M", kernel="6.18", swap="16M")
    return Space(machine, machine.spawn("a"))


# ---------------------------------------------------------------- 1.12: the live sequences, by their letters

def test_a_nothing_is_written(s: Space) -> None:
    s.map(0, 2)
    s.map(3, 4)
    assert s.draw() == "AA.B"
    s.map(2, 3)
    assert s.draw() == "AAAA"


def test_b_the_left_one_wins(s: Space) -> None:
    s.map(0, 2)
    s.write(0, 2)
    s.map(3, 5)
    s.write(3, 5)
    assert s.draw() == "AA.BB"      # ** **
    s.map(2, 3)
    assert s.draw() == "AAABB"


def test_c_new_beside_written(s: Space) -> None:
    s.map(0, 2)
    s.write(0, 2)
    s.map(2, 4)
    assert s.draw() == "AAAA"       # **


def test_d_away_and_back(s: Space) -> None:
    s.map(0, 9)
    s.write(0, 9)
    s.protect(3, 6, PROT_READ)
    assert s.draw() == "AAAbbbCCC"  # *********
    s.protect(3, 6, RW)
    assert s.draw() == "AAAAAAAAA"


def test_e_written_while_apart(s: Space) -> None:
    s.map(0, 9)
    s.protect(3, 6, PROT_READ)
    s.write(0)
    s.write(6)
    assert s.draw() == "AAAbbbCCC"  # *     *
    s.protect(3, 6, RW)
    assert s.draw() == "AAAAAABBB"


def test_f_moved_beside_another(s: Space) -> None:
    s.map(0, 2)
    s.write(0, 2)
    s.map(6, 8)
    s.write(6, 8)
    s.move(6, 8, 2)
    assert s.draw() == "AABB"       # ****


def test_g_unwritten_moved_beside_written(s: Space) -> None:
    s.map(0, 2)
    s.write(0, 2)
    s.map(6, 8)
    s.move(6, 8, 2)
    assert s.draw() == "AAAA"       # **


def test_h_written_moved_beside_unwritten(s: Space) -> None:
    s.map(0, 2)
    s.map(6, 8)
    s.write(6, 8)
    s.move(6, 8, 2)
    assert s.draw() == "AABB"       # ..**      it keeps its offset


def test_i_away_and_back_by_mremap(s: Space) -> None:
    s.map(0, 6)
    s.write(0, 6)
    s.move(2, 4, 8)
    assert s.draw() == "AA..BB..CC"
    s.move(8, 10, 2)
    assert s.draw() == "AAAAAA"


@pytest.mark.parametrize("who", ["parent", "child"])
def test_j_beside_what_a_child_inherited(s: Space, who: str) -> None:
    s.map(0, 2)
    s.write(0, 2)
    child = s.fork()
    one = child if who == "child" else s
    one.map(2, 4)
    assert one.draw() == ("AABB" if who == "child" else "AAAA")


def test_k_beside_what_was_never_written(s: Space) -> None:
    s.map(0, 2)
    child = s.fork()
    child.map(2, 4)
    assert child.draw() == "AAAA"


def test_l_a_child_splits_and_joins(s: Space) -> None:
    s.map(0, 6)
    s.write(0, 6)
    child = s.fork()
    child.protect(2, 4, PROT_READ)
    assert child.draw() == "AAbbCC"
    child.protect(2, 4, RW)
    assert child.draw() == "AAAAAA"


def test_m_the_border_moves(s: Space) -> None:
    s.map(0, 8)
    s.write(0, 8)
    s.protect(4, 8, PROT_READ)
    assert s.draw() == "AAAAbbbb"
    s.protect(4, 6, RW)
    assert s.draw() == "AAAAAAbb"


def test_n_between_two_that_cannot_join(s: Space) -> None:
    s.map(0, 2)
    s.write(0)
    s.map(4, 6)
    s.write(4)
    s.map(2, 4)
    s.write(2)
    assert s.draw() == "AAAABB"     # * * *


def test_o_downwards(s: Space) -> None:
    for page in range(8, 0, -1):
        s.map(page, page + 1)
        s.write(page)
    assert s.draw() == ".AAAAAAAA"


def test_p_reserve_and_commit(s: Space) -> None:
    s.map(0, 64, PROT_NONE)
    for page in range(0, 16, 4):
        s.protect(page, page + 4, RW)
        s.write(page, page + 4)
    assert s.draw(20) == "AAAAAAAAAAAAAAAA----"
    assert len(s.task.maps()) == 2


def test_s_offsets_of_a_shared_file(s: Space) -> None:
    f = s.machine.tmpfs("f", 16 * PAGE)
    s.file(0, 2, MAP_SHARED, f, 0)
    s.file(2, 4, MAP_SHARED, f, 2)
    assert s.draw() == "AAAA"
    s.file(4, 6, MAP_SHARED, f, 0)
    assert s.draw() == "AAAABB"


def test_t_private_file(s: Space) -> None:
    f = s.machine.tmpfs("f", 16 * PAGE)
    s.file(0, 2, MAP_PRIVATE, f, 0)
    s.write(0, 2)
    s.file(2, 4, MAP_PRIVATE, f, 2)
    assert s.draw() == "AAAA"       # **


def test_u_several_move_together(s: Space) -> None:
    s.map(0, 2)
    s.map(2, 3, PROT_READ)
    s.map(4, 5)
    s.write(0, 2)
    assert s.draw() == "AAb.C"
    with pytest.raises(OSError) as e:
        s.task.mremap(BASE, 5 * PAGE, 6 * PAGE, MOVE, BASE + 6 * PAGE)
    assert e.value.errno == errno.EFAULT
    s.move(0, 5, 6)
    assert s.draw() == "......AAb.C"
    assert [s.task.read(BASE + page * PAGE) for page in (6, 7)] == [1, 2]


# ---------------------------------------------------------------- 1.13: the kernel's own suite

def test_simple_merge(s: Space) -> None:
    s.map(0, 1)
    s.map(2, 3)
    s.map(1, 2)
    assert s.draw() == "AAA"


def test_simple_modify(s: Space) -> None:
    s.map(0, 3)
    s.protect(1, 2, PROT_READ)
    assert s.draw() == "AbC"


def test_merge_new_step_by_step(s: Space) -> None:
    for first, last in ((0, 2), (3, 4), (11, 12)):
        s.map(first, last)
    assert s.draw(14) == "AA.B.......C"
    s.write(3)                                  # B has an anon_vma, A takes it over
    for first, last, drawn in (
        (7, 9, "AA.B...CC..D"),                 # beside nothing
        (2, 3, "AAAA...BB..C"),                 # B is gone
        (4, 5, "AAAAA..BB..C"),
        (6, 7, "AAAAA.BBB..C"),                 # in front
        (5, 6, "AAAAAAAAA..B"),
        (10, 11, "AAAAAAAAA.BB"),
        (9, 10, "AAAAAAAAAAAA"),
    ):
        s.map(first, last)
        assert s.draw(14) == drawn
    assert s.task.read(BASE + 3 * PAGE) == 4


@pytest.mark.parametrize(("prev", "middle", "next_", "part", "drawn"), [
    (None, (2, 6), (6, 9), (3, 6), "..ABBBBBB"),        # the next one grows down
    (None, (2, 6), (6, 9), (2, 6), "..AAAAAAA"),        # ... over all of the middle
    ((0, 3), (3, 7), None, (3, 6), "AAAAAAB"),          # the previous one grows
    ((0, 3), (3, 7), None, (3, 7), "AAAAAAA"),
    ((0, 3), (3, 7), (7, 9), (3, 7), "AAAAAAAAA"),      # all three
    ((0, 3), (3, 8), (8, 10), (4, 5), "AAABCDDDEE"),    # inside: nothing joins
    ((0, 3), (3, 8), (8, 10), (4, 7), "AAABCCCDEE"),
])
@pytest.mark.parametrize("written", [False, True])
def test_merge_existing(
    s: Space, prev: tuple[int, int] | None, middle: tuple[int, int], next_: tuple[int, int] | None,
    part: tuple[int, int], drawn: str, written: bool,
) -> None:
    """The middle one, written or not, gets the rights of its neighbours in a part of it."""
    s.map(*middle)
    if written:
        s.write(middle[0], middle[1])
    s.protect(*middle, PROT_READ)
    for one in (prev, next_):
        if one is not None:
            s.map(*one)
    s.protect(*part, RW)
    # what is left of the middle may only be read
    kept = [page for page in range(*middle) if not part[0] <= page < part[1]]
    assert s.draw() == "".join(c.lower() if i in kept else c for i, c in enumerate(drawn))
    if written:
        assert [s.task.read(BASE + page * PAGE) for page in range(*middle)] == [p + 1 for p in range(*middle)]


def test_anon_vma_non_mergeable(s: Space) -> None:
    """P and N were written apart: M joins P alone; so does a new one in a hole."""
    s.map(0, 3)
    s.write(0)
    s.map(7, 9)
    s.write(7)
    s.map(3, 7, PROT_READ)
    s.protect(3, 7, RW)
    assert s.draw() == "AAAAAAABB"
    s.unmap(3, 7)
    s.map(3, 7)
    assert s.draw() == "AAAAAAABB"


def test_merge_extend(s: Space) -> None:
    s.map(0, 1)
    s.map(3, 4)
    assert s.task.mremap(BASE, PAGE, 3 * PAGE) == BASE
    assert s.draw() == "AAAA"


def test_expand_only(s: Space) -> None:
    """A heap grows by its own VMA and never into one above, or below its start."""
    t = s.task
    start = t.brk(0)
    t.mmap(start - 2 * PAGE, 2 * PAGE, RW, ANON)
    assert t.brk(start + 2 * PAGE) == start + 2 * PAGE
    assert [(r.start - start) // PAGE for r in t.maps()] == [-2, 0]
    assert [r.name for r in t.maps()] == ["", "[heap]"]
    assert t.brk(start + 4 * PAGE) == start + 4 * PAGE
    assert [(r.end - r.start) // PAGE for r in t.maps()] == [2, 4]


def test_copy_into_the_next(s: Space) -> None:
    s.map(0, 2)
    s.map(6, 8)
    s.move(0, 2, 4)
    assert s.draw() == "....AAAA"


def test_mmap_region_basic(s: Space) -> None:
    for first in (0x300, 0x250, 0x303, 0x24D):
        s.map(first, first + 3)
    assert [((r.start - BASE) // PAGE, (r.end - BASE) // PAGE) for r in s.task.maps()] == [
        (0x24D, 0x253), (0x300, 0x306)]


def test_special_flags_keep_apart(s: Space) -> None:
    """Pages of a device are mapped VM_IO, VM_PFNMAP and VM_DONTEXPAND: no merging, offsets or not."""
    f = s.machine.device("d", 16 * PAGE)
    s.file(0, 3, MAP_SHARED, f, 0)
    s.file(3, 4, MAP_SHARED, f, 3)
    assert s.draw() == "AAAB"
    special = vmcore.KERNELS["6.18"].rules("x86_64")["merge_special"]
    assert special == 0x4000 | 0x40000 | 0x400 | 0x10000000     # IO, DONTEXPAND, PFNMAP, MIXEDMAP and no other


# ---------------------------------------------------------------- charges are part of what must be equal

def test_charge_is_paid_back(s: Space) -> None:
    """A mapping that was never written to and may no longer be is not charged, so it joins what never was."""
    s.map(0, 2, PROT_READ)
    s.map(2, 4)
    assert s.machine.meminfo()["Committed_AS"] == 8
    s.protect(2, 4, PROT_READ)
    assert s.machine.meminfo()["Committed_AS"] == 0
    assert s.draw() == "aaaa"


def test_charge_stays_with_what_was_written(s: Space) -> None:
    s.map(0, 2, PROT_READ)
    s.map(2, 4)
    s.write(2)
    s.protect(2, 4, PROT_READ)
    assert s.machine.meminfo()["Committed_AS"] == 8
    assert s.draw() == "aabb"


def test_a_child_keeps_out_of_copied_ranges(s: Space) -> None:
    """A range that a child inherited written does not join an unwritten one, where it is moved to."""
    s.map(0, 2)
    s.write(0, 2)
    child = s.fork()
    child.map(4, 6)
    child.protect(4, 6, PROT_READ)
    child.protect(0, 2, PROT_READ)
    child.move(0, 2, 2)
    assert child.draw() == "..aabb"
