"""The whole machine against the plain-Python model: after every step check() passes and user space sees what it must."""
from __future__ import annotations

from tests.properties.box import Box


class _Box265(Box):
    KERNELS = ("2.6.5",)


class _BoxAa1(Box):
    KERNELS = ("2.6.5-aa1",)


class _BoxPae(Box):
    """Three-level tables whose top is a slab object."""

    KERNELS = ("2.6.5",)
    OPTIONS = {"arch": "i386-pae", "swappiness": 60}


class _BoxI386(Box):
    """Two-level tables of 1024 entries, no swap readahead."""

    KERNELS = ("2.6.5-aa1",)
    OPTIONS = {"arch": "i386", "page_cluster": 0}


Test265 = _Box265.TestCase
TestAa1 = _BoxAa1.TestCase
TestPae = _BoxPae.TestCase
TestI386 = _BoxI386.TestCase
