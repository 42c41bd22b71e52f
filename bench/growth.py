"""`make growth`: how what the engine does grows with RAM, tasks and VMAs, and what breaks first.

Each path is measured at several sizes (growth_paths.py). Its work per operation is counted by the engine and gates: the
exponent that fits the counts must be that of the stated complexity. Times are CPU time of the thread, and are reported
with the exponent that fits them: caches that no longer hold the machine, and page tables of the host, are in it.

`python -m bench.growth --only intervals` measures the groups whose axis has that word; --large adds a machine of 256
GiB.
"""
from __future__ import annotations

import argparse
import gc
import json
import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import vmcore
from bench.children import resident
from bench.growth_breaks import breaks
from bench.growth_paths import CONST, LINEAR, LOG, RAM_AXIS, Group, Sample, groups
from vmcore import sweep
from vmcore.report.figures import short
from vmcore.report.layout import grid

Rows = list[dict[str, Any]]
FOLDER = Path(__file__).resolve().parent / "_build"
SOME = 100                  # tasks or VMAs from which times are fitted: below, what does not grow is most of them
# the exponents that the counts of a complexity may fit, at sizes from SOME on
ALLOWED = {CONST: (-0.05, 0.05), LOG: (-0.05, 0.25), LINEAR: (0.9, 1.1)}
MOST_NODES = 4              # of O(log n): so many times log2 n at the largest size, and a few
LARGE = 6 << 30             # bytes that the host must have for the machine of 256 GiB


def measure(chosen: Iterable[Group], say: Any = print) -> Rows:
    """A row for each path and variant: sizes, times, work."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for group in chosen:
        for size in group.sizes:
            begin = time.perf_counter()
            for sample in group.measure(size):
                add(rows, group, size, sample)
            gc.collect()        # the machine goes before the next one comes
            say(f"{size:>9,} {group.axis}, {group.name}: {time.perf_counter() - begin:.1f} s, "
                f"peak {short(resident('VmHWM'), 1024, ' KMGT')}")
    for row in rows.values():
        judge(row)
    return list(rows.values())


def add(rows: dict[tuple[str, str, str], dict[str, Any]], group: Group, size: int, sample: Sample) -> None:
    row = rows.setdefault((group.axis, sample.path, sample.variant), {
        "axis": group.axis, "path": sample.path, "variant": sample.variant, "expected": sample.expected,
        "counted": sample.counted, "sizes": [], "ns": [], "work": []})
    row["sizes"].append(size)
    row["ns"].append(sample.ns)
    row["work"].append(sample.work)


def judge(row: dict[str, Any]) -> None:
    """The exponents that fit, and whether the counts are as stated."""
    least = 0 if row["axis"] == RAM_AXIS else SOME
    row["time_exponent"] = exponent(row["sizes"], row["ns"], least)
    row["work_exponent"] = exponent(row["sizes"], row["work"], least) if row["counted"] else None
    row["ok"] = True
    if row["work_exponent"] is not None:
        low, high = ALLOWED[row["expected"]]
        row["ok"] = low <= row["work_exponent"] <= high
        if row["expected"] == LOG:
            row["ok"] &= row["work"][-1] <= MOST_NODES * math.log2(row["sizes"][-1]) + 4


def exponent(sizes: list[int], values: list[float], least: int) -> float | None:
    """The slope of the values by the sizes, both as logarithms, by least squares."""
    points = [(math.log(size), math.log(value)) for size, value in zip(sizes, values, strict=True)
              if size >= least and value > 0]
    if len(points) < 2:
        return None
    mean_x, mean_y = (sum(part) / len(points) for part in zip(*points, strict=True))
    return (sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points))


# ---- what is shown


def text(document: dict[str, Any]) -> str:
    """A table for each axis: a row for each path, its work at the ends, its time at each size."""
    parts = [f"vmcore {document['vmcore']}; CPU time of the thread, nanoseconds per operation; work by the counters",
             "^ is the exponent that fits: 0 constant, 1 linear, O(log n) a little above 0"]
    for axis in dict.fromkeys(row["axis"] for row in document["rows"]):
        here = [row for row in document["rows"] if row["axis"] == axis]
        sizes = sorted({size for row in here for size in row["sizes"]})
        table = [["path", "of", "stated", "work", "least", "most", "^", "",
                  *(short(size, 1000, " kM") for size in sizes), "^"]]
        for row in here:
            ns = dict(zip(row["sizes"], row["ns"], strict=True))
            counted = bool(row["counted"])
            table.append([
                row["path"], row["variant"], row["expected"], row["counted"] or "not counted",
                number(row["work"][0]) if counted else "", number(row["work"][-1]) if counted else "",
                power(row["work_exponent"]), "" if not counted else "ok" if row["ok"] else "NOT AS STATED",
                *(number(ns[size]) if size in ns else "" for size in sizes), power(row["time_exponent"])])
        groups_of = ["", "", "", *["counts"] * 5, *[f"ns by {axis}"] * (len(sizes) + 1)]
        parts += ["", *grid(table, left=(0, 1, 2, 3), groups=groups_of)]
    for name, rows in document["breaks"].items():
        parts += ["", name, *grid(rows)]
    wrong = sum(not row["ok"] for row in document["rows"])
    gated = sum(bool(row["counted"]) for row in document["rows"])
    parts += ["", f"{gated - wrong} of {gated} paths do the work that is stated"]
    return "\n".join(parts)


def number(value: float) -> str:
    """Three digits that matter."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}"


