"""The presets: which designs each kernel used, and its rules as data.

A Kernel names one design of each kind (reverse map, index over a file's mappings, reclaim, merging of VMAs); adding a
design is its file in _fast and its line in RMAP, I_MMAP or RECLAIM here. rules() adds up what kernel, architecture
and designs say into the kernel_rules record that the engine reads. Sources: sections of the fact sheet linux-2004;
[M] marks what it has from memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from vmcore._fast import records

__all__ = ["ARCHS", "CALLS", "I_MMAP", "KERNELS", "MERGE", "RECLAIM", "RMAP", "Arch", "Index", "Kernel", "get"]


# ---------------------------------------------------------------- designs


@dataclass(frozen=True)
class Rmap:
    """A reverse-mapping design: _fast/rmap/NAME.pyx. What it adds to records, and the rules that it brings along."""

    page_bytes: int | None  # in struct page, beside the common fields; None: one pte_addr_t (1.1)
    vma_words: int  # words in vm_area_struct (1.6)
    object_words: int  # words of its anon_vma, 0 if it has none (1.6)
    rules: Mapping[str, int]
    finds_pages: bool = True  # reclaim can ask it for the ptes of a page
    mm_words: int = 0  # words in mm_struct (1.6)
    sizes: Mapping[str, Mapping[int, int]] = field(default_factory=dict)  # its other objects, by word size


_ANON_VMA = {
    "page_anon": 1,
    "vma_anon_vma": 1,
    "anon_pgoff": 1,
    "merge_anon_pgoff": 1,
    "merge_anon_vma": 1,
    "mremap_link_first": 1,
}
RMAP: Mapping[str, Rmap] = {
    "none": Rmap(0, 0, 0, {}, finds_pages=False),  # 2.1: page count only
    "pte_chain": Rmap(None, 0, 0, {"rmap_nodes": 1}),  # 2.2
    # a chain, a direct pte or a mapcount in one union; PG_anon says which (1.1, 1.2, 5.1)
    "objrmap_core": Rmap(None, 0, 0, {"rmap_nodes": 2, "page_anon": 1}),
    # mapping and linear index of anonymous pages; a merge must keep both findable (2.5, 6.2), and a walk must find the
    # VMA before pages come to it (5.4, 6.7)
    "anon_vma": Rmap(4, 3, 3, _ANON_VMA),
    # one object per mm and a pointer to it, 28 bytes together on i386: count, lock, mm, head, list (1.6, 2.4). mapping
    # and virtual address of anonymous pages, which mremap has to mind; VMAs as they like
    "anonmm": Rmap(
        4, 0, 0, {"page_anon": 1, "mremap_link_first": 1}, mm_words=1, sizes={"anonmm_size": {4: 24, 8: 40}}
    ),
    # one object per fork group: count, lock, root and index_bits; in a VMA the node of a prio_tree, as for files (1.6,
    # 2.6, 3.3). mapping and linear index; an offset must run on, whatever the object
    "fork_tree": Rmap(
        4,
        4,
        0,
        {"page_anon": 1, "vma_anon_vma": 2, "anon_pgoff": 1, "merge_anon_pgoff": 1, "mremap_link_first": 1},
        mm_words=1,
        sizes={"anonmm_size": {4: 16, 8: 24}},
    ),
    # the same, by links of many to many: vma, anon_vma, two lists (linux-modern 1.1)
    "anon_vma_chain": Rmap(4, 3, 3, _ANON_VMA, sizes={"avc_size": {4: 24, 8: 48}}),
}


def brought_along(rmap: str, rules: Mapping[str, int]) -> bool:
    """Whether the rules of a record are such as this reverse map, and no other, brings along."""
    design = RMAP[rmap]
    objects = {"anon_vma_size": design.object_words > 0}
    objects |= {name: name in design.sizes for name in ("anonmm_size", "avc_size")}
    kinds = ("rmap_nodes", "page_anon", "vma_anon_vma")
    return all(rules[name] == design.rules.get(name, 0) for name in kinds) and all(
        (rules[name] > 0) == has for name, has in objects.items()
    )



@dataclass(frozen=True)
class Index:
    """An index over the VMAs of a file: _fast/i_mmap/NAME.pyx."""

    vma_words: int  # in vm_area_struct, beyond the two of a list (1.6)


I_MMAP: Mapping[str, Index] = {
    "list": Index(0),  # 3.1
    "rbtree": Index(2),  # rb_node: 4 words with its colour (1.6, 3.2)
    "prio_tree": Index(2),  # the union of prio node and vm_set: 4 words (1.6, 3.3)
    "interval_tree": Index(2),  # rb_node, 3 words by then, and the greatest last of its subtree (linux-modern 2.1)
}
# _fast/reclaim/NAME.pyx; True: it needs an rmap that finds pages. v2_4 walks page tables, whatever the rmap could tell
RECLAIM: Mapping[str, bool] = {"v2_4": False, "v2_6": True}
CALLS: Mapping[str, str] = {  # _fast/calls/NAME.pyx
    "v2_6": "the system calls of 2004, with the order of checks of 2.6.5",
    "v6": "those of 6.18, as the running kernel answers",
}
# who asks for VM_IO, DONTCOPY, DONTEXPAND or RESERVED is never merged (6.2)
_SPECIAL = {"merge_special": records.VM_IO | records.VM_DONTCOPY | records.VM_DONTEXPAND | records.VM_RESERVED}
MERGE: Mapping[str, Mapping[str, int]] = {  # 6.2
    # 2.4: anonymous VMAs by flags alone, files never
    "anon": {"merge_mprotect": 1, "merge_mremap": 1, "merge_anon_only": 1} | _SPECIAL,
    # 2.6.5: anonymous VMAs by flags alone; mprotect merges, and so does the target of mremap
    "flags": {"merge_mprotect": 1, "merge_mremap": 1} | _SPECIAL,
    # -aa1: contiguous pgoff, same anon_vma; not in mprotect and mremap
    "pgoff": {"merge_anon_pgoff": 1, "merge_anon_vma": 1} | _SPECIAL,
    # offsets must run on and nothing else is asked, so 2.6.5's merging can stay where it was (2.6)
    "linear": {"merge_anon_pgoff": 1, "merge_mprotect": 1, "merge_mremap": 1} | _SPECIAL,
    # 2.6.7: vma_merge for all, in mprotect too
    "adjust": {"merge_anon_pgoff": 1, "merge_anon_vma": 1, "merge_mprotect": 2, "merge_mremap": 2} | _SPECIAL,
    # 6.18: other vmas are special, flags of soft-dirty and guards are none that count, and of two that become one the
    # upper stays
    # (linux-modern 1.10, 1.11)
    "today": {
        "merge_anon_pgoff": 1,
        "merge_anon_vma": 1,
        "merge_mprotect": 2,
        "merge_mremap": 2,
        "merge_fork_child": 1,
        "merge_keep_next": 1,
        "merge_special": records.VM_IO | records.VM_DONTEXPAND | records.VM_PFNMAP | records.VM_MIXEDMAP,
        "merge_ignored": records.VM_SOFTDIRTY | records.VM_MAYBE_GUARD,
    },
}


# ---------------------------------------------------------------- architectures


@dataclass(frozen=True)
class Arch:
    """What an architecture fixes for the kernels of 2004."""

    number: int  # machine_t.arch
    word: int  # bytes of a word
    max_ram: int  # bytes that the kernel can address
    l1_lines: tuple[int, ...]  # L1_CACHE_BYTES by CPU configuration (1.7); the first is the default
    rules: Mapping[str, int]


_I386 = {
    "word_size": 4,
    "page_offset": 0xC0000000,  # 3:1 split (1.4)
    "task_size": 0xC0000000,  # = PAGE_OFFSET (1.4)
    "unmapped_base": 0x40000000,  # TASK_SIZE / 3, page aligned (1.4)
    "stack_top": 0xC0000000,  # = TASK_SIZE (1.4)
    "lowmem_pages": 229376,  # 896 MiB: 1 GiB less 128 MiB for vmalloc, fixmap, kmap (1.4)
    "nr_zones": 3,  # DMA, NORMAL, HIGHMEM (1.4)
    "mm_size": 500,  # raw mm_struct (1.6 [M]: about 500)
    "task_size_bytes": 1600,  # task_struct with its FPU state [M]
}

ARCHS: Mapping[str, Arch] = {
    "i386": Arch(
        records.ARCH_I386,
        4,
        4 << 30,
        (128, 64, 32, 16),
        # PTRS_PER_PTE 1024 (12.3); 24 bits (8.1); 29 bits (4.7)
        _I386 | {"levels": 2, "pt_shift": 10, "swap_offset_bits": 24, "pte_file_bits": 29},
    ),
    "i386-pae": Arch(
        records.ARCH_I386_PAE,
        4,
        64 << 30,
        (128, 64, 32, 16),
        # 512 entries (12.3); the pgd is a 32-byte object (1.5); a swap entry has the high word of the pte: 32 - 5
        # bits of type; a file pte has all 32 of it, as many as the word (4.7)
        _I386 | {"levels": 3, "pt_shift": 9, "pgd_slab": 1, "swap_offset_bits": 27},
    ),
    "x86_64": Arch(
        records.ARCH_X86_64,
        8,
        ((1 << 32) - 2) << 12,
        (64, 128),
        {
            "word_size": 8,
            "levels": 3,  # of the process: the top level is the CPU's, TASK_SIZE fits under one entry (1.4)
            "pt_shift": 9,
            "page_offset": 0x10000000000,  # [M]
            "task_size": 0x8000000000,  # 512 GiB (1.4)
            "unmapped_base": 0x2AAAAAB000,  # TASK_SIZE / 3, page aligned up (1.4)
            "stack_top": 0x8000000000,
            "lowmem_pages": (1 << 32) - 1,  # all memory is low (1.4)
            "nr_zones": 2,  # DMA, NORMAL (1.4)
            "swap_offset_bits": 27,  # the kernel has more; ours is the width of an entry in the engine (records.pxd)
            "pte_file_bits": 40,  # up to the physical mask (4.7; 40 bits [M])
            "mm_size": 920,  # raw mm_struct [M]
            "task_size_bytes": 1920,  # [M]
        },
    ),
}


# ---------------------------------------------------------------- what a rule may be

# what the architecture and the designs decide: a kernel's data cannot set it
_DECIDED: Mapping[str, str] = {
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
_OBJECT = 65536  # bytes of the largest object that a slab cache takes
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
    "vma_size": (4, _OBJECT),
    "anon_vma_size": (0, _OBJECT),
    "anonmm_size": (0, _OBJECT),
    "avc_size": (0, _OBJECT),
    "mm_size": (4, _OBJECT),
    "task_size_bytes": (4, _OBJECT),
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
    "task_size": (1 << 20, 1 << 57),  # bytes; whole pages, and what the page tables cover: see _check
    "unmapped_base": (4096, 1 << 57),
    "stack_top": (4096, 1 << 57),
    "page_offset": (0, (1 << 64) - 1),
    "lowmem_pages": (4097, (1 << 32) - 1),  # beyond ZONE_DMA
}
_FLAG = (0, 1)
# rules of 2.4's lists and allocator; without them v2_4 has nothing to work on, v2_6 has no use for them
_RULES_OF_V2_4 = ("global_lru", "lru_direct", "anon_inactive", "no_pcp", "classzone", "io_locks")


def _range(name: str, rules: Mapping[str, Any]) -> None:
    """ValueError unless every rule is an integer in its range. name: the kernel's."""
    for rule, value in rules.items():
        least, most = RANGES.get(rule, _FLAG)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"kernel {name}: rule {rule} must be an integer in {least}..{most}, not {value!r}")
        if not least <= value <= most:
            raise ValueError(f"kernel {name}: rule {rule} must be in {least}..{most}, not {value}")


