"""Arguments that several subcommands share, and what is done with them."""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import vmcore
from vmcore import cost, scenario
from vmcore.report import layout
from vmcore.words import hint

from . import complain

SETTING = "--set arch="         # how most commands are told another architecture


def add_scenario(parser: argparse.ArgumentParser, seed: bool = True) -> None:
    """The scenario and its settings, the seed, the JSON."""
    parser.add_argument("scenario", nargs="?", default=scenario.DEFAULT, metavar="SCENARIO",
                        help="a built-in scenario or the path of a TOML file (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="change a key of the scenario, such as sweeps=1, arch=x86_64, scale=0.1 or "
                             "libraries.count=10; may be repeated")
    if seed:
        parser.add_argument("--seed", type=seed_number, default=0, metavar="N",
                            help="of everything random (default: 0)")
    parser.add_argument("--json", metavar="FILE", help="write all figures as one JSON object; - is stdout, "
                                                       "and then there is no table")


def add_json_of_names(parser: argparse.ArgumentParser) -> None:
    """For a command of names: --json alone is stdout, and a name may stand behind it."""
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="write it as one JSON object, to stdout "
                                                                             "or a file")


def named(args: argparse.Namespace, known: Iterable[str]) -> tuple[list[str], str | None]:
    """The names, and where JSON goes to: what follows --json is a name if it is known as one."""
    if args.json in known:
        return [args.json, *args.names], "-"
    return list(args.names), args.json


def add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report", metavar="FILE.html", help="also write the tables and pictures of them as one file")


def write_report(path: str | None, value: dict[str, Any]) -> bool:
    """The document as a page; whether that went well. None: nowhere."""
    if path is None:
        return True
    from vmcore.report import html

    return write_text(path, html.page(value))


def add_costs(parser: argparse.ArgumentParser) -> None:
    """The table of the cost model."""
    parser.add_argument("--costs", metavar="FILE", help="TOML of what events cost, for simulated system time "
                                                        "(default: the built-in table; vmcore calibrate --write FILE "
                                                        "writes one to edit)")


def load_costs(path: str | None) -> cost.CostModel:
    try:
        return cost.load(path)
    except cost.CostError as error:
        raise scenario.ScenarioError(str(error)) from None


def seed_number(text: str) -> int:
    """A seed: 64 bits."""
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give an integer from 0 to 2**64 - 1")
    return value


def positive(text: str) -> int:
    """A count of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give an integer of 1 or more")
    return int(text)


def kernels(text: str, arch: str | None, setting: str | None = SETTING) -> list[str]:
    """Names from ``A,B``: known, each once, and made for the scenario's architecture if one is given; ``all`` is all
    that are made for it. ``setting`` is how the command is told another architecture, if that
    helps."""
    if text.strip() == "all":
        return [name for name, kernel in vmcore.KERNELS.items() if arch is None or arch in kernel.archs]
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in vmcore.KERNELS:
            raise scenario.ScenarioError(f"unknown kernel {name!r}{hint(name, vmcore.KERNELS)}; "
                                         f"there are: {', '.join(vmcore.KERNELS)}")
        if names.count(name) > 1:
            raise scenario.ScenarioError(f"kernel {name!r} is named twice")
    for name in names:
        kernel = vmcore.KERNELS[name]
        if arch is not None and arch not in kernel.archs:
            raise scenario.ScenarioError(f"kernel {name!r} {kernel.no_arch(arch)}"
                                         + (other_arch(names, setting) if setting else ""))
    return names


def other_arch(names: list[str], setting: str) -> str:
    """How to get an architecture that all of these kernels have, and which others have it."""
    archs = [arch for arch in vmcore.kernels.ARCHS if all(arch in vmcore.KERNELS[name].archs for name in names)]
    if not archs:
        return f"; no arch has all of {', '.join(names)}"
    able = [name for name, kernel in vmcore.KERNELS.items() if archs[0] in kernel.archs]
    return (f"; with {setting}{archs[0]} "
            + ("every kernel can run" if len(able) == len(vmcore.KERNELS) else f"these can run: {', '.join(able)}"))


def left_out(text: str, arch: str, setting: str | None = SETTING) -> dict[str, str]:
    """Kernels that ``all`` leaves out, and why."""
    if text.strip() != "all":
        return {}
    return {name: kernel.no_arch(arch) + (f"; {setting}{kernel.archs[0]} has it" if setting else "")
            for name, kernel in vmcore.KERNELS.items() if arch not in kernel.archs}


def check_writable(*paths: str | None) -> None:
    """Complain before the work, not after it, about a file that cannot be written."""
    for path in paths:
        if path in (None, "-"):
            continue
        folder = os.path.dirname(path) or "."
        if not os.path.isdir(folder):
            raise scenario.ScenarioError(f"cannot write {path}: there is no folder {folder}")
        if os.path.isdir(path) or not os.access(path if os.path.exists(path) else folder, os.W_OK):
            why = "it is a folder" if os.path.isdir(path) else "no right"
            raise scenario.ScenarioError(f"cannot write {path}: {why}")


def document(chosen: scenario.Scenario, number: int, results: dict[str, Any],
             not_run: dict[str, str] | None = None) -> dict[str, Any]:
    """The JSON object of DESIGN section 11; ``not_run`` are kernels that cannot run the scenario, and why."""
    return {"vmcore": vmcore.__version__, "scenario": scenario.to_builtins(chosen), "seed": number, "kernels": results,
            "not_run": not_run or {}}


def write_json(path: str | None, value: dict[str, Any]) -> bool:
    """To a file, or to stdout if it is "-"; whether that went well. None: nowhere."""
    if path is None:
        return True
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return True
    return write_text(path, text)


def write_text(path: str, text: str) -> bool:
    """A file that was asked for beside what is printed, which comes first. If it cannot be written, that is said."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        complain(f"cannot write {path}: {error.strerror or error}", 1)
        return False
    return True