def power(value: float | None) -> str:
    return "" if value is None else f"{value + 0.0:.2f}".replace("-0.00", "0.00")


def draw(document: dict[str, Any], path: Path) -> None:
    """Time by size, a picture for each axis; lines of a path have its colour."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "vmcore"
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    axes = list(dict.fromkeys(row["axis"] for row in document["rows"]))
    figure, places = pyplot.subplots(len(axes), 1, figsize=(11, 4.4 * len(axes)), squeeze=False)
    styles = ("-", "--", ":", "-.", (0, (8, 2)), (0, (1, 1)))
    for place, axis in zip(places[:, 0], axes, strict=True):
        here = [row for row in document["rows"] if row["axis"] == axis]
        paths = list(dict.fromkeys(row["path"] for row in here))
        of = {name: [row["variant"] for row in here if row["path"] == name] for name in paths}
        for row in here:
            place.plot(row["sizes"], row["ns"], marker=".", color=f"C{paths.index(row['path']) % 10}",
                       linestyle=styles[of[row["path"]].index(row["variant"]) % len(styles)],
                       label=f"{row['path']}: {row['variant']}")
        place.set(xscale="log", yscale="log", xlabel=axis, ylabel="ns per operation")
        if axis == RAM_AXIS:
            place.set_xticks(sorted({size for row in here for size in row["sizes"]}))
            place.get_xaxis().set_major_formatter(matplotlib.ticker.ScalarFormatter())
        place.minorticks_off()      # a small file
        place.grid(alpha=0.3)
        place.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="WORD", help="groups whose axis has this word")
    parser.add_argument("--large", action="store_true", help="a machine of 256 GiB, too (4 GiB of the host's memory)")
    parser.add_argument("--json", metavar="FILE", default=str(FOLDER / "growth.json"), help="(default: %(default)s)")
    parser.add_argument("--svg", metavar="FILE", default=str(FOLDER / "growth.svg"),
                        help="pictures, where matplotlib is installed (default: %(default)s)")
    args = parser.parse_args()
    if args.large and sweep.host_bytes() < LARGE:
        parser.error(f"--large: the host has {sweep.host_bytes()} bytes, {LARGE} are needed")
    chosen = [group for group in groups(args.large) if not args.only or args.only in group.axis]
    if not chosen:
        parser.error(f"--only {args.only}: no axis has that word")
    FOLDER.mkdir(exist_ok=True)
    rows = measure(chosen, lambda line: print(line, file=sys.stderr, flush=True))
    document = {"vmcore": vmcore.__version__, "rows": rows, "breaks": breaks()}
    print(text(document))
    Path(args.json).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    try:
        draw(document, Path(args.svg))
        print(f"pictures: {args.svg}; as JSON: {args.json}")
    except ImportError:
        print(f"no pictures: matplotlib is not installed (pip install vmcore[report]); as JSON: {args.json}")
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
