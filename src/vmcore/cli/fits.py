"""Say from sizes alone which kernels' own memory fits the low memory of a 3:1 i386 machine.

For a scenario's peak (tasks, VMAs, pages by how many ptes map them, page tables) the table shows what each kernel holds
in low memory, by consumer, and for each size of RAM the sum with its mem_map and image, against 896 MiB less what the
allocator keeps free. Nothing is simulated, so it answers at once for machines of any size. What can be reclaimed (page
cache, and inode and dentry caches beyond the scenario's files) is not in it.

Exit status: 0, whatever fits.
"""

import argparse
import sys

from vmcore import scenario
from vmcore.report.figures import write
from vmcore.report.layout import grid, prose, terminal
from vmcore.scenario import fits
from vmcore.scenario.model import Size

from . import options

FIXED = ("mem_map", "image")        # what RAM and kernel alone decide


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_scenario(parser, seed=False)
    parser.add_argument("--kernels", default="all", metavar="A,B", help="names, or all (the default)")
    parser.add_argument("--ram", default="4G,8G,16G,32G,64G", metavar="A,B",
                        help="sizes of RAM; an i386 scenario becomes i386-pae above 4 GiB (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    chosen = options.load_scenario(args)
    names = options.kernels(args.kernels, chosen.arch, None)
    rams = sizes(args.ram)
    options.check_writable(args.json)
    found = fits.table(chosen, names, rams)
    if args.json != "-":
        print(options.title(chosen))
        print()
        print(table(found, rams))
        for name, reason in options.left_out(args.kernels, chosen.arch, None).items():
            print("\n".join(prose(f"{name}: not asked: {reason}", terminal())))
        sys.stdout.flush()
    return 0 if options.write_json(args.json, document(chosen, found)) else 1


def sizes(text: str) -> list[int]:
    """Sizes of RAM: whole pages, and not beyond what PAE addresses."""
    out = []
    for part in text.split(","):
        try:
            size = Size.parse(part)
        except ValueError as error:
            raise scenario.ScenarioError(f"--ram: {error}") from None
        if not 32 << 20 <= size <= 64 << 30 or size % 4096:
            raise scenario.ScenarioError(f"--ram {part.strip()}: from 32M to 64G, in whole pages"
                                         + ("; without a unit it is bytes" if part.strip().isdigit() else ""))
        out.append(int(size))
    return out


def document(chosen: scenario.Scenario, found: list[fits.Prediction]) -> dict[str, object]:
    """One object: for each kernel and size of RAM the bytes of low memory by consumer, their sum, the limit."""
    kernels: dict[str, list[dict[str, object]]] = {}
    for p in found:
        kernels.setdefault(p.kernel, []).append({
            "ram": p.ram, "arch": p.arch, "low_bytes": p.low, "sum": p.total, "limit": p.limit, "fits": p.fits,
            **({"boots": False, "why": p.why_not} if p.why_not else {"boots": True})})
    return {"scenario": scenario.to_builtins(chosen), "kernels": kernels}


def table(found: list[fits.Prediction], rams: list[int]) -> str:
    """A row for each kernel: consumers, and the sums by size of RAM."""
    kernels = list(dict.fromkeys(p.kernel for p in found))
    cells = {(p.kernel, p.ram): p for p in found}
    # where mem_map does not even boot, no other consumer was computed
    booted = {name: next((p for p in found if p.kernel == name and not p.why_not), None) for name in kernels}
    shown = [c for c in fits.CONSUMERS if c not in FIXED and any(p and p.low[c] for p in booted.values())]
    rows = [["low memory", *(c.replace("_", " ") for c in shown), "together",
             *(f"with {Size(ram)}".replace("iB", "").replace(" G", "G").replace(" M", "M") for ram in rams)]]
    for name in kernels:
        first = booted[name]
        row = [name, *(write("bytes", first.low[c]) if first else "-" for c in shown),
               write("bytes", sum(first.low[c] for c in shown)) if first else "-"]
        for ram in rams:
            p = cells[name, ram]
            row.append("no boot" if p.why_not else f"{write('bytes', p.total)} {'fits' if p.fits else 'NO'}")
        rows.append(row)
    limits = sorted({p.limit for p in found if not p.why_not})
    about = " to ".join(dict.fromkeys(write("bytes", limit) for limit in (limits[0], limits[-1]))) if limits else "0"
    said = (f"the limit: {about}, low memory less the allocator's reserve; each sum has mem_map and 4 MiB of kernel "
            "image in it")
    return "\n".join([*grid(rows, terminal()), "", *prose(said, terminal())])
