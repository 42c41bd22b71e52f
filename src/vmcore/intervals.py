"""Dynamic indexes over closed intervals: the kernel's four over the mappings of a file, and one that is faster.

An interval is [start, last], both of them in it, of u64 (0 to 2**64 - 1), with a value of u64 that says what it is: a
row of a table, say. Intervals come and go at any time, equal ones may be there more than once, and two questions are
answered: which intervals cover a point (`stab`), and which share a point with an interval (`overlap`).

| class | a query looks at | insert, remove | hits come |
|---|---|---|---|
| `List` | every interval | O(1) | in the order of insertion |
| `RBTree` | every interval that starts before its end | O(log n) | by start, then last |
| `PrioTree` | O(log n + hits) | O(log n) | in the order of the tree, equal intervals together |
| `IntervalTree` | O(log n) a hit at most | O(log n) | by start |
| `BTree` | O(log n) a hit at most, a few cache lines a level | O(log n) | by start, last, value |

`BTree` is the one to use. The others are what Linux had: the lists of 2.6.5, the rbtree that was announced, 2.6.7's
radix priority search tree, today's interval tree; by the same code that vmcore's machines run.

>>> import numpy as np
>>> from vmcore.intervals import BTree
>>> index = BTree(starts=[10, 20, 30], lasts=[25, 29, 30], values=[1, 2, 3])
>>> index.stab(22)
array([1, 2], dtype=uint64)
>>> index.overlap_count([0, 26], [9, 99])
array([0, 2])
>>> offsets, values = index.stab(np.array([30, 5, 20]))
>>> offsets
array([0, 1, 1, 3])
>>> values[offsets[2]:offsets[3]]
array([1, 2], dtype=uint64)
>>> index.remove(20, 29, 2)
>>> len(index)
2

Every class has

- `insert(starts, lasts, values=None)`: numbers, or arrays of shape (n,) of any integer type. Without values, an
  interval gets its number in the order of insertion over the life of the index.
- `remove(starts, lasts, values)`: of equal intervals, one goes. `KeyError` names the first that is not there; those
  before it in the arrays are gone then.
- `stab_count(points)`, `overlap_count(starts, lasts)`: i64 of shape (n,), or an int for numbers.
- `stab(points)`, `overlap(starts, lasts)`: (offsets i64 of shape (n + 1,), values u64); the hits of query i are
  `values[offsets[i]:offsets[i + 1]]`. For numbers the values alone.
- `len(index)`, `items()` (all starts, lasts, values), `clear()`, `nbytes`, `check()`; it can be pickled.
- `visited`, `counters()`: nodes that queries entered, steps of inserts and removes, and what a PrioTree does besides.

Errors: `TypeError` for what is no integer, `ValueError` for what is negative, beyond 64 bits, of another shape or
length, or starts after its last; nothing has happened then. `MemoryError`, with what came before it inserted. An index
belongs to one thread at a time: the calls release the GIL, and a second thread that enters gets `RuntimeError`. Ctrl-C
ends a batch; a large batch of inserts is done in the order of starts, and those before it have happened.
"""

from vmcore._fast.intervals.index import BTree, Index, IntervalTree, List, PrioTree, RBTree

__all__ = ["BTree", "Index", "IntervalTree", "List", "PrioTree", "RBTree"]
