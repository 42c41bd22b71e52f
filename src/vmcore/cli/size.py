"""Say what a run will take of the host's memory, before it takes it.

From sizes alone: for each kernel the bytes of the engine's records at the scenario's peak, pool by pool, and in sum the
peak of resident memory that a run adds to a process that has imported vmcore, within 10 %. "full use" is what the same
machine takes at most if every frame and swap slot holds a page that two page tables name, and contents are written
(Task.write). Nothing is simulated, so it answers at once for machines of any size.

Exit status: 0, whether or not the host has so much.
"""

import argparse
import sys

from vmcore import scenario
from vmcore.report.figures import write
from vmcore.report.layout import grid, prose, terminal
from vmcore.scenario import size

from . import options

NAMES = {
    "frame": "page frames", "mapcount": "their mapcounts", "pte": "page tables", "table": "their records",
    "vma": "VMAs", "mm": "mms", "task": "tasks", "file": "files", "anon_vma": "anon_vmas", "avc": "links of anon_vmas",
    "anonmm": "anonmms", "pte_chain": "chain nodes", "lru_chunk": "LRU chunks", "radix": "radix nodes",
    "swap_slot": "swap slots", "swap_word": "their bitmaps", "slab": "slabs", "page_token": "contents of pages",
    "slot_token": "contents of slots",
}
BESIDE = 2                              # kernels whose full use has columns of its own
SMALL = ("swap_any", "swap_full")       # maps of maps: a page each; shown with the bitmaps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_scenario(parser, seed=False)
    parser.add_argument("--kernels", default="2.6.5,2.6.5-aa1", metavar="A,B",
                        help="names, or all: every kernel that is made for the scenario's arch (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    from vmcore._fast.engine import host_bytes

    chosen = options.load_scenario(args)
    names = options.kernels(args.kernels, chosen.arch)
    options.check_writable(args.json)
    found = [size.predict(chosen, name) for name in names]
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
        out = {pool: size for pool, size in pools.items() if pool not in SMALL}
        if "swap_word" in out:
            out["swap_word"] += sum(pools.get(pool, 0) for pool in SMALL)
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
