"""Say what a KernelBug guards and where it comes from; without a name, list them all."""

import argparse
import json

from vmcore.invariants import INVARIANTS
from vmcore.report.layout import listing, terminal
from vmcore.words import hint

from . import complain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="name of a KernelBug (default: a list of all)")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(args: argparse.Namespace) -> int:
    for name in args.names:
        if name not in INVARIANTS:
            return complain(f"no KernelBug is named {name!r}{hint(name, INVARIANTS)}; vmcore explain lists them", 2)
    chosen = {name: INVARIANTS[name] for name in args.names or INVARIANTS}
    if args.json:
        print(json.dumps({name: one._asdict() for name, one in chosen.items()}, indent=2))
    elif args.names:
        print("\n\n".join("\n".join([f"{name} ({one.kind})", *listing(
            [["guards:", one.guards], ["numbers:", one.numbers], ["source:", one.source]], terminal(), "  ")])
            for name, one in chosen.items()))
    else:
        print("\n".join(listing([[name, one.kind, one.guards] for name, one in chosen.items()], terminal())))
    return 0
