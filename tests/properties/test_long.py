"""One long life of every design of 2004 side by side: the same random operations on one set of machines that is never
begun anew, with check() after every step.

VMCORE_STEPS says how many (`make fuzz` takes 10,000). The rules are those of the random machine; hypothesis draws
them beforehand, because to it a test that remembers is flaky. A failure does not shrink, but says its last steps; the
short machines of the other files find the same with fewer.
"""
from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.properties.box import Box

import vmcore

STEPS = int(os.environ.get("VMCORE_STEPS", "300"))
KERNELS = tuple(name for name, kernel in vmcore.KERNELS.items() if kernel.year == 2004)
LIVES: dict[str, dict[str, Any]] = {
    "all": {"KERNELS": KERNELS},
    # 2.4 has no remap_file_pages, so that the others do without beside it
    "2.6, trylocks fail": {
        "KERNELS": tuple(name for name in KERNELS if name != "2.4"),
        "OPTIONS": {"arch": "i386-pae", "trylock_rate": 50, "trylock_seed": 11},
    },
}


def drawn(rules: list[Any]) -> list[tuple[Any, dict[str, Any]]]:
    """STEPS rules with their arguments, the same in every run."""
    steps = []
    one = st.one_of(*(st.tuples(st.just(rule), st.fixed_dictionaries(rule.arguments_strategies)) for rule in rules))

    @seed(2004)
    @settings(max_examples=STEPS, phases=[Phase.generate], database=None, deadline=None,
              suppress_health_check=list(HealthCheck))
    @given(one, st.integers(0, 1 << 62))        # the number makes every step another one
    def draw(step: tuple[Any, dict[str, Any]], _: int) -> None:
        steps.append(step)

    draw()
    return steps


@pytest.mark.parametrize("name", LIVES)
def test_a_long_life(name: str) -> None:
    life = type("Life", (Box,), LIVES[name])()
    life.first_task()
    taken = []
    for rule, arguments in drawn(life.rules):
        if not all(allowed(life) for allowed in rule.preconditions):
            continue
        taken.append(f"{rule.function.__name__}({', '.join(f'{k}={v}' for k, v in arguments.items())})")
        try:
            rule.function(life, **arguments)
            for invariant in life.invariants:
                invariant.function(life)
        except BaseException:
            print("\n".join(taken[-200:]))
            raise
    assert len(taken) >= STEPS // 2
    life.teardown()