def _layout(name: str, arch: str, rules: Mapping[str, int]) -> None:
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


# ---------------------------------------------------------------- kernels


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
            if rule in _DECIDED:
                raise ValueError(
                    f"kernel {self.name}: rule {rule} is decided by {_DECIDED[rule]}; data cannot set it"
                )
        _range(self.name, self.data)
        if "max_map_count" not in self.data:
            raise ValueError(f"kernel {self.name}: data must have max_map_count")
        words = {ARCHS[arch].word for arch in self.archs}
        for kind, most in (("page_bytes", 4000), ("vma_bytes", _OBJECT // 2)):
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
        for rule in _RULES_OF_V2_4:
            if bool(self.data.get(rule)) != (self.reclaim == "v2_4"):
                raise ValueError(
                    f"kernel {self.name}: reclaim={self.reclaim!r} cannot work with {rule}={self.data.get(rule, 0)}:"
                    f" {', '.join(_RULES_OF_V2_4)} belong to v2_4, all of them"
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
        _range(self.name, out)
        _layout(self.name, arch, out)
        return out

    def record(self, arch: str, *, highpte: bool = False, l1_line: int | None = None) -> bytes:
        """The packed kernel_rules record."""
        out = np.zeros((), records.kernel_rules)
        for name, value in self.rules(arch, highpte=highpte, l1_line=l1_line).items():
            out[name] = value
        return out.tobytes()


_RULES_2_6_5 = {
    "max_map_count": 65536,  # sysctl default (6.4, 12.3)
    "min_free_min": 128,  # clamp of min_free_kbytes (7.6)
    "min_free_max": 16384,
    "populate_prot": 1,  # 4.8
    "data_exec": 1,  # VM_DATA_DEFAULT_FLAGS, VM_STACK_DEFAULT_FLAGS (6.2, 6.11)
    "fork_def_flags": 1,  # 6.8 [M]
    "maps_anon_offset": 1,  # proc_pid_maps has no test for a file (9.3 [M])
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
RULES_2_6_7: Mapping[str, int] = {
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
LAYOUT_X86_64: Mapping[str, int] = {
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
_RULES_2_4 = {
    "max_map_count": 65536,
    "min_free_min": 128,
    "min_free_max": 16384,
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
    "data_exec": 1,  # as 2.6.5
    "fork_def_flags": 1,
    "maps_anon_offset": 1,
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
        import difflib

        near = difflib.get_close_matches(kernel, KERNELS, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"unknown kernel {kernel!r}{hint}; known are {', '.join(KERNELS)}") from None
