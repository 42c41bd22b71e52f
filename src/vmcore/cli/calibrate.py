"""Fit the two scalars of the cost model, and print how far off the model is then.

The scalars are the time unit and the cost of a process, shared by all kernels. They are fitted to four system times
that Andrea Arcangeli measured on 18 March 2004: a process writes 512 MiB, forks 6 and 7 levels deep, every process
reads every page; on 2.6.2 (pte_chain) and on 2.6.5-rc1-aa1. The costs of single events are not touched. The built-in
table has the scalars that this command found; who changes the costs of events runs it again.
"""

import argparse
import re
import sys
from pathlib import Path

import vmcore
from vmcore import cost, scenario
from vmcore.report.layout import grid, terminal
from vmcore.report.progress import ProgressBar

from . import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_costs(parser)
    parser.add_argument("--json", metavar="FILE", help="write all figures as one JSON object; - is stdout, and "
                                                       "then there is no table")
    parser.add_argument("--write", metavar="FILE", help="write the table with the scalars found, for --costs")


def run(args: argparse.Namespace) -> int:
    options.check_writable(args.write, args.json)
    model = options.load_costs(args.costs)
    bar = ProgressBar([f"{m.kernel} level {m.levels}" for m in cost.MEASURED])
    try:
        counts = [counters(m, bar) for m in cost.MEASURED]
    finally:
        bar.clear()
    fit = cost.calibrate(model, cost.MEASURED, counts)
    if args.json != "-":
        print(report(model, fit, counts))
        sys.stdout.flush()
    written = options.write_json(args.json, document(model, fit, counts))
    if args.write:
        text = cost.default_text() if args.costs is None else Path(args.costs).read_text(encoding="utf-8")
        written &= options.write_text(args.write, with_scalars(text, fit))
    return 0 if written else 1


def counters(measured: cost.Measured, bar: ProgressBar) -> dict[str, int]:
    """All counters after forktree with so many levels, exits included."""
    chosen = scenario.load("forktree", settings=[f"levels={measured.levels}"])
    name = f"{measured.kernel} level {measured.levels}"
    result = scenario.run(chosen, measured.kernel, progress=lambda label, share: bar.update(name, label, share))
    bar.finish(name)
    return result["final_vmstat"]


def document(model: cost.CostModel, fit: cost.Fit, counts: list[dict[str, int]]) -> dict[str, object]:
    """The scalars, and for each measured figure what the model says, by cause."""
    fitted = model.with_scalars(fit.time_unit, fit.process)
    return {"vmcore": vmcore.__version__, "time_unit": fit.time_unit, "process": fit.process, "figures": [
        {"kernel": m.kernel, "levels": m.levels, "measured": m.seconds, "predicted": predicted,
         "causes": fitted.system(c)}
        for m, predicted, c in zip(cost.MEASURED, fit.predicted, counts, strict=True)]}


def report(model: cost.CostModel, fit: cost.Fit, counts: list[dict[str, int]]) -> str:
    """The scalars, the four figures with what is left, and where the model puts the time."""
    fitted = model.with_scalars(fit.time_unit, fit.process)
    rows = [["kernel", "levels", "measured s", "predicted s", "residual", "largest causes, predicted s"]]
    for m, predicted, c in zip(cost.MEASURED, fit.predicted, counts, strict=True):
        causes = sorted(fitted.system(c).items(), key=lambda item: -item[1])[:4]
        rows.append([m.kernel, str(m.levels), f"{m.seconds:.2f}", f"{predicted:.2f}",
                     f"{100 * (predicted / m.seconds - 1):+.1f} %", ", ".join(f"{k} {v:.1f}" for k, v in causes)])
    lines = [f"time_unit = {fit.time_unit:.4g}    process = {fit.process:.4g} s", ""]
    lines += grid(rows, terminal(), left=(0, 5))
    old, new = (dict(zip(((m.kernel, m.levels) for m in cost.MEASURED), values, strict=True))
                for values in ([m.seconds for m in cost.MEASURED], fit.predicted))
    lines += ["", "system time, pte_chain / anon_vma:"]
    for levels in sorted({m.levels for m in cost.MEASURED}):
        keys = [(kernel, levels) for kernel in ("2.6.5", "2.6.5-aa1")]
        lines.append(f"  level {levels}: measured {old[keys[0]] / old[keys[1]]:.2f},"
                     f" predicted {new[keys[0]] / new[keys[1]]:.2f}")
    return "\n".join(lines)


def with_scalars(text: str, fit: cost.Fit) -> str:
    """The TOML with other scalars; comments and all else stay."""
    for name, value in (("time_unit", fit.time_unit), ("process", fit.process)):
        text, n = re.subn(rf"(?m)^(\s*{name}\s*=\s*)[^#\n]*?(\s*(?:#.*)?)$", rf"\g<1>{value:.4g}\g<2>", text)
        if n != 1:
            raise cost.CostError(f"the table must have one line '{name} = ...' to be rewritten, it has {n}")
    cost.loads(text)
    return text
