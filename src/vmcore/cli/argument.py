"""The argument of March 2004 in one table: every kernel on the scenarios of the thread, a column for each thing said.

Each column is one figure of one scenario, at the scenario's default size, and names who said it; `vmcore compare
SCENARIO --kernels all` shows everything else that was counted there. A kernel that cannot run a scenario has a "-".
Those of today are x86_64 only, and the scenarios are i386 boxes, as the thread's were, unless --arch says otherwise.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import vmcore
from vmcore import scenario, sweep
from vmcore.report.figures import FIGURES, Result, write
from vmcore.report.layout import grid, listing, prose, terminal
from vmcore.report.progress import ProgressBar
from vmcore.scenario import fits

from . import complain, options, workers


class Question(NamedTuple):
    """A column: a figure of a scenario."""

    heading: str
    scenario: str
    kind: str                                   # as figures.write() takes it
    value: Callable[[Result], float | None]
    about: str
    settings: tuple[str, ...] = ()


def figure(group: str, heading: str) -> Callable[[Result], float | None]:
    """A figure of `vmcore compare`."""
    return next(f.value for f in FIGURES if (f.group, f.heading) == (group, heading))


def objects(result: Result) -> float:
    """Bytes of VMAs and of the reverse map's own objects."""
    names = ("vma", "pte_chain", "anon_vma", "anon_vma_chain", "anonmm")
    return sum(result["ledger"][name]["bytes"] for name in names)


def system(result: Result) -> float:
    return result["simulated_seconds"]["system"]


def unswapped(result: Result) -> float:
    """Tasks that the OOM killer took."""
    return result["tasks"]["killed"]


QUESTIONS = (
    Question("desktop bytes", "desktop", "bytes", objects,
             "VMAs and the reverse map's objects of a desktop session (Arcangeli: 104k more than anonmm)"),
    Question("fork s", "forktree", "seconds", system,
             "simulated system seconds of the seed's bench, 128 processes (measured there: 38 and 22)", ("levels=7",)),
    Question("windows VMAs", "windows", "ratio", figure("per page looked up", "VMAs"),
             "VMAs visited per page looked up, 50 processes with 50 windows each (Morton, van Riel: a tree is needed)"),
    Question("windows s", "windows", "seconds", system, "simulated system seconds of the same"),
    Question("revmap VMAs", "revmap", "ratio", figure("per page looked up", "VMAs"),
             "VMAs visited per page looked up, 14,400 on one file, 32 mappers (Molnar)"),
    Question("privfork mms", "privfork", "ratio", figure("per page looked up", "mms"),
             "mms visited per page looked up, inherited memory that 100 children rewrote (Arcangeli, van Riel)"),
    Question("own chunks mms", "privfork", "ratio", figure("per page looked up", "mms"),
             "the same, memory that each child mapped after the fork", ("variant=own",)),
    Question("cowkeep mms", "cowkeep", "ratio", figure("per page looked up", "mms"),
             "mms visited per page looked up, pages that half of a fork group shares"),
    Question("mremap copies", "mremapcow", "count", figure("pages", "copied"),
             "pages copied because children moved what they share (Arcangeli: nothing to do in mremap)"),
    Question("mprot VMAs", "mprot", "count", lambda result: result["vmstat"]["nr_vmas"],
             "VMAs of eight arenas that grew by mprotect (Dickins: merging unresolved)"),
    Question("nonlin kills", "nonlin", "count", unswapped,
             "tasks killed because nonlinear mappings could not be swapped (Arcangeli, van Riel)"),
)


