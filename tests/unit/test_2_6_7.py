"""Where 2.6.7 differs from 2.6.5 beside its designs (fact sheet linux-2004 4.1, 4.9, 6.9, 7.3 to 7.6): the same machine
under the two sets of rules, exact counts. The designs are those of -aa1, so that nothing else differs.
"""
from __future__ import annotations

import numpy as np
import pytest

import vmcore
from vmcore._fast.records import PG_REFERENCED
from vmcore.kernels import RULES_2_6_7, Kernel

PAGE = 4096
RW, RO = 3, 1
PRIVATE_ANON, SHARED, GROWSDOWN = 0x22, 0x01, 0x100
OLD = vmcore.KERNELS["2.6.5-aa1"]


def with_rules(**rules: int) -> Kernel:
    return OLD.replace(name="rules", data={**OLD.data, **rules})


NEW = with_rules(**RULES_2_6_7)


def machine(kernel: Kernel, **options: object) -> vmcore.Machine:
    return vmcore.Machine(**{"ram": "16M", "kernel": kernel, "overcommit_memory": 1} | options)


def written(m: vmcore.Machine, pages: int) -> tuple[vmcore.Task, int]:
    t = m.spawn("t")
    at = t.mmap(None, pages * PAGE, RW, PRIVATE_ANON)
    t.touch_range(at, pages * PAGE, write=True)
    return t, at


