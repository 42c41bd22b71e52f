"""The radix tree of the page cache, against a dict. 64 slots a node, at most 11 levels, any u64 index."""
import random

import pytest

filemap = pytest.importorskip("vmcore._fast.filemap")

TOP = 2**64 - 1
EDGES = [0, 1, 63, 64, 65, 4095, 4096, 2**18 - 1, 2**18, 2**60 - 1, 2**60, 2**63, TOP - 64, TOP - 1, TOP]


@pytest.fixture
def tree():
    t = filemap._py_Radix()
    yield t
    t.check()


def walk(tree, first=0, last=TOP):
    """All (index, value) in [first, last], by next()."""
    out = []
    while (hit := tree.next(first, last)) is not None:
        out.append(hit)
        if hit[0] == TOP:
            break
        first = hit[0] + 1
    return out


def test_empty(tree):
    assert tree.height == 0 and tree.nodes == 0
    assert tree.get(0) == 0 and tree.get(TOP) == 0
    assert tree.clear(5) == 0
    assert tree.next(0) is None


@pytest.mark.parametrize(
    "index, height", [(0, 1), (63, 1), (64, 2), (4095, 2), (4096, 3), (2**60 - 1, 10), (2**60, 11), (TOP, 11)]
)
def test_height_of_first_index(tree, index, height):
    assert tree.set(index, 7) == 0
    assert tree.height == height and tree.nodes == height
    assert tree.get(index) == 7
    assert tree.next(0) == (index, 7)
    assert tree.clear(index) == 7
    assert tree.height == 0 and tree.nodes == 0


def test_grows_at_the_root_and_keeps_what_was_there(tree):
    #          [ ]            height 3 after 5000: old root is slot 0 of a chain of two,
    #         /   \           and 5000 has a path of two of its own
    #       [ ]   [ ]
    #       /       \
    #   [1 2]       [5000]
    for index in (1, 2):
        tree.set(index, index + 100)
    assert tree.nodes == 1
    tree.set(5000, 9)
    assert tree.height == 3 and tree.nodes == 5
    assert walk(tree) == [(1, 101), (2, 102), (5000, 9)]
    tree.check()
    tree.clear(5000)        # its nodes go; the height stays until the tree is empty, as in the kernel
    assert tree.height == 3 and tree.nodes == 3
    assert tree.get(1) == 101


def test_set_replaces(tree):
    tree.set(70, 1)
    nodes = tree.nodes
    tree.set(70, 2)
    assert tree.get(70) == 2 and tree.nodes == nodes
    assert tree.clear(70) == 2 and tree.clear(70) == 0


def test_edges_of_u64(tree):
    for index in EDGES:
        assert tree.set(index, index ^ 0x5A5A or 1) == 0
    tree.check()
    assert [i for i, _ in walk(tree)] == EDGES
    assert walk(tree, 2**63 + 1, TOP - 1) == [(i, i ^ 0x5A5A) for i in (TOP - 64, TOP - 1)]
    for index in EDGES:
        assert tree.clear(index) == (index ^ 0x5A5A or 1)
    assert tree.nodes == 0


def test_next_respects_last(tree):
    for index in (10, 100, 10000):
        tree.set(index, index)
    assert tree.next(0, 9) is None
    assert tree.next(0, 10) == (10, 10)
    assert tree.next(11, 99) is None
    assert tree.next(11, 100) == (100, 100)
    assert tree.next(101, 9999) is None
    assert tree.next(10001) is None


@pytest.mark.parametrize("seed, bits", [(1, 8), (2, 13), (3, 30), (4, 64)])
def test_random_against_dict(tree, seed, bits):
    rng = random.Random(seed)
    model = {}
    known = [rng.getrandbits(bits) for _ in range(60)]
    for step in range(4000):
        index = rng.choice(known) if rng.random() < 0.8 else rng.getrandbits(bits)
        op = rng.random()
        if op < 0.45:
            value = rng.getrandbits(64) or 1
            assert tree.set(index, value) == 0
            model[index] = value
        elif op < 0.85:
            assert tree.clear(index) == model.pop(index, 0), (seed, step)
        else:
            last = index + rng.getrandbits(max(1, bits - 4))
            expected = min((i for i in model if index <= i <= last), default=None)
            hit = tree.next(index, min(last, TOP))
            assert hit == (None if expected is None else (expected, model[expected])), (seed, step)
        assert tree.get(index) == model.get(index, 0)
        if step % 200 == 0:
            tree.check()
    assert walk(tree) == sorted(model.items())
    for index in list(model):
        tree.clear(index)
    assert tree.nodes == 0 and tree.height == 0


def test_no_room_leaves_the_tree_as_it_was():
    # 8 records: record 0 is null, so 7 nodes; the tree of TOP needs 11
    t = filemap._py_Radix(max_nodes=8)
    assert t.set(3, 5) == 0
    assert t.set(TOP, 5) < 0
    assert t.nodes == 1 and t.height == 1
    assert walk(t) == [(3, 5)]
    assert t.set(64, 6) == 0
    t.check()
