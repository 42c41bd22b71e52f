"""Run a scenario on several kernels and print what each of them cost: a row for each kernel, or a column where the
terminal is narrow.

Bytes are those before the tasks exit. Each kernel runs in a process of its own, so that the peak of host memory is its
own. What is the same on all kernels stands below the table. A kernel that lacks a system call of the scenario, or its
arch, is listed with the reason.

The scenario forktree ends where fork fails or the OOM killer acts; that is its subject, so it is ok if every level up
to there has the sizes that arithmetic gives. Elsewhere a killed task is not ok, unless the scenario says kills =
"result".
"""

import argparse
import sys

from vmcore import sweep
from vmcore.report.progress import ProgressBar

from . import complain, options, workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_scenario(parser)
    parser.add_argument("--kernels", default="2.6.5,2.6.5-aa1", metavar="A,B",
                        help="names, or all: every kernel that is made for the scenario's arch (default: %(default)s)")
    options.add_costs(parser)
    parser.add_argument("--jobs", type=options.positive, metavar="N",
                        help="kernels that run at the same time (default: 1, so that host times can be compared; with "
                             "--kernels all as many as there are processors and the host's memory holds)")
    options.add_report(parser)


def run(args: argparse.Namespace) -> int:
    options.plain_warnings()
    chosen = options.load_scenario(args)
    names = options.kernels(args.kernels, chosen.arch)
    asked = workers.by_kernel(chosen, names, args.seed)
    jobs = args.jobs or (sweep.how_many(asked.values()) if args.kernels.strip() == "all" else 1)
    costs = options.load_costs(args.costs)
    options.check_writable(args.json, args.report)
    bar = ProgressBar(names)
    pool = workers.Pool(asked, bar, costs)
    try:
        results = pool.run(jobs)
    finally:
        bar.clear()
    not_run = options.left_out(args.kernels, chosen.arch) | pool.not_run
    written = True
    if results or not_run:
        document = options.document(chosen, args.seed, results, not_run)
        if args.json != "-":
            print(options.figures(results, chosen, not_run))
            sys.stdout.flush()
        written = options.write_json(args.json, document)
        written &= options.write_report(args.report, document)
    for name, (message, _) in pool.errors.items():
        complain(f"{name}: {message}", 1)
    options.complain_of({name: result for name, result in results.items() if not result.get("interrupted")},
                        args.json != "-")
    if pool.interrupted:
        done = [name for name in results if not results[name].get("interrupted")]
        part = [name for name in results if results[name].get("interrupted")]
        return complain("interrupted; complete: " + (", ".join(done) or "none")
                        + (f"; in part, with the figures until then: {', '.join(part)}" if part else ""), 130)
    if pool.errors:
        return max(status for _, status in pool.errors.values())
    return 0 if written and all(result["ok"] for result in results.values()) else 1
