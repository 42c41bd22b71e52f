"""Say what a run will take of the host's memory, before it takes it.

For each kernel the bytes of the engine's records at the scenario's peak, pool by pool, from sizes alone, and in sum
the peak of resident memory that `vmcore run` adds to a process that has imported vmcore.Machine, within 10 %. "full
use" is what the same machine takes at most if every frame and swap slot holds a page that two page tables name, and
contents are written (Task.write). The scenario is not simulated, so the answer comes at once for machines of any size;
what Python and the program itself take is measured, in a small run in a process of its own.

Exit status: 0, whether or not the host has so much.
"""

import argparse
import subprocess
import sys
from functools import cache

from vmcore import scenario
from vmcore.report.figures import write
from vmcore.report.layout import grid, prose, terminal
from vmcore.scenario import size

from . import options
from .workers import child_environment

NAMES = {
    "frame": "page frames", "mapcount": "their mapcounts", "pte": "page tables", "table": "their records",
    "vma": "VMAs", "mm": "mms", "task": "tasks", "file": "files", "anon_vma": "anon_vmas", "avc": "links of anon_vmas",
    "anonmm": "anonmms", "pte_chain": "chain nodes", "lru_chunk": "LRU chunks", "radix": "radix nodes",
    "swap_slot": "swap slots", "swap_word": "their bitmaps", "slab": "slabs", "page_token": "contents of pages",
    "slot_token": "contents of slots",
}
BESIDE = 2                              # kernels whose full use has columns of its own
MAPS_OF_MAPS = ("swap_any", "swap_full")        # a page each; shown with the bitmaps

# A run of next to nothing for each workload, whose code differs.
SMALL = {
    "steps": ("cowkeep", ["scale=0.1", "arch=x86_64"]),
    "tasks": ("hundred-tasks", ["scale=0.004", "tasks=5", "arch=x86_64"]),
    "forktree": ("forktree", ["scale=0.03", "levels=3", "arch=x86_64"]),
}
# Prints the peak of resident memory less that after the import.
MEASURE = """
import contextlib, io, sys
import vmcore
def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field + ":"))
vmcore.Machine      # with it come numpy and the engine
imported = resident("VmRSS")
from vmcore.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    status = main(sys.argv[1:])
print(resident("VmHWM") - imported if status == 0 else 0)
"""


@cache
def python_of(calls: str, workload: str) -> int | None:
    """Bytes that a run takes beside pools and check(): Python's, and the engine's own code, which for the most part is
    its system calls'. None where that cannot be measured."""
    import vmcore
    from vmcore.designs import RECLAIM

    kernel = next(name for name, kernel in vmcore.KERNELS.items() if kernel.calls == calls and RECLAIM[kernel.reclaim])
    name, settings = SMALL[workload]
    command = ["run", name, "--kernel", kernel, *(f"--set={setting}" for setting in settings)]
    try:
        done = subprocess.run([sys.executable, "-P", "-c", MEASURE, *command], env=child_environment(),
                              capture_output=True, text=True, timeout=60, check=True)
        peak = int(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    small = size.predict(scenario.load(name, settings=settings), kernel, python=0)
    return peak - small.total if peak > small.total else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_scenario(parser, seed=False)
    parser.add_argument("--kernels", default="2.6.5,2.6.5-aa1", metavar="A,B",
                        help="names, or all: every kernel that is made for the scenario's arch (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    import vmcore
    from vmcore._fast.engine import host_bytes

    chosen = options.load_scenario(args)
    names = options.kernels(args.kernels, chosen.arch)
    options.check_writable(args.json)
    workload = str(chosen.__struct_config__.tag)
    found = [size.predict(chosen, name, python_of(vmcore.KERNELS[name].calls, workload)) for name in names]
    has = host_bytes()
    left_out = options.left_out(args.kernels, chosen.arch)
    if args.json != "-":
        print(options.title(chosen))
        print()
        print(table(found, has))
        for name, reason in left_out.items():
            print("\n".join(prose(f"{name}: not asked: {reason}", terminal())))
        sys.stdout.flush()
    return 0 if options.write_json(args.json, document(chosen, found, has, left_out)) else 1


def document(chosen: scenario.Scenario, found: list[size.Prediction], has: int,
             left_out: dict[str, str]) -> dict[str, object]:
    """One object: for each kernel the bytes by pool, their sum with what is no pool, and the same in full use."""
    import vmcore

    kernels = {p.kernel: {
        "bytes": p.total, "fits": p.total <= has, "pools": p.pools, "check": p.check, "python": p.python,
        "full_use": {"bytes": p.full, "fits": p.full <= has, "pools": p.most}} for p in found}
    return {"vmcore": vmcore.__version__, "scenario": scenario.to_builtins(chosen), "host_bytes": has,
            "kernels": kernels, "not_run": left_out}


def table(found: list[size.Prediction], has: int) -> str:
    """A row for each pool, a column or two for each kernel: this run, and full use."""
    def joined(pools: dict[str, int]) -> dict[str, int]:
        out = {pool: size for pool, size in pools.items() if pool not in MAPS_OF_MAPS}
        if "swap_word" in out:
            out["swap_word"] += sum(pools.get(pool, 0) for pool in MAPS_OF_MAPS)
        return out

    beside = len(found) <= BESIDE       # full use in columns of its own
    columns = [joined(pools) for p in found for pools in (p.pools, p.most)[:1 + beside]]
    pools = [pool for pool in NAMES if any(pool in column for column in columns)]
    rows = [["host memory", *(text for p in found for text in (p.kernel, "full use")[:1 + beside])]]
    rows += [[NAMES[pool], *(write("bytes", column.get(pool, 0)) for column in columns)] for pool in pools]
    for name, figures in (
            ("check() at the end", [(p.check, p.check) for p in found]),
            ("Python", [(p.python, p.python) for p in found]),
            ("together", [(p.total, p.full) for p in found])):
        rows.append([name, *(write("bytes", n) for both in figures for n in both[:1 + beside])])
    if not beside:
        rows.append(["in full use", *(write("bytes", p.full) for p in found)])
    short = [p.kernel for p in found if p.total > has]
    full = [p.kernel for p in found if p.total <= has < p.full]
    lines = [*grid(rows, terminal()), "", *prose(
        f"the host has {write('bytes', has)}"
        + (f": TOO LITTLE for {', '.join(short)}" if short else ": enough for each run"), terminal())]
    if full:
        lines += prose(f"in full use it would be too little for {', '.join(full)}", terminal())
    return "\n".join(lines)
