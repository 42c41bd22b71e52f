"""What a run of a scenario will take of the host's memory, before it takes it.

From sizes alone: the scenario's plan gives counts after each step (tasks, VMAs, pages by how many ptes map them, page
tables), ``vmcore.footprint`` the bytes of the records that stand for them. A pool keeps what it once had, so of each
the highest count is taken. Where the simulated machine has no room for all that the plan asks for, its kernel refuses
or kills, and the counts end where its memory does.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import vmcore
from vmcore import footprint
from vmcore.designs import REMAP_MAKES_VMAS
from vmcore.machine import swap_areas

from .fits import chain_nodes, held, options, radix_nodes
from .model import PAGE_SIZE, Scenario
from .plan import PAGE_ENTRIES, Load
from .runner import Refused

# What `vmcore run` loads and makes beside the engine's data: modules, the engine's code, results; measured, by the
# kernel's system calls. `vmcore size` measures it where it is asked (cli/size.py).
PYTHON = {"v2_6": 6_350_000, "v6": 6_850_000}
TABLE_PAGES = "table_pages"         # among the counts of pools
LOOSE = 1.25                # slots of LRU lists to frames on them, under reclaim (measured: 1.2 to 1.3)
SWAP_NODES = 0.5            # share of the swap areas' 64 slots that had a page in the swap cache at once (0.4 to 0.6)
CHECK_FRAME, CHECK_SLOT = 4, 2      # bytes that check() takes for each frame and slot, at the end of a run


class Prediction(NamedTuple):
    """One kernel."""

    kernel: str
    pools: dict[str, int]       # bytes of the host's memory, by pool
    python: int                 # and what is no pool
    check: int
    most: dict[str, int]        # by pool, if all frames and swap slots are in use

    @property
    def total(self) -> int:
        return sum(self.pools.values()) + self.python + self.check

    @property
    def full(self) -> int:
        return sum(self.most.values()) + self.python + self.check


def predict(scenario: Scenario, kernel: str, python: int | None = None) -> Prediction:
    """The peak of the resident memory of a process that runs it (``vmcore run``), less what importing vmcore.Machine
    takes. ``python``: of that, what is neither pool nor check(), if it is known better than PYTHON has it."""
    preset = vmcore.KERNELS[kernel]
    ram = int(scenario.ram)
    frames = ram // PAGE_SIZE
    try:
        rules = preset.rules(scenario.arch, **options(scenario))
        areas = [pages for pages, _ in swap_areas([(int(area.size), area.priority) for area in scenario.swap],
                                                  (1 << rules["swap_offset_bits"]) - 1)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)     # a machine larger than the host is what is asked about
            machine = vmcore.Machine(ram=ram, kernel=preset, arch=scenario.arch, **scenario.tunables)
    except (ValueError, TypeError, OverflowError) as error:
        raise Refused.by(error, scenario) from error
    box = Box(machine, frames, sum(areas))
    remap = {"remap_makes_vmas": int(preset.calls in REMAP_MAKES_VMAS)}
    counts = peak(scenario.plan(rules | remap).loads(), rules, box)
    idle = {"pte": max((counts["pte"] << rules["pt_shift"] - PAGE_ENTRIES) - counts.pop(TABLE_PAGES), 0)}
    swap = footprint.swap_records(areas)
    counts |= swap
    counts["radix"] += round(SWAP_NODES * min(-(-box.swapped // 64), swap["swap_word"]))
    huge = footprint.huge_pages()
    full = footprint.full_use(frames, areas, rules)
    most = {pool: max(counts.get(pool, 0), full.get(pool, 0)) for pool in (counts | full)}
    return Prediction(
        kernel, footprint.host_bytes(counts, frames, rules, huge=huge, idle=idle),
        PYTHON[preset.calls] if python is None else python,
        CHECK_FRAME * counts["frame"] + CHECK_SLOT * swap["swap_slot"],
        footprint.host_bytes(most, frames, rules, huge=huge))


class Box:
    """The simulated machine: how many frames it has for what."""

    def __init__(self, machine: Any, frames: int, slots: int) -> None:
        ledger = machine.ledger()
        low = [zone for zone in machine.zones() if zone["name"] != "HighMem"]
        fixed = (ledger["mem_map"]["bytes"] + ledger["image"]["bytes"]) // PAGE_SIZE
        self.frames = frames
        self.room = frames - fixed
        self.kept = sum(zone["min"] for zone in machine.zones())    # which the allocator gives to nobody but reclaim
        self.low = sum(zone["present"] - zone["high"] for zone in low) - fixed
        self.slots = slots
        self.caches = {name: (per_slab, pages) for name, _, _, _, _, per_slab, pages, _ in machine._engine.caches()}
        self.tight = False          # reclaim had to act
        self.swapped = 0            # anonymous pages for which there was no room


def peak(loads: Iterable[Load], rules: Mapping[str, int], box: Box) -> dict[str, int]:
    """The most records of each pool over the loads, up to where the kernel's own memory ends."""
    most: dict[str, int] = {}
    before: dict[str, int] = {}
    own_before = 0
    for load in loads:
        own_bytes = held(load, dict(rules), box.caches, box.frames)
        own = sum(own_bytes.values()) // PAGE_SIZE
        high = own_bytes["page_tables"] // PAGE_SIZE if rules["highpte"] else 0
        anon, cached = sum(load.anon_mapped.values()), sum(load.cached)
        room = box.room - box.kept - max(anon - box.slots, 0)       # what cannot be swapped stays
        now = records_of(load, rules, box, own)
        over = own > room or own - high > box.low
        if over:
            limit = min(room, box.low + high)
            share = max(limit - own_before, 0) / max(own - own_before, 1)
            now = {pool: round(before.get(pool, 0) + share * (count - before.get(pool, 0)))
                   for pool, count in now.items()}
        box.tight |= over or own + anon + cached > box.room
        box.swapped = max(box.swapped, own + anon - box.room)
        for pool, count in now.items():
            most[pool] = max(most.get(pool, 0), count)
        if over:
            break
        before, own_before = now, own
    if box.tight:
        most["frame"] = most["mapcount"] = box.room
        most["lru_chunk"] = round(LOOSE * most["lru_chunk"])
    return most


