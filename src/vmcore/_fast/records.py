"""The packed records of records.pxd as numpy dtypes under the same names, and the constants that their fields hold.

engine.pyx asserts at import that each size equals the C struct's. Views of a machine (``Machine.frames``,
``Machine.vmas``, ...) have these dtypes; the meaning of each field stands in records.pxd.
"""

from __future__ import annotations

import numpy as np

# ---------------------------------------------------------------- records

_u1, _u2, _u4, _u8, _i4 = "u1", "<u2", "<u4", "<u8", "<i4"


def _record(**fields: object) -> np.dtype:
    return np.dtype([(name, *spec) if isinstance(spec, tuple) else (name, spec) for name, spec in fields.items()])


frame_t = _record(flags=_u4, refs=_i4, mapping=_u4, priv=_u4, index=_u8, rmap=_u4, lru=_u4)

table_t = _record(base=_u8, frame=_u4, mm=_u4)

vma_t = _record(
    start=_u8,
    end=_u8,
    pgoff=_u8,
    flags=_u4,
    mm=_u4,
    file=_u4,
    anon_vma=_u4,
    rb_parent=_u4,
    rb_left=_u4,
    rb_right=_u4,
    next=_u4,
    prev=_u4,
    avc=_u4,
    shared_parent=_u4,
    shared_next=_u4,
    shared_prev=_u4,
    shared_head=_u4,
    anon_parent=_u4,
    anon_next=_u4,
    anon_prev=_u4,
    anon_head=_u4,
    shared_last=_u8,
    anon_last=_u8,
    private_data=_u8,
    spare=_u8,
)

mm_t = _record(
    task=_u4,
    pgd=_u4,
    mmap=_u4,
    rb_root=_u4,
    mmap_cache=_u4,
    map_count=_u4,
    def_flags=_u4,
    nr_ptes=_u4,
    nr_upper=_u4,
    leaf=_u4,
    mmlist_next=_u4,
    mmlist_prev=_u4,
    leaf_tag=_u8,
    free_area_cache=_u8,
    mmap_base=_u8,
    gap_top=_u8,
    gap_length=_u8,
    total_vm=_u8,
    locked_vm=_u8,
    locked_lost=_u8,
    data_vm=_u8,
    rss=_u8,
    anon_rss=_u8,
    swapents=_u8,
    anon_written=_u8,
    leaf_epoch=_u4,
    anonmm=_u4,
    swap_address=_u8,
    start_code=_u8,
    end_code=_u8,
    start_data=_u8,
    end_data=_u8,
    start_brk=_u8,
    brk=_u8,
    start_stack=_u8,
    arg_start=_u8,
    arg_end=_u8,
    env_start=_u8,
    env_end=_u8,
)

task_t = _record(
    state=_u4,
    mm=_u4,
    parent=_u4,
    killed_by=_u4,
    caps=_u4,
    stack=_u4,
    memdie=_u4,
    nice=_i4,
    min_flt=_u8,
    maj_flt=_u8,
    start_ns=_u8,
    cpu_ns=_u8,
    rlim=(_u8, (4,)),
    rlim_max=(_u8, (4,)),
    mmap_base=_u8,
    start_brk=_u8,
    comm="S32",
)

file_t = _record(
    kind=_u4,
    flags=_u4,
    size=_u8,
    nrpages=_u8,
    swapped=_u8,
    root=_u4,
    height=_u4,
    disk_root=_u4,
    disk_height=_u4,
    i_mmap=_u4,
    i_mmap_shared=_u4,
    nr_i_mmap=_u4,
    nr_i_mmap_shared=_u4,
    truncate_count=_u4,
    refs=_u4,
    device=_u4,
    ra_hit=_u4,
    ra_miss=_u4,
    i_mmap_nonlinear=_u4,
    nr_i_mmap_nonlinear=_u4,
    i_mmap_bits=_u4,
    i_mmap_shared_bits=_u4,
    ra_order=_u4,
    ra_start=_u8,
    ra_size=_u4,
    ra_async=_u4,
    ra_prev=_u8,
    name="S64",
)

radix_node_t = _record(slot=(_u8, (64,)), count=_u4, shift=_u4)

anon_vma_t = _record(
    head=_u4, nr=_u4, root=_u4, parent=_u4, refs=_u4, num_children=_u4, num_active_vmas=_u4, leftmost=_u4
)

avc_t = _record(
    vma=_u4,
    anon_vma=_u4,
    vma_next=_u4,
    vma_prev=_u4,
    rb_parent=_u4,
    rb_left=_u4,
    rb_right=_u4,
    live=_u4,
    last=_u8,
)

anonmm_t = _record(mm=_u4, head=_u4, count=_u4, next=_u4, prev=_u4, root=_u4, bits=_u4, nr=_u4)

