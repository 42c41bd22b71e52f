"""The harness itself: that it finds what differs, tells it, and sees what Linux does."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.kernel import elsewhere, linux, record
from tests.kernel.compare import LEVELS, Step, difference, first_difference, run
from tests.kernel.drafts import At, Draft, written
from tests.kernel.fuzz import signature
from tests.kernel.script import HEAP, PAGE, TOP, WINDOW, Op, Script, dump, parse, parse_line
from tests.kernel.state import Outcome, Page, Space, Vma, canonical

needs_linux = pytest.mark.skipif(linux.why_not() is not None, reason=str(linux.why_not()))
needs_frames = pytest.mark.skipif(linux.why_not() is None and not linux.frame_numbers(),
                                  reason="no frame numbers in /proc/PID/pagemap: CAP_SYS_ADMIN is needed")

VMA = Vma(WINDOW, WINDOW + 2 * PAGE, "rw-p", "rd wr mr mw me ac", 0, None)
SPACE = Space((VMA,), {WINDOW: Page("anon", True, 0)}, {"VmRSS": 17})
STEP = Step(Outcome("ok", 0, (1, 0)), {0: SPACE})
OPS = tuple(parse("p0 write @0 1"))

CHANGES = {
    "result": (replace(STEP, outcome=Outcome("errno", 12, (1, 0))), "0 | ENOMEM"),
    "vmas": (replace(STEP, state={0: replace(SPACE, vmas=(replace(VMA, perms="r--p"),))}), "p0: only Linux: @0-@2"),
    "pages": (replace(STEP, state={0: replace(SPACE, pages={})}), "p0: @0: anon | absent"),
    "frames": (replace(STEP, state={0: replace(SPACE, pages={WINDOW: Page("anon", True, 1)})}),
               "p0: @0: frame 0 | frame 1"),
    "sizes": (replace(STEP, state={0: replace(SPACE, sizes={"VmRSS": 18})}), "p0: VmRSS: 17 | 18 pages"),
    "faults": (replace(STEP, outcome=Outcome("ok", 0, (0, 0))), "faults (minor, major): (1, 0) | (0, 0)"),
}


def test_every_level_is_found_and_told() -> None:
    assert set(CHANGES) == set(LEVELS)
    assert difference(OPS, 0, STEP, STEP) is None
    for level, (changed, words) in CHANGES.items():
        found = difference(OPS, 0, STEP, changed)
        assert found is not None and found.level == level
        assert found.told[0].startswith(words)
        told = str(found)
        assert "operation 0: p0 write @0 1" in told and words in told and "Linux" in told
        implied = ("pages", "frames") if level == "pages" else (level,)
        assert difference(OPS, 0, STEP, changed, levels=[x for x in LEVELS if x not in implied]) is None


def test_frames_only_where_linux_shows_them() -> None:
    assert difference(OPS, 0, STEP, CHANGES["frames"][0], frames=False) is None


def test_processes_must_be_the_same() -> None:
    found = difference(OPS, 0, STEP, Step(STEP.outcome, {0: SPACE, 1: SPACE}))
    assert found is not None and found.told == ("processes: [0] | [0, 1]",)


def test_runs_end_at_the_first_difference() -> None:
    """Neither side does anything after it."""
    after = iter([STEP, CHANGES["faults"][0], STEP])
    found = first_difference(OPS * 3, [STEP] * 3, after)
    assert found is not None and found.number == 1
    assert len(list(after)) == 1


def test_signature_knows_no_addresses() -> None:
    a, b = (difference(parse(f"p0 munmap @{n} 1p"), 0, STEP, replace(STEP, state={0: replace(SPACE, vmas=(
        replace(VMA, start=WINDOW + n * PAGE),))})) for n in (1, 0x13))
    assert a is not None and b is not None and signature(a) == signature(b)


def test_canonical_numbers_frames_and_files_by_appearance() -> None:
    one, two = ({0: Space((replace(VMA, file=("shm", inode)), replace(VMA, file="f0")), {
        WINDOW: Page("file", False, base + 7), WINDOW + PAGE: Page("file", False, base + 3),
        WINDOW + 2 * PAGE: Page("file", False, base + 7), WINDOW + 3 * PAGE: Page("zero", False, base)})}
        for inode, base in ((5, 100), (9, 4000)))
    assert canonical(one) == canonical(two)
    space = canonical(one)[0]
    assert [v.file for v in space.vmas] == ["shm0", "f0"]
    assert [page.frame for page in space.pages.values()] == [0, 1, 0, 0]


@pytest.mark.parametrize("line, op", [
    ("mmap @3+1 4p+0x10 r-x|growsdown shared_validate|fixed f0 2p",
     Op(0, "mmap", (WINDOW + 3 * PAGE + 1, 4 * PAGE + 16, 0x01000005, 0x13, "f0", 2 * PAGE))),
    ("p2 brk H4", Op(2, "brk", (HEAP + 4 * PAGE,))),
    ("p1 madvise T4 1 dontneed", Op(1, "madvise", (TOP - 4 * PAGE, 1, 4))),
    ("p0 mremap 0x1000 0 1p maymove|dontunmap", Op(0, "mremap", (0x1000, 0, PAGE, 5, 0))),
    ("repeat 3 1p 1 munmap @0 1p  # words", Op(0, "repeat", (3, PAGE, 1, Op(0, "munmap", (WINDOW, PAGE))))),
])
def test_text(line: str, op: Op) -> None:
    assert parse_line(line) == op
    assert parse(dump([op])) == [op]


@pytest.mark.parametrize("line", ["p0 munmap @0", "p0 nothing @0 1p", "p0 mmap @0 1p rw- privat"])
def test_text_that_is_wrong(line: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        parse_line(line)


def test_drafts_aim_at_what_is_mapped() -> None:
    drafts = [Draft(0, "mmap", (WINDOW, 2 * PAGE, 3, 0x32, None, 0)), Draft(5, "write", (At("mapped", 3), 1)),
              Draft(0, "fork", ()), Draft(1, "munmap", (At("mapped", 0), PAGE)),
              Draft(1, "write", (At("mapped", 0), 1)), Draft(1, "touch", (At("below", 0, far=2), "w")),
              Draft(0, "exit", ()), Draft(0, "exit", ())]
    assert dump(written(drafts)).splitlines() == [
        "p0 mmap @0 2p rw- private|fixed|anonymous - 0", "p0 write @1 1", "p0 fork", "p1 munmap @0 1p", "p1 write @1 1",
        "p1 touch 0x100001df000 w", "p0 exit"]


def test_recording_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RECORDED", tmp_path)
    ops = tuple(parse("p0 write @0 1\np0 fork\np0 read @0\np0 exit\np1 touch 0 r"))
    both, empty = {0: SPACE, 1: SPACE}, {1: Space((), {}, {})}
    steps = [STEP, Step(Outcome("ok", 1), both), Step(Outcome("ok", "0101", (0, 2)), both),
             Step(Outcome("ok", 0), empty), Step(Outcome("signal", (11, 1, 0)), empty)]
    script = Script("some", "", ops, states=True)
    record.save(script, steps)
    assert record.read(script)[0] == steps
    with pytest.raises(ValueError, match="another script"):
        record.read(replace(script, ops=ops[1:]))


def test_coarse_joins_what_versions_may_join() -> None:
    a = Space((VMA, replace(VMA, start=VMA.end, end=VMA.end + PAGE, flags="rd wr")))
    b = Space((replace(VMA, end=VMA.end + PAGE),))
    (x,), (y,) = (list(elsewhere.coarse([Step(Outcome("ok", 0, (n, 0)), {0: s})])) for n, s in ((1, a), (2, b)))
    assert x == y
    far = Space((replace(VMA, perms="r--p"),))
    assert next(iter(elsewhere.coarse([Step(Outcome("ok"), {0: far})]))).state != x.state


# ---- the real side

def steps_of(text: str) -> list[Step]:
    ops = parse(text)
    with linux.Box() as box:
        return list(run(box, ops))


@needs_linux
def test_linux_starts_with_nothing_and_counts_nothing_of_the_runner() -> None:
    step, = steps_of("p0 munmap @0 1p")
    assert step.outcome == Outcome("ok", 0, (0, 0))
    assert step.state is not None and step.state[0].vmas == ()
    assert step.state[0].sizes["VmSize"] == step.state[0].sizes["VmRSS"] == 16


@needs_linux
def test_linux_signals() -> None:
    steps = steps_of("p0 touch @0 r\np0 mmap @0 1p r-- private|anonymous|fixed\np0 touch @0 w\np0 touch @0+5 r\n"
                     "file f0 memfd 1\np0 mmap @1 2p rw- shared|fixed f0 0\np0 write @2 1")
    assert [s.outcome for s in steps] == [
        Outcome("signal", (11, 1, WINDOW)), Outcome("ok", WINDOW), Outcome("signal", (11, 2, WINDOW)),
        Outcome("ok", 0, (1, 0)), Outcome("ok", 0), Outcome("ok", WINDOW + PAGE),
        Outcome("signal", (7, 2, WINDOW + 2 * PAGE))]


@needs_linux
@needs_frames
def test_linux_processes_share_and_part() -> None:
    steps = steps_of("p0 mmap @0 1p rw- private|anonymous|fixed\np0 write @0 7\np0 fork\np1 read @0\np1 write @0 8\n"
                     "p0 read @0\np1 exit\np0 fork\np2 exec")
    frames = [[space.pages.get(WINDOW) for space in (s.state or {}).values()] for s in steps]
    own, both = Page("anon", True, 0), Page("anon", False, 0)
    assert frames == [[None], [own], [both] * 2, [both] * 2, [own, own._replace(frame=1)], [own, own._replace(frame=1)],
                      [own], [both] * 2, [own, None]]
    assert [s.outcome.value for s in steps] == [WINDOW, 0, 1, 7, 0, 7, 0, 2, 0]
    assert steps[4].outcome.faults == (1, 0)


@needs_linux
def test_linux_skips_what_cannot_be() -> None:
    steps = steps_of("p3 munmap @0 1p\np0 exit\np0 fread f9 0\np0 mmap @0 1p r-- shared|fixed f9 0")
    assert [s.outcome.kind for s in steps] == ["skipped"] * 4
