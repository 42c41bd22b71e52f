"""What each KernelBug guards, and where it comes from: the texts behind ``vmcore explain``.

Two kinds have names. Assertions stand where the kernel has a BUG_ON, and fire in the middle of a call; the engine
notes them by number (_fast/bugs.pxd). Invariants of the whole state are what Machine.check() verifies
(_fast/check.pyx); their texts stand there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from vmcore._fast.bugs import BUG_NAMES
from vmcore._fast.check import CHECK_NAMES

__all__ = ["INVARIANTS", "Invariant"]


class Invariant(NamedTuple):
    """One name that KernelBug can have."""

    kind: str  # "assertion" or "check"
    guards: str
    numbers: str  # what KernelBug.objects are
    source: str


_12_1 = "fact sheet linux-2004 12.1"
_CHECK = "Machine.check(); fact sheet linux-2004 12, linux-modern 9.2"
_BUGS: dict[str, tuple[str, str, str]] = {
    "unmap_not_locked": (
        "try_to_unmap is called with the page locked",
        "frame, flags",
        f"mm/rmap.c, all 2.6; {_12_1}",
    ),
    "unmap_reserved": (
        "try_to_unmap never gets a reserved page",
        "frame, flags",
        f"mm/rmap.c, all 2.6; {_12_1}",
    ),
    "unmap_no_mapping": (
        "a page that is unmapped belongs to a file or the swap cache",
        "frame, flags",
        f"mm/rmap.c, pte_chain; {_12_1}",
    ),
    "unmap_no_mm": (
        "the mm that a page table names exists",
        "frame, pte, table",
        f"mm/rmap.c (try_to_unmap_one), pte_chain; {_12_1}",
    ),
    "unmap_vm_reserved": (
        "no page of a VM_RESERVED vma is unmapped",
        "frame, mm, pte",
        f"mm/objrmap.c of -aa1; {_12_1}",
    ),
    "unmap_anon_not_swapcache": (
        "an anonymous page has its swap slot before its ptes go",
        "frame, mm, pte",
        f"mm/rmap.c, anonmm and 2.6.7; {_12_1}",
    ),
    "anon_vma_empty": (
        "an anon_vma that pages name has vmas",
        "frame, anon_vma",
        f"mm/objrmap.c of -aa, 2.6.7; {_12_1}",
    ),
    "anon_vma_missing": (
        "a vma that gets an anonymous page has its anon_vma, or is in its group's tree",
        "vma, frame, address",
        f"page_add_anon_rmap of -aa and 2.6.7; {_12_1}",
    ),
    "rmap_add_anon_mapping": (
        "a page mapped anonymously for the first time belongs to nothing, and later to the same object and index",
        "frame, mapping, index",
        f"page_add_anon_rmap of 2.6.7; {_12_1}",
    ),
    "rmap_add_file_anon": (
        "a page added as a file's is not anonymous, not in the swap cache, and has a mapping",
        "frame, flags, mapping",
        f"page_add_rmap of -aa after the race of 18 March 2004; {_12_1}, 5.1",
    ),
    "rmap_remove_unmapped": (
        "a page whose pte goes was counted as mapped",
        "frame, pte",
        f"page_remove_rmap of anonmm and 2.6.7; {_12_1}",
    ),
    "nopage_result": (
        "what ->nopage returns is a page of the vma's file, not anonymous, not in the swap cache",
        "vma, frame, flags",
        f"do_no_page of -aa; {_12_1}",
    ),
    "free_mapped": (
        "a page that is freed is mapped nowhere, in no cache, on no list",
        "frame, flags, mapcount",
        "mm/page_alloc.c (bad_page); fact sheet linux-2004 12",
    ),
    "free_anon": (
        "PG_anon is clear when a page is freed",
        "frame, flags, mapping",
        f"mm/page_alloc.c of -aa; {_12_1}",
    ),
    "double_free": (
        "a page is freed once",
        "frame, flags, references",
        "mm/page_alloc.c (bad_page)",
    ),
    "merge_anon_vma": (
        "vmas that become one have one anon_vma, or one of them none",
        "vma that stays, vma that goes, its anon_vma",
        f"mm/objrmap.c of -aa, vma_adjust of 2.6.7; {_12_1}",
    ),
    "vma_overlap": (
        "a vma is linked where no other is",
        "mm, start, the other vma",
        f"mm/mmap.c (insert_vm_struct); {_12_1}",
    ),
    "exit_mmap_count": (
        "an address space that is gone has no vma",
        "mm, map_count",
        f"mm/mmap.c (exit_mmap), 2.6; {_12_1}",
    ),
    "lru_flag": (
        "PG_lru is set where a page is taken off a list, and clear where it is put on one",
        "frame, flags, list",
        f"mm/vmscan.c, 2.6; {_12_1}",
    ),
    "swap_cache_delete": (
        "a page leaves the swap cache locked, while it is in it, and not while it is written",
        "frame, flags, entry",
        f"mm/swap_state.c, 2.6; {_12_1}",
    ),
    "swap_free": (
        "a swap slot that is given back was in use",
        "entry, offset, slots",
        "mm/swapfile.c (swap_free)",
    ),
    "shmem_writepage": (
        "a page of tmpfs goes to swap locked, mapped nowhere, and its place in the vector is free",
        "frame, file, index",
        f"mm/shmem.c, 2.6; {_12_1}",
    ),
    "pte_not_none": (
        "no pte is written over, no table is freed that has one",
        "pte or mm, pte or address, entry",
        "mm/mremap.c, mm/memory.c (set_pte); fact sheet linux-2004 5.6",
    ),
    "page_cache_mapped": (
        "a page that leaves its file is mapped nowhere",
        "frame, file, index",
        "mm/filemap.c; fact sheet linux-2004 4.10",
    ),
    "fault_loop": (
        "an access gets its pte after a few faults",
        "pid, address, write",
        "none: a real CPU would hang here",
    ),
    "i_mmap_tree": (
        "two vmas at one place of a prio_tree have the same range",
        "file, vma, the other",
        f"mm/prio_tree.c of 2.6.7; {_12_1}",
    ),
    "unmap_unmapped": (
        "try_to_unmap gets a page that is mapped",
        "frame, mapping",
        f"mm/rmap.c of anonmm, 2.6.7; {_12_1}",
    ),
    "anonmm_head_count": (
        "the head of a group keeps the reference of being head",
        "anonmm, count",
        "anonmm patches; fact sheet linux-2004 2.4",
    ),
    "anonmm_head_members": (
        "a head goes after its group, a fork group after its vmas",
        "anonmm, members",
        "anonmm patches; linux-2004 2.4, 2.6",
    ),
    "anonmm_lost": (
        "a walk over all mms of a group finds as many ptes as the page has",
        "frame, found, mapcount",
        "mm/rmap.c of anonmm (page_referenced); fact sheet linux-2004 2.4",
    ),
    "anon_tree": (
        "two vmas at one place of a fork group's tree have the same range",
        "group, vma, the other",
        "fork_tree, after mm/prio_tree.c; fact sheet linux-2004 2.6",
    ),
    "nonlinear_anon": (
        "the scan for nonlinear pages meets no anonymous one",
        "frame, vma, address",
        f"mm/rmap.c (try_to_unmap_cluster) of anonmm, 2.6.7; {_12_1}",
    ),
    "fork_unmapped": (
        "a page whose pte fork copies counts as mapped",
        "frame (0: one of a stretch), mm of the child, pte or index of the first",
        f"mm/memory.c (copy_page_range) of -aa; {_12_1}",
    ),
    "oom_no_victim": (
        "somebody can be killed when memory is out",
        "tasks",
        'mm/oom_kill.c: panic("Out of memory and no killable processes")',
    ),
}


def _invariants() -> dict[str, Invariant]:
    out = {}
    for name in BUG_NAMES[1:]:
        guards, numbers, source = _BUGS[name]
        out[name] = Invariant("assertion", guards, numbers, source)
    for name, text in CHECK_NAMES.values():
        guards, _, numbers = text.rpartition(": ")
        out[name] = Invariant("check", guards or text, numbers, _CHECK)
    return out


INVARIANTS: Mapping[str, Invariant] = MappingProxyType(_invariants())