OWN = (         # the first column, where memory is low and high, and where it is one
    ("16G low", "low memory of 893 MiB that 100 tasks with 24 GiB take on 16 GiB, from sizes (Arcangeli)"),
    ("16G own", "memory that the kernel itself takes for 100 tasks with 24 GiB on 16 GiB, from sizes"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kernels", default="all", metavar="A,B", help="names, or all (the default)")
    parser.add_argument("--arch", choices=tuple(vmcore.kernels.ARCHS),
                        help="run every scenario on this instead of its own")
    parser.add_argument("--jobs", type=options.positive, metavar="N",
                        help="runs at the same time (default: as many as there are processors and the host's memory "
                             "holds)")
    parser.add_argument("--json", metavar="FILE", help="write the table's values as one JSON object; - is stdout")
    options.add_costs(parser)


def run(args: argparse.Namespace) -> int:
    names = options.kernels(args.kernels, args.arch, "--arch ")
    arch = (f"arch={args.arch}",) if args.arch else ()
    costs = options.load_costs(args.costs)
    options.check_writable(args.json)
    asked = [question for question in QUESTIONS if question.scenario in scenario.builtin_names()]
    names, left_out = able(names, {scenario.load(q.scenario, settings=arch).arch for q in asked})
    results: dict[tuple[str, tuple[str, ...]], dict[str, Any]] = {}
    problems = []
    for question in asked:
        key = question.scenario, question.settings
        if key in results:
            continue
        chosen = scenario.load(question.scenario, settings=(*question.settings, *arch))
        allowed = [name for name in names if chosen.arch in vmcore.KERNELS[name].archs]
        bar = ProgressBar([f"{question.scenario} {name}" for name in allowed])
        jobs = workers.by_kernel(chosen, allowed, 0)
        pool = workers.Pool(jobs, Named(bar, question.scenario), costs)
        try:
            results[key] = pool.run(args.jobs or sweep.how_many(jobs.values()))
        finally:
            bar.clear()
        if pool.interrupted:
            return complain("interrupted", 130)
        problems += [f"{name}: {question.scenario}: {message}" for name, (message, _) in pool.errors.items()]
        problems += [f"NOT OK: {name}: {question.scenario}: {problem}" for name, result in results[key].items()
                     for problem in result["problems"]]
    values = {name: {q.heading: q.value(found[name]) if name in (found := results[q.scenario, q.settings]) else None
                     for q in asked} for name in names}
    own = own_memory(names, arch)
    if args.json != "-":
        print(table(names, asked, values, own, OWN[args.arch == "x86_64"]))
        missing = [line for name, why in left_out.items() for line in prose(f"{name}: not run: {why}", terminal())]
        print("".join(f"\n{line}" for line in missing))
        sys.stdout.flush()
    written = options.write_json(args.json, {"vmcore": vmcore.__version__, "kernels": {
        name: {f"{OWN[args.arch == 'x86_64'][0]} bytes": own.get(name), **values[name]} for name in names},
        "not_run": left_out})
    for problem in problems:
        complain(problem, 1)
    return 0 if written and not problems else 1


def able(names: list[str], archs: set[str]) -> tuple[list[str], dict[str, str]]:
    """Of the kernels those that have one of these archs, and the others with the reason; an error if all are others."""
    left_out = {name: f"{kernel.no_arch(' or '.join(sorted(archs)))}; --arch {kernel.archs[0]} has it"
                for name in names if archs.isdisjoint((kernel := vmcore.KERNELS[name]).archs)}
    if len(left_out) == len(names):
        raise scenario.ScenarioError("; ".join(f"kernel {name!r} {why}" for name, why in left_out.items()))
    return [name for name in names if name not in left_out], left_out


class Named:
    """A progress bar whose kernels stand beside a scenario."""

    def __init__(self, bar: ProgressBar, prefix: str) -> None:
        self.bar, self.prefix = bar, prefix

    def update(self, name: str, label: str, share: float) -> None:
        self.bar.update(f"{self.prefix} {name}", label, share)

    def finish(self, name: str) -> None:
        self.bar.finish(f"{self.prefix} {name}")


def own_memory(names: list[str], arch: tuple[str, ...]) -> dict[str, int]:
    """What the kernel itself takes of low memory in the main job on 16 GiB, from sizes alone; kernels without the arch
    are left out."""
    chosen = scenario.load(scenario.DEFAULT, settings=arch)
    return {name: fits.predict(chosen, name).total for name in names if chosen.arch in vmcore.KERNELS[name].archs}


def table(names: list[str], asked: list[Question], values: dict[str, dict[str, Any]], own: dict[str, int],
          first: tuple[str, str]) -> str:
    """A row for each kernel, and what the columns are."""
    rows = [["kernel", first[0], *(q.heading for q in asked)]]
    for name in names:
        rows.append([name, write("bytes", own.get(name)), *(write(q.kind, values[name][q.heading]) for q in asked)])
    legend = [first, *([q.heading, q.about] for q in asked)]
    return "\n".join([*grid(rows, terminal()), "", *listing(legend, terminal())])
