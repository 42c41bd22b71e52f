"""The radix priority search tree: golden shapes and queries of the fact sheet (linux-2004 3.3), sets, expansion, and
that the checker sees damage."""
from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmcore._fast.prio_tree import _py_Tree as Tree

GOLDEN = [
    ((0, 7), "(0,7)"),
    ((2, 3), "(0,7)[(2,3),-]"),
    ((4, 4), "(0,7)[(2,3),(4,4)]"),
    ((2, 7), "(0,7)[(2,7)[-,(2,3)],(4,4)]"),
    ((0, 0), "(0,7)[(2,7)[(0,0),(2,3)],(4,4)]"),
    ((5, 6), "(0,7)[(2,7)[(0,0),(2,3)],(5,6)[(4,4),-]]"),
    ((0, 7), "(0,7)[(2,7)[(0,0),(2,3)],(5,6)[(4,4),-]]"),
    ((6, 7), "(0,7)[(2,7)[(0,0),(2,3)],(6,7)[(5,6)[(4,4),-],-]]"),
    ((0, 2), "(0,7)[(2,7)[(0,2)[(0,0),-],(2,3)],(6,7)[(5,6)[(4,4),-],-]]"),
    ((3, 3), "(0,7)[(2,7)[(0,2)[(0,0),-],(2,3)[-,(3,3)]],(6,7)[(5,6)[(4,4),-],-]]"),
]
RANGE = {i: r for i, (r, _) in enumerate(GOLDEN, 1)}


def checked(tree: Any, expected: int) -> None:
    assert tree.check() == (expected, 0)
    assert tree.height() <= 2 * tree.bits


def golden() -> Any:
    tree = Tree(16)
    for node, (first, last) in RANGE.items():
        tree.insert(node, first, last)
    return tree


def test_golden_insertions() -> None:
    tree = Tree(16)
    for node, ((first, last), text) in enumerate(GOLDEN, 1):
        tree.insert(node, first, last)
        checked(tree, node)
        assert tree.text() == text
        assert tree.bits == 3
    assert tree.counts["expansions"] == 1
    assert tree.counts["roots_moved"] == 0
    assert tree.counts["duplicates"] == tree.counts["sets_made"] == 1
    assert tree.words(1)[3] == 7        # the second (0,7) is the head of the first one's set


def test_golden_removal_of_the_root() -> None:
    tree = golden()
    tree.remove(7)                      # the duplicate
    tree.remove(1)
    checked(tree, 8)
    assert tree.text() == "(2,7)[(2,3)[(0,2)[(0,0),-],(3,3)],(6,7)[(5,6)[(4,4),-],-]]"
    assert tree.counts["promotions"] == 0


@pytest.mark.parametrize(("query", "found", "visited"), [
    ((0, 0), [(0, 7), (0, 2), (0, 0)], 4),
    ((3, 3), [(0, 7), (2, 7), (2, 3), (3, 3)], 4),
    ((4, 5), [(0, 7), (2, 7), (5, 6), (4, 4)], 5),
    ((7, 7), [(0, 7), (2, 7), (6, 7)], 3),
])
def test_golden_queries(query: tuple[int, int], found: list[tuple[int, int]], visited: int) -> None:
    tree = golden()
    nodes, looked_at = tree.query(*query)
    assert nodes[:2] == [1, 7]          # a tree node, then its set
    assert [RANGE[i] for i in nodes if i != 7] == found
    assert looked_at == visited + 1     # the member of the set


def test_golden_expansion() -> None:
    tree = Tree(4)
    tree.insert(1, 0, 1)
    assert (tree.bits, tree.text()) == (1, "(0,1)")
    tree.insert(2, 1, 1)
    assert (tree.bits, tree.text()) == (1, "(0,1)[-,(1,1)]")
    tree.insert(3, 40, 47)
    assert (tree.bits, tree.text()) == (6, "(40,47)[(0,1)[(1,1),-],-]")
    assert tree.counts["expansions"] == 1
    assert tree.counts["roots_moved"] == 2
    tree.insert(4, 0, 0)
    checked(tree, 4)
    assert tree.text() == "(40,47)[(0,1)[(1,1)[(0,0),-],-],-]"


