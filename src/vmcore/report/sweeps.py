"""What is shown of a sweep, from its JSON object: a table, CSV, and pictures of each figure against the first key."""

import csv
import io
import math
from collections.abc import Callable
from html import escape
from typing import Any

from vmcore.scenario import Size
from vmcore.sweep import label, shown

from . import html, layout
from .figures import FIGURES, Figure, Result, cell, differing, write
from .text import below

Document = dict[str, Any]
WIDTH, HEIGHT = 440, 260                # of a picture, in pixels
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 40
DASHES = ("", "6 3", "2 3", "8 3 2 3", "12 4")
STEPS, BINARY = (1, 2, 5), (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)      # round numbers
WIDE = 20                               # the largest of a scale to its smallest, from which it is logarithmic


def labelled(document: Document) -> tuple[str, dict[str, Result]]:
    """The heading of the rows, and the results by the rows' names: kernel and values in columns."""
    runs = [one for one in document["runs"] if "result" in one]
    names = layout.grid([["kernel", *document["vary"]],
                         *([one["kernel"], *map(shown, one["values"].values())] for one in runs)])
    return names[0], {name: one["result"] for name, one in zip(names[1:], runs, strict=True)}


def not_run(document: Document) -> list[str]:
    """What kernels cannot run, and why."""
    left_out = document.get("not_run", {})
    return [*(f"{label(one['kernel'], one['values'])}: not run: {one['not_run']}" for one in document["runs"]
              if "not_run" in one),
            *(f"{name}: not run: {reason}" for name, reason in left_out.items())]


def table(document: Document, width: int | None) -> str:
    """A row for each run that gave figures: those that differ between them; below it what is the same, and which runs
    gave none because their kernel cannot. What is not ok is for text.not_ok()."""
    heading, results = labelled(document)
    lines: list[str] = []
    if results:
        different, same = differing(results)
        lines += layout.grid([[heading, *(f.heading for f in different)],
                              *([name, *(cell(f, result) for f in different)] for name, result in results.items())],
                             width, groups=["", *(f.group for f in different)])
        named = {" ".join(name.split()): result for name, result in results.items()}
        lines += below(named, [*different, *same], same, "the same in all", width)
    missing = [line for said in not_run(document) for line in layout.prose(said, width)]
    return "\n".join([*lines, *([""] if missing else []), *missing])


def to_csv(document: Document) -> str:
    """A line for each run: kernel, values, what became of it, every figure as a plain number, every counter."""
    counters = list(dict.fromkeys(
        name for one in document["runs"] for name in one.get("result", {}).get("vmstat", ())))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["kernel", *document["vary"], "outcome", *(f"{f.group}: {f.heading}" for f in FIGURES), *counters])
    for one in document["runs"]:
        result = one.get("result")
        outcome = ("ok" if result["ok"] else "; ".join(result["problems"])) if result else \
            f"not run: {one['not_run']}" if "not_run" in one else f"error: {one['error']}"
        figures = [f.value(result) for f in FIGURES] if result else [None] * len(FIGURES)
        counted = [result["vmstat"].get(name) for name in counters] if result else [None] * len(counters)
        writer.writerow([one["kernel"], *map(shown, one["values"].values()), outcome, *figures, *counted])
    return out.getvalue()


# ---- pictures


