"""vmstat, meminfo, slabinfo, ledger: the numbers of a machine under the kernel's own names.

Formats of 2.6.5, fact sheet linux-2004 1.7, 9.1, 9.2. Functions whose name ends in _text give what /proc prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vmcore._fast.counters import COUNTER_NAMES
from vmcore._fast.records import ARCH_I386, ARCH_I386_PAE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vmcore._fast.engine import Engine

PAGE_KB = 4
PAGE = 4096

# VmallocTotal of i386 with highmem [M]: 128 MiB less guard holes, fixmap and the kmap window, which PAE has half as
# large; where RAM ends below 896 MiB the area begins there. x86_64: 2^39 bytes.
_VMALLOC_KB = {ARCH_I386: 114680, ARCH_I386_PAE: 116728}
_LOWMEM_KB = 896 << 10


class SlabInfo(NamedTuple):
    """One line of /proc/slabinfo, version 2.0."""

    name: str
    active_objs: int
    num_objs: int
    objsize: int
    objperslab: int
    pagesperslab: int
    limit: int
    batchcount: int
    sharedfactor: int
    active_slabs: int
    num_slabs: int
    sharedavail: int

    @property
    def bytes(self) -> int:
        """Memory of its slabs."""
        return self.num_slabs * self.pagesperslab * PAGE


def vmstat(engine: Engine) -> dict[str, int]:
    """The 37 lines of /proc/vmstat of 2.6.5 in their order, then vmcore's own counts."""
    n = engine.numbers()
    out = {
        "nr_dirty": n["nr_dirty"],
        "nr_writeback": n["nr_writeback"],
        "nr_unstable": 0,
        "nr_page_table_pages": _frames(engine, "page_tables"),
        "nr_mapped": n["nr_mapped"],
        "nr_slab": n["slab"],
    }
    out.update(zip(COUNTER_NAMES, engine.counters(), strict=True))
    # what the reverse map's own objects take, without the slack of their slabs; a node that is linked nowhere (the
    # spare) is not counted
    rules, active = n["rules"], {name: objects for name, objects, *_ in engine.caches()}
    out["rmap_bytes"] = n["chain_nodes"] * rules["l1_line"] + sum(
        active[name] * rules[size]
        for name, size in (("anon_vma", "anon_vma_size"), ("anonmm", "anonmm_size"), ("anon_vma_chain", "avc_size"))
    )
    out["nr_tasks"] = n["nr_tasks"]
    out["nr_mms"] = n["nr_mms"]
    out["nr_vmas"] = n["nr_vmas"]
    out["nr_anon_vmas"] = n["nr_anon_vmas"]
    out["nr_anonmms"] = n["nr_anonmms"]
    out["nr_orphan_anonmms"] = n["nr_orphan_anonmms"]
    out["nr_pte_chain_nodes"] = n["chain_nodes"]
    out["nr_upper_table_pages"] = _frames(engine, "upper_tables")
    return out


def meminfo(engine: Engine) -> dict[str, int]:
    """The lines of /proc/meminfo, in kB: 22 of 2.6.5, or the 14 of 2.4 (below its table in bytes)."""
    n = engine.numbers()
    zones = n["zones"]
    total = sum(z["present"] - z["reserved"] for z in zones)
    high = zones[2]["present"] if len(zones) > 2 else 0
    high_free = zones[2]["free"] if len(zones) > 2 else 0
    if n["arch"] in _VMALLOC_KB:
        vmalloc = _VMALLOC_KB[n["arch"]] + max(0, _LOWMEM_KB - n["nr_frames"] * PAGE_KB)
    else:
        vmalloc = (1 << 39) // 1024 - 1
    pages = {
        "MemTotal": total,
        "MemFree": n["free"],
        "Buffers": 0,
        "Cached": n["nr_pagecache"] - n["nr_swapcache"],
        "SwapCached": n["nr_swapcache"],
        "Active": sum(z["active"] for z in zones),
        "Inactive": sum(z["inactive"] for z in zones),
        "HighTotal": high,
        "HighFree": high_free,
        "LowTotal": total - high,
        "LowFree": n["free"] - high_free,
        "SwapTotal": n["total_swap_pages"],
        "SwapFree": n["nr_swap_pages"],
        "Dirty": n["nr_dirty"],
        "Writeback": n["nr_writeback"],
        "Mapped": n["nr_mapped"],
        "Slab": n["slab"],
        "Committed_AS": n["committed"],
        "PageTables": _frames(engine, "page_tables"),
    }
    if n["rules"]["meminfo_old"]:  # 2.4: no lines below SwapFree, and one that no longer meant anything
        kept = ("MemTotal", "MemFree", "MemShared", *list(pages)[2:13])
        return {name: pages.get(name, 0) * PAGE_KB for name in kept}
    out = {name: value * PAGE_KB for name, value in pages.items()}
    out.update(VmallocTotal=vmalloc, VmallocUsed=0, VmallocChunk=vmalloc)
    return out


def slabinfo(engine: Engine) -> list[SlabInfo]:
    """Every slab cache that has been used."""
    out = []
    for name, active, slabs, empty, size, per_slab, pages, peak in engine.caches():
        if not peak:
            continue
        limit = 8 if size > 4096 else 24 if size > 1024 else 54 if size > 256 else 120  # enable_cpucache() of 2.6.5
        out.append(
            SlabInfo(
                name,
                active,
                slabs * per_slab,
                size,
                per_slab,
                pages,
                limit,
                (limit + 1) // 2,
                8,
                slabs - empty,
                slabs,
                0,
            )
        )
    return out


def ledger(engine: Engine) -> dict[str, dict[str, int]]:
    """Who holds the machine's memory, by consumer (fact sheet linux-2004 1.5, 1.8).

    bytes and those of them in low memory; the most there ever were of either; and how often low memory had nothing
    for it, even after reclaim or only after a kill, while high memory had free pages.
    """
    return {
        name: {
            "bytes": frames * PAGE,
            "low_bytes": low * PAGE,
            "peak_bytes": peak * PAGE,
            "low_peak_bytes": low_peak * PAGE,
            "low_refusals": refused,
        }
        for name, frames, low, peak, low_peak, refused in engine.ledger()
    }


def _frames(engine: Engine, consumer: str) -> int:
    return next(line[1] for line in engine.ledger() if line[0] == consumer)


# ---------------------------------------------------------------- as /proc prints it


def vmstat_text(numbers: Mapping[str, int]) -> str:
    return "".join(f"{name} {value}\n" for name, value in numbers.items())


def meminfo_text(numbers: Mapping[str, int]) -> str:
    return "".join(f"{name + ':':<13} {value:>8} kB\n" for name, value in numbers.items())


def slabinfo_text(lines: Iterable[SlabInfo]) -> str:
    head = (
        "slabinfo - version: 2.0\n"
        "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>"
        " : tunables <batchcount> <limit> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n"
    )
    return head + "".join(
        f"{s.name:<17} {s.active_objs:>6} {s.num_objs:>6} {s.objsize:>6} {s.objperslab:>4} {s.pagesperslab:>4}"
        f" : tunables {s.limit:>4} {s.batchcount:>4} {s.sharedfactor:>4}"
        f" : slabdata {s.active_slabs:>6} {s.num_slabs:>6} {s.sharedavail:>6}\n"
        for s in lines
    )
