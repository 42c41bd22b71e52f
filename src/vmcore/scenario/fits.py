"""Which kernels' own memory fits the low memory of a 3:1 i386 machine: fact sheet linux-2004 1.3, 1.5, 2.2.

From sizes alone: the scenario's plan gives counts (tasks, VMAs, pages by how many ptes map them, page tables), a
machine that has only booted gives the kernel's mem_map, its caches' geometry and its watermarks; their product is
compared with 896 MiB less what the allocator keeps free.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import vmcore

from .model import Scenario, ScenarioError
from .plan import Load
from .runner import Refused

PAGE = 4096
RADIX_SHIFT = 6             # slots of a radix_tree_node: 64
STACK_PAGES = 2
ANON_ONLY = 2               # of the rule rmap_nodes: file pages have no chains
CONSUMERS = ("mem_map", "image", "page_tables", "upper_tables", "pte_chain", "vma", "anon_vma", "anon_vma_chain",
             "anonmm", "mm", "stack", "slab_other")


class Prediction(NamedTuple):
    """One kernel on one size of RAM."""

    kernel: str
    ram: int
    arch: str
    low: dict[str, int]         # bytes of low memory, by consumer
    limit: int                  # low memory less what the allocator keeps
    why_not: str = ""           # it does not even boot

    @property
    def total(self) -> int:
        return sum(self.low.values())

    @property
    def fits(self) -> bool:
        return not self.why_not and self.total <= self.limit


def predict(scenario: Scenario, kernel: str, ram: int | None = None) -> Prediction:
    """What the kernel would hold of low memory at the scenario's peak."""
    ram = int(scenario.ram) if ram is None else ram
    preset = vmcore.KERNELS[kernel]
    arch = scenario.arch
    if arch == "i386" and ram > 4 << 30:
        arch = "i386-pae"       # as one would have configured it
    try:
        machine = vmcore.Machine(ram=ram, kernel=preset, arch=arch, **scenario.tunables)
    except ValueError as error:
        if "mem_map" not in str(error):
            raise Refused.by(error, scenario) from None
        rules = preset.rules(arch, **options(scenario))
        low = dict.fromkeys(CONSUMERS, 0) | {"mem_map": ram // PAGE * rules["struct_page_size"]}
        return Prediction(kernel, ram, arch, low, 0, str(error))
    zones = [zone for zone in machine.zones() if zone["name"] != "HighMem"]
    limit = sum(zone["present"] - zone["high"] for zone in zones) * PAGE
    ledger = machine.ledger()
    caches = {name: (per_slab, pages) for name, _, _, _, _, per_slab, pages, _ in machine._engine.caches()}
    rules = preset.rules(arch, **options(scenario))
    low = dict.fromkeys(CONSUMERS, 0)
    for load in scenario.plan(rules).loads():
        for consumer, value in held(load, rules, caches, ram // PAGE).items():
            low[consumer] = max(low[consumer], value)
    if rules["highpte"]:
        low["page_tables"] = 0
    low["mem_map"], low["image"] = ledger["mem_map"]["bytes"], ledger["image"]["bytes"]
    return Prediction(kernel, ram, arch, low, limit)


def options(scenario: Scenario) -> dict[str, Any]:
    """Choices of the kernel's configuration among its tunables."""
    return {key: scenario.tunables[key] for key in ("highpte", "l1_line") if key in scenario.tunables}


def held(load: Load, rules: dict[str, int], caches: dict[str, tuple[int, int]], ram_pages: int) -> dict[str, int]:
    """Bytes by consumer for one load, whatever zone they lie in."""
    def slabs(*objects: tuple[str, int]) -> int:
        return sum(-(-n // caches[name][0]) * caches[name][1] for name, n in objects if n) * PAGE

    tasks = load.tasks
    # an anon_vma of 2.6.5-aa1 and 2.6.7 belongs to the first VMA and all its copies; with chains every copy has its
    # own, and one link to each of those it descends from
    chains = rules["avc_size"] > 0
    links = sum(n * (depth + 1) for depth, n in load.anon_vmas.items())
    anon_vmas = (load.anon_vmas.total() if chains else load.origins) if rules["anon_vma_size"] else 0
    files = len(load.cached)
    nodes = 0 if rules["page_hash"] else sum(map(radix_nodes, load.cached))     # 2.4 hashes pages: a table of its own
    top = slabs(("pgd", tasks)) if rules["pgd_slab"] else tasks * PAGE
    return {
        "page_tables": load.leaf_tables * PAGE,
        "upper_tables": load.upper_tables * PAGE + top,
        "pte_chain": slabs(("pte_chain", chain_nodes(load, rules, ram_pages))) if rules["rmap_nodes"] else 0,
        "vma": slabs(("vm_area_struct", load.vmas)),
        "anon_vma": slabs(("anon_vma", anon_vmas)),
        "anon_vma_chain": slabs(("anon_vma_chain", links)) if chains else 0,
        "anonmm": slabs(("anonmm", tasks)) if rules["anonmm_size"] else 0,
        "mm": slabs(("mm_struct", tasks)),
        "stack": tasks * STACK_PAGES * PAGE,
        "slab_other": slabs(("task_struct", tasks), ("task_files_signals", tasks), ("inode_cache", files),
                            ("filp", files), ("dentry_cache", files),
                            ("radix_tree_node", nodes)),
    }


def radix_nodes(pages: int) -> int:
    """Nodes of the tree of a file with so many pages cached, from the first one on."""
    nodes = 0
    while pages > 0:
        pages = (pages + 63) >> RADIX_SHIFT
        nodes += pages
        if pages == 1:
            break
    return nodes


def chain_nodes(load: Load, rules: dict[str, int], ram_pages: int) -> int:
    """Nodes of as many pages as there are in RAM, those with the most ptes first (2.2: appended, so full)."""
    slots = (rules["l1_line"] - rules["word_size"]) // rules["pte_addr_size"]
    nodes, room = 0, ram_pages
    mapped = load.anon_mapped if rules["rmap_nodes"] == ANON_ONLY else load.anon_mapped + load.file_mapped
    for mappers, pages in sorted(mapped.items(), reverse=True):
        taken = min(pages, room)
        room -= taken
        if mappers > 1:
            nodes += taken * -(-mappers // slots)
    return nodes


def table(scenario: Scenario, kernels: Iterable[str], rams: Iterable[int]) -> list[Prediction]:
    """Every kernel on every size of RAM; ScenarioError for a machine that has no low memory to run out of."""
    if scenario.arch == "x86_64":
        raise ScenarioError(f"{scenario.name}: all memory of x86_64 is low memory; ask with --set arch=i386-pae")
    kernels, rams = list(kernels), list(rams)
    return [predict(scenario, kernel, ram) for kernel in kernels for ram in rams]
