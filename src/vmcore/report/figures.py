"""The figures that kernels are compared by, each from one kernel's object of the JSON."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from vmcore.words import hint

Result = dict[str, Any]


class Figure(NamedTuple):
    """One column of the table."""

    group: str
    heading: str
    kind: str                               # bytes, count, ratio, seconds: how it is written
    value: Callable[[Result], float | None]
    low: Callable[[Result], float | None] = lambda result: None     # of `value`, what lies in low memory


def held(*consumers: str) -> dict[str, Callable[[Result], float]]:
    """Bytes of ledger lines, and those of them in low memory."""
    def total(field: str) -> Callable[[Result], float]:
        return lambda result: sum(result["ledger"].get(name, {}).get(field, 0) for name in consumers)

    return {"value": total("bytes"), "low": total("low_bytes")}


def has_high_memory(result: Result) -> bool:
    return bool(result["meminfo"].get("HighTotal"))


def low_memory(result: Result) -> float | None:
    """Low memory that the kernel itself holds: every line of the ledger but the page cache."""
    if not has_high_memory(result):
        return None
    return sum(line["low_bytes"] for name, line in result["ledger"].items() if name != "page_cache")


def reclaimed(result: Result) -> int:
    """Pages that reclaim freed."""
    return sum(value for name, value in result["vmstat"].items() if name.startswith("pgsteal_"))


def per_reclaimed(counter: str) -> Callable[[Result], float | None]:
    """None where nothing was reclaimed, or the counter is none of the file's (an older one)."""
    def value(result: Result) -> float | None:
        counted, pages = result["vmstat"].get(counter), reclaimed(result)
        return counted / pages if counted is not None and pages else None

    return value


def per_walked(counter: str) -> Callable[[Result], float | None]:
    """For each page whose ptes reclaim asked for."""
    def value(result: Result) -> float | None:
        walked = result["vmstat"].get("rmap_pages_walked", 0)
        return result["vmstat"][counter] / walked if walked else None

    return value


def killed(result: Result) -> float:
    return result["tasks"]["killed"]


def stat(counter: str) -> Callable[[Result], float]:
    return lambda result: result["vmstat"].get(counter, 0)


def phase_seconds(name: str) -> Callable[[Result], float | None]:
    """Host seconds of the phases whose name has this word; None if there are none."""
    def value(result: Result) -> float | None:
        found = [phase["seconds"] for phase in result["phases"] if name in phase["name"].split()]
        return sum(found) if found else None

    return value


FIGURES = (
    Figure("bytes held", "mem_map", "bytes", **held("mem_map")),
    Figure("bytes held", "tables", "bytes", **held("page_tables", "upper_tables")),
    Figure("bytes held", "pte_chains", "bytes", **held("pte_chain")),
    Figure("bytes held", "VMAs", "bytes", **held("vma")),
    Figure("bytes held", "anon_vmas", "bytes", **held("anon_vma")),
    Figure("bytes held", "avcs", "bytes", **held("anon_vma_chain")),
    Figure("bytes held", "anonmms", "bytes", **held("anonmm")),
    Figure("bytes held", "low memory", "bytes", low_memory),
    Figure("per page reclaimed", "PTEs", "ratio", per_reclaimed("rmap_ptes_examined")),
    Figure("per page reclaimed", "VMAs", "ratio", per_reclaimed("rmap_vmas_visited")),
    Figure("per page reclaimed", "mms", "ratio", per_reclaimed("rmap_mms_visited")),
    Figure("per page reclaimed", "failed", "ratio", per_reclaimed("rmap_unmap_fail")),
    Figure("per page looked up", "PTEs", "ratio", per_walked("rmap_ptes_examined")),
    Figure("per page looked up", "VMAs", "ratio", per_walked("rmap_vmas_visited")),
    Figure("per page looked up", "mms", "ratio", per_walked("rmap_mms_visited")),
    Figure("pages", "reclaimed", "count", reclaimed),
    Figure("pages", "copied", "count", stat("cow_copies")),
    Figure("faults", "minor", "count", lambda r: r["vmstat"]["pgfault"] - r["vmstat"]["pgmajfault"]),
    Figure("faults", "major", "count", stat("pgmajfault")),
    Figure("pages swapped", "in", "count", stat("pswpin")),
    Figure("pages swapped", "out", "count", stat("pswpout")),
    Figure("tasks", "killed", "count", killed),
    Figure("simulated s", "system", "seconds", lambda r: r["simulated_seconds"]["system"]),
    Figure("host seconds", "fork", "seconds", phase_seconds("fork")),
    Figure("host seconds", "exit", "seconds", phase_seconds("exit")),
    Figure("host seconds", "all", "seconds", lambda r: r["seconds"]),
    Figure("touches", "per s", "count", lambda r: r["touches"] / r["seconds"] if r["seconds"] else None),
)
NAMES = {f"{figure.group}: {figure.heading}": figure for figure in FIGURES}


def short(value: float, step: int, units: str) -> str:
    """Three digits or four and a unit: 192M, 1.25G, 980."""
    unit = 0
    while value >= 9999.5 or (unit and value >= 999.5):
        value /= step
        unit += 1
        if unit == len(units) - 1:
            break
    if unit == 0 and value == int(value):
        return str(int(value))
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}{units[unit].strip()}"


def write(kind: str, value: float | None) -> str:
    """A value as a table shows it; "-" if there is none."""
    if value is None:
        return "-"
    if kind == "bytes":
        return short(value, 1024, " KMGT")
    if kind == "count":
        return short(value, 1000, " kMGT")
    return f"{value:.2f}" if value < 1000 else f"{value:.0f}"


def cell(figure: Figure, result: Result) -> str:
    """A figure of a kernel; bytes that lie partly in high memory as all/low."""
    value, low = figure.value(result), figure.low(result)
    text = write(figure.kind, value)
    if low is not None and low != value and has_high_memory(result):
        text += "/" + write(figure.kind, low)
    return text


def looked_at(names: Iterable[str], kernels: dict[str, Result]) -> list[Figure]:
    """The figures of these names (``"GROUP: HEADING"``) that some kernel has; ValueError for a name that is none."""
    found = []
    for name in names:
        if name not in NAMES:
            raise ValueError(f"no figure {name!r}{hint(name, NAMES)}; there are: {'; '.join(NAMES)}")
        if any(NAMES[name].value(result) is not None for result in kernels.values()):
            found.append(NAMES[name])
    return found


def differing(kernels: dict[str, Result], wanted: Collection[Figure] = ()) -> tuple[list[Figure], list[Figure]]:
    """The figures that are wanted or not the same for all kernels, and the others; of one kernel alone, all."""
    shown: list[Figure] = []
    same: list[Figure] = []
    for figure in FIGURES:
        texts = {cell(figure, result) for result in kernels.values()}
        (same if len(kernels) > 1 and len(texts) == 1 and figure not in wanted else shown).append(figure)
    return shown, same
