"""Say what a KernelBug guards and where it comes from; without a name, list them all."""

import argparse

from vmcore.invariants import INVARIANTS
from vmcore.report.layout import listing, terminal
from vmcore.words import hint

from . import complain, options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="name of a KernelBug (default: a list of all)")
    options.add_json_of_names(parser)


def run(args: argparse.Namespace) -> int:
    names, path = options.named(args, INVARIANTS)
    for name in names:
        if name not in INVARIANTS:
            return complain(f"no KernelBug is named {name!r}{hint(name, INVARIANTS)}; vmcore explain lists them", 2)
    chosen = {name: INVARIANTS[name] for name in names or INVARIANTS}
    if path:
        return 0 if options.write_json(path, {name: one._asdict() for name, one in chosen.items()}) else 1
    if names:
        print("\n\n".join("\n".join([f"{name} ({one.kind})", *listing(
            [["guards:", one.guards], ["numbers:", one.numbers], ["source:", one.source]], terminal(), "  ")])
            for name, one in chosen.items()))
    else:
        print("\n".join(listing([[name, one.kind, one.guards] for name, one in chosen.items()], terminal())))
    return 0
