"""What a kernel can be made of: the designs of each kind, and the architectures.

Adding a design is its file in _fast and its line in RMAP, I_MMAP, RECLAIM or CALLS here. Sources: sections of the fact
sheet linux-2004; [M] marks what it has from memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vmcore._fast import records

__all__ = ["ABOUT", "ARCHS", "CALLS", "I_MMAP", "MERGE", "RECLAIM", "RMAP", "Arch", "Index", "Rmap", "brought_along"]


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
REMAP_MAKES_VMAS = ("v6",)  # since 4.0 remap_file_pages is mmap in disguise (mm/mmap.c)
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

ABOUT: Mapping[str, Mapping[str, str]] = {  # each of them in a few words, as `vmcore kernels` prints it
    "rmap": {
        "none": "nothing finds them: reclaim walks the page tables of every process in turn",
        "pte_chain": "a list of ptes for every page",
        "objrmap_core": "anonymous pages by a list of ptes, pages of files by the VMAs of the file",
        "anon_vma": "anonymous pages by a list of VMAs for every region, pages of files by the VMAs of the file",
        "anonmm": "anonymous pages by the mms of a fork group and the address, pages of files by the VMAs of the file",
        "fork_tree": "anonymous pages by one tree of VMAs for a fork group, pages of files by the VMAs of the file",
        "anon_vma_chain": "anonymous pages by links between VMAs and anon_vmas, pages of files by the VMAs of the file",
    },
    "i_mmap": {
        "list": "two lists, of private and of shared mappings",
        "rbtree": "a red-black tree by the first page mapped",
        "prio_tree": "a radix priority search tree: only those that cover a page are visited",
        "interval_tree": "a red-black tree that knows the last page of each subtree",
    },
    "reclaim": {
        "v2_4": "2.4's: swap_out walks mms, shrink_cache one pair of lists for all zones",
        "v2_6": "2.6.5's: an active and an inactive list for each zone, which ask the reverse map",
    },
    "merge": {
        "anon": "flags alone, for anonymous memory; mappings of files never merge",
        "flags": "flags alone, for anonymous memory; in mprotect and mremap too",
        "pgoff": "flags and contiguous offsets; not in mprotect and mremap",
        "linear": "flags and contiguous offsets, whatever object they belong to; in mprotect and mremap too",
        "adjust": "flags and contiguous offsets, everywhere: vma_merge of 2.6.7",
        "today": "flags and contiguous offsets, everywhere; what a fork inherited takes no range without pages",
    },
    "calls": CALLS,
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
