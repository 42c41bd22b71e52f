"""The ``vmcore`` command: one module for each subcommand, imported when it is the one that runs.

Exit status: 0; 1 if something that ran is not ok; 2 for what makes no sense (on stderr); 130 after Ctrl-C.
"""

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from vmcore import __version__
from vmcore._command import leave

if TYPE_CHECKING:
    from .parsing import Parser

COMMANDS = {
    "compare": "run a scenario on several kernels and print what each of them cost",
    "sweep": "run a scenario with every combination of kernels and of values for its keys",
    "run": "run a scenario on one kernel, in this process",
    "argument": "the argument of March 2004 in one table: every kernel on the scenarios of the thread",
    "fits": "say from sizes alone which kernels' own memory fits low memory",
    "size": "say what a run will take of the host's memory, before it takes it",
    "calibrate": "fit the two scalars of the cost model, and print what it cannot explain",
    "kernels": "list the kernels: what each of them is made of",
    "scenarios": "list, show or copy the built-in scenarios",
    "explain": "say what a KernelBug guards and where it comes from",
}

EPILOG = """examples:
  vmcore compare                                        the main job: hundred-tasks on 2.6.5 and 2.6.5-aa1
  vmcore compare forktree                               what mapping the same pages 512 times costs
  vmcore compare windows --kernels all                  every kernel on a scenario of the thread
  vmcore sweep windows --vary n=10,20,50                a figure against a key, a line for each kernel
  vmcore fits oracle --ram 4G,16G,64G                   does their own memory fit 896 MiB?
  vmcore size --kernels all                             what the main job will take of this host's memory
  vmcore compare --set scale=0.1 --json result.json     a tenth of every size; all figures to a file
  vmcore scenarios copy hundred-tasks mine.toml         a scenario to edit; then: vmcore compare mine.toml

exit status: 0; 1 if a run is not ok; 2 if something asked for makes no sense; 130 after Ctrl-C
"""


def parser(argv: list[str]) -> "Parser":
    """For a command line: only the modules of the commands that it names are imported."""
    from .parsing import Parser

    top = Parser(prog="vmcore", epilog=EPILOG,
                 description="Simulates the virtual memory of a whole Linux machine, page by page, and compares the "
                             "designs by which kernels found the page tables that map a page.")
    top.add_argument("--version", action="version", version=f"vmcore {__version__}")
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary)
        if name in argv:
            module = import_module(f".{name}", __name__)
            sub.description = module.__doc__
            module.add_arguments(sub)
            sub.set_defaults(function=module.run, parser=sub)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    args, rest = parser(argv).parse_known_args(argv)
    if rest:
        args.parser.refuse(rest)
    try:
        return args.function(args)
    except ValueError as error:
        from vmcore.cost import CostError
        from vmcore.scenario import Refused, ScenarioError

        if not isinstance(error, (Refused, ScenarioError, CostError)):
            raise       # a mistake of ours, not the user's
        return complain(str(error), 2)
    except MemoryError as error:
        return complain(f"the host has not enough memory: {error}", 1)
    except KeyboardInterrupt:
        return complain("interrupted", 130)


def complain(message: str, status: int) -> int:
    """One line on stderr; returns the exit status."""
    with suppress(OSError):     # nobody reads it
        print(f"vmcore: {'error: ' if status == 2 else ''}{message}", file=sys.stderr)
    return status


def open_streams() -> None:
    """A standard stream that the caller closed leads nowhere, here and in children; no file gets its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")   # noqa: SIM115 - open to the end
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def entry() -> None:
    """The console script: a pipe that nobody reads is quiet, other trouble with stdout is one line."""
    try:
        if signal.getsignal(signal.SIGINT) is leave:
            signal.signal(signal.SIGINT, signal.default_int_handler)    # from here on Ctrl-C is an exception
        open_streams()
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = complain("interrupted", 130)
    except BrokenPipeError:
        status = 141
        _drop_output()
    except OSError as error:
        status = complain(f"{error.filename or 'stdout'}: {error.strerror or error}", 1)
        _drop_output()
    exec("")        # `python -m` exits by SIGINT if the last exec() ended so, whoever caught it
    sys.exit(status)


def _drop_output() -> None:
    """Nothing more can be written, at exit neither."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