def test_expansion_leaves_the_rest_of_the_tree_below_the_spine() -> None:
    tree = Tree(8)
    for node, (first, last) in enumerate([(0, 1), (1, 1), (0, 0)], 1):
        tree.insert(node, first, last)
    assert tree.text() == "(0,1)[(0,0),(1,1)]"
    tree.insert(4, 2, 3)                # one bit more, the level of the new root: the old tree goes below it whole
    assert (tree.bits, tree.text()) == (2, "(2,3)[(0,1)[(0,0),(1,1)],-]")
    assert tree.counts["roots_moved"] == 0
    tree.insert(5, 9, 9)                # two bits more: one old root comes between, and (1,1) up from below it
    assert (tree.bits, tree.text()) == (4, "(9,9)[(2,3)[(0,1)[(1,1)[(0,0),-],-],-],-]")
    assert tree.counts["roots_moved"] == 1
    checked(tree, 5)


def test_expansion_confuses_the_size_levels() -> None:
    """As in the kernel: (0,4) stands right of (0,5) by bit 2 of its size; with a bit more that level looks at bit 3, so
    an equal range goes left, and is a node of its own. Queries find both."""
    tree = Tree(8)
    for node, (first, last) in enumerate([(0, 7), (1, 7), (0, 6), (0, 5), (0, 4)], 1):
        tree.insert(node, first, last)
    assert tree.text() == "(0,7)[(1,7)[(0,6)[(0,5)[-,(0,4)],-],-],-]"
    tree.insert(6, 8, 9)
    assert tree.text() == "(8,9)[(0,7)[(1,7)[(0,6)[(0,5)[-,(0,4)],-],-],-],-]"
    tree.insert(7, 0, 4)
    assert tree.text() == "(8,9)[(0,7)[(1,7)[(0,6)[(0,5)[(0,4),(0,4)],-],-],-],-]"
    assert tree.counts["duplicates"] == 0
    assert sorted(tree.query(4, 4)[0]) == [1, 2, 3, 4, 5, 7]
    checked(tree, 7)
    for node in (1, 4, 7, 5):
        tree.remove(node)
        checked(tree, len(tree.query(0, 99)[0]))


def test_size_bits_come_after_the_bits_of_the_start() -> None:
    tree = Tree(8)
    for node, last in enumerate((0, 1, 2, 3, 4, 5, 6, 7), 1):
        tree.insert(node, 0, last)
        checked(tree, node)
    assert tree.bits == 3
    assert sorted(tree.query(0, 0)[0]) == list(range(1, 9))
    assert sorted(tree.query(5, 6)[0]) == [6, 7, 8]


def test_index_bits_stay_until_the_tree_is_empty() -> None:
    tree = Tree(2)
    tree.insert(1, 0, 1000)
    tree.insert(2, 0, 0)
    assert tree.bits == 10
    tree.remove(1)
    assert tree.bits == 10
    tree.remove(2)
    assert (tree.bits, tree.root) == (1, 0)
    checked(tree, 0)


def test_set_of_equal_ranges() -> None:
    """Classes of a node, the order of a set, and who takes over when one goes."""
    tree = Tree(8)
    tree.insert(1, 3, 5)
    assert tree.words(1) == (1, 0, 0, 0)        # the root is its own parent
    tree.insert(2, 3, 5)                        # the head
    assert tree.words(1)[3] == 2
    assert tree.words(2) == (0, 2, 2, 1)
    tree.insert(3, 3, 5)                        # the tail
    tree.add(4, 2)                              # right after the head
    tree.add(5, 1)                              # after a tree node: the tail
    tree.add(6, 4)
    assert tree.query(5, 9) == ([1, 2, 4, 6, 3, 5], 6)
    checked(tree, 6)
    tree.remove(2)                              # the head: the next one is head
    assert tree.words(4)[3] == 1
    assert tree.query(5, 9)[0] == [1, 4, 6, 3, 5]
    tree.remove(1)                              # the tree node: the head takes its place
    assert tree.words(4) == (4, 0, 0, 6)
    assert tree.query(5, 9)[0] == [4, 6, 3, 5]
    tree.remove(3)                              # a member
    checked(tree, 3)
    assert tree.counts["promotions"] == 1
    assert tree.counts["sets_made"] == 1
    tree.remove(6)
    tree.remove(5)
    assert tree.words(4) == (4, 0, 0, 0)
    assert tree.words(5) == (0, 0, 0, 0)
    checked(tree, 1)


