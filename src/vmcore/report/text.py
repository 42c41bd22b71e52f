"""Tables for a terminal or a file: a row for each kernel where there is room, else a column for each."""

import textwrap
from collections.abc import Sequence

from .figures import Figure, Result, cell, differing, write

SUMS = ("total", "system", "wait")      # of simulated_seconds: all other keys are causes of system time
NARROW = 100    # columns of a terminal below which kernels stand side by side


def align(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows as lines: the first ``left`` columns to the left, all others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(text.ljust(widths[i]) if i < left else text.rjust(widths[i]) for i, text in enumerate(row)).rstrip()
        for row in rows
    ]


def compare_table(kernels: dict[str, Result], width: int | None) -> str:
    """The table of a comparison: what differs between the kernels, and below it what is the same. ``width``: of the
    terminal; None: a file, as wide as it gets."""
    shown, same = differing(kernels)
    narrow = width is not None and width < NARROW
    lines = _columns(kernels, shown) if narrow else _rows(kernels, shown, width)
    some = next(iter(kernels.values()), None)
    values = [(figure, cell(figure, some)) for figure in same] if some is not None else []
    told = [f"{figure.group}: {figure.heading} {text}" for figure, text in values if text not in ("-", "0")]
    if told:
        said = textwrap.wrap("the same on all: " + "; ".join(told), width=min(width or 120, 120))
        lines += ["", *said]
    if any("/" in cell(figure, result) for figure in [*shown, *same] for result in kernels.values()):
        lines += ["", "a/b: of a bytes, b lie in low memory; a alone: all of them, or there is no high memory"]
    lines += notes(kernels)
    return "\n".join(lines)


def notes(kernels: dict[str, Result]) -> list[str]:
    """What no column shows, of kernels where it happened: pages that reclaim could not find, and copies for mremap."""
    lines = []
    for name, result in kernels.items():
        stat = result["vmstat"]
        left, taken = stat.get("rmap_nonlinear_unfound", 0), stat.get("rmap_nonlinear_unmapped", 0)
        if left:
            lines.append(f"{name}: {left} walks left their page mapped in a nonlinear mapping;"
                         f" scans of such mappings took {taken} ptes down")
        if stat.get("mremap_cows", 0):
            lines.append(f"{name}: mremap copied {stat['mremap_cows']} pages that were shared, to move them")
    return [""] * bool(lines) + lines


def _groups(shown: list[Figure]) -> list[tuple[str, list[Figure]]]:
    groups: dict[str, list[Figure]] = {}
    for figure in shown:
        groups.setdefault(figure.group, []).append(figure)
    return list(groups.items())


def _rows(kernels: dict[str, Result], shown: list[Figure], width: int | None) -> list[str]:
    """A row for each kernel; groups of columns that do not fit beside the others go below them."""
    names = align([["kernel"], *([name] for name in kernels)])
    left = max(map(len, names))
    blocks: list[list[str]] = []
    for title, figures in _groups(shown):
        body = align([["", *(f.heading for f in figures)],
                      *(["", *(cell(f, result) for f in figures)] for result in kernels.values())])
        body = [line[2:] for line in body]
        size = max(len(title), *map(len, body))
        block = [title.center(size), *(line.rjust(size) for line in body)]
        if blocks and (width is None or len(blocks[-1][1]) + 3 + size <= width):
            blocks[-1] = [f"{old}   {new}" for old, new in zip(blocks[-1], block, strict=True)]
        else:
            blocks.append([f"{name.ljust(left)}   {new}" for name, new in zip(["", *names], block, strict=True)])
    lines: list[str] = []
    for block in blocks:
        lines += [""] * bool(lines) + [line.rstrip() for line in block]
    return lines


def _columns(kernels: dict[str, Result], shown: list[Figure]) -> list[str]:
    """A column for each kernel."""
    rows = [["", *kernels]]
    for title, figures in _groups(shown):
        rows += [[title, *("" for _ in kernels)]] if rows else []
        rows += [["  " + f.heading, *(cell(f, result) for result in kernels.values())] for f in figures]
    return align(rows)


def causes_table(kernels: dict[str, Result]) -> str:
    """Simulated system time by cause: those that are a hundredth of it on some kernel, and the rest."""
    times = {name: result["simulated_seconds"] for name, result in kernels.items()}
    causes = [cause for cause in dict.fromkeys(cause for of in times.values() for cause in of)
              if cause not in SUMS and any(of.get(cause, 0) >= 0.01 * of["system"] > 0 for of in times.values())]
    rows = [["simulated system seconds", "all", *(cause.replace("_", " ") for cause in causes), "rest"]]
    for name, of in times.items():
        shown = [of.get(cause, 0.0) for cause in causes]
        rows.append([name, *(write("seconds", value) for value in (
            of["system"], *shown, max(of["system"] - sum(shown), 0.0)))])
    return "\n".join(align(rows))


def levels_table(name: str, result: Result) -> str:
    """forktree, level by level: MiB found, and in brackets what arithmetic expects."""
    def mib(value: int) -> str:
        return f"{value / (1 << 20):.1f}".removesuffix(".0")

    rows = [["level", "processes", "pte_chains", "leaf tables", "low memory"]]
    for level in result["levels"]:
        rows.append([
            str(level["level"]), str(level["processes"]),
            f"{mib(level['pte_chain_bytes'])} ({mib(level['expected_pte_chain_bytes'])})",
            f"{mib(level['page_table_bytes'])} ({mib(level['expected_page_table_bytes'])})",
            mib(level["low_used"]),
        ])
    lines = [f"{name}: MiB level by level, in brackets what is expected", *align(rows)]
    stop = result["stopped_at"]
    if stop:
        lines.append(f"ended at level {stop['level']}: {stop['why']} "
                     f"({stop['alive']} processes alive, {mib(stop['low_used'])} MiB of low memory used)")
    else:
        lines.append("every level was reached")
    return "\n".join(lines)


def phases_table(result: Result) -> str:
    """Where the time and the faults went."""
    columns = [("touches", "touches"), ("pgfault", "faults"), ("pgmajfault", "major"), ("pswpin", "swapped in"),
               ("pswpout", "swapped out"), ("rmap_ptes_examined", "PTEs examined")]
    rows = [["phase", "seconds", *(heading for _, heading in columns)]]
    for phase in result["phases"]:
        rows.append([phase["name"], f"{phase['seconds']:.2f}",
                     *(write("count", phase.get(key)) for key, _ in columns)])
    return "\n".join(align(rows))


def remarks(name: str, result: Result) -> list[str]:
    """One line of what was measured beside the table, and what went wrong."""
    share = 100 * result["seconds_outside_engine"] / result["seconds"] if result["seconds"] else 0.0
    simulated = result["simulated_seconds"]
    lines = [f"{name}: {result['seconds']:.1f} s on the host, {share:.1f} % of it outside the engine; "
             f"{simulated['system']:.3g} s of system time simulated, {simulated['wait']:.3g} s waited"]
    if "swap_used_min" in result and result["swap_used_min"] is not None:
        lines[0] += f"; from the first writes on {result['swap_used_min'] / (1 << 30):.2f} GiB or more of swap in use"
    return lines + [f"{name}: NOT OK: {problem}" for problem in result["problems"]]
