"""Run a scenario on one kernel, in this process, and print where its time and its faults went."""

import argparse
import sys

from vmcore import scenario
from vmcore.report.progress import ProgressBar

from . import complain, options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_scenario(parser)
    options.add_costs(parser)
    options.add_report(parser)
    parser.add_argument("--kernel", "--kernels", default="2.6.5-aa1", metavar="NAME", help="(default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    options.plain_warnings()
    chosen = options.load_scenario(args)
    if "," in args.kernel or args.kernel.strip() == "all":
        raise scenario.ScenarioError(f"--kernel {args.kernel}: run takes one; vmcore compare takes several")
    [name] = options.kernels(args.kernel, chosen.arch)
    costs = options.load_costs(args.costs)
    options.check_writable(args.json, args.report)
    bar = ProgressBar([name])
    status = 0
    try:
        result = scenario.run(chosen, name, seed=args.seed, costs=costs,
                              progress=lambda label, share: bar.update(name, label, share))
        status = 0 if result["ok"] else 1
    except scenario.Interrupted as interrupted:
        result, status = interrupted.result, 130
    except scenario.CannotRun as reason:
        return complain(f"{name} cannot run it: {reason}", 1)
    finally:
        bar.clear()
    if args.json != "-":
        from vmcore.report import layout, text

        print(options.figures({name: result}, chosen))
        print()
        print(text.phases_table(result, layout.terminal()))
        sys.stdout.flush()
    document = options.document(chosen, args.seed, {name: result})
    written = options.write_json(args.json, document)
    if not options.write_report(args.report, document) or not written:
        status = status or 1
    if status != 130:
        options.complain_of({name: result}, args.json != "-")
    else:
        complain(f"interrupted: the figures are those until then ({result['problems'][-1]})", status)
    return status
