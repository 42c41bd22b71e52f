"""Ctrl-C while the ``vmcore`` command imports its modules: one line and status 130, as later on. Imported first of all.

Nothing can be caught there, the importing is Python's own; so the signal has a handler that ends the process until
``cli.entry`` takes over. In any other program that imports vmcore nothing happens here.
"""

import os
import signal
import sys
from itertools import pairwise
from typing import NoReturn


def is_command(argv: list[str], original: list[str]) -> bool:
    """Whether this process is the console script, or ``python -m vmcore``, whose argv[0] is "-m" by now."""
    name = os.path.basename(argv[0]) if argv else ""
    return name == "vmcore" or (name == "-m" and any(
        before[:1] == "-" and before[-1:] == "m" and after == "vmcore" for before, after in pairwise(original)))


def leave(*_: object) -> NoReturn:
    os.write(2, b"vmcore: interrupted\n")
    os._exit(130)


if is_command(sys.argv, sys.orig_argv) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, leave)
