"""The ledger: slabs and /proc/slabinfo (fact sheet linux-2004 1.7), low memory and who is refused it (1.5, 1.8)."""
from __future__ import annotations

import numpy as np
import pytest

import vmcore
from vmcore import stats
from vmcore._fast.slab import geometry

PAGE = 4096
RW = 3
PRIVATE_ANON = 0x22


@pytest.mark.parametrize(("size", "align", "word", "per_slab"), [    # objects a page with L1 lines of 32, 64, 128 bytes
    (12, 0, 4, (253, 250, 250)),                                    # anon_vma i386
    (24, 0, 4, (145, 144, 144)),                                    # anonmm i386
    (64, 0, 4, (59, 59, 58)), (76, 0, 4, (50, 50, 50)),             # vma of 2.6.5, of -aa
    (84, 0, 4, (46, 45, 45)), (88, 0, 4, (44, 43, 43)),             # vma of 2.6.7, with NUMA
    (None, 2, 4, (113, 59, 30)),                                    # pte_chain: a line
    (24, 0, 8, (None, 144, 144)),                                   # anon_vma x86_64
    (128, 0, 8, (None, 30, 30)), (152, 0, 8, (None, 25, 25)), (168, 0, 8, (None, 23, 22)),  # vma of 2.6.5, -aa, 2.6.7
])
def test_slab_table(size: int | None, align: int, word: int, per_slab: tuple[int | None, ...]) -> None:
    found = [geometry(size or line, align, line, word) for line in (32, 64, 128)]
    assert [(per, pages) for (_, per, pages), wanted in zip(found, per_slab, strict=True) if wanted] == [
        (wanted, 1) for wanted in per_slab if wanted]


def test_geometry_refuses_what_is_no_cache() -> None:
    for bad in ((0, 0, 32, 4), (12, 3, 32, 4), (12, 0, 33, 4), (12, 0, 32, 5)):
        with pytest.raises(ValueError, match="no cache has"):
            geometry(*bad)


DESKTOP = """\
vm_area_struct 6613 8500 76 50 1 : tunables 120 60 8 : slabdata 170 170 0
anon_vma 2085 2250 12 250 1 : tunables 120 60 8 : slabdata 9 9 0
"""


def test_the_desktop_of_the_thread() -> None:
    """Two lines of slabinfo, as Andrea Arcangeli posted them on 18 March 2004, from the calls that lead there."""
    m = vmcore.Machine(ram="128M", kernel="2.6.5-aa1", arch="i386", l1_line=64)
    t = m.spawn("kde")
    # every second page writable, so that no two neighbours merge
    pages = [t.mmap(0x10000000 + i * PAGE, PAGE, RW if i % 2 else vmcore.PROT_READ, PRIVATE_ANON | vmcore.MAP_FIXED)
             for i in range(8500)]
    written = pages[1:4501:2]
    assert len(written) == 2250
    t.touch(np.array(written, "u8"), write=True)
    assert [s.num_slabs for s in m.slabinfo() if s.name in ("vm_area_struct", "anon_vma")] == [170, 9]
    # the same number goes from each slab, so that none becomes empty
    for address in written[::13][:165]:
        t.munmap(address, PAGE)
    gone = [a for i, a in enumerate(pages) if i % 50 < 24 and (i % 2 == 0 or i >= 4500)][: 8500 - 6613 - 165]
    for address in gone:
        t.munmap(address, PAGE)
    lines = stats.slabinfo_text(m.slabinfo()).splitlines()
    assert [" ".join(line.split()) for line in lines if line.startswith(("vm_area_struct", "anon_vma "))] == (
        DESKTOP.splitlines())
    # "the anonmm would take 12*2085+6613*12 = 104k less": the objects, and three words of each VMA
    rules = {name: vmcore.KERNELS[name].rules("i386", l1_line=64) for name in ("2.6.5", "2.6.5-aa1")}
    vmas, anon_vmas = (next(s.active_objs for s in m.slabinfo() if s.name == name)
                       for name in ("vm_area_struct", "anon_vma"))
    more = rules["2.6.5-aa1"]["vma_size"] - rules["2.6.5"]["vma_size"]
    assert more * vmas + rules["2.6.5-aa1"]["anon_vma_size"] * anon_vmas == 104_376
    m.check()


# ---------------------------------------------------------------- low memory (1.5, 1.8)

def test_low_memory_refuses_while_high_memory_is_free() -> None:
    """64 GiB behind 896 MiB: page tables fill what mem_map left, and the allocator says so, by consumer."""
    big = vmcore.KERNELS["2.6.5"].replace(name="big", page_bytes={4: 48, 8: 64})
    m = vmcore.Machine(ram="64G", kernel=big, arch="i386-pae", overcommit_memory=1)
    before = m.ledger()
    assert before["mem_map"]["low_bytes"] == 52 << 24
    span = 2 << 20
    for i in range(64):
        t = m.spawn(f"t{i}")
        start = t.mmap(None, 1000 * span, RW, PRIVATE_ANON)
        t.touch(np.arange(start, start + 1000 * span, span, dtype="u8"), write=True)
    stat, zones = m.vmstat(), m.zones()
    assert zones[2]["free"] > 0.99 * zones[2]["present"]
    assert stat["oom_kills"] == stat["alloc_refusals"] == 50    # the machine holds 14 such tasks
    refusals = {name: line["low_refusals"] for name, line in m.ledger().items() if line["low_refusals"]}
    assert refusals == {"page_tables": 50}
    m.check()
    for t in m.processes():
        t.exit()
    ledger = m.ledger()
    tables = ledger["page_tables"]
    assert tables["bytes"] == tables["low_bytes"] == 0
    assert tables["low_peak_bytes"] == tables["peak_bytes"] > 40 << 20
    assert sum(line["low_peak_bytes"] for line in ledger.values()) >= 890 << 20
    m.check()
