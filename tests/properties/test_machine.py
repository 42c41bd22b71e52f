"""The whole machine against the plain-Python model: after every step check() passes and user space sees what it
must."""
from __future__ import annotations

import pytest
from tests.properties.box import Box

import vmcore


class _Box265(Box):
    KERNELS = ("2.6.5",)


class _Box24(Box):
    KERNELS = ("2.4",)


class _Box24Zones(Box):
    """Two zones on one pair of lists, one of them too small for its class."""

    KERNELS = ("2.4",)
    OPTIONS = {"ram": "18M", "swap": [("7M", 1), ("7M", 1)], "page_cluster": 0}
    BALLAST = 3050
    SWAP = "7M"


class _BoxAa1(Box):
    KERNELS = ("2.6.5-aa1",)


class _Box267(Box):
    KERNELS = ("2.6.7",)


class _Box2634(Box):
    KERNELS = ("2.6.34",)


class _Box618(Box):
    """Today's calls: what they do otherwise is data of the model."""

    KERNELS = ("6.18",)


class _BoxPae(Box):
    """Three-level tables whose top is a slab object."""

    KERNELS = ("2.6.5",)
    OPTIONS = {"arch": "i386-pae", "swappiness": 60}


class _BoxI386(Box):
    """Two-level tables of 1024 entries, no swap readahead."""

    KERNELS = ("2.6.5-aa1",)
    OPTIONS = {"arch": "i386", "page_cluster": 0}


class _BoxZones(Box):
    """Memory in two zones, both short of it; two swap areas that take turns."""

    KERNELS = ("2.6.5-aa1",)
    OPTIONS = {"ram": "18M", "swap": [("7M", 1), ("7M", 1)]}
    BALLAST = 3050
    SWAP = "7M"


# -aa1 with the way of 2.6.7 to get at nonlinear pages, and 2.6.7's mremap
_SCAN = vmcore.KERNELS["2.6.5-aa1"].replace(
    name="2.6.5-aa1-scan",
    data=dict(
        vmcore.KERNELS["2.6.5-aa1"].data, nonlinear_list=1, nonlinear_unmap=2, merge_mremap=2, mremap_map_slack=3),
)


class _BoxScan(Box):
    KERNELS = (_SCAN,)


class _TwinsScan(Box):
    KERNELS = ("2.6.5", _SCAN)


Test265 = _Box265.TestCase
Test24 = _Box24.TestCase
Test24Zones = _Box24Zones.TestCase
TestScan = _BoxScan.TestCase
TestTwinsScan = _TwinsScan.TestCase
TestAa1 = _BoxAa1.TestCase
Test267 = _Box267.TestCase
Test2634 = _Box2634.TestCase
Test618 = _Box618.TestCase
TestPae = _BoxPae.TestCase
TestI386 = _BoxI386.TestCase
TestZones = _BoxZones.TestCase


@pytest.mark.parametrize("kernel", [name for name, k in vmcore.KERNELS.items() if "i386" in k.archs])
@pytest.mark.parametrize(("arch", "highpte"), [("i386", False), ("i386-pae", True)])
def test_highmem(kernel: str, arch: str, highpte: bool) -> None:
    """Three zones, all of them full: what two tasks need is more than a gigabyte."""
    m = vmcore.Machine(ram="1G", swap="512M", kernel=kernel, arch=arch, highpte=highpte, overcommit_memory=1)
    size = 600 << 20
    a, b = m.spawn("a"), m.spawn("b")
    at = {t: t.mmap(None, size, 3, 0x22) for t in (a, b)}
    for t, address in at.items():
        t.write(address, t.pid)
        t.touch_range(address, size, write=True)
        t.write(address + size - 4096, 100 + t.pid)
    m.check(walk=2000)
    stat = m.vmstat()
    assert stat["pswpout"] > 30000
    assert all(stat[f"pgsteal_{zone}"] > 0 for zone in ("high", "normal"))
    pmd = m.tables[1:]
    frames = pmd["frame"][(pmd["mm"] != 0) & (pmd["base"] & 7 == 0)]
    high = m.zones()[2]["start_pfn"]
    assert (frames.max() >= high) == highpte
    for t, address in at.items():
        assert t.read(address) == t.pid
        assert t.read(address + size - 4096) == 100 + t.pid
    c = a.fork("c")
    b.exit()
    c.touch_range(at[a], size // 4, write=True)
    m.check(walk=2000)
    assert c.read(at[a]) == a.pid


@pytest.mark.parametrize("kernel", tuple(vmcore.KERNELS))
@pytest.mark.parametrize("read_first", [False, True])
def test_a_private_copy_keeps_what_the_file_held(kernel: str, read_first: bool) -> None:
    """A write that changes nothing takes the page out of the file's life: later writes to the file are not seen."""
    m = vmcore.Machine(ram="8M", swap="8M", kernel=kernel)
    file = m.open("lib", size=32 * 4096)
    t = m.spawn("a")
    shared = t.mmap(None, 32 * 4096, 3, vmcore.MAP_SHARED, file)
    private = t.mmap(None, 32 * 4096, 3, vmcore.MAP_PRIVATE, file)
    for i in range(32):
        t.write(shared + i * 4096, 100 + i)
    if read_first:
        t.touch_range(private, 16 * 4096, write=False)
    t.touch_range(private, 16 * 4096, write=True)
    for i in range(32):
        t.write(shared + i * 4096, 200 + i)
    seen = [t.read(private + i * 4096) for i in range(32)]
    assert seen == [100 + i for i in range(16)] + [200 + i for i in range(16, 32)]
    m.check(walk=32)
