"""The one-file report: the tables of a comparison and pictures of them, as HTML with inline SVG and nothing to load."""

from html import escape
from typing import Any

from .figures import FIGURES, Result, cell, write
from .text import SUMS

COLOURS = ("#3b6ea5", "#c26a3d", "#5b9a57", "#8a5ea8", "#b5a13a", "#4aa3a8", "#a84a6a", "#777777", "#c9879b",
           "#2f4858", "#d8a48f", "#7a8b3c", "#5b5ea6")
# of a scenario: said elsewhere, or too long
WORDS = ("name", "summary", "raised", "shows", "look_at", "sizes", "steps", "files", "variants")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums;
        display: block; overflow-x: auto; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; white-space: nowrap; }
.bad { color: #a00; } svg { max-width: 100%; } text { font: 13px system-ui, sans-serif; }
"""


def bars(title: str, kind: str, values: dict[str, dict[str, float]]) -> str:
    """Stacked horizontal bars as SVG: a bar for each kernel, its parts by name."""
    parts = list(dict.fromkeys(part for of in values.values() for part in of))
    most = max((sum(of.values()) for of in values.values()), default=0) or 1
    left = 12 + 8 * max(map(len, values))
    height = 30 * len(values) + 60
    out = [f'<svg role="img" viewBox="0 0 900 {height}" width="900" height="{height}"><title>{escape(title)}</title>',
           f'<text x="0" y="16" font-weight="bold">{escape(title)}</text>']
    for row, (name, of) in enumerate(values.items()):
        y, x = 28 + 30 * row, float(left)
        out.append(f'<text x="0" y="{y + 16}">{escape(name)}</text>')
        for part, value in of.items():
            width = value / most * (820 - left)
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="22" fill="{colour(parts.index(part))}">'
                       f"<title>{escape(part)}: {write(kind, value)}</title></rect>")
            x += width
        out.append(f'<text x="{x + 6:.1f}" y="{y + 16}">{write(kind, sum(of.values()))}</text>')
    x = 0
    for i, part in enumerate(parts if len(parts) > 1 else []):
        out.append(f'<rect x="{x}" y="{height - 22}" width="12" height="12" fill="{colour(i)}"/>'
                   f'<text x="{x + 16}" y="{height - 11}">{escape(part)}</text>')
        x += 30 + 8 * len(part)
    return "".join([*out, "</svg>"])


def colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def table(rows: list[list[str]]) -> str:
    """Rows as a table, the first one its head."""
    def line(tag: str, row: list[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in row) + "</tr>"

    return "<table>" + line("th", rows[0]) + "".join(line("td", row) for row in rows[1:]) + "</table>"


def settings_of(scenario: dict[str, Any]) -> str:
    """The scenario's keys and numbers in one line."""
    return ", ".join(f"{key} = {value}" for key, value in scenario.items() if key not in WORDS and value)


def pictures(kernels: dict[str, Result]) -> list[str]:
    """Low memory or all memory that the kernels hold, what reclaim examined, and time."""
    skip = {"page_cache", "image"}
    found = [bars("Bytes held at the end", "bytes", {
        name: {consumer: line["bytes"] for consumer, line in result["ledger"].items()
               if line["bytes"] and consumer not in skip}
        for name, result in kernels.items()})]
    examined = {name: {f.heading: f.value(result) or 0.0 for f in FIGURES if f.group == "per page reclaimed"}
                for name, result in kernels.items()}
    if any(any(of.values()) for of in examined.values()):
        found.append(bars("Examined per page reclaimed", "ratio", examined))
    found.append(bars("Simulated system seconds", "seconds", {
        name: {cause.replace("_", " "): value for cause, value in result["simulated_seconds"].items()
               if cause not in SUMS and value} for name, result in kernels.items()}))
    found.append(bars("Host seconds", "seconds", {
        name: {phase["name"]: phase["seconds"] for phase in result["phases"]} for name, result in kernels.items()}))
    return found


def levels(kernels: dict[str, Result]) -> list[str]:
    """forktree: a table for each kernel."""
    parts = []
    for name, result in kernels.items():
        rows = [["level", "processes", "pte_chains", "expected", "leaf tables", "expected", "low memory used"]]
        rows += [[str(v["level"]), str(v["processes"]), *(write("bytes", v[key]) for key in (
            "pte_chain_bytes", "expected_pte_chain_bytes", "page_table_bytes", "expected_page_table_bytes",
            "low_used"))] for v in result["levels"]]
        stop = result["stopped_at"]
        end = f"Ended at level {stop['level']}: {stop['why']}." if stop else "Every level was reached."
        parts.append(f"<h2>{escape(name)}</h2>{table(rows)}<p>{escape(end)}</p>")
    return parts


def page(document: dict[str, Any]) -> str:
    """The report of one JSON object of ``vmcore compare``."""
    kernels, scenario = document["kernels"], document["scenario"]
    rows = [["", *kernels]]
    rows += [[f"{f.group}: {f.heading}", *(cell(f, result) for result in kernels.values())] for f in FIGURES]
    problems = [f'<p class="bad"><b>NOT OK</b> {escape(name)}: {escape(problem)}</p>'
                for name, result in kernels.items() for problem in result["problems"]]
    has_levels = all("levels" in result for result in kernels.values())
    title = f"vmcore: {scenario['name']}"
    told = [f"<p><b>{word}</b> {escape(scenario[key])}</p>"
            for key, word in (("raised", "Raised by"), ("shows", "Shows")) if scenario.get(key)]
    told += [f"<p><b>Look at</b> {escape('; '.join(scenario['look_at']))}</p>"] if scenario.get("look_at") else []
    missing = [f"<p>{escape(name)}: not run: {escape(reason)}</p>"
               for name, reason in document.get("not_run", {}).items()]
    return "\n".join([
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>",
        f"<p>{escape(scenario['summary'])}</p>", *told, *problems, table(rows), *missing,
        *(pictures(kernels) if kernels else []),
        *(levels(kernels) if has_levels and kernels else []),
        f"<p><small>vmcore {escape(document['vmcore'])}, seed {document['seed']}; "
        f"{escape(settings_of(scenario))}</small></p>",
        "</body></html>", ""])
