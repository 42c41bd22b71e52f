"""List the built-in scenarios, show the TOML of one, or copy it to a file to be edited."""

import argparse
import json
import sys
from pathlib import Path

from vmcore import scenario
from vmcore.report import layout

from . import complain
from .parsing import Parser


def add_arguments(parser: Parser) -> None:
    parser.meant = lambda word: f"show {word}" if word in scenario.builtin_names() else None
    parser.add_argument("--json", action="store_true", help="the list as one JSON object, sizes in bytes")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="names and what they are (the default)")
    show = actions.add_parser("show", help="print the TOML of a scenario")
    show.add_argument("name", metavar="NAME")
    copy = actions.add_parser("copy", help="write the TOML of a scenario to a file")
    copy.add_argument("name", metavar="NAME")
    copy.add_argument("path", nargs="?", metavar="FILE", help="(default: NAME.toml here)")
    copy.add_argument("--force", action="store_true", help="write over a file that is there")


def run(args: argparse.Namespace) -> int:
    if args.action == "show":
        sys.stdout.write(scenario.builtin_text(args.name))
    elif args.action == "copy":
        text = scenario.builtin_text(args.name)
        path = Path(args.path or f"{args.name}.toml")
        try:
            with path.open("w" if args.force else "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            return complain(f"{path} is there already; --force writes over it", 2)
        except OSError as error:
            return complain(f"cannot write {path}: {error.strerror}", 2)
        print(f"{path}: edit it, then run: vmcore compare {path}")
    else:
        found = {name: scenario.load(name) for name in scenario.builtin_names()}
        if args.json:
            print(json.dumps({name: scenario.to_builtins(one) for name, one in found.items()}, indent=2))
            return 0
        rows = []
        for name, one in found.items():
            more = (("raised by", one.raised), ("shows", one.shows),
                    ("variants", ", ".join(getattr(one, "variants", ()))))
            rows += [[name, one.summary], *(["", f"  {word}: {said}"] for word, said in more if said)]
        print("\n".join(layout.listing(rows, layout.terminal())))
    return 0