lru_chunk_t = _record(prev=_u4, next=_u4, alive=_u4, list=_u4, pfn=(_u4, (1020,)))

slab_t = _record(frame=_u4, inuse=_u4, cache=_u4, pad=_u4)

swap_slot_t = _record(map=_u2, pad=_u2, cache=_u4)

swap_word_t = _record(free=_u8, radix=_u4, count=_u4)

event_t = _record(when=_u8, seq=_u8, kind=_u4, arg=_u4)

kernel_rules = _record(
    **dict.fromkeys(
        (
            "page_anon",
            "merge_anon_pgoff",
            "merge_anon_vma",
            "merge_mprotect",
            "merge_mremap",
            "mremap_link_first",
            "mremap_map_slack",
            "merge_anon_only",
            "global_lru",
            "lru_direct",
            "anon_inactive",
            "no_pcp",
            "classzone",
            "page_hash",
            "io_locks",
            "no_oom_killer",
            "oom_rough_sqrt",
            "overcommit_old",
            "mlock_half",
            "vma_hwalign",
            "meminfo_old",
            "merge_fork_child",
            "merge_keep_next",
            "merge_special",
            "merge_ignored",
            "anon_vma_adopt",
            "fork_skips_unfaulted",
            "anon_pgoff",
            "swapin_cow",
            "gup_test",
            "unmap_young_fails",
            "walk_counts_down",
            "walk_skips_empty",
            "walk_locked_stops",
            "avc_tree",
            "avc_reuse",
            "avc_root_lock",
            "avc_claim_swapin",
            "anon_exclusive",
            "fault_around",
            "readahead",
            "cow_prepares",
            "write_notify",
            "exec_only",
            "reserved_unmap_bug",
            "anonmm_full_walk",
            "rmap_nodes",
            "struct_page_size",
            "vma_size",
            "anon_vma_size",
            "anonmm_size",
            "avc_size",
            "mm_size",
            "task_size_bytes",
            "l1_line",
            "pte_addr_size",
            "highpte",
            "levels",
            "pt_shift",
            "swap_offset_bits",
            "max_map_count",
            "min_free_min",
            "min_free_max",
            "nr_zones",
            "pgd_slab",
            "word_size",
            "swapin_drain",
            "nonlinear_list",
            "nonlinear_unmap",
            "remap_cursor_einval",
            "remap_missing",
            "populate_prot",
            "pte_file_bits",
            "vma_anon_vma",
            "scan_by_priority",
            "scanned_late",
            "progress_each",
            "prev_priority_now",
            "kswapd_to_zero",
            "zone_protection",
            "zap_accessed",
            "zap_anon_clean",
            "gup_zero",
            "stack_prepares",
            "topdown",
            "stack_room",
            "data_exec",
            "fork_def_flags",
            "maps_anon_offset",
            "overcommit_guess",
            "mlock_right",
            "mlock_share",
            "memlock_pages",
        ),
        _u4,
    ),
    **dict.fromkeys(("task_size", "unmapped_base", "stack_top", "page_offset", "lowmem_pages"), _u8),
)
RULES: tuple[str, ...] = kernel_rules.names or ()

# one access of Machine.run(): public as vmcore.TRACE_DTYPE
trace_t = np.dtype({"names": ["addr", "task", "op"], "formats": [_u8, _u4, _u1], "offsets": [0, 8, 12], "itemsize": 16})

# one page of Task.pagemap(); slot indexes Machine.swap_map
pagemap_t = np.dtype(
    {
        "names": [
            "present",
            "swapped",
            "zero",
            "file",
            "anon",
            "exclusive",
            "dirty",
            "accessed",
            "writable",
            "guard",
            "frame",
            "slot",
        ],
        "formats": ["?"] * 10 + [_u4, _u8],
        "offsets": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16],
        "itemsize": 24,
    }
)

# ---------------------------------------------------------------- pools, in the order of the enum in records.pxd

POOL_NAMES = (
    "frame",
    "mapcount",
    "pte",
    "table",
    "vma",
    "mm",
    "task",
    "file",
    "anon_vma",
    "pte_chain",
    "lru_chunk",
    "radix",
    "swap_slot",
    "swap_any",
    "page_token",
    "slot_token",
    "slab",
    "event",
    "scratch",
    "swap_word",
    "swap_full",
    "anonmm",
    "avc",
)

