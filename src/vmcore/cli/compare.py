"""Run a scenario on several kernels and print what each of them cost: a row for each kernel, or a column where the
terminal is narrow.

Bytes are those at the end of the last sweep. Kernels run one after the other, each in a process of its own, so that the
peak of host memory is its own. The scenario forktree ends where fork fails or the OOM killer acts; that is its subject,
so it is ok if every level up to there has the sizes that arithmetic gives. In every other scenario a killed task is
not ok.
"""

import argparse
import sys
from pathlib import Path

from vmcore import scenario
from vmcore.report.progress import ProgressBar

from . import complain, options, workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_scenario(parser)
    parser.add_argument("--kernels", default="2.6.5,2.6.5-aa1", metavar="A,B", help="(default: %(default)s)")
    options.add_costs(parser)
    parser.add_argument("--jobs", type=options.positive, default=1, metavar="N",
                        help="kernels that run at the same time (default: 1; times are then not comparable)")
    parser.add_argument("--report", metavar="FILE.html", help="also write the tables and pictures of them as one file")


def run(args: argparse.Namespace) -> int:
    options.plain_warnings()
    chosen = scenario.load(args.scenario, settings=args.settings)
    names = options.kernels(args.kernels, chosen.arch)
    costs = options.load_costs(args.costs)
    options.check_writable(args.json, args.report)
    bar = ProgressBar(names)
    pool = workers.Pool(chosen, args.seed, bar, costs)
    try:
        results = pool.run(names, args.jobs)
    finally:
        bar.clear()
    if results:
        document = options.document(chosen, args.seed, results)
        if args.json:
            options.write_json(args.json, document)
        if args.report:
            from vmcore.report import html

            Path(args.report).write_text(html.page(document), encoding="utf-8")
        if args.json != "-":
            print(options.figures(results, chosen))
            sys.stdout.flush()
    for name, (message, _) in pool.errors.items():
        complain(f"{name}: {message}", 1)
    if pool.interrupted:
        done = [name for name in results if not results[name].get("interrupted")]
        part = [name for name in results if results[name].get("interrupted")]
        return complain("interrupted; complete: " + (", ".join(done) or "none")
                        + (f"; in part, with the figures until then: {', '.join(part)}" if part else ""), 130)
    if pool.errors:
        return max(status for _, status in pool.errors.values())
    return 0 if all(result["ok"] for result in results.values()) else 1
