"""What the commands print of runs: a row for each kernel where there is room, else a column for each."""

import os
import sys
from collections.abc import Iterable, Sequence

from .figures import Figure, Result, cell, differing, write
from .layout import Width, grid, prose

SUMS = ("total", "system", "wait")      # of simulated_seconds: all other keys are causes of system time
NARROW = 100    # columns of a terminal below which kernels stand side by side


def introduction(title: str, raised: str, shows: str, looked_at: Sequence[Figure], width: Width) -> list[str]:
    """What runs, and which figures of the table it is about."""
    groups = [f"{group} ({', '.join(f.heading for f in figures)})" for group, figures in _groups(looked_at)]
    said = [("", title), ("raised by: ", raised), ("shows: ", shows), ("look at: ", "; ".join(groups))]
    return [line for word, text in said if text for line in prose(word + text, width)]


def compare_table(kernels: dict[str, Result], width: Width, looked_at: Sequence[Figure] = ()) -> str:
    """The table of a comparison: what differs between the kernels and what is to be looked at, and below it what is the
    same. ``width``: of the terminal; None: a file, as wide as it gets."""
    shown, same = differing(kernels, looked_at)
    narrow = width is not None and width < NARROW
    lines = _columns(kernels, shown, width) if narrow else _rows(kernels, shown, width)
    return "\n".join(lines + below(kernels, [*shown, *same], same, "the same on all", width))


def below(results: dict[str, Result], figures: Iterable[Figure], same: Iterable[Figure], word: str,
          width: Width) -> list[str]:
    """What stands below a table of ``figures``: the values of those that are the same, what a/b means if there is one,
    and notes."""
    some = next(iter(results.values()), None)
    told = [f"{figure.group}: {figure.heading} {cell(figure, some)}" for figure in same
            if some is not None and cell(figure, some).strip("-0.")]
    lines = ["", *prose(f"{word}: " + "; ".join(told), width)] if told else []
    if any("/" in cell(figure, result) for figure in figures for result in results.values()):
        lines += ["", *prose("a/b: of a bytes, b lie in low memory; a alone: all of them, or there is no high memory",
                             width)]
    return lines + notes(results, width)


def notes(kernels: dict[str, Result], width: Width) -> list[str]:
    """What no column shows, of kernels where it happened: pages that reclaim could not find, and copies for mremap."""
    lines = []
    for name, result in kernels.items():
        stat = result["vmstat"]
        left, taken = stat.get("rmap_nonlinear_unfound", 0), stat.get("rmap_nonlinear_unmapped", 0)
        if left:
            lines += prose(f"{name}: {left} walks left their page mapped in a nonlinear mapping;"
                           f" scans of such mappings took {taken} ptes down", width)
        if stat.get("mremap_cows", 0):
            lines += prose(f"{name}: mremap copied {stat['mremap_cows']} pages that were shared, to move them", width)
    return [""] * bool(lines) + lines


def _groups(shown: Iterable[Figure]) -> list[tuple[str, list[Figure]]]:
    groups: dict[str, list[Figure]] = {}
    for figure in shown:
        groups.setdefault(figure.group, []).append(figure)
    return list(groups.items())


def _label(name: str, result: Result) -> str:
    return name if result.get("ok", True) else f"{name} NOT OK"


def _rows(kernels: dict[str, Result], shown: list[Figure], width: Width) -> list[str]:
    """A row for each kernel; groups of columns that do not fit beside the others go below them."""
    rows = [["kernel", *(f.heading for f in shown)]]
    rows += [[_label(name, result), *(cell(f, result) for f in shown)] for name, result in kernels.items()]
    return grid(rows, width, groups=["", *(f.group for f in shown)])


def _columns(kernels: dict[str, Result], shown: list[Figure], width: Width) -> list[str]:
    """A column for each kernel; kernels that do not fit beside the others go below them."""
    rows = [["", *(_label(name, result) for name, result in kernels.items())]]
    for title, figures in _groups(shown):
        rows += [[title, *("" for _ in kernels)]]
        rows += [["  " + f.heading, *(cell(f, result) for result in kernels.values())] for f in figures]
    return grid(rows, width)


def causes_table(kernels: dict[str, Result], width: Width) -> str:
    """Simulated system time by cause: those that are a hundredth of it on some kernel, and the rest."""
    times = {name: result["simulated_seconds"] for name, result in kernels.items()}
    causes = [cause for cause in dict.fromkeys(cause for of in times.values() for cause in of)
              if cause not in SUMS and any(of.get(cause, 0) >= 0.01 * of["system"] > 0 for of in times.values())]
    rows = [["simulated system seconds", "all", *(cause.replace("_", " ") for cause in causes), "rest"]]
    for name, of in times.items():
        shown = [of.get(cause, 0.0) for cause in causes]
        rows.append([name, *(write("seconds", value) for value in (
            of["system"], *shown, max(of["system"] - sum(shown), 0.0)))])
    if width is not None and width < NARROW:    # as the table above: a column for each kernel
        rows = [list(row) for row in zip(*rows, strict=True)]
    return "\n".join(grid(rows, width))


def levels_table(name: str, result: Result, width: Width) -> str:
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
    lines = [*prose(f"{name}: MiB level by level, in brackets what is expected", width), *grid(rows, width)]
    stop = result["stopped_at"]
    if stop:
        lines += prose(f"ended at level {stop['level']}: {stop['why']} "
                       f"({stop['alive']} processes alive, {mib(stop['low_used'])} MiB of low memory used)", width)
    else:
        lines.append("every level was reached")
    return "\n".join(lines)


def phases_table(result: Result, width: Width) -> str:
    """Where the time and the faults went."""
    columns = [("touches", "touches"), ("pgfault", "faults"), ("pgmajfault", "major"), ("pswpin", "swapped in"),
               ("pswpout", "swapped out"), ("rmap_ptes_examined", "PTEs examined")]
    rows = [["phase", "seconds", *(heading for _, heading in columns)]]
    for phase in result["phases"]:
        rows.append([phase["name"], f"{phase['seconds']:.2f}",
                     *(write("count", phase.get(key)) for key, _ in columns)])
    return "\n".join(grid(rows, width))


def remarks(name: str, result: Result, width: Width) -> list[str]:
    """What was measured beside the table."""
    share = 100 * result["seconds_outside_engine"] / result["seconds"] if result["seconds"] else 0.0
    simulated = result["simulated_seconds"]
    line = (f"{name}: {result['seconds']:.1f} s on the host, {share:.1f} % of it outside the engine; "
            f"{simulated['system']:.3g} s of system time simulated, {simulated['wait']:.3g} s waited")
    if "swap_used_min" in result and result["swap_used_min"] is not None:
        line += f"; from the first writes on {result['swap_used_min'] / (1 << 30):.2f} GiB or more of swap in use"
    return prose(line, width)


def not_ok(kernels: dict[str, Result], width: Width) -> list[str]:
    """What went wrong, to stand below everything else."""
    lines = [line for name, result in kernels.items() for problem in result["problems"]
             for line in prose(f"NOT OK: {name}: {problem}", width)]
    return [""] * bool(lines) + [emphasised(line) for line in lines]


def emphasised(text: str) -> str:
    """Bold and red on a terminal that has colours, unless NO_COLOR is set."""
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    return text if plain else f"\033[1;31m{text}\033[0m"
