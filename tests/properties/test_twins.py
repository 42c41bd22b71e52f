"""Both kernels under the same random operations: user space cannot tell which it runs on."""
from __future__ import annotations

import errno

from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.properties.box import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, Box, outcome, places, tasks
from tests.properties.model import PAGE, failed

import vmcore
from vmcore.kernels import I_MMAP

TOP = 1 << 63


class _Twins(Box):
    KERNELS = ("2.6.5", "2.6.5-aa1", "2.6.7")
    SAME_ERRNO = ("munmap", "mlock", "munlock")     # whatever the numbers

    @rule(task=tasks, where=places, odd=st.integers(1, PAGE - 1))
    def bad_alignment(self, task: int, where: int, odd: int) -> None:
        number = self.task(task)
        at = self.place(self.model.spaces[number], where) * PAGE
        self.same(failed(errno.EINVAL), lambda side: side.tasks[number].munmap(at + odd, PAGE))
        self.same(failed(errno.EINVAL), lambda side: side.tasks[number].mprotect(at + odd, PAGE, 1))
        # MAP_FIXED: the end of the address space is looked at before the alignment
        error = errno.ENOMEM if at + odd > (self.top - 1) * PAGE else errno.EINVAL
        self.same(failed(error), lambda side: side.tasks[number].mmap(
            at + odd, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED))

    @rule(task=tasks, where=places)
    def bad_arguments(self, task: int, where: int) -> None:
        number = self.task(task)
        at = self.place(self.model.spaces[number], where) * PAGE
        self.same(failed(errno.EINVAL), lambda side: side.tasks[number].munmap(at, 0))
        self.same(failed(errno.EINVAL), lambda side: side.tasks[number].munmap(TOP, PAGE))
        self.same(failed(errno.EINVAL), lambda side: side.tasks[number].mprotect(at, PAGE, 0x40))
        self.same(failed(errno.EINVAL), lambda side: side.tasks[number].mmap(None, PAGE, 3, MAP_ANONYMOUS))

    @rule(task=tasks, address=st.integers(0, (1 << 64) - 1), length=st.integers(0, (1 << 64) - 1),
        prot=st.integers(0, 15))
    def anything(self, task: int, address: int, length: int, prot: int) -> None:
        """Numbers that mean nothing: refused, or without effect, and by both in the same way."""
        number = self.task(task)
        # mlock rounds to whole pages, so that a page beside the range counts too
        if any(address - PAGE < p * PAGE < address + length for p in self.model.spaces[number].pages):
            return
        for call in self.SAME_ERRNO:
            results = [outcome(getattr(side.tasks[number], call), address, length) for side in self.sides]
            assert all(r == results[0] for r in results), (call, results)
        results = [outcome(side.tasks[number].mprotect, address, length, prot) for side in self.sides]
        assert all(r == results[0] for r in results), ("mprotect", results)


class _TwinsPae(_Twins):
    OPTIONS = {"arch": "i386-pae"}


class _TwinsIndexes(_Twins):
    """One reverse map, every index over the mappings of a file."""
    KERNELS = tuple(vmcore.KERNELS["2.6.5-aa1"].replace(i_mmap=index) for index in I_MMAP)


class _Twins24(_Twins):
    """Without reverse map against with one: pages leave memory by other ways, and come back the same."""

    KERNELS = ("2.4", "2.6.5-aa1")
    SAME_ERRNO = ("munmap", "munlock")      # mlock of 2.4 looks first whether it is half of the memory


TestTwins = _Twins.TestCase
TestTwins24 = _Twins24.TestCase
TestTwinsPae = _TwinsPae.TestCase
TestTwinsIndexes = _TwinsIndexes.TestCase