def share(new: bool, priority: int, active: int, inactive: int) -> tuple[int, int]:
    """What one call adds to the two lists' accounts (7.3)."""
    if not new:
        return 32 * active // ((inactive | 1) * 2) + 1, inactive >> priority
    part = (active + inactive) >> priority
    return (4 * part if active >= 4 * (2 * inactive + 1) else part * active // (2 * inactive + 1)) + 1, part


# ---------------------------------------------------------------- how much is scanned (7.3)

@pytest.mark.parametrize("new", [False, True])
def test_active_list_alone(new: bool) -> None:
    """Without swap nothing leaves the active list, so the lengths stay and every call's share is known."""
    m = machine(NEW if new else OLD)
    written(m, 1504)                            # whole pagevecs
    assert m.zones()[0]["active"] == 1504 and m.zones()[0]["inactive"] == 0
    due = refilled = 0
    for priority in range(12, -1, -1):
        due += share(new, priority, 1504, 0)[0]
        if due >= 32:
            refilled += min(due, 1504)
            due = 0
    m.reclaim(pages=1 << 30)
    assert m.vmstat()["pgrefill_dma"] == refilled
    assert refilled == (6006 if new else 13 * 1504)


@pytest.mark.parametrize("new", [False, True])
def test_both_lists(new: bool) -> None:
    rules = RULES_2_6_7 if new else {}
    m = machine(with_rules(**rules | {"zap_accessed": 2}))      # what the reader used shall stay inactive
    written(m, 1504)
    file = m.open("f", size=600 * PAGE)
    t = m.spawn("reader")
    at = t.mmap(None, 600 * PAGE, RO, SHARED, file)
    t.touch_range(at, 600 * PAGE, write=False)
    t.exit()
    active, inactive = (m.zones()[0][name] for name in ("active", "inactive"))
    assert (active, inactive) == (1504, 600)
    accounts, refilled, scanned = [0, 0], 0, 0
    for priority in range(12, -1, -1):
        for i, more in enumerate(share(new, priority, active, inactive)):
            accounts[i] += more
        if accounts[0] >= 32:
            refilled += min(accounts[0], active)
            accounts[0] = 0
        if accounts[1] >= 32:
            while accounts[1] > 0:              # batches of 32 count as 33 (7.4)
                scanned += 33
                accounts[1] -= 33
            break
    assert m.reclaim(pages=1) == scanned // 33 * 32     # clean and unmapped: all are freed
    stat = m.vmstat()
    assert (stat["pgrefill_dma"], stat["pgscan_direct_dma"]) == (refilled, scanned)
    assert (refilled, scanned) == ((85, 66) if new else (328, 66))


# ---------------------------------------------------------------- priorities (7.5)

@pytest.mark.parametrize(("rules", "swappiness", "looks"), [
    ({}, 15, False),                            # 2.6.5: the distress of the run before, which is none
    ({"prev_priority_now": 1}, 15, True),       # the distress of this run: 50 at priority 1 is enough
    ({"prev_priority_now": 1}, 0, False),
    ({"prev_priority_now": 1, "kswapd_to_zero": 1}, 0, True),       # only priority 0 makes everything eligible
    ({"kswapd_to_zero": 1}, 0, False),
])
def test_mapped_pages_in_the_first_run_of_kswapd(rules: dict[str, int], swappiness: int, looks: bool) -> None:
    """Young bits are taken only when mapped pages are eligible."""
    m = machine(with_rules(**rules), swap="16M", swappiness=swappiness)
    t = m.spawn("t")
    at = t.mmap(None, 4096 * PAGE, RW, PRIVATE_ANON)
    i = 0
    while m.vmstat()["pageoutrun"] == 0:
        t.touch(at + i * PAGE, write=True)
        i += 1
    assert m.vmstat()["pageoutrun"] == 1
    assert m.vmstat()["reclaim_priority_min"] == (12 if "kswapd_to_zero" in rules else 11)
    assert bool(t.pagemap(at, PAGE)[0]["accessed"]) != looks
    m.check()


@pytest.mark.parametrize("each", [0, 1])
def test_direct_reclaim_counts_what_one_priority_frees(each: int) -> None:
    """Of 32 pages looked at, the 12 that nobody mapped are freed. 2.6.5 is content when two priorities together have
    freed 32, 2.6.7 goes down until one alone has. All of it above priority 9, where nobody waits and kswapd cannot
    help."""
    pages = 65536
    m = machine(with_rules(zone_protection=1, progress_each=each), ram="288M", swappiness=0)
    file = m.open("f", size=pages * PAGE)
    t = m.spawn("reader")
    at = t.mmap(None, pages * PAGE, RO, SHARED, file)
    i = np.arange(pages, dtype=np.uint64)
    t.touch(at + PAGE * i[~np.isin(i % 8, (0, 3, 6))], write=False)
    assert m.zones()[1]["inactive"] == pages
    inactive, due, freed, scanned = pages, 0, 0, 0
    for priority in range(12, 8, -1):
        due += inactive >> priority
        if each:
            freed = 0
        if due >= 32:
            batches = -(-due // 33)
            scanned += 33 * batches
            inactive -= 32 * batches
            freed += 12 * batches
            due = 0
        if freed >= 32:
            break
    at = t.mmap(None, 64 << 20, RW, PRIVATE_ANON)
    i = 0
    while m.vmstat()["allocstall"] == 0:
        t.touch(at + i * PAGE, write=True)
        i += 1
    stat = m.vmstat()
    assert stat["allocstall"] == 1 and stat["oom_calls"] == 0
    assert stat["pgscan_direct_normal"] == scanned == (264 if each else 132)
    m.check()


@pytest.mark.parametrize("late", [0, 1])
def test_who_scans_locked_pages_only(late: int) -> None:
    """7.4: in 2.6.5 they count as scanned, so a direct reclaimer waits HZ/10 after each priority below 10 that had
    pages to look at; in 2.6.7 they do not, and only the allocation waits, HZ/50 before it tries again."""
    m = machine(with_rules(zone_protection=1, scanned_late=late), trylock_rate=1024)
    file = m.open("f", size=640 * PAGE)
    t = m.spawn("t")
    at = t.mmap(None, 640 * PAGE, RO, SHARED, file)
    for i in range(0, 640, 16):
        t.touch(at + i * PAGE, write=False)
    at = t.mmap(None, 64 << 20, RW, PRIVATE_ANON)
    with pytest.raises(vmcore.TaskKilled):
        t.touch_range(at, 64 << 20, write=True)
    stat = m.vmstat()
    now, stalls = m._engine.numbers()["now"], stat["allocstall"]
    assert stat["reclaim_keep_locked"] > 0 and stat["pgsteal_dma"] == 0
    if late:
        assert now == (stalls - 1) * 20_000_000         # the last one is killed, and does not wait
    else:
        assert now >= stalls * 6 * 100_000_000
    m.check()


# ---------------------------------------------------------------- allocation (7.6)

def killed_at(kernel: Kernel, **options: object) -> int:
    """Pages that a task can write before it is the OOM killer's choice; there is no swap."""
    m = machine(kernel, **options)
    t = m.spawn("t")
    at = t.mmap(None, 64 << 20, RW, PRIVATE_ANON)
    with pytest.raises(vmcore.TaskKilled) as e:
        t.touch_range(at, 64 << 20, write=True)
    m.check()
    return e.value.index


def test_the_last_pass_of_2_6_7_does_not_go_down_to_min() -> None:
    zone = machine(OLD).zones()[0]
    assert killed_at(OLD) - killed_at(NEW) == zone["low"] - zone["min"]


@pytest.mark.parametrize("protection", [0, 3])
def test_zones_protect_those_below(protection: int) -> None:
    """Three small zones. Ordinary pages leave low(z) + ... + low(preferred) pages in each, and more with
    lower_zone_protection."""
    rules = dict(RULES_2_6_7, lowmem_pages=8192)
    m = machine(with_rules(**rules), ram="64M", arch="i386", lower_zone_protection=protection)
    t = m.spawn("t")
    at = t.mmap(None, 96 << 20, RW, PRIVATE_ANON)
    dma, normal, high = m.zones()
    above = 1 + protection
    need = (1 + dma["low"] + above * (normal["low"] + high["low"]), 1 + normal["low"] + above * high["low"],
            1 + high["low"])
    least = [z["free"] for z in (dma, normal, high)]
    i = 0
    while m.vmstat()["pageoutrun"] == 0:        # kswapd is woken when the first pass finds nothing
        least = [z["free"] for z in m.zones()]
        try:
            t.touch(at + i * PAGE, write=True)
        except vmcore.TaskKilled:
            break                               # the passes after it ask for as much
        i += 1
    # page tables prefer NORMAL, and so may go deeper than the pages of the task
    tables = i // 1024 + 2
    for free, wanted in zip(least, need, strict=True):
        assert wanted - 1 - tables <= free < wanted
    assert least[2] == high["low"]


# ---------------------------------------------------------------- single rules

@pytest.mark.parametrize("new", [False, True])
def test_zap_of_a_young_swap_cache_page(new: bool) -> None:
    """6.9: the page stays with the other task; 2.6.7 notes that it was used."""
    m = machine(NEW if new else OLD, swap="16M", swappiness=100, page_cluster=0)
    a, at = written(m, 64)
    b = a.fork("b")
    while not (a.pagemap(at, PAGE)[0]["slot"] and b.pagemap(at, PAGE)[0]["slot"]
               and m.swap_cache[int(a.pagemap(at, PAGE)[0]["slot"])] == 0):
        m.reclaim(pages=32)
    a.touch(at, write=False)
    b.touch(at, write=False)
    pfn = int(a.pagemap(at, PAGE)[0]["frame"])
    assert pfn == int(b.pagemap(at, PAGE)[0]["frame"]) and int(m.mapcounts[pfn]) == 2
    while int(m.frames[pfn]["flags"]) & PG_REFERENCED:
        m.reclaim(pages=0)
    assert int(m.mapcounts[pfn]) == 2
    b.touch(at, write=False)
    b.munmap(at, PAGE)
    assert bool(int(m.frames[pfn]["flags"]) & PG_REFERENCED) == new
    m.check()


@pytest.mark.parametrize("new", [False, True])
def test_mlock_of_untouched_memory_to_be_read(new: bool) -> None:
    """4.9: 2.6.7's get_user_pages gives the zero page away without making a table for it."""
    m = machine(NEW if new else OLD)
    t = m.spawn("t")
    at = t.mmap(None, 4 << 20, RO, PRIVATE_ANON)
    t.mlock(at, 4 << 20)
    stat = m.vmstat()
    assert stat["nr_page_table_pages"] == (0 if new else 2 + (at % (2 << 20) != 0))
    assert stat["fault_zero_page"] == (0 if new else 1024)
    t.touch_range(at, 4 << 20, write=False)
    m.check()


@pytest.mark.parametrize("new", [False, True])
def test_a_stack_is_made_ready_before_it_grows(new: bool) -> None:
    """4.1: a read below the area maps the zero page, which needs no anon_vma; growing does, in 2.6.7."""
    m = machine(NEW if new else OLD)
    t = m.spawn("t")
    at = t.mmap(None, 16 * PAGE, RW, PRIVATE_ANON | GROWSDOWN)
    t.munmap(at, 8 * PAGE)
    t.touch(at + 8 * PAGE - 16, write=False)
    stat = m.vmstat()
    assert stat["stack_growths"] == 1
    assert stat["nr_anon_vmas"] == new
    m.check()