class Scale:
    """Values to places of an axis: as numbers, logarithmic where they are wide apart, or side by side as words."""

    def __init__(self, values: list[float], length: float, from_zero: bool) -> None:
        low, high = min(values), max(values)
        self.log = low > 0 and high / low >= WIDE
        if not self.log and from_zero:
            low = min(low, 0)
        self.low, self.high, self.length = self._at(low), self._at(high), length
        if self.low == self.high:
            self.high = self.low + 1

    def _at(self, value: float) -> float:
        return math.log(value) if self.log else value

    def __call__(self, value: float) -> float:
        return (self._at(value) - self.low) / (self.high - self.low) * self.length

    def ticks(self, base: int) -> list[float]:
        """A few round values; ``base`` 1024 for bytes, else 10."""
        if self.log:
            powers = range(math.floor(self.low / math.log(base)), math.ceil(self.high / math.log(base)) + 1)
            found = [factor * float(base) ** power for power in powers for factor in (STEPS if base == 10 else BINARY)]
            found = [value for value in found if self.low <= math.log(value) <= self.high]
            return found[::max(-(-len(found) // 5), 1)]
        raw = (self.high - self.low) / 4
        unit = float(base) ** math.floor(math.log(raw, base))
        step = next(unit * factor for factor in (*(STEPS if base == 10 else BINARY), base) if unit * factor >= raw)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def number(value: Any) -> float | None:
    """Of a value of a key, where it has one: a number, or a size such as "64M"."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return float(Size.parse(value))
    except ValueError:
        return None


def lines_of(document: Document, value: Callable[[Result], float | None],
             place: Callable[[Any], float]) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Points of each line: a line for each kernel and each combination of the keys beside the first."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for one in document["runs"]:
        figure = value(one["result"]) if "result" in one else None
        (_, first), *others = one["values"].items()
        line = found.setdefault((one["kernel"], " ".join(f"{key}={shown(item)}" for key, item in others)), [])
        if figure is not None:
            line.append((place(first), figure))
    return {name: sorted(line) for name, line in found.items()}


def picture(document: Document, figure: Figure) -> str | None:
    """The figure against the first key as SVG; None if fewer than two points of any line have it."""
    key, values = next(iter(document["vary"].items()))
    numbers = [number(value) for value in values]
    as_numbers = all(n is not None for n in numbers)

    def place(value: Any) -> float:
        return float(number(value) or 0) if as_numbers else float(values.index(value))

    lines = lines_of(document, figure.value, place)
    heights = [y for line in lines.values() for _, y in line]
    if all(len(line) < 2 for line in lines.values()) or not any(heights):
        return None
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    across = Scale([place(value) for value in values], wide, from_zero=False)
    up = Scale(heights, high, from_zero=True)
    title = f"{figure.group}: {figure.heading}"
    axis = key + (", logarithmic" if across.log else "")
    out = [f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
           f"<title>{escape(title)}</title>",
           f'<text x="0" y="16" font-weight="bold">{escape(title + (", logarithmic" if up.log else ""))}</text>']
    for tick in up.ticks(1024 if figure.kind == "bytes" else 10):
        y = TOP + high - up(tick)
        out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{write(figure.kind, tick)}</text>')
    behind = -1.0
    for at, text in sorted((place(value), shown(value)) for value in values):
        x, room = LEFT + across(at), 4 * len(text)
        if x - room >= behind:          # where there is room beside the last one
            out.append(f'<text x="{x:.1f}" y="{TOP + high + 18}" text-anchor="middle">{escape(text)}</text>')
            behind = x + room + 6
    out.append(f'<text x="{LEFT + wide / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(axis)}</text>')
    for name, line in lines.items():
        path = " ".join(f"{LEFT + across(x):.1f},{TOP + high - up(y):.1f}" for x, y in line)
        out.append(f'<g stroke="{stroke(lines, name)[0]}" fill="{stroke(lines, name)[0]}"><title>'
                   f'{escape(" ".join(name))}</title><polyline fill="none" stroke-width="2" '
                   f'stroke-dasharray="{stroke(lines, name)[1]}" points="{path}"/>')
        out += [f'<circle r="2.5" cx="{LEFT + across(x):.1f}" cy="{TOP + high - up(y):.1f}"/>' for x, y in line]
        out.append("</g>")
    return "".join([*out, "</svg>"])


def stroke(lines: dict[tuple[str, str], Any], name: tuple[str, str]) -> tuple[str, str]:
    """A colour for the kernel, dashes for the rest."""
    kernels, others = (list(dict.fromkeys(part)) for part in zip(*lines, strict=True))
    return html.colour(kernels.index(name[0])), DASHES[others.index(name[1]) % len(DASHES)]


def legend(document: Document) -> str:
    lines = lines_of(document, lambda result: None, lambda value: 0.0)
    parts = []
    for name in lines:
        colour, dashes = stroke(lines, name)
        parts.append(f'<span><svg width="36" height="12"><line x1="0" y1="6" x2="32" y2="6" stroke="{colour}" '
                     f'stroke-width="2" stroke-dasharray="{dashes}"/></svg>{escape(" ".join(name).strip())}</span>')
    return f'<p class="legend">{" ".join(parts)}</p>'


def page(document: Document) -> str:
    """The report of one JSON object of ``vmcore sweep``."""
    _, results = labelled(document)
    different, _ = differing(results)
    rows = [["kernel", *document["vary"], *(f"{f.group}: {f.heading}" for f in different)]]
    rows += [[one["kernel"], *map(shown, one["values"].values()), *(cell(f, one["result"]) for f in different)]
             for one in document["runs"] if "result" in one]
    pictures = [text for figure in different if (text := picture(document, figure))]
    scenario = document["scenario"]
    title = f"vmcore sweep: {scenario['name']} by {', '.join(document['vary'])}"
    bad = [f"{label(one['kernel'], one['values'])}: {problem}" for one in document["runs"]
           for problem in (*one.get("result", {}).get("problems", ()), *filter(None, [one.get("error")]))]
    return "\n".join([
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{html.STYLE} .legend span {{ margin-right: 1.5em; }} .wide {{ overflow-x: auto; }}</style></head>",
        f"<body><h1>{escape(title)}</h1><p>{escape(scenario.get('summary', ''))}</p>",
        *(f'<p class="bad">{escape(text)}</p>' for text in bad),
        *([legend(document), *pictures] if pictures else []),
        *([f'<div class="wide">{html.table(rows)}</div>'] if results else []),
        *(f"<p>{escape(text)}</p>" for text in not_run(document)),
        f"<p><small>vmcore {escape(document['vmcore'])}, seed {document['seed']}; "
        f"{escape(html.settings_of(scenario))}</small></p>",
        "</body></html>", ""])