def records_of(load: Load, rules: Mapping[str, int], box: Box, own: int) -> dict[str, int]:
    """Records of each pool for one load; ``own``: frames that the kernel itself holds then."""
    anon, cached = sum(load.anon_mapped.values()), sum(load.cached)
    pages = min(anon + cached, box.room)
    tables = load.leaf_tables + load.upper_tables + load.tasks
    chains = chain_nodes(load, dict(rules), max(box.room - own, 0)) if rules["rmap_nodes"] else 0
    links = rules["avc_size"] > 0
    objects = {
        "vma": load.vmas,
        "mm": load.tasks,
        "task": load.tasks,
        "file": len(load.cached),
        "anon_vma": (load.anon_vmas.total() if links else load.origins) if rules["anon_vma_size"] else 0,
        "avc": sum(n * (depth + 1) for depth, n in load.anon_vmas.items()) if links else 0,
        "anonmm": load.tasks if rules["anonmm_size"] else 0,
        "pte_chain": chains,
        "radix": sum(map(radix_nodes, load.cached)),
    }
    slabs = {"vma": "vm_area_struct", "mm": "mm_struct", "anon_vma": "anon_vma", "avc": "anon_vma_chain",
             "anonmm": "anonmm", "pte_chain": "pte_chain"}
    return {
        "frame": min(pages + own, box.room),
        "mapcount": min(pages, box.room),
        "pte": tables,
        TABLE_PAGES: load.table_pages,
        "table": tables,
        "lru_chunk": 4 + pages // footprint.LRU_SLOTS,
        "slab": sum(-(-objects[pool] // box.caches[name][0]) for pool, name in slabs.items() if objects[pool]),
        **objects,
    }
