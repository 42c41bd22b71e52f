"""Fixtures of all tests, and how long hypothesis may search.

HYPOTHESIS_PROFILE=deep (or `pytest --hypothesis-profile=deep`) searches for a night instead of for seconds.
"""
from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import vmcore

# tests share modules: `from tests.properties.box import Box`, however pytest was started
sys.path.insert(0, str(Path(__file__).parents[1]))

# started in the background, a shell lets its children ignore Ctrl-C, and so would ours
signal.signal(signal.SIGINT, signal.default_int_handler)

KERNELS = tuple(vmcore.KERNELS)
# those with per-zone lists, pagevecs and per-CPU lists: what is said of 2.4 instead is in test_2_4.py
KERNELS_2_6 = tuple(name for name in KERNELS if vmcore.KERNELS[name].reclaim != "v2_4")

_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
# make test looks at the same cases in each run, so that it tells of a change; make fuzz looks for new ones
settings.register_profile("default", max_examples=40, stateful_step_count=50, derandomize=True, **_common)
settings.register_profile("deep", max_examples=3000, stateful_step_count=120, **_common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> str:
    """The name of each kernel in turn."""
    return request.param


@pytest.fixture
def boot(kernel: str) -> Iterator[Callable[..., vmcore.Machine]]:
    """boot(**options): a small machine of the kernel at hand. Every machine must pass check() when the test ends."""
    machines: list[vmcore.Machine] = []

    def make(**options: object) -> vmcore.Machine:
        options = {"ram": "16M", "swap": "16M", "kernel": kernel, "overcommit_memory": 1} | options
        if options.get("arch", "x86_64") not in vmcore.KERNELS[kernel].archs:
            pytest.skip(f"{kernel} has no {options['arch']}")
        machine = vmcore.Machine(**options)
        machines.append(machine)
        return machine

    yield make
    for machine in machines:
        machine.check(walk=64)


@pytest.fixture
def machine(boot: Callable[..., vmcore.Machine]) -> vmcore.Machine:
    """A machine of 16 MiB with as much swap."""
    return boot()