def plain_warnings() -> None:
    """Warnings (a machine that may not fit into the host) as one line on stderr."""
    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"vmcore: warning: {message}", file=sys.stderr)

    warnings.showwarning = show


def load_scenario(args: argparse.Namespace) -> scenario.Scenario:
    """The scenario that a command line asks for."""
    from vmcore.report.figures import looked_at

    chosen = scenario.load(args.scenario, settings=args.settings)
    try:
        looked_at(chosen.look_at, {})
    except ValueError as error:
        raise scenario.ScenarioError(f"{chosen.name}: look_at: {error}") from None
    return chosen


def title(chosen: scenario.Scenario) -> str:
    """What runs, in one line or in several."""
    return "\n".join(layout.prose(f"{chosen.name}: {chosen.describe()}", layout.terminal()))


def figures(names: dict[str, Any], chosen: scenario.Scenario, not_run: dict[str, str] | None = None) -> str:
    """Everything that is printed about kernels that were run, without what went wrong."""
    from vmcore.report import text
    from vmcore.report.figures import looked_at

    width = layout.terminal()
    wanted = looked_at(chosen.look_at, names)
    head = text.introduction(f"{chosen.name}: {chosen.describe()}", chosen.raised, chosen.shows, wanted, width)
    missing = [line for name, reason in (not_run or {}).items()
               for line in layout.prose(f"{name}: not run: {reason}", width)]
    if not names:
        return "\n".join([*head, "", *missing])
    parts = [*head, "", text.compare_table(names, width, wanted), "", text.causes_table(names, width), ""]
    for name, result in names.items():
        if "levels" in result:
            parts += [text.levels_table(name, result, width), ""]
    for name, result in names.items():
        parts += text.remarks(name, result, width)
    parts += missing
    # DESIGN section 5: where a policy is not there yet, another stands in
    for name in names:
        kernel = vmcore.KERNELS.get(name)
        if kernel is not None and kernel.stands_for:
            parts += layout.prose(f"{name}: reclaim is {kernel.reclaim}, in place of {kernel.stands_for}", width)
    return "\n".join(parts)


def complain_of(results: dict[str, Any], shown: bool) -> None:
    """Runs that are not ok: what is wrong, below all else that is shown, and a line on stderr."""
    from vmcore.report import text

    if shown:
        sys.stdout.write("".join(line + "\n" for line in text.not_ok(results, layout.terminal())))
        sys.stdout.flush()
    bad = [name for name, result in results.items() if not result["ok"]]
    if bad:
        complain(f"NOT OK: {', '.join(bad)}", 1)
