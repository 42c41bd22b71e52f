"""What the fields of a kernel_rules record may be, and who decides them. Kernel asks before it hands a record to the
engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["DECIDED", "OBJECT", "RANGES", "RULES_OF_V2_4", "check_layout", "check_ranges"]

# what the architecture and the designs decide: a kernel's data cannot set it
DECIDED: Mapping[str, str] = {
    "word_size": "arch",
    "pt_shift": "arch",
    "pgd_slab": "arch",
    "nr_zones": "arch",
    "swap_offset_bits": "arch",
    "pte_file_bits": "arch",
    "struct_page_size": "page_bytes",
    "vma_size": "vma_bytes",
    "anonmm_size": "rmap",
    "rmap_nodes": "rmap",
    "page_anon": "rmap",
    "vma_anon_vma": "rmap",
    "anon_pgoff": "rmap",
    "pte_addr_size": "arch and highpte",
    "highpte": "the tunable highpte",
    "l1_line": "the tunable l1_line",
}
_VM_FLAGS = (0, (1 << 32) - 1)
OBJECT = 65536  # bytes of the largest object that a slab cache takes
# (least, most) of every rule that is more than a flag
RANGES: Mapping[str, tuple[int, int]] = {
    "merge_mprotect": (0, 2),
    "merge_mremap": (0, 2),
    "mremap_map_slack": (0, 65536),
    "merge_special": _VM_FLAGS,
    "merge_ignored": _VM_FLAGS,
    "walk_locked_stops": (0, 2),
    "avc_reuse": (0, 2),
    "rmap_nodes": (0, 2),
    "struct_page_size": (4, 4096),
    "vma_size": (4, OBJECT),
    "anon_vma_size": (0, OBJECT),
    "anonmm_size": (0, OBJECT),
    "avc_size": (0, OBJECT),
    "mm_size": (4, OBJECT),
    "task_size_bytes": (4, OBJECT),
    "l1_line": (16, 128),
    "pte_addr_size": (4, 8),
    "levels": (2, 5),
    "pt_shift": (9, 10),
    "swap_offset_bits": (1, 27),
    "max_map_count": (1, (1 << 31) - 1),
    "min_free_min": (1, 1 << 30),  # KiB
    "min_free_max": (1, 1 << 30),
    "nr_zones": (2, 3),
    "word_size": (4, 8),
    "nonlinear_unmap": (0, 2),
    "pte_file_bits": (0, 52),
    "vma_anon_vma": (0, 2),
    "zap_accessed": (0, 2),
    "stack_room": (0, 1 << 16),
    "mlock_right": (0, 2),
    "mlock_share": (0, 100),  # percent
    "memlock_pages": (0, (1 << 32) - 1),
    "task_size": (1 << 20, 1 << 57),  # bytes; whole pages, and what the page tables cover: see check_layout
    "unmapped_base": (4096, 1 << 57),
    "stack_top": (4096, 1 << 57),
    "page_offset": (0, (1 << 64) - 1),
    "lowmem_pages": (4097, (1 << 32) - 1),  # beyond ZONE_DMA
}
_FLAG = (0, 1)
# rules of 2.4's lists and allocator; without them v2_4 has nothing to work on, v2_6 has no use for them
RULES_OF_V2_4 = ("global_lru", "lru_direct", "anon_inactive", "no_pcp", "classzone", "io_locks")


def check_ranges(name: str, rules: Mapping[str, Any]) -> None:
    """ValueError unless every rule is an integer in its range. name: the kernel's."""
    for rule, value in rules.items():
        least, most = RANGES.get(rule, _FLAG)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"kernel {name}: rule {rule} must be an integer in {least}..{most}, not {value!r}")
        if not least <= value <= most:
            raise ValueError(f"kernel {name}: rule {rule} must be in {least}..{most}, not {value}")


def check_layout(name: str, arch: str, rules: Mapping[str, int]) -> None:
    """ValueError unless the address space is whole pages that page tables of this shape cover."""
    top = 12 + rules["levels"] * rules["pt_shift"]
    # i386-pae: four entries are all that the pgd has
    most = min(1 << top, 1 << 32) if rules["word_size"] == 4 else 1 << top
    for rule, limit in (("task_size", most), ("unmapped_base", rules["task_size"]), ("stack_top", rules["task_size"])):
        if rules[rule] % 4096 or rules[rule] > limit:
            raise ValueError(
                f"kernel {name} on {arch}: rule {rule} must be a multiple of 4096 of at most {limit:#x},"
                f" not {rules[rule]:#x}"
            )
    if rules["min_free_min"] > rules["min_free_max"]:
        raise ValueError(
            f"kernel {name}: rule min_free_min must be at most min_free_max, {rules['min_free_max']},"
            f" not {rules['min_free_min']}"
        )
