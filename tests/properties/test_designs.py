"""Each design of the reverse map on the random machine, alone and beside others: user space sees no difference.

What each design does besides, its own tests count.
"""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from tests.properties.box import Box

DESIGNS = (
    "2.6.5-objrmap", "2.6.5-anonmm", "2.6.5-anonmm-prio", "2.6.5-anonmm-noshortcut", "2.6.5-forktree",
)
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no-readahead": {"page_cluster": 0, "arch": "i386"},
    "trylock": {"trylock_rate": 300, "trylock_seed": 13, "arch": "i386-pae"},
}


def box(kernels: tuple[str, ...], options: dict[str, Any]) -> type[RuleBasedStateMachine]:
    return type("DesignBox", (Box,), {"KERNELS": kernels, "OPTIONS": options})


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kernel", DESIGNS)
def test_against_the_model(kernel: str, options: str) -> None:
    run_state_machine_as_test(box((kernel,), OPTIONS[options]), settings=settings(max_examples=15))


def test_twins() -> None:
    run_state_machine_as_test(box(("2.6.5", *DESIGNS), {}), settings=settings(max_examples=12))


def test_twins_whose_trylocks_fail() -> None:
    options = {"trylock_rate": 100, "trylock_seed": 5}
    run_state_machine_as_test(box(("2.6.5-aa1", *DESIGNS), options), settings=settings(max_examples=8))
