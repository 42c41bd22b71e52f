"""What a machine takes of the host's memory: the records of its pools, times what each of them is long.

A pool reserves addresses for all that could ever be, and the host gives memory behind a record when it is first
written (``_fast/pool.pxd``), so a machine takes what its records in use have ever been at most, pool by pool. Here is
the only place that makes bytes of such numbers; ``vmcore size`` (``scenario/size.py``) and the warning of ``Machine``
ask it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vmcore._fast import records

__all__ = ["full_use", "host_bytes", "huge_pages", "swap_records"]

HOST_PAGE = 4096
HUGE = 2 << 20              # a huge page of the host
HUGE_FROM = 1 << 18         # frames of a machine whose large pools ask for huge pages: host.pyx
HUGE_POOLS = ("frame", "mapcount", "pte", "pte_chain", "swap_slot", "swap_word", "lru_chunk", "table")
BY_PLACE = ("frame", "mapcount", "page_token", "swap_slot", "slot_token", "swap_word", "swap_any", "swap_full")
LRU_SLOTS = 1020            # frames of a chunk of an LRU list
SLAB_CACHES = 10            # caches of the simulated kernel that have slabs, each in an extent of its own
CLUSTER = 4096              # swap slots: an area begins at a multiple
PTES_OF_A_PAGE = 2          # in full use: it is shared with a fork, or tables are half empty


def huge_pages() -> bool:
    """Whether the host gives huge pages to those who ask."""
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="ascii") as modes:
            return "[never]" not in modes.read()
    except OSError:
        return False


def swap_records(areas: list[int]) -> dict[str, int]:
    """The records of swap areas of so many slots; swapon writes all of them."""
    slots = sum(-(-area // CLUSTER) * CLUSTER for area in areas)
    return {"swap_slot": slots, "swap_word": -(-slots // 64), "swap_any": -(-slots // CLUSTER),
            "swap_full": -(-slots // CLUSTER)}


def full_use(frames: int, areas: list[int], rules: Mapping[str, int]) -> dict[str, int]:
    """The records of a machine whose frames and swap slots all hold pages, two ptes name each of them, contents are
    written (``Task.write``), and LRU lists are at their loosest. What page tables take beyond that, and VMAs and tasks,
    is what a workload asks for."""
    pages = frames + sum(areas)
    return {
        "frame": frames,
        "mapcount": frames,
        "page_token": frames,
        "lru_chunk": 2 * frames // LRU_SLOTS,
        "radix": frames // 64,
        "pte": PTES_OF_A_PAGE * pages >> rules["pt_shift"],
        "table": PTES_OF_A_PAGE * pages >> rules["pt_shift"],
        "pte_chain": frames if rules["rmap_nodes"] else 0,
        "slot_token": sum(areas),
        **swap_records(areas),
    }


def host_bytes(counts: Mapping[str, int], frames: int, rules: Mapping[str, int], *,
               huge: bool = False, idle: Mapping[str, int] = MappingProxyType({})) -> dict[str, int]:
    """Bytes of each pool with so many records, in whole pages; ``huge``: in huge ones where the pool asks for them.
    ``idle``: pages inside a pool's records that nothing was ever written to; a huge page has no such holes."""
    out = {}
    for pool, count in counts.items():
        if not count:
            continue
        null = pool not in BY_PLACE     # record 0
        wanted = (count + null) * record_bytes(pool, rules)
        if pool == "slab":
            wanted += SLAB_CACHES * HOST_PAGE
        size = (-(-wanted // HOST_PAGE) - idle.get(pool, 0)) * HOST_PAGE
        if huge and frames >= HUGE_FROM and pool in HUGE_POOLS:
            whole = -(-wanted // HUGE) * HUGE
            reserved = frames * record_bytes(pool, rules) if pool in ("frame", "mapcount") else whole
            size = whole if whole <= reserved else max(size, reserved // HUGE * HUGE)
        out[pool] = size
    return out


def record_bytes(pool: str, rules: Mapping[str, int]) -> int:
    """Bytes of one record of a pool."""
    item = int(records.POOL_DTYPES[pool].itemsize)
    if pool == "pte":
        return item << rules["pt_shift"]
    if pool == "pte_chain":
        return item * (1 + (rules["l1_line"] - rules["word_size"]) // rules["pte_addr_size"])
    return item
