"""`make bench-track`: instructions of the hot paths, counted by valgrind, against those that are committed.

Prints a line for each path and marks what moved by more than 2 %. It reports and never gates: more instructions may
well be faster. `make bench-track TRACK=--write` writes bench/instructions.toml anew. The counts are those of one
compiler and one set of flags; where this engine was built by others, that is said.
"""
from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from bench.children import ROOT, environment

FILE = Path(__file__).with_name("instructions.toml")
MOVED = 0.02
HOW = """the instructions are counted by valgrind, and {}.
  Debian, Ubuntu: apt-get install valgrind
  Fedora:         dnf install valgrind valgrind-devel
  elsewhere:      https://valgrind.org/downloads"""
HEADER = ("/usr/include/valgrind/callgrind.h", "/usr/local/include/valgrind/callgrind.h")
COMMENT = """\
# Instructions of the hot paths for each item (a page, a pte, an interval), as callgrind counts them: written by
# `make bench-track TRACK=--write`, compared by `make bench-track`. bench/track_paths.py says what each path is.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.track", description=__doc__.splitlines()[0],
                                     formatter_class=argparse.RawDescriptionHelpFormatter, epilog=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name} anew")
    parser.add_argument("--json", metavar="FILE", help="also write what was counted as JSON")
    args = parser.parse_args()
    missing = what_is_missing()
    if missing:
        print(HOW.format(missing), file=sys.stderr)
        return 1
    made, now = built_by(), count()
    if args.json:
        Path(args.json).write_text(json.dumps({"built": made, "instructions": now}, indent=2) + "\n", encoding="utf-8")
    if FILE.exists():
        before = tomllib.loads(FILE.read_text(encoding="utf-8"))
        print(report(before["built"], before["instructions"], made, now))
    if args.write or not FILE.exists():
        FILE.write_text(text(made, now), encoding="utf-8")
        print(f"{FILE.relative_to(ROOT)} is written")
    return 0


def what_is_missing() -> str:
    """In words; "" if all is there."""
    if shutil.which("valgrind") is None:
        return "there is no valgrind here"
    if not any(map(os.path.exists, HEADER)) and not os.environ.get("CPATH"):
        return "its header valgrind/callgrind.h is not here"
    return ""


def built_by() -> dict[str, str]:
    """What the engine that is measured was made with, by its own words."""
    import numpy

    from vmcore._fast import engine

    words = re.search(rb"(?:GCC: |clang version )[^\0]+", Path(engine.__file__).read_bytes())
    cython, _, python, _, flags = ast.literal_eval((ROOT / "build" / "configuration.txt").read_text(encoding="utf-8"))
    return {"compiler": words[0].decode() if words else "unknown",
            "flags": " ".join(flag for flag in flags if not flag.startswith("-W")),
            "cython": cython, "numpy": numpy.__version__, "python": python, "machine": os.uname().machine}


def count() -> dict[str, float]:
    """Instructions for each item, path by path, from a run under callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no",
                   f"--callgrind-out-file={folder}/out", sys.executable, "-P", "-m", "bench.track_paths"]
        done = subprocess.run(command, env={**environment(), "PYTHONHASHSEED": "0"}, cwd=ROOT, check=True,
                              stdout=subprocess.PIPE)
        items = json.loads(done.stdout)
        counted = dict(filter(None, map(dump, Path(folder).glob("out.*"))))
    return {path: round(counted[path] / items[path], 2) for path in items}


def dump(path: Path) -> tuple[str, int] | None:
    """(name, instructions) of one dump of callgrind; None if it is not one of ours."""
    words = path.read_text(encoding="ascii", errors="replace")
    name = re.search(r"^desc: Trigger: Client Request: (.+)$", words, re.MULTILINE)
    total = re.search(r"^totals: (\d+)", words, re.MULTILINE)
    return (name[1], int(total[1])) if name and total else None


def report(built: Mapping[str, str], before: Mapping[str, float], made: Mapping[str, str],
           now: Mapping[str, float]) -> str:
    """A line for each path; what moved is marked, and builds that differ are named."""
    rows = [("instructions an item", "committed", "now", "")]
    moved = 0
    for path in dict.fromkeys([*now, *before]):
        old, new = before.get(path), now.get(path)
        change = "new" if old is None else "gone" if new is None else f"{new / old - 1:+.1%}"
        if old is not None and new is not None and abs(new / old - 1) > MOVED:
            moved += 1
            change += "  <-- moved"
        rows.append((path, *("-" if n is None else f"{n:,.1f}" for n in (old, new)), change))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows]
    lines += ["", f"{moved} of {len(now)} moved by more than {MOVED:.0%}" if moved else
              f"nothing moved by more than {MOVED:.0%}"]
    other = [f"{key} {built.get(key)} there, {made[key]} here" for key in made if built.get(key) != made[key]]
    if other:
        lines.append("NOT the same build, so the counts differ for that reason too: " + "; ".join(other))
    return "\n".join(lines)


def text(made: Mapping[str, str], now: Mapping[str, float]) -> str:
    """The file."""
    lines = [COMMENT, "[built]", *(f'{key} = "{value}"' for key, value in made.items()), "", "[instructions]"]
    return "\n".join([*lines, *(f'"{path}" = {n:.2f}' for path, n in now.items())]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
