"""List the kernels that can be compared: how each finds the page tables of a page, and what else it is made of."""

import argparse
import dataclasses
from collections.abc import Mapping

import vmcore
from vmcore.designs import ABOUT
from vmcore.report.layout import grid, listing, terminal

from . import options

COLUMNS = {"name": "kernel", "year": "year", "rmap": "reverse map", "i_mmap": "mappings of a file",
           "reclaim": "reclaim", "merge": "VMAs merge by", "calls": "calls", "archs": "archs"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="show every field of these (default: a table of all)")
    options.add_json_of_names(parser)


def run(args: argparse.Namespace) -> int:
    names, path = options.named(args, vmcore.KERNELS)
    chosen = {name: vmcore.KERNELS[name] for name in names or vmcore.KERNELS if options.kernels(name, None)}
    fields = {name: {field.name: plain(getattr(kernel, field.name)) for field in dataclasses.fields(kernel)}
              for name, kernel in chosen.items()}
    if path:
        return 0 if options.write_json(path, fields) else 1
    if names:
        for name, values in fields.items():
            print("\n".join([name, *listing([[key, text(value)] for key, value in values.items()], terminal(), "  ")]))
    else:
        present = [key for key in COLUMNS if all(key in values for values in fields.values())]
        rows = [[COLUMNS[key] for key in present]]
        rows += [[text(values[key]) for key in present] for values in fields.values()]
        print("\n".join(grid(rows, terminal(), left=range(len(present)))))
        print("\n".join(["", *legend(fields)]))
    return 0


def legend(fields: Mapping[str, Mapping[str, object]]) -> list[str]:
    """What the words of the columns mean that the table has, in the order of the columns."""
    lines = []
    for key, words in ABOUT.items():
        used = dict.fromkeys(str(values[key]) for values in fields.values())
        lines += [f"{COLUMNS[key]}:", *listing([[word, words[word]] for word in used], terminal(), "  ")]
    return lines


def plain(value: object) -> object:
    """As JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items()) or "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
