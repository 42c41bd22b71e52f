"""The table of ratios as a picture: `python -m bench.draw TABLE.json FILE.svg`.

A line for each ratio: a dot at the median, a thin line over the rounds, a tick at each target, green where it holds.
Left is better in all of them: a rate (times the peer's) is drawn as its inverse.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HOLDS, OVER, PLAIN = "#1a7f37", "#cf222e", "#57606a"


def draw(table: dict[str, Any], path: Path) -> Path | None:
    """Writes the picture; None where there is nothing to draw, or no matplotlib."""
    rows = [row for row in table["rows"] if row["ratio"]]
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    if not rows:
        return None
    figure = Figure(figsize=(11, 1.2 + 0.24 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for y, row in enumerate(rows):
        ratio, *ends = (as_cost(row, value) for value in (row["ratio"], *(row["spread"] or ())))
        axes.plot(ends or [ratio], [y] * (len(ends) or 1), color=colour(row), linewidth=1)
        axes.plot([ratio], [y], "o", color=colour(row), markersize=5)
        for phase, width in (("engine", 1), ("speed", 2)):
            if row[phase]:
                limit = as_cost(row, row[phase]["limit"])
                axes.plot([limit, limit], [y - 0.4, y + 0.4], color="black", linewidth=width)
    axes.axvline(1, color="#d0d7de", linewidth=1, zorder=0)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [label(row) for row in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("ours / peer; thin tick: the engine's target, thick tick: the target of speed")
    axes.set_title(f"vmcore {table['versions'].get('vmcore')}, scale {table['scale']:g}, {table['host']['cpu']}",
                   fontsize=9)
    axes.grid(axis="x", which="both", color="#eaeef2", linewidth=0.5)
    axes.set_axisbelow(True)
    figure.savefig(path)
    return path


def as_cost(row: dict[str, Any], value: float) -> float:
    """Less is better."""
    return 1 / value if row["rate"] else value


def colour(row: dict[str, Any]) -> str:
    judged = [row[phase]["ok"] for phase in ("engine", "speed") if row[phase]]
    return PLAIN if not judged else HOLDS if all(judged) else OVER


def label(row: dict[str, Any]) -> str:
    name = f"{row['id']}  " if row["id"] else ""
    kernel = f", {row['kernel']}" if row["kernel"] else ""
    return f"{name}{row['path']}{kernel} / {row['against']}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.draw", description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    if draw(json.loads(args.table.read_text(encoding="utf-8")), args.picture) is None:
        parser.error("nothing to draw, or matplotlib is not installed")


if __name__ == "__main__":
    main()
