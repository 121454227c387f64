"""Neighbour sampling: compiled kernels that draw rows of a graph hop by hop and number the nodes they reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Array = NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])
compiled: Callable[[F], F] = njit(cache=True, nogil=True)

GOLDEN, MIX1, MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)  # of splitmix64
LOW, ONE = np.uint64(0xFFFFFFFF), np.uint64(1)
S11, S27, S30, S31, S32 = (np.uint64(shift) for shift in (11, 27, 30, 31, 32))
BLOCK = 32  # rows whose pointers, columns and stamps are on their way from memory at the same time
FEW = 32  # entries of a row up to which quadratic ways are the fastest


class Side(NamedTuple):
    """Rows to draw from: pointers ``[N + 1]``, neighbours ``[E]``, and weights ``[E]`` (empty: uniform)."""

    ptr: Array
    col: Array
    weight: Array


class Rows(NamedTuple):
    """Rows of a batch, ascending in each: pointers ``[N' + 1]``, columns ``[E']`` and the entry ``[E']`` of the graph that each one is."""

    ptr: Array
    col: Array
    entry: Array


class Stamps:
    """Eight bytes a node that say whether this batch has seen it, and as which row; to be used by one thread at a time."""

    def __init__(self, num_nodes: int) -> None:
        self.words = np.zeros(num_nodes, np.uint64)  # number of the batch above, row in the batch below
        self.tag = 0

    def next(self) -> np.uint64:
        """The number of a new batch, for which no node is stamped."""
        self.tag += 1
        if self.tag >= 2**32:
            self.words[:] = 0
            self.tag = 1
        return np.uint64(self.tag)


def sample(
    sides: Sequence[Side], seeds: Array, fan_out: Sequence[int], key: int, stamps: Stamps, *, replace: bool = False
) -> tuple[Array, list[Rows]]:
    """The nodes ``[N']`` within ``len(fan_out)`` hops of ``seeds``, in order of first sight, and the rows drawn of each side.

    Each node has its neighbours drawn once, at the hop after the one at which it was seen first; rows of the last nodes stay empty.

    Args:
        sides: one or two; each hop draws from all of them.
        seeds: different rows ``[S]`` int64.
        fan_out: neighbours drawn at each hop, -1 for all.
        key: decides the random numbers, all of them (splitmix64; Steele, Lea and Flood, 2014).
        stamps: scratch, left ready for the next batch.
        replace: draw with replacement.
    """
    tag, nodes, low, count = stamps.next(), seeds, 0, len(seeds)
    mark(seeds, stamps.words, tag)
    drawn: list[list[tuple[Array, Array, Array]]] = [[] for _ in sides]
    for hop, fan in enumerate(fan_out):
        high = count
        for number, side in enumerate(sides):
            begin = offsets(side.ptr, nodes, low, high, fan, replace)
            total = int(begin[-1])
            nodes = _grown(nodes, min(len(stamps.words), count + total), count)
            col, entry = np.empty(total, side.col.dtype), np.empty(total, side.ptr.dtype)
            own = np.uint64((key + (2 * hop + number) * int(MIX2)) % 2**64)
            count = draw(*side, nodes, low, high, begin, fan, replace, own, stamps.words, tag, count, col, entry)
            drawn[number].append((begin, col, entry))
        low = high
    return nodes[:count].copy(), [_joined(parts, count) for parts in drawn]


def _grown(nodes: Array, size: int, count: int) -> Array:
    grown = np.empty(size, np.int64)
    grown[:count] = nodes[:count]
    return grown


def _joined(parts: list[tuple[Array, Array, Array]], num_nodes: int) -> Rows:
    ptr, filled, total = np.empty(num_nodes + 1, np.int64), 0, 0
    for begin, _, _ in parts:
        ptr[filled : filled + len(begin)] = begin + total
        filled, total = filled + len(begin) - 1, total + int(begin[-1])
    ptr[filled:] = total
    return Rows(ptr, np.concatenate([col for _, col, _ in parts]), np.concatenate([entry for _, _, entry in parts]))


# ---------------------------------------------------------------------- drawing


@compiled
def mark(seeds: Array, words: Array, tag: np.uint64) -> None:
    """Stamp the seeds as rows 0, 1, ... of the batch."""
    for i in range(len(seeds)):
        words[seeds[i]] = (tag << S32) | np.uint64(i)


@compiled
def offsets(ptr: Array, nodes: Array, low: int, high: int, fan: int, replace: bool) -> Array:
    """Where the drawn entries of each of the nodes ``[low, high)`` begin, and their total last."""
    begin = np.empty(high - low + 1, np.int64)
    begin[0] = 0
    for i in range(low, high):
        degree = ptr[nodes[i] + 1] - ptr[nodes[i]]
        taken = degree if fan < 0 or (degree <= fan and not replace) or degree == 0 else fan
        begin[i - low + 1] = begin[i - low] + taken
    return begin


@compiled
def draw(
    ptr: Array, col: Array, weight: Array, nodes: Array, low: int, high: int, begin: Array, fan: int, replace: bool,
    key: np.uint64, words: Array, tag: np.uint64, count: int, local: Array, entry: Array,
) -> int:  # fmt: skip
    """Draw the rows of the nodes ``[low, high)`` into ``local`` and ``entry``; the number of nodes seen by then.

    It goes block by block, and what one pass over a block will read is on its way from memory since the pass before.
    """
    keys = np.empty(max(fan, 1))
    for block in range(low, high, BLOCK):
        end = min(block + BLOCK, high)
        for i in range(block, end):
            start, a, b = ptr[nodes[i]], begin[i - low], begin[i - low + 1]
            choose(weight, start, ptr[nodes[i] + 1] - start, entry, a, b - a, fan, replace, mixed(key + np.uint64(i) * GOLDEN), keys)
            for e in range(a, b):
                fetch(col, entry[e])
        a, b = begin[block - low], begin[end - low]
        for e in range(a, b):
            local[e] = col[entry[e]]
            fetch(words, local[e])
        for e in range(a, b):
            node = local[e]
            word = words[node]
            if word >> S32 == tag:
                local[e] = word & LOW
            else:
                words[node] = (tag << S32) | np.uint64(count)
                nodes[count] = node
                local[e] = count
                count += 1
        for i in range(block - low, end - low):
            sort_row(local, entry, begin[i], begin[i + 1])
    return count


@intrinsic  # type: ignore[untyped-decorator]
def fetch(typing: Any, array: Any, index: Any) -> Any:
    """Have ``array[index]`` brought from memory while other work goes on."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.sext(args[1], ir.IntType(64)) if signature.args[1].bitwidth < 64 else args[1]
        kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
        call = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(call, [builder.bitcast(builder.gep(data, [place]), byte), i32(0), i32(3), i32(1)])  # to read, to all caches, data
        return context.get_dummy_value()

    return types.void(array, index), emit


@compiled
def choose(
    weight: Array, start: int, degree: int, out: Array, at: int, k: int, fan: int, replace: bool, state: np.uint64, keys: Array
) -> None:  # fmt: skip
    """Write ``k`` entries of the row that begins at ``start`` and has ``degree`` entries to ``out[at:]``."""
    if fan < 0 or (k == degree and not replace):
        for j in range(k):
            out[at + j] = start + j
    elif len(weight):
        if replace:
            in_proportion(weight, start, degree, out, at, k, state, keys)
        else:
            smallest_keys(weight, start, degree, out, at, k, state, keys)
    elif replace:
        for j in range(k):
            state += GOLDEN
            out[at + j] = start + below(degree, state)
    elif k <= FEW or k * k < 8 * degree:
        floyd(start, degree, out, at, k, state)
    else:
        select(start, degree, out, at, k, state)


@compiled
def floyd(start: int, degree: int, out: Array, at: int, k: int, state: np.uint64) -> None:
    """Floyd's sampling without replacement (Bentley and Floyd, 1987): one random number an entry, whatever the degree."""
    for j in range(k):
        state += GOLDEN
        pick = start + below(degree - k + j + 1, state)
        for other in range(at, at + j):
            if out[other] == pick:
                pick = start + degree - k + j
                break
        out[at + j] = pick


@compiled
def select(start: int, degree: int, out: Array, at: int, k: int, state: np.uint64) -> None:
    """Selection sampling (Knuth, 1997, volume 2, algorithm S): one random number an entry of the row."""
    taken = 0
    for j in range(degree):
        state += GOLDEN
        if below(degree - j, state) < k - taken:
            out[at + taken] = start + j
            taken += 1


@compiled
def smallest_keys(weight: Array, start: int, degree: int, out: Array, at: int, k: int, state: np.uint64, keys: Array) -> None:
    """Without replacement in proportion to weight: the smallest of exponential keys, reached by jumps (Efraimidis and Spirakis, 2006)."""
    left = 0.0  # weight to go until the next entry whose key is smaller than the largest kept
    for j in range(degree):
        w, place = weight[start + j], min(j, k - 1)
        if j < k:
            state += GOLDEN
            own = -np.log(1.0 - uniform(state)) / w if w > 0 else np.inf
        else:
            left -= w
            if left >= 0:
                continue
            state += GOLDEN
            own = -np.log(1.0 - uniform(state) * (1.0 - np.exp(-keys[k - 1] * w))) / w
        while place > 0 and keys[place - 1] > own:
            keys[place], out[at + place] = keys[place - 1], out[at + place - 1]
            place -= 1
        keys[place], out[at + place] = own, start + j
        if j >= k - 1:
            state += GOLDEN
            left = -np.log(1.0 - uniform(state)) / keys[k - 1]


@compiled
def in_proportion(weight: Array, start: int, degree: int, out: Array, at: int, k: int, state: np.uint64, keys: Array) -> None:
    """With replacement in proportion to weight: ordered thresholds, met while the weights are summed; uniform where all are zero."""
    total, last = 0.0, -1
    for j in range(degree):
        total += weight[start + j]
        if weight[start + j] > 0:
            last = j
    for j in range(k):
        state += GOLDEN
        own, place = uniform(state), j
        while place > 0 and keys[place - 1] > own:
            keys[place] = keys[place - 1]
            place -= 1
        keys[place] = own
    j, passed = -1, 0.0
    for place in range(k):
        if last < 0:
            out[at + place] = start + int(keys[place] * degree)
            continue
        while j < 0 or (j < last and passed <= keys[place] * total):
            j += 1
            passed += weight[start + j]
        out[at + place] = start + j


@compiled
def mixed(state: np.uint64) -> np.uint64:
    """The random number of a counter (splitmix64)."""
    state = (state ^ (state >> S30)) * MIX1
    state = (state ^ (state >> S27)) * MIX2
    return state ^ (state >> S31)


@compiled
def uniform(state: np.uint64) -> float:
    """In ``[0, 1)``."""
    return float(mixed(state) >> S11) * 2.0**-53


@compiled
def below(bound: int, state: np.uint64) -> int:
    """In ``0, ..., bound - 1``."""
    return int(uniform(state) * bound)


@compiled
def sort_row(col: Array, entry: Array, start: int, end: int) -> None:
    """By column, parallel ones by entry: insertion sort, for long rows with shrinking gaps (Shell, 1959; gaps of Knuth)."""
    gap = 1
    while gap * FEW < end - start:
        gap = 3 * gap + 1
    while gap > 0:
        for j in range(start + gap, end):
            own, with_it, place = col[j], entry[j], j
            while place >= start + gap and (col[place - gap] > own or (col[place - gap] == own and entry[place - gap] > with_it)):
                col[place], entry[place] = col[place - gap], entry[place - gap]
                place -= gap
            col[place], entry[place] = own, with_it
        gap //= 3
