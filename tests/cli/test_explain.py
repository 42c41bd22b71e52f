"""vmcore explain: every name that KernelBug can have is explained, and no other."""
from __future__ import annotations

import json

import pytest

from vmcore._fast.bugs import BUG_NAMES
from vmcore._fast.check import CHECK_NAMES
from vmcore.cli import main
from vmcore.invariants import _BUGS, INVARIANTS


def test_all_are_explained() -> None:
    assert set(_BUGS) == set(BUG_NAMES[1:])
    assert set(INVARIANTS) == set(BUG_NAMES[1:]) | {name for name, _ in CHECK_NAMES.values()}
    for name, one in INVARIANTS.items():
        assert one.guards and one.source, name
    assert all(one.numbers for one in INVARIANTS.values() if one.kind == "assertion")


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == len(INVARIANTS)
    assert "vma_overlap" in out and "locked-vm" in out


def test_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "merge_anon_vma"]) == 0
    out = capsys.readouterr().out
    assert "one anon_vma" in out and "vma_adjust" in out
    assert main(["explain", "locked-vm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["locked-vm"]["kind"] == "check"


def test_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "vma_overlop"]) == 2
    assert "did you mean 'vma_overlap'?" in capsys.readouterr().err
