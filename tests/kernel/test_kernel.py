"""vmcore's 6.18 against the Linux that runs the tests, and against recordings of 6.18.

The replay of the recordings needs nothing of the host. The rest needs Linux on x86_64 with a C compiler, and says what
is missing where it is skipped; see README.md.
"""
from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.kernel import elsewhere, known, linux, profiles, record, sim
from tests.kernel.compare import Difference, first_difference, run
from tests.kernel.fuzz import compare
from tests.kernel.script import Op, dump, load, parse

KNOWN = known.entries()
EXAMPLES = 20           # scripts of each profile in the short run

needs_linux = pytest.mark.skipif(linux.why_not() is not None, reason=str(linux.why_not()))
needs_6_18 = pytest.mark.skipif(linux.release() != (6, 18),
                                reason=f"recordings are of Linux 6.18, this is {platform.release()}")
needs_frames = pytest.mark.skipif(linux.why_not() is None and not linux.frame_numbers(),
                                  reason="no frame numbers in /proc/PID/pagemap: CAP_SYS_ADMIN is needed")


def directed(marks: bool) -> list:
    return [
        pytest.param(path, id=path.stem, marks=[pytest.mark.xfail(reason=KNOWN[path.stem], strict=True)]
                     if marks and path.stem in KNOWN else [])
        for path in record.scripts()
    ]


def agree(found: Difference | None) -> None:
    if found is not None:
        pytest.fail(str(found), pytrace=False)


@pytest.mark.parametrize("path", directed(marks=True))
def test_replay(path: Path) -> None:
    """vmcore does what 6.18 did when the script was recorded."""
    agree(known.replay(path))


@needs_linux
@needs_6_18
@needs_frames
@pytest.mark.parametrize("path", directed(marks=False))
def test_recording_is_true(path: Path) -> None:
    """The running kernel does what was recorded."""
    script = load(path)
    steps, _ = record.read(script)
    with linux.Box() as box:
        agree(first_difference(script.ops, steps, run(box, script.ops, script.states)))


def random(names: Iterable[str]) -> list:
    return [
        pytest.param(name, marks=[pytest.mark.xfail(reason=KNOWN[f"profile {name}"], strict=False)]
                     if f"profile {name}" in KNOWN else [])
        for name in names
    ]


@needs_linux
@needs_6_18
@pytest.mark.parametrize("profile", random(profiles.PROFILES))
def test_profile(profile: str) -> None:
    """A few random scripts, the same each time. The long run is `make fuzz-kernel`."""

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
              phases=(Phase.generate,) if f"profile {profile}" in KNOWN else (Phase.generate, Phase.shrink),
              suppress_health_check=list(HealthCheck))
    @given(profiles.scripts(profile))
    def short(ops: tuple[Op, ...]) -> None:
        agree(compare(ops))

    short()


@needs_linux
@pytest.mark.parametrize("profile", random(("mapping", "cow", "files", "shared")))
def test_any_kernel(profile: str) -> None:
    """On every Linux: what was read, what was refused, and what is mapped where."""

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
              phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck))
    @given(profiles.scripts(profile))
    def short(ops: tuple[Op, ...]) -> None:
        ops = tuple(op for op in ops if elsewhere.same_everywhere(op))
        with linux.Box() as real, sim.Box(rights=linux.rights(), **linux.tunables()) as ours:
            agree(first_difference(ops, elsewhere.coarse(run(real, ops)), elsewhere.coarse(run(ours, ops)),
                                   levels=elsewhere.LEVELS))

    short()


def test_known_names_exist() -> None:
    assert set(KNOWN) <= {path.stem for path in record.scripts()} | {f"profile {name}" for name in profiles.PROFILES}


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_text_of_scripts(profile: str) -> None:
    """What is printed can be read again."""

    @settings(max_examples=25, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))
    @given(profiles.scripts(profile))
    def short(ops: tuple[Op, ...]) -> None:
        assert tuple(parse(dump(ops))) == ops

    short()