def test_promotion_below_the_root() -> None:
    tree = golden()
    tree.insert(11, 2, 7)
    tree.insert(12, 2, 7)
    text = tree.text()
    tree.remove(4)
    checked(tree, 11)
    assert tree.text() == text
    assert [i for i in tree.query(3, 3)[0] if i in (11, 12)] == [11, 12]


def test_many_mappings_of_one_page() -> None:
    """The shape of test-mmap3 (linux-2004 10.4): 18,000 one-page ranges, inserted in reverse."""
    n = 18000
    tree = Tree(n)
    for node, page in enumerate(reversed(range(n)), 1):
        tree.insert(node, page, page)
    checked(tree, n)
    assert tree.bits == 15
    visits = []
    for page in range(n):
        nodes, visited = tree.query(page, page)
        assert nodes == [n - page]
        visits.append(visited)
    assert max(visits) <= 16
    assert sum(visits) / n == pytest.approx(14.2, abs=0.05)


def test_top_of_the_range() -> None:
    top = 2**64 - 1
    tree = Tree(8)
    ranges = [(0, top), (top, top), (0, 0), (2**63, top), (top - 1, top), (0, top), (5, 2**63)]
    for node, (first, last) in enumerate(ranges, 1):
        tree.insert(node, first, last)
        checked(tree, node)
    assert tree.bits == 64
    assert sorted(tree.query(top, top)[0]) == [1, 2, 4, 5, 6]
    assert sorted(tree.query(0, 0)[0]) == [1, 3, 6]
    for node in (1, 6, 4, 2, 7, 3, 5):
        tree.remove(node)
    checked(tree, 0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("span", [8, 200, 2**40])
def test_random_against_brute_force(seed: int, span: int) -> None:
    rng = random.Random(seed)
    n = 250
    tree = Tree(n)
    model: dict[int, tuple[int, int]] = {}
    for _ in range(1500):
        if len(model) < n and (not model or rng.random() < 0.55):
            node = rng.choice([i for i in range(1, n + 1) if i not in model])
            if model and rng.random() < 0.2:
                old = rng.choice(list(model))
                model[node] = model[old]
                tree.add(node, old)
            else:
                first = rng.randrange(span)
                model[node] = (first, min(first + rng.randrange(1 + rng.choice((1, 5, span))), span))
                tree.insert(node, *model[node])
        else:
            node = rng.choice(list(model))
            del model[node]
            tree.remove(node)
        checked(tree, len(model))
        a = rng.randrange(span)
        b = rng.choice((a, a + rng.randrange(span)))
        found = tree.query(a, b)[0]
        assert sorted(found) == sorted(i for i, (x, y) in model.items() if x <= b and y >= a)


def shape(intervals: list[tuple[int, int]]) -> str:
    tree = Tree(max(len(intervals), 1))
    for node, (first, last) in enumerate(intervals, 1):
        tree.insert(node, first, last)
    return tree.text()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda p: (min(p), max(p))), max_size=12,
                unique=True), st.randoms())
def test_shape_does_not_depend_on_order_within_the_bits(intervals: list[tuple[int, int]], rng: random.Random) -> None:
    """Heap and trie fix the shape of the tree, once the bits are there; (0,31) makes them and stays the root."""
    other = intervals[:]
    rng.shuffle(other)
    assert shape([(0, 31), *intervals]) == shape([(0, 31), *other])


@pytest.mark.parametrize(("node", "what", "delta"), [
    (4, "last", -5), (4, "last", 5), (4, "first", 4), (9, "first", 2), (6, "parent", 1), (5, "left", 99),
    (5, "left", 5),
    (3, "right", 3), (1, "head", 1), (7, "head", 1), (7, "parent", 1), (7, "left", 1), (7, "right", 2), (7, "last", -1),
    (2, "last", 5), (10, "first", -1), (1, "bits", -1), (1, "bits", -3), (1, "bits", 62), (1, "parent", 1),
])
def test_check_sees_damage(node: int, what: str, delta: int) -> None:
    tree = golden()
    tree.damage(node, what, delta)
    assert tree.check()[0] == -1
    tree.damage(node, what, -delta)
    checked(tree, 10)


def test_shim_refuses_nonsense() -> None:
    tree = Tree(2)
    tree.insert(1, 1, 1)
    for call in (lambda: tree.insert(1, 2, 2), lambda: tree.insert(2, 2, 1), lambda: tree.remove(2),
                 lambda: tree.add(1, 1)):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(IndexError):
        tree.insert(3, 1, 1)
