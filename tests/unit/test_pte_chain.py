"""pte_chain as a structure: the golden example of fact sheet linux-2004 2.2, and random chains against a model."""
import random

import pytest

from vmcore._fast.rmap import pte_chain

PAGE = 1
Chains = pte_chain._py_ChainMachine


def p(n: int) -> int:
    """The n-th pte of the golden example."""
    return 100 + n


@pytest.fixture
def golden():
    """p1 .. p9 map one page, NRPTE = 7."""
    c = Chains(nrpte=7)
    for n in range(1, 10):
        c.add(PAGE, p(n))
    return c


def slots(**at: int) -> list[int]:
    """Seven slots from s<index>=<number of the pte>, the rest free."""
    out = [0] * 7
    for name, n in at.items():
        out[int(name[1:])] = p(n)
    return out


FULL_A = slots(s0=7, s1=6, s2=5, s3=4, s4=3, s5=2, s6=1)


def test_first_mapping_is_direct():
    c = Chains(nrpte=7)
    c.add(PAGE, p(1))
    assert c.direct(PAGE) == p(1)
    assert c.chain(PAGE) == []
    assert c.counts()["allocated"] == 0
    assert c.counts()["mapped"] == 1


def test_second_mapping_makes_a_chain():
    c = Chains(nrpte=7)
    c.add(PAGE, p(1))
    c.add(PAGE, p(2))
    assert c.direct(PAGE) is None
    assert c.chain(PAGE) == [(5, slots(s5=2, s6=1))]
    assert c.counts()["conversions"] == 1


def test_golden_adds():
    c = Chains(nrpte=7)
    for n in range(1, 8):
        c.add(PAGE, p(n))
    assert c.chain(PAGE) == [(0, FULL_A)]
    c.add(PAGE, p(8))
    assert c.chain(PAGE) == [(6, slots(s6=8)), (0, FULL_A)]
    c.add(PAGE, p(9))
    assert c.chain(PAGE) == [(5, slots(s5=9, s6=8)), (0, FULL_A)]
    assert c.nodes(PAGE) == 2
    assert c.counts()["allocated"] == 2
    assert c.mapcount(PAGE) == 9


def test_golden_removals(golden):
    golden.remove(PAGE, p(1))           # the head's lowest entry, p9, fills the hole
    a = [p(7), p(6), p(5), p(4), p(3), p(2), p(9)]
    assert golden.chain(PAGE) == [(6, slots(s6=8)), (0, a)]
    assert golden.counts()["slots_searched"] == 2 + 7
    golden.remove(PAGE, p(8))           # it is its own victim: B is empty and goes
    assert golden.chain(PAGE) == [(0, a)]
    assert golden.counts()["freed"] == 1
    for n, idx in zip((7, 6, 5, 4, 3, 2), range(1, 7), strict=True):
        golden.remove(PAGE, p(n))
        assert golden.chain(PAGE)[0][0] == idx
    assert golden.chain(PAGE) == [(6, slots(s6=9))]
    assert golden.direct(PAGE) is None  # one entry, still a chain
    golden.set_young(p(9))
    assert golden.referenced(PAGE) == 1
    assert golden.direct(PAGE) == p(9)
    assert golden.chain(PAGE) == []
    counts = golden.counts()
    assert (counts["collapses"], counts["freed"], counts["nodes_live"], counts["mapped"]) == (1, 2, 0, 1)
    golden.remove(PAGE, p(9))
    assert golden.counts()["mapped"] == 0


def test_referenced_counts_and_clears(golden):
    golden.set_referenced(PAGE)
    for n in (1, 4, 9):
        golden.set_young(p(n))
    assert golden.referenced(PAGE) == 4
    assert golden.referenced(PAGE) == 0
    assert golden.counts()["ptes_examined"] == 18
    assert golden.nodes(PAGE) == 2      # nine entries: no collapse


@pytest.mark.parametrize("pte", [p(1), p(2), p(7), p(8), p(9)])
def test_entry_of_a_wrong_page_is_a_bug(golden, pte):
    golden.remove(PAGE, pte)
    with pytest.raises(AssertionError, match="bug"):
        golden.remove(PAGE, pte)


def test_remove_from_unmapped_page_is_a_bug():
    with pytest.raises(AssertionError, match="bug"):
        Chains(nrpte=7).remove(PAGE, p(1))


def check_page(c, pfn: int, want: set[int], nrpte: int) -> int:
    """The chain holds exactly `want`; only the head has free slots, and they are the low ones. Returns its nodes."""
    entries = c.entries(pfn)
    assert len(entries) == len(want) == c.mapcount(pfn)
    assert set(entries) == want
    chain = c.chain(pfn)
    if c.direct(pfn) is not None:
        assert want == {c.direct(pfn)} and chain == []
    elif not want:
        assert chain == []
    for at, (idx, node) in enumerate(chain):
        assert 0 <= idx < nrpte
        assert not any(node[:idx]) and all(node[idx:])
        assert at == 0 or idx == 0
    if chain:
        assert len(chain) == -(-len(want) // nrpte)
    assert c.nodes(pfn) == len(chain)
    return len(chain)


@pytest.mark.parametrize("nrpte", [3, 7, 15, 31])
@pytest.mark.parametrize("seed", range(4))
def test_random_chains_against_sets(nrpte, seed):
    rng = random.Random(1000 * nrpte + seed)
    pages = range(1, 9)
    c = Chains(nrpte=nrpte, frames=16, ptes=2048)
    model: dict[int, set[int]] = {pfn: set() for pfn in pages}
    young: set[int] = set()
    free = list(range(1, 2048))
    rng.shuffle(free)
    grow = True
    for step in range(4000):
        if step % 500 == 0:
            grow = not grow if step else True
        pfn = rng.choice(pages)
        what = rng.random()
        if what < (0.6 if grow else 0.25) and len(model[pfn]) < 200:
            pte = free.pop()
            c.add(pfn, pte)
            model[pfn].add(pte)
        elif what < 0.9 and model[pfn]:
            pte = rng.choice(sorted(model[pfn]))
            c.remove(pfn, pte)
            model[pfn].remove(pte)
            free.insert(0, pte)
            if rng.random() < 0.5:
                rng.shuffle(free)
        elif model[pfn]:
            for pte in rng.sample(sorted(model[pfn]), k=min(2, len(model[pfn]))):
                c.set_young(pte)
                young.add(pte)
            assert c.referenced(pfn) == len(young & model[pfn])
            young -= model[pfn]
            if len(model[pfn]) == 1:
                assert c.direct(pfn) is not None
        nodes = sum(check_page(c, pfn, model[pfn], nrpte) for pfn in pages) if step % 16 == 0 else None
        counts = c.counts()
        assert counts["mapped"] == sum(bool(s) for s in model.values())
        assert counts["allocated"] - counts["freed"] == counts["nodes_live"]
        if nodes is not None:
            assert counts["nodes_live"] == nodes
    for pfn in pages:
        for pte in list(model[pfn]):
            c.remove(pfn, pte)
            model[pfn].discard(pte)
        check_page(c, pfn, set(), nrpte)
    assert c.counts()["nodes_live"] == 0


def test_appended_chain_has_ceil_nodes():
    """Fact sheet 10.1: S mappers take ceil(S / NRPTE) nodes, none for a page mapped once."""
    c = Chains(nrpte=31, ptes=1024)
    for s in range(1, 513):
        c.add(PAGE, s)
        assert c.nodes(PAGE) == (0 if s == 1 else -(-s // 31))
