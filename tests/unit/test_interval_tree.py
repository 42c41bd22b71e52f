"""The interval tree: order, augmentation after every step, queries against brute force, and that the checker sees
damage. Fact sheets linux-2004 3.4, linux-modern 2."""
from __future__ import annotations

import random
from typing import Any

import pytest

from vmcore._fast.interval_tree import _py_Tree as Tree


def checked(tree: Any, expected: int) -> None:
    assert tree.check() == (expected, 0)


def test_the_drawn_tree() -> None:
    tree = Tree(4)
    for node, (first, last) in enumerate([(4, 9), (1, 12), (7, 8), (15, 20)], 1):
        tree.insert(node, first, last)
        checked(tree, node)
    assert tree.root == 1
    assert [tree.most(i) for i in (1, 2, 3, 4)] == [20, 12, 20, 20]
    assert tree.query(10, 10) == ([2], 4)
    assert tree.query(0, 0) == ([], 0)          # ends before the leftmost: no node is looked at
    assert tree.query(21, 30) == ([], 0)        # begins after the greatest last
    assert tree.query(8, 15)[0] == [2, 1, 3, 4]


def test_equal_ranges_are_nodes_in_the_order_of_arrival() -> None:
    tree = Tree(6)
    for node in (3, 1, 2):
        tree.insert(node, 5, 9)
    tree.insert_after(4, 3)
    checked(tree, 4)
    assert tree.query(7, 7)[0] == [3, 4, 1, 2]
    tree.remove(3)
    checked(tree, 3)
    assert tree.query(0, 5)[0] == [4, 1, 2]


def test_leftmost_moves_on() -> None:
    tree = Tree(3)
    tree.insert(1, 5, 5)
    tree.insert(2, 5, 6)                        # an equal start: not the leftmost
    tree.insert(3, 2, 3)
    checked(tree, 3)
    tree.remove(3)
    checked(tree, 2)
    assert tree.query(4, 4) == ([], 0)
    tree.remove(1)
    checked(tree, 1)
    tree.remove(2)
    checked(tree, 0)
    assert tree.query(0, 2**64 - 1) == ([], 0)


def test_top_of_the_range() -> None:
    top = 2**64 - 1
    tree = Tree(4)
    for node, (first, last) in enumerate([(0, top), (top, top), (0, 0), (2**63, top)], 1):
        tree.insert(node, first, last)
    checked(tree, 4)
    assert tree.query(top, top)[0] == [1, 4, 2]
    assert tree.query(0, 0)[0] == [1, 3]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("span", [8, 200, 2**63])
def test_random_against_brute_force(seed: int, span: int) -> None:
    rng = random.Random(seed)
    n = 250
    tree = Tree(n)
    model: dict[int, tuple[int, int]] = {}
    for _ in range(1500):
        if len(model) < n and (not model or rng.random() < 0.55):
            node = rng.choice([i for i in range(1, n + 1) if i not in model])
            if model and rng.random() < 0.2:
                prev = rng.choice(list(model))
                model[node] = model[prev]
                tree.insert_after(node, prev)
            else:
                first = rng.randrange(span)
                model[node] = (first, first + rng.randrange(rng.choice((1, 5, span))))
                tree.insert(node, *model[node])
        else:
            node = rng.choice(list(model))
            del model[node]
            tree.remove(node)
        checked(tree, len(model))
        a = rng.randrange(span)
        b = rng.choice((a, a + rng.randrange(span)))
        found, visited = tree.query(a, b)
        assert sorted(found) == sorted(i for i, (x, y) in model.items() if x <= b and y >= a)
        assert [model[i][0] for i in found] == sorted(model[i][0] for i in found)
        assert visited >= len(found)


def test_a_stab_is_a_way_down() -> None:
    n = 1 << 12
    tree = Tree(n)
    for node in range(1, n + 1):
        tree.insert(node, node, node)
    assert all(tree.query(i, i)[1] <= 2 * 13 for i in range(1, n + 1))


def test_mean_hits_of_the_kernels_test_distribution() -> None:
    """linux-modern 2.3: last uniform, first uniform below it: a quarter of the ranges, on average."""
    rng = random.Random(3141592653589793238)
    n, top = 400, 2**32 - 1
    tree = Tree(n)
    for node in range(1, n + 1):
        last = rng.randrange(1, top)
        tree.insert(node, rng.randrange(last), last)
    hits = [len(tree.query(q, q)[0]) for q in (rng.randrange(top) for _ in range(2000))]
    assert sum(hits) / len(hits) == pytest.approx(n / 4, rel=0.1)


@pytest.mark.parametrize(("node", "what", "delta"), [
    (2, "most", 1), (1, "most", -1), (3, "first", 20), (2, "first", 5), (4, "last", 3), (4, "last", -10),
    (1, "left", 1),
    (1, "left", 90), (1, "leftmost", 1), (1, "leftmost", 90),
])
def test_check_sees_damage(node: int, what: str, delta: int) -> None:
    tree = Tree(4)
    for i, (first, last) in enumerate([(4, 9), (1, 12), (7, 8), (15, 20)], 1):
        tree.insert(i, first, last)
    tree.damage(node, what, delta)
    assert tree.check()[0] == -1
    tree.damage(node, what, -delta)
    checked(tree, 4)