# dtype of a pool's records; pte and pte_chain records are arrays whose length the machine decides
POOL_DTYPES = {
    "frame": frame_t,
    "mapcount": np.dtype(_u4),
    "pte": np.dtype(_u8),
    "table": table_t,
    "vma": vma_t,
    "mm": mm_t,
    "task": task_t,
    "file": file_t,
    "anon_vma": anon_vma_t,
    "pte_chain": np.dtype(_u4),
    "lru_chunk": lru_chunk_t,
    "radix": radix_node_t,
    "swap_slot": swap_slot_t,
    "swap_any": np.dtype(_u8),
    "page_token": np.dtype(_u8),
    "slot_token": np.dtype(_u8),
    "slab": slab_t,
    "event": event_t,
    "scratch": np.dtype(_u8),
    "swap_word": swap_word_t,
    "swap_full": np.dtype(_u8),
    "anonmm": anonmm_t,
    "avc": avc_t,
}

# ---------------------------------------------------------------- constants of records.pxd that fields hold

PG_LOCKED = 1 << 0
PG_ERROR = 1 << 1
PG_REFERENCED = 1 << 2
PG_UPTODATE = 1 << 3
PG_DIRTY = 1 << 4
PG_LRU = 1 << 5
PG_ACTIVE = 1 << 6
PG_SLAB = 1 << 7
PG_HIGHMEM = 1 << 8
PG_LAZYFREE = 1 << 9
PG_READAHEAD = 1 << 10
PG_RESERVED = 1 << 11
PG_PRIVATE = 1 << 12
PG_WRITEBACK = 1 << 13
PG_MLOCKED = 1 << 14
PG_MAPLOCK = 1 << 15
PG_DIRECT = 1 << 16
PG_SWAPCACHE = 1 << 17
PG_RECLAIM = 1 << 18
PG_COMPOUND = 1 << 19
PG_ANON = 1 << 20
PG_BUDDY = 1 << 21
PG_TABLE = 1 << 22
PG_PCP = 1 << 23
PG_ORDER_SHIFT = 24

PTE_P = 1 << 0
PTE_RW = 1 << 1
PTE_USER = 1 << 2
PTE_A = 1 << 5
PTE_D = 1 << 6
PTE_PROTNONE = 1 << 7
PTE_ANON = 1 << 9
PTE_SPECIAL = 1 << 10
PTE_EXCLUSIVE = 1 << 11
PTE_SWAP = 1 << 3
PTE_FILE = 1 << 4
PTE_MARKER = 3 << 3
PTE_KIND = 3 << 3
PTE_SHIFT = 12

VM_READ = 0x1
VM_WRITE = 0x2
VM_EXEC = 0x4
VM_SHARED = 0x8
VM_MAYREAD = 0x10
VM_MAYWRITE = 0x20
VM_MAYEXEC = 0x40
VM_MAYSHARE = 0x80
VM_GROWSDOWN = 0x100
VM_GROWSUP = 0x200
VM_PKEY = 0x200
VM_PFNMAP = 0x400
VM_RESERVED = 0x400
VM_DENYWRITE = 0x800
VM_MAYBE_GUARD = 0x800
VM_NONLINEAR = 0x1000
VM_LOCKED = 0x2000
VM_IO = 0x4000
VM_SEQ_READ = 0x8000
VM_RAND_READ = 0x10000
VM_DONTCOPY = 0x20000
VM_DONTEXPAND = 0x40000
VM_LOCKONFAULT = 0x80000
VM_ACCOUNT = 0x100000
VM_NORESERVE = 0x200000
VM_HUGETLB = 0x400000
VM_SYNC = 0x800000
VM_DROPPABLE = 0x1000000
VM_WIPEONFORK = 0x2000000
VM_DONTDUMP = 0x4000000
VM_SOFTDIRTY = 0x8000000
VM_MIXEDMAP = 0x10000000
VM_HUGEPAGE = 0x20000000
VM_NOHUGEPAGE = 0x40000000
VM_MERGEABLE = 0x80000000

TASK_FREE, TASK_ALIVE, TASK_DYING, TASK_DEAD = range(4)
KILLED_NAMES = (None, "oom", "fault", "segv", "bus")  # of task_t.killed_by

RLIM_STACK, RLIM_AS, RLIM_MEMLOCK, RLIM_DATA = range(4)
RLIM_INFINITY = (1 << 64) - 1

FILE_REGULAR = 1
FILE_SHMEM = 2
FILE_DEVICE = 3
FILE_READONLY = 1
FILE_UNLINKED = 2
FILE_TRUNCATED = 4
FILE_OPEN = 8

LRU_SLOT_BITS = 10
LRU_TOMB = 0xFFFFFFFF
SWP_TYPE_SHIFT = 27
SWP_OFFSET_MASK = 0x7FFFFFF
SWAP_MAP_MAX = 0x7FFF
SWAP_MAP_BAD = 0x8000
MAX_SWAPFILES = 32

# machine_t.arch
ARCH_I386 = 1
ARCH_I386_PAE = 2
ARCH_X86_64 = 3
ARCH_NAMES = {ARCH_I386: "i386", ARCH_I386_PAE: "i386-pae", ARCH_X86_64: "x86_64"}
