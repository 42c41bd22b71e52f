"""The red-black tree: order, balance after every step, and that the checker sees damage."""
import bisect
import math
import random

import pytest

from vmcore._fast.rbtree import _py_Tree as Tree


def checked(tree, expected):
    assert tree.check() == (expected, 0)


def height(tree, node):
    if node == 0:
        return 0
    _, _, left, right = tree.links(node)
    return 1 + max(height(tree, left), height(tree, right))


def test_empty_tree():
    tree = Tree(4)
    checked(tree, 0)
    assert tree.root == 0
    assert tree.forward() == []
    assert tree.backward() == []


def test_one_node_comes_and_goes():
    tree = Tree(1)
    tree.insert(1, 7)
    assert tree.root == 1
    assert tree.links(1) == (0, 1, 0, 0)
    assert tree.forward() == tree.backward() == [1]
    tree.erase(1)
    assert tree.root == 0
    checked(tree, 0)


@pytest.mark.parametrize("order", [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)])
def test_three_nodes_have_one_shape(order):
    """Both rotations, single and double, end in a black 2 over red 1 and 3."""
    tree = Tree(3)
    for node in order:
        tree.insert(node, node)
        checked(tree, len(tree.forward()))
    assert tree.root == 2
    assert tree.links(2) == (0, 1, 1, 3)
    assert tree.links(1) == (2, 0, 0, 0)
    assert tree.links(3) == (2, 0, 0, 0)


def test_red_uncle_recolours_instead_of_rotating():
    tree = Tree(4)
    for node in (2, 1, 3, 4):
        tree.insert(node, node)
    assert tree.links(2) == (0, 1, 1, 3)
    assert tree.links(3) == (2, 1, 0, 4)
    assert tree.links(4) == (3, 0, 0, 0)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("step", [1, -1])
def test_sorted_input_stays_balanced(n, step):
    tree = Tree(n)
    nodes = list(range(1, n + 1))
    for done, node in enumerate(nodes[::step], 1):
        tree.insert(node, node)
        checked(tree, done)
    assert tree.forward() == nodes
    assert tree.backward() == nodes[::-1]
    assert height(tree, tree.root) <= 2 * math.log2(n + 1)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 31])
def test_every_single_erase(n):
    """Each node of each tree size is taken out of a fresh tree: leaf, one child, two children, root."""
    for victim in range(1, n + 1):
        tree = Tree(n)
        for node in range(1, n + 1):
            tree.insert(node, node)
        tree.erase(victim)
        checked(tree, n - 1)
        assert tree.forward() == [i for i in range(1, n + 1) if i != victim]


@pytest.mark.parametrize("order", ["up", "down", "root", "random"])
def test_erase_to_nothing(order):
    n = 300
    tree = Tree(n)
    rng = random.Random(11)
    nodes = list(range(1, n + 1))
    rng.shuffle(nodes)
    for node in nodes:
        tree.insert(node, node)
    left = sorted(nodes)
    while left:
        victim = {"up": left[0], "down": left[-1], "root": tree.root, "random": rng.choice(left)}[order]
        tree.erase(victim)
        left.remove(victim)
        checked(tree, len(left))
        assert tree.forward() == left
    assert tree.root == 0


def test_the_heir_takes_place_and_colour():
    """A node with two children is replaced by the next in order, which keeps the victim's colour and links."""
    tree = Tree(7)
    for node in range(1, 8):
        tree.insert(node, node)
    root = tree.root
    _, black, left, _right = tree.links(root)
    heir = tree.forward()[tree.forward().index(root) + 1]
    tree.erase(root)
    checked(tree, 6)
    assert tree.root == heir
    assert tree.links(heir)[:2] == (0, black)
    assert tree.links(heir)[2] == left


def test_equal_keys_keep_the_order_of_arrival():
    tree = Tree(50)
    for node in range(1, 51):
        tree.insert(node, node % 5)
        checked(tree, node)
    assert tree.forward() == sorted(range(1, 51), key=lambda i: (i % 5, i))


def test_top_of_the_key_range():
    tree = Tree(4)
    keys = {1: 2**64 - 1, 2: 0, 3: 2**63, 4: 2**63 - 1}
    for node, key in keys.items():
        tree.insert(node, key)
    assert tree.forward() == [2, 4, 3, 1]
    checked(tree, 4)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_random_against_sorted_list(seed, share):
    """2,000 operations; the share of inserts decides whether the tree hovers near empty, or grows."""
    rng = random.Random(1000 * seed + int(10 * share))
    n = 400
    tree = Tree(n)
    out = list(range(1, n + 1))
    model = []                                      # sorted (key, node)
    for _ in range(2000):
        if out and (not model or rng.random() < share):
            node = out.pop(rng.randrange(len(out)))
            key = rng.randrange(2**64)
            tree.insert(node, key)
            bisect.insort(model, (key, node))
        else:
            key, node = model.pop(rng.randrange(len(model)))
            tree.erase(node)
            out.append(node)
        checked(tree, len(model))
        if rng.random() < 0.05:
            assert [(tree.key(i), i) for i in tree.forward()] == model
            assert tree.backward() == [i for _, i in reversed(model)]
            assert height(tree, tree.root) <= 2 * math.log2(len(model) + 1)
    assert [(tree.key(i), i) for i in tree.forward()] == model


def seven():
    tree = Tree(8)
    for node in (4, 2, 6, 1, 3, 5, 7):
        tree.insert(node, node)
    checked(tree, 7)
    assert tree.root == 4
    return tree


def test_check_sees_a_red_root():
    tree = seven()
    parent, _, left, right = tree.links(4)
    tree.damage(4, parent, 0, left, right)
    assert tree.check() == (-1, 4)


def test_check_sees_a_red_child_of_a_red_node():
    tree = seven()
    assert tree.links(1)[1] == 0
    parent, _, left, right = tree.links(2)
    tree.damage(2, parent, 0, left, right)
    assert tree.check() == (-1, 2)


def test_check_sees_unequal_black_heights():
    tree = seven()
    parent, _, left, right = tree.links(1)
    tree.damage(1, parent, 1, left, right)
    assert tree.check() == (-1, 2)


def test_check_sees_a_wrong_parent():
    tree = seven()
    _, black, left, right = tree.links(5)
    tree.damage(5, 2, black, left, right)
    assert tree.check() == (-1, 5)


@pytest.mark.parametrize("child", [4, 2, 7])
def test_check_ends_on_a_loop(child):
    tree = seven()
    parent, black, _, _ = tree.links(7)
    tree.damage(7, parent, black, child, 0)
    count, bad = tree.check()
    assert count == -1
    assert bad != 0


def test_shim_refuses_nonsense():
    tree = Tree(2)
    tree.insert(1, 1)
    with pytest.raises(IndexError):
        tree.insert(3, 1)
    with pytest.raises(ValueError):
        tree.insert(1, 1)
    with pytest.raises(ValueError):
        tree.erase(2)
