"""The presets: which designs each kernel used, and its rules as data.

A Kernel names one design of each kind (reverse map, index over a file's mappings, reclaim, merging of VMAs, system
calls), all of which are in designs.py. rules() adds up what kernel, architecture and designs say into the kernel_rules
record that the engine reads. Sources: sections of the fact sheet linux-2004; [M] marks what it has from memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from vmcore._fast import records
from vmcore.designs import ARCHS, CALLS, I_MMAP, MERGE, RECLAIM, RMAP, Arch, Index, brought_along
from vmcore.rules import DECIDED, OBJECT, RULES_OF_V2_4, check_layout, check_ranges
from vmcore.words import hint

__all__ = [
    "ARCHS",
    "CALLS",
    "I_MMAP",
    "KERNELS",
    "MERGE",
    "RECLAIM",
    "RMAP",
    "Arch",
    "Index",
    "Kernel",
    "brought_along",
    "get",
]


@dataclass(frozen=True)
class Kernel:
    """One kernel: its designs and rules. replace() mixes; a pair that cannot work is a ValueError that names both."""

    name: str
    year: int
    source: str  # where its behaviour was read, in the tags of the fact sheet
    rmap: str  # how the ptes of a page are found: RMAP
    i_mmap: str  # index over the VMAs of a file: I_MMAP
    reclaim: str  # RECLAIM
    merge: str  # which neighbouring VMAs become one: MERGE
    archs: tuple[str, ...] = ("i386", "i386-pae", "x86_64")
    page_bytes: Mapping[int, int] = field(default_factory=dict, hash=False)  # struct page by word size, less rmap (1.1)
    vma_bytes: Mapping[int, int] = field(
        default_factory=dict, hash=False
    )  # vm_area_struct by word size, less rmap, with lists as its index (1.6)
    data: Mapping[str, int] = field(default_factory=dict, hash=False)  # the other rules
    calls: str = "v2_6"  # the system calls on an address space: CALLS
    stands_for: str = ""  # the reclaim policy that this kernel had, where `reclaim` stands in for it

    def __post_init__(self) -> None:
        designs = {"rmap": RMAP, "i_mmap": I_MMAP, "reclaim": RECLAIM, "merge": MERGE, "calls": CALLS}
        for kind, known in designs.items():
            value = getattr(self, kind)
            if value not in known:
                raise ValueError(
                    f"kernel {self.name}: {kind}={value!r} is unknown; known are {', '.join(sorted(known))}"
                )
        unknown = [a for a in self.archs if a not in ARCHS]
        if unknown:
            raise ValueError(f"kernel {self.name}: arch {unknown[0]!r} is unknown; known are {', '.join(ARCHS)}")
        if not self.archs:
            raise ValueError(f"kernel {self.name}: archs must not be empty; known are {', '.join(ARCHS)}")
        strange = [r for r in self.data if r not in records.RULES]
        if strange:
            raise ValueError(f"kernel {self.name}: rule {strange[0]!r} is unknown")
        for rule in self.data:
            if rule in DECIDED:
                raise ValueError(
                    f"kernel {self.name}: rule {rule} is decided by {DECIDED[rule]}; data cannot set it"
                )
        check_ranges(self.name, self.data)
        if "max_map_count" not in self.data:
            raise ValueError(f"kernel {self.name}: data must have max_map_count")
        words = {ARCHS[arch].word for arch in self.archs}
        for kind, most in (("page_bytes", 4000), ("vma_bytes", OBJECT // 2)):
            sizes = getattr(self, kind)
            for word in sorted(words):
                if word not in sizes:
                    raise ValueError(
                        f"kernel {self.name}: {kind} must have the bytes for words of {word} bytes,"
                        f" {dict(sizes)!r} has not"
                    )
            for word, size in sizes.items():
                if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 4 <= size <= most:
                    raise ValueError(f"kernel {self.name}: {kind}[{word!r}] must be in 4..{most}, not {size!r}")
        if RECLAIM[self.reclaim] and not RMAP[self.rmap].finds_pages:
            raise ValueError(
                f"kernel {self.name}: reclaim={self.reclaim!r} asks the reverse map for the ptes of a page,"
                f" rmap={self.rmap!r} cannot tell"
            )
        for rule in RULES_OF_V2_4:
            if bool(self.data.get(rule)) != (self.reclaim == "v2_4"):
                raise ValueError(
                    f"kernel {self.name}: reclaim={self.reclaim!r} cannot work with {rule}={self.data.get(rule, 0)}:"
                    f" {', '.join(RULES_OF_V2_4)} belong to v2_4, all of them"
                )
        if self.data.get("fork_skips_unfaulted") and not RMAP[self.rmap].rules.get("vma_anon_vma"):
            raise ValueError(
                f"kernel {self.name}: fork_skips_unfaulted needs VMAs that say whether they have anonymous pages,"
                f" rmap={self.rmap!r} has none"
            )
        for name in ("page_bytes", "vma_bytes", "data"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def replace(self, **changes: Any) -> Kernel:
        """This kernel with other designs or rules; its name becomes `NAME+CHANGES` unless given."""
        fields = list(self.__dataclass_fields__)
        for name in changes:
            if name not in fields:
                raise TypeError(f"a Kernel has no {name!r}; it has {', '.join(fields)}")
        if "name" not in changes:
            changed = [f"{k}={v}" for k, v in changes.items() if isinstance(v, str) and v != getattr(self, k)]
            changes["name"] = "+".join([self.name, *changed])
        return replace(self, **changes)

    def no_arch(self, arch: str) -> str:
        """Why it does not run on an architecture that is none of its ``archs``, in words."""
        return f"has no arch {arch!r}, only {', '.join(self.archs)}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Kernel.of_fields, (self.fields(),)

    def fields(self) -> dict[str, Any]:
        """All of it as plain data, for a saved machine."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: list(v.items()) if isinstance(v, Mapping) else v for name, v in values.items()}

    @classmethod
    def of_fields(cls, fields: Any) -> Kernel:
        """The kernel of fields(), checked like any other; ValueError if it is none."""
        try:
            values = dict(fields)
            for name in ("page_bytes", "vma_bytes", "data"):
                values[name] = dict(values[name])
            return cls(**values | {"archs": tuple(values["archs"])})
        except (TypeError, KeyError) as e:
            raise ValueError(f"not the fields of a kernel: {e}") from None

    @property
    def designs(self) -> tuple[str, str, str, str]:
        """(rmap, i_mmap, reclaim, calls): what the engine is made with."""
        return self.rmap, self.i_mmap, self.reclaim, self.calls

    def rules(self, arch: str, *, highpte: bool = False, l1_line: int | None = None) -> dict[str, int]:
        """Every rule by its name in kernel_rules (records.pxd), for one architecture."""
        if arch not in self.archs:
            raise ValueError(f"kernel {self.name} has no arch {arch!r}; it has {', '.join(self.archs)}")
        machine = ARCHS[arch]
        design = RMAP[self.rmap]
        index = I_MMAP[self.i_mmap]
        if highpte and machine.word != 4:
            raise ValueError(f"highpte is for i386 and i386-pae, not for {arch}")
        line = machine.l1_lines[0] if l1_line is None else l1_line
        if line not in machine.l1_lines:
            raise ValueError(
                f"l1_line must be one of {', '.join(map(str, sorted(machine.l1_lines)))} on {arch}, not {l1_line!r}"
            )
        pte_addr = 8 if machine.word == 8 or (highpte and arch == "i386-pae") else 4  # pte_addr_t (1.1, 2.2)
        own = pte_addr if design.page_bytes is None else design.page_bytes
        page = self.page_bytes[machine.word] + own
        out = dict.fromkeys(records.RULES, 0)
        out.update(machine.rules)
        out.update(self.data)
        for rules in (MERGE[self.merge], design.rules):
            for name, value in rules.items():
                out[name] = max(out[name], value)  # the design's veto: it can forbid a merge, never allow one
        out.update(
            struct_page_size=-(-page // machine.word) * machine.word,
            vma_size=self.vma_bytes[machine.word] + (design.vma_words + index.vma_words) * machine.word,
            anon_vma_size=design.object_words * machine.word,
            mm_size=out["mm_size"] + design.mm_words * machine.word,
            **{name: size[machine.word] for name, size in design.sizes.items()},
            pte_addr_size=pte_addr,
            highpte=int(highpte),
            l1_line=line,
        )
        out.update((name, size) for name, size in self.data.items() if name in ("anon_vma_size", "avc_size"))
        check_ranges(self.name, out)
        check_layout(self.name, arch, out)
        return out

    def record(self, arch: str, *, highpte: bool = False, l1_line: int | None = None) -> bytes:
        """The packed kernel_rules record."""
        out = np.zeros((), records.kernel_rules)
        for name, value in self.rules(arch, highpte=highpte, l1_line=l1_line).items():
            out[name] = value
        return out.tobytes()


# ---------------------------------------------------------------- presets

_RULES_2004 = {  # what 2.4 and 2.6 have in common
    "max_map_count": 65536,  # sysctl default (6.4, 12.3)
    "min_free_min": 128,  # clamp of min_free_kbytes (7.6)
    "min_free_max": 16384,
    "data_exec": 1,  # VM_DATA_DEFAULT_FLAGS, VM_STACK_DEFAULT_FLAGS (6.2, 6.11)
    "fork_def_flags": 1,  # 6.8 [M]
    "maps_anon_offset": 1,  # proc_pid_maps has no test for a file (9.3 [M])
}
_RULES_2_6_5 = _RULES_2004 | {
    "populate_prot": 1,  # 4.8
    "swapin_drain": 1,          # ours, see fault.pyx: a task that slept for a swap read finds the pagevecs drained
}
# mlock for users, as rules to add to a kernel's data: by the patch of RHEL3 that the thread quotes, and by 2.6.9 (6.8).
# No preset has them.
MLOCK_RHEL3: Mapping[str, int] = {"mlock_right": 1, "mlock_share": 90, "memlock_pages": 1}
MLOCK_2_6_9: Mapping[str, int] = {"mlock_right": 2, "memlock_pages": 8}
# What 2.6.7 does otherwise than 2.6.5 beside its designs; a preset adds it to _RULES_2_6_5. Not here, because nothing
# could see it in this engine: the copied page that goes to the LRU before or after its pte is set (4.4; nothing runs
# in between), a write that is over when writepage returns (7.4; our devices end none before the next switch point),
# the place of the may_fs test (7.4; all who may wait here have __GFP_FS), pdflush woken for fewer pages (7.5; there is
# none), the zero page's count (4.3; its frame is reserved for good).
RULES_2_6_7: dict[str, int] = {
    "swapin_cow": 1,  # 4.6
    "gup_test": 1,  # 2.5
    "unmap_young_fails": 1,  # 2.5
    "walk_counts_down": 1,  # both walks stop when a copy of mapcount is 0 (2.3, 2.5)
    "walk_skips_empty": 1,  # mms with rss 0 (2.3, 2.5)
    "walk_locked_stops": 1,  # VM_LOCKED and VM_MAYSHARE counts 1 and stops (2.3)
    "anon_vma_adopt": 1,  # find_mergeable_anon_vma (2.5)
    "nonlinear_list": 1,  # 3.3
    "nonlinear_unmap": 2,  # 2.7: the cluster scan
    "remap_cursor_einval": 1,  # 2.7
    "populate_prot": 0,  # 4.8
    "merge_mremap": 2,  # 6.2: copy_vma
    "mremap_link_first": 1,  # 6.7
    "mremap_map_slack": 3,  # 6.7: since 2.6.6
    "scan_by_priority": 1,  # 7.3
    "scanned_late": 1,  # 7.4
    "progress_each": 1,  # 7.5
    "prev_priority_now": 1,  # 7.5
    "kswapd_to_zero": 1,  # 7.5
    "zone_protection": 1,  # 7.6
    "zap_accessed": 1,  # 6.9
    "gup_zero": 1,  # 4.9
    "stack_prepares": 1,  # 4.1
}
_PAGE_2_6_7 = {4: 28, 8: 48}  # 1.1: 32 and 56 with the mapcount
_VMA_2_6_7 = {4: 64, 8: 128}  # 1.6: 84 and 168 with anon_vma, its list node and a prio_tree node
# 47 bits of user space, four levels (since 2.6.10 [M]); mmap still goes upwards here
LAYOUT_X86_64: dict[str, int] = {
    "levels": 4,
    "task_size": 0x7FFFFFFFF000,
    "unmapped_base": 0x2AAAAAAAA000,
    "stack_top": 0x7FFFFFFFF000,
    "page_offset": 0xFFFF880000000000,
}
# Sections from here on are of linux-modern. The reverse map and what belongs to it; reuse at write faults, reclaim, the
# search for addresses and remap_file_pages (which makes VMAs of its own since 4.0 [M]) are those of 2.6.7 still.
_RULES_2_6_34 = (
    _RULES_2_6_5
    | RULES_2_6_7
    | LAYOUT_X86_64
    | {
        "gup_test": 0,  # gone by then [M]
        "walk_skips_empty": 0,  # gone by then [M]
        "walk_locked_stops": 2,  # 1.8
        "remap_cursor_einval": 0,  # since July 2004 (linux-2004 2.7)
        "fork_skips_unfaulted": 1,  # 6.6; since 2.6.15 [M]
        "avc_size": 48,  # 1.1 [M]
    }
)
_RULES_6_18 = _RULES_2_6_34 | {
    "unmap_young_fails": 0,  # 1.8
    "avc_tree": 1,  # 1.1
    "avc_reuse": 2,  # 1.6
    "avc_root_lock": 1,  # 1.8, 1.15
    "avc_claim_swapin": 1,  # 6.5: a page that is exclusive at swap-in
    "anon_exclusive": 1,  # 6.4
    "fault_around": 1,  # 6.3
    "readahead": 1,  # asked of 6.18.44
    "zap_anon_clean": 1,  # asked of 6.18.44; since 2.6.15 [M]
    "cow_prepares": 1,  # asked of 6.18.44: fork copies the tables of a vma whose write ended in SIGBUS
    "write_notify": 1,  # asked of 6.18.44; since 2.6.19 [M]
    "exec_only": 1,  # asked of 6.18.44 on a CPU with protection keys
    "fork_def_flags": 0,  # asked of 6.18.44
    "data_exec": 0,  # asked of 6.18.44: heap and stack are rw-
    "maps_anon_offset": 0,  # asked of 6.18.44
    "topdown": 1,  # asked of 6.18.44
    "stack_room": 32,  # 128 KiB; asked of 6.18.44
    "overcommit_guess": 1,  # 6.9
    "mlock_right": 1,  # 6.9: since 2.6.9
    "memlock_pages": 2048,  # 6.9: 8 MiB since 5.16
    "unmapped_base": 0x2AAAAAAAB000,  # TASK_SIZE / 3, page aligned up
    "anon_vma_size": 104,  # 1.1
    "avc_size": 64,  # 1.1
    "mm_size": 1600,  # 1.1
    "max_map_count": 65530,  # 6.9
    "page_offset": 0xFFFF888000000000,  # [M]
}
_PAGE_2_6_5 = {4: 36, 8: 64}  # 1.1: 40 and 72 with the union pte or the mapcount
_VMA_2_6_5 = {4: 64, 8: 128}  # 1.6


def _of_2_6_5(name: str, source: str, rmap: str, merge: str, i_mmap: str = "list", **data: int) -> Kernel:
    return Kernel(
        name,
        2004,
        source,
        rmap,
        i_mmap,
        "v2_6",
        merge,
        page_bytes=_PAGE_2_6_5,
        vma_bytes=_VMA_2_6_5,
        data=_RULES_2_6_5 | data,
    )


# 2.4.27 (7.2, 4.3, 4.6, 6.8, 6.9, 6.10, 7.8, 9.2). "no_oom_killer" is 0: 2.4.23 made the killer an option, and the
# engine's users expect the kernel's choice of victim, not the death of whoever faults first.
_RULES_2_4 = _RULES_2004 | {
    "global_lru": 1,
    "lru_direct": 1,
    "anon_inactive": 1,
    "no_pcp": 1,
    "classzone": 1,
    "page_hash": 1,
    "io_locks": 1,
    "oom_rough_sqrt": 1,
    "overcommit_old": 1,
    "mlock_half": 1,
    "vma_hwalign": 1,
    "meminfo_old": 1,
    "zap_accessed": 2,
    "remap_missing": 1,  # 4.8: a call of 2.6
}
_2_4 = Kernel(
    "2.4",
    2004,
    "V24",
    "none",
    "list",
    "v2_4",
    "anon",
    page_bytes={4: 48, 8: 96},  # 1.1
    vma_bytes={4: 68, 8: 136},  # 1.6
    data=_RULES_2_4,
)

_ALL = (
    _2_4,
    _of_2_6_5("2.6.5", "V265", "pte_chain", "flags"),
    # Dave McCracken's core: what it keeps of 2.6.5 for anonymous pages, what -aa took from it for files (2.2, 2.3)
    _of_2_6_5("2.6.5-objrmap", "V265, AAS, SEED", "objrmap_core", "flags"),
    _of_2_6_5("2.6.5-aa1", "AAS, SEED", "anon_vma", "pgoff", reserved_unmap_bug=1),  # 12.1
    # what the thread announces as next (3.2)
    _of_2_6_5("2.6.5-aa-rbtree", "SEED", "anon_vma", "pgoff", "rbtree", reserved_unmap_bug=1),
    # Hugh Dickins's patches; a young pte fails the unmap, as in all of May 2004 (2.4)
    _of_2_6_5("2.6.5-anonmm", "AMM, L:Hugh 2004-03-18", "anonmm", "flags", unmap_young_fails=1),
    _of_2_6_5("2.6.5-anonmm-prio", "AMM", "anonmm", "flags", "prio_tree", unmap_young_fails=1),  # 0.3
    _of_2_6_5("2.6.5-anonmm-noshortcut", "AMM", "anonmm", "flags", unmap_young_fails=1, anonmm_full_walk=1),
    # "the winning answer lies between yours and mine": never built; what it takes from anonmm and 2.6.7 (2.6)
    _of_2_6_5("2.6.5-forktree", "SEED", "fork_tree", "linear", "prio_tree", unmap_young_fails=1),
    Kernel(
        "2.6.7",
        2004,
        "V267",
        "anon_vma",
        "prio_tree",
        "v2_6",
        "adjust",
        page_bytes=_PAGE_2_6_7,
        vma_bytes=_VMA_2_6_7,
        data=_RULES_2_6_5 | RULES_2_6_7,
    ),
    Kernel(
        "2.6.34",
        2010,
        "linux-modern 1.1 to 1.6 [M]",
        "anon_vma_chain",
        "prio_tree",
        "v2_6",
        "adjust",
        archs=("x86_64",),
        page_bytes={8: 52},  # 56 [M]
        vma_bytes={8: 136},  # 176 [M]
        data=_RULES_2_6_34,
        stands_for="split_lru",
    ),
    Kernel(
        "6.18",
        2025,
        "linux-modern 1: K616, K70, K71, L",
        "anon_vma_chain",
        "interval_tree",
        "v2_6",
        "today",
        archs=("x86_64",),
        page_bytes={8: 60},  # 64 (1.1)
        vma_bytes={8: 152},  # 192 (1.1)
        data=_RULES_6_18,
        calls="v6",
        stands_for="split_lru",
    ),
)
KERNELS: Mapping[str, Kernel] = MappingProxyType({kernel.name: kernel for kernel in _ALL})


def get(kernel: str | Kernel) -> Kernel:
    """A Kernel by its preset's name, or as it is."""
    if isinstance(kernel, Kernel):
        return kernel
    if not isinstance(kernel, str):
        raise TypeError(f"kernel must be the name of a preset or a Kernel, not {kernel!r}")
    try:
        return KERNELS[kernel]
    except KeyError:
        raise ValueError(f"unknown kernel {kernel!r}{hint(kernel, KERNELS)}; known are {', '.join(KERNELS)}") from None
