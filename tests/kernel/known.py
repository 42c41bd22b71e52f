"""What does not agree with Linux yet, in one place: known.txt. The list gets shorter as the engine learns.

A directed script on it must fail, so that one that passes is taken off; a profile on it may fail in its short run.
`python -m tests.kernel.known` runs everything against the recordings and writes the list again (after a conflict, too).
"""
from __future__ import annotations

import sys
from pathlib import Path

from tests.kernel import profiles, record, sim
from tests.kernel.compare import Difference, first_difference, run
from tests.kernel.script import load

LIST = Path(__file__).parent / "known.txt"
WIDTH = 118


def entries() -> dict[str, str]:
    """Name of a directed script, or `profile NAME`, and the reason."""
    lines = [line.partition(": ") for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return {name: reason for name, _, reason in lines}


def replay(path: Path) -> Difference | None:
    """A directed script on vmcore against its recording; then the machine must be whole."""
    script = load(path)
    steps, tunables = record.read(script)
    with sim.Box(**tunables) as box:
        found = first_difference(script.ops, steps, run(box, script.ops, script.states))
        if found is None:
            box.machine.check(walk=64)
    return found


def main() -> int:
    names = sys.argv[1:]
    if any(name not in profiles.PROFILES for name in names):
        print(f"profiles that may fail are named, of {', '.join(profiles.PROFILES)}", file=sys.stderr)
        return 1
    before = entries()
    kept = {name: reason for name, reason in before.items() if name.startswith("profile ")}
    if names:
        kept = {f"profile {name}": before.get(f"profile {name}", "not yet") for name in names}
    out = ["# What does not agree with Linux 6.18 yet, and where it first parts: see known.py"]
    for path in record.scripts():
        try:
            found = replay(path)
            reason = None if found is None else f"{found.op}: {found.level}: {found.told[0]}"
        except Exception as e:      # whatever it is, it is what the list says
            reason = f"{type(e).__name__}: {e}"
        if reason is not None:
            line = f"{path.stem}: {reason}".replace("\n", " ")
            out.append(line if len(line) <= WIDTH else line[:WIDTH - 3] + "...")
    out += [f"{name}: {reason}" for name, reason in kept.items()]
    LIST.write_text("\n".join(out) + "\n")
    print(f"{len(out) - 1 - len(kept)} of {len(record.scripts())} directed scripts do not agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
