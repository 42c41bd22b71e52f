"""The exact counters of small scenarios on every kernel: `make counters` writes them to counters.toml anew.

tests/unit/test_counters.py compares them with what the engine counts, exactly. Who changes what the engine does, and
means to, writes the file anew, so that the change is a diff that a reviewer reads. A line is one counter, a column one
kernel, in the order of `kernels`; counters that are 0 everywhere are left out. Counts are those when every task has
exited; nr_* and bytes are what was held before that, and the most of it (peak).
"""
from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import vmcore
from vmcore import scenario

FILE = Path(__file__).with_suffix(".toml")

# scenario: its settings. Each needs more than there is, so that reclaim runs; all together take seconds
SCENARIOS: dict[str, list[str]] = {
    "hundred-tasks": ["scale=0.005", "tasks=10", "sweeps=1", "libraries.count=5"],
    "forktree": ["size=4M", "ram=24M", "levels=6"],
    "windows": ["n=10", "s=120", "t=10", "ram=8"],
    "privfork": ["children=20", "chunk=1", "ram=12M", "swap=64M"],
    "revmap": ["pages=100", "rounds=4", "ram=16M", "swap=64M"],
    "nonlin": ["tasks=2", "size=8", "ram=6M", "swap=64M"],
}
OWN_ARCH, MODERN = "of the scenario", "x86_64"


def kernels(arch: str, modern: bool) -> list[str]:
    """The kernels of a table: those that have the scenario's arch, or those that have x86_64 alone."""
    return [name for name, kernel in vmcore.KERNELS.items()
            if arch in kernel.archs and (kernel.archs == (MODERN,)) == modern]


def tables() -> Iterable[tuple[str, str, list[str], list[str]]]:
    """(table, scenario, settings, kernels)."""
    for name, settings in SCENARIOS.items():
        arch = scenario.load(name, settings=settings).arch
        yield name, name, settings, kernels(arch, False)
        more = [*settings, f"arch={MODERN}", *(["tunables.l1_line=64"] if name == "forktree" else [])]
        yield f"{name} {MODERN}", name, more, kernels(MODERN, True)


def count(name: str, settings: Iterable[str], kernel: str) -> dict[str, int]:
    """Every counter of one run that is not 0, sorted."""
    chosen = scenario.load(name, settings=settings)
    try:
        result = scenario.run(chosen, kernel)
    except scenario.CannotRun:
        return {}
    assert result["ok"], result["problems"]
    held, end = result["vmstat"], result["final_vmstat"]
    out = {counter: held[counter] if counter.startswith("nr_") or counter.endswith("_bytes") else value
           for counter, value in end.items()}
    for consumer, line in result["ledger"].items():
        out[f"{consumer}.bytes"] = line["bytes"]
        out[f"{consumer}.peak"] = line["peak_bytes"]
    return {counter: value for counter, value in sorted(out.items()) if value}


def text() -> str:
    """The file."""
    lines = [f"# {line}".rstrip() for line in __doc__.strip().splitlines()]
    for table, name, settings, names in tables():
        found = [count(name, settings, kernel) for kernel in names]
        rows = {counter: [run.get(counter, 0) for run in found] for counter in sorted(set().union(*found))}
        widths = [max(len(str(row[i])) for row in rows.values()) for i in range(len(names))]
        lines += ["", f'["{table}"]', f"settings = [{', '.join(map(quoted, settings))}]",
                  f"kernels = [{', '.join(map(quoted, names))}]"]
        keys = {counter: quoted(counter) if "." in counter else counter for counter in rows}
        key_width = max(map(len, keys.values()))
        for counter, row in rows.items():
            numbers = ", ".join(f"{n:{width}}" for n, width in zip(row, widths, strict=True))
            lines.append(f"{keys[counter]:{key_width}} = [{numbers}]")
    return "\n".join(lines) + "\n"


def quoted(name: str) -> str:
    return f'"{name}"'


@cache
def committed() -> dict[str, dict[str, list[int]]]:
    """The file, as it stands."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    print(f"{FILE.name} is written; git diff tests/{FILE.name} says what moved", file=sys.stderr)
