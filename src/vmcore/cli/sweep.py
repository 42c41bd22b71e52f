"""Run a scenario with every combination of kernels and of values for its keys, and print a row for each.

A key is what --set takes (n, levels, scale, tunables.swappiness, arch, variant, ...), or seed. Each run has a process
of its own. The figures are those of vmcore compare. A run that fails is said on stderr, and the others go on; Ctrl-C
prints what is complete. A report has a picture of each figure that differs: against the first key that varies, a line
for each kernel and combination of the other keys.
"""

import argparse
import sys

from vmcore import scenario, sweep
from vmcore.report.progress import ProgressBar
from vmcore.scenario.model import setting_value

from . import complain, options, workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_scenario(parser)
    parser.add_argument("--kernels", default="2.6.5,2.6.5-aa1", metavar="A,B",
                        help="names, or all: every kernel that is made for the scenario's arch (default: %(default)s)")
    parser.add_argument("--vary", action="append", default=[], metavar="KEY=V1,V2,...",
                        help="values of a key, each of which runs; may be repeated, and then every combination runs")
    options.add_costs(parser)
    parser.add_argument("--jobs", type=options.positive, metavar="N",
                        help="runs at the same time (default: as many as there are processors, fewer where the host's "
                             "memory does not hold them)")
    parser.add_argument("--csv", metavar="FILE", help="write a line for each run; - is stdout, and then there is no "
                                                      "table")
    parser.add_argument("--report", metavar="FILE.html", help="also write the table and pictures of it as one file")


def run(args: argparse.Namespace) -> int:
    options.plain_warnings()
    vary = varied(args.vary)
    arch = one_arch(args, vary)
    names = options.kernels(args.kernels, arch)
    costs = options.load_costs(args.costs)
    if args.json == "-" == args.csv:
        raise scenario.ScenarioError("--json - and --csv -: only one of them can have stdout")
    options.check_writable(args.json, args.csv, args.report)
    asked = sweep.points(args.scenario, names, vary, settings=args.settings, seed=args.seed)
    jobs = {point.label: point for point in asked}
    bar = ProgressBar(list(jobs))
    pool = workers.Pool(jobs, bar, costs)
    try:
        pool.run(args.jobs or sweep.how_many(asked), go_on=True)
    finally:
        bar.clear()
    found = sweep.Sweep(sweep.base(args.scenario, args.settings), vary, args.seed,
                        [sweep.as_run(jobs[name], outcome) for name in jobs if (outcome := outcome_of(pool, name))])
    left_out = options.left_out(args.kernels, arch) if arch else {}
    written = show(args, found, left_out) if found.runs else True
    complete = {name: result for name, result in pool.results.items() if not result.get("interrupted")}
    options.complain_of(complete, "-" not in (args.json, args.csv))
    for name, (message, _) in pool.errors.items():
        complain(f"{name}: {message}", 1)
    if pool.interrupted:
        return complain(f"interrupted: {len(found.runs)} of {len(asked)} runs were complete", 130)
    if pool.errors:
        return max(status for _, status in pool.errors.values())
    return 0 if written and all(one.ok for one in found.runs) else 1


def show(args: argparse.Namespace, found: sweep.Sweep, left_out: dict[str, str]) -> bool:
    """Print the table and write the files; whether that went well. ``left_out`` are kernels that ``all`` leaves out."""
    from vmcore.report import layout, sweeps

    document = {**found.document(), "not_run": left_out}
    if "-" not in (args.json, args.csv):
        summary = found.scenario.get("summary", "")
        title = f"{found.scenario['name']}{': ' if summary else ''}{summary}; {len(found.runs)} runs"
        print("\n".join(layout.prose(title, layout.terminal())))
        print()
        print(sweeps.table(document, layout.terminal()))
        sys.stdout.flush()
    written = options.write_json(args.json, document)
    if args.csv == "-":
        sys.stdout.write(sweeps.to_csv(document))
    elif args.csv:
        written &= options.write_text(args.csv, sweeps.to_csv(document))
    if args.report:
        written &= options.write_text(args.report, sweeps.page(document))
    return written


def outcome_of(pool: workers.Pool, name: str) -> sweep.Outcome | None:
    """What became of a run; None if Ctrl-C came before its end."""
    if name in pool.results:
        return None if pool.results[name].get("interrupted") else {"result": pool.results[name]}
    if name in pool.not_run:
        return {"not_run": pool.not_run[name]}
    if name in pool.errors:
        return {"error": pool.errors[name][0]}
    return None


def varied(options_given: list[str]) -> dict[str, list[object]]:
    """The keys and values of ``KEY=V1,V2,...``."""
    if not options_given:
        raise scenario.ScenarioError("nothing varies: --vary KEY=V1,V2,... names a key of the scenario and its values")
    out: dict[str, list[object]] = {}
    for text in options_given:
        key, equals, values = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise scenario.ScenarioError(f"--vary {text}: give it as KEY=V1,V2,..., such as scale=0.1,0.2")
        if key in out:
            raise scenario.ScenarioError(f"--vary {key} is there twice: give all its values in one")
        parts = split(values)
        if not all(parts):
            raise scenario.ScenarioError(f"--vary {text}: {'a value is missing' if any(parts) else 'no values'}")
        out[key] = [setting_value(part, f"--vary {text}") for part in parts]
    return out


def split(text: str) -> list[str]:
    """At commas, but not in quotes, lists and tables."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and depth <= 0:
            parts.append("")
            continue
        parts[-1] += character
    return [part.strip() for part in parts]


def one_arch(args: argparse.Namespace, vary: dict[str, list[object]]) -> str | None:
    """The scenario's arch; None where it varies, and a run says itself that its kernel has it not."""
    if "arch" in vary:
        return None
    first = [f"{key}={sweep.toml(values[0])}" for key, values in vary.items() if key != sweep.SEED]
    return scenario.load(args.scenario, settings=[*args.settings, *first]).arch
