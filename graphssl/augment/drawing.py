"""Random choices inside the graphs of a batch: compiled code that goes through them once, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def draw(group: Any, counts: Any, coins: Any) -> Any:
    """``counts[k]`` random items of each group ``k`` as a mask ``[M]``, by coins ``[M]`` uniform in [0, 1).

    An item is taken with the probability that its group's open places have among its items to come (Fan et al., 1962).
    """
    left, wanted = np.zeros(counts.size, np.int64), counts.copy()
    for i in range(group.size):
        left[group[i]] += 1
    mask = np.zeros(group.size, np.bool_)
    for i in range(group.size):
        k = group[i]
        if coins[i] * left[k] < wanted[k]:
            mask[i] = True
            wanted[k] -= 1
        left[k] -= 1
    return mask


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def grow(ptr: Any, col: Any, start: Any, counts: Any, root: int, coins: Any) -> Any:
    """``counts[k]`` nodes of each graph ``k`` as a mask ``[N]``: a random one, then again and again one that sends an edge to one of them.

    Where there is none, it goes on from a random node of those that are left; ``root`` is taken first in its graph. ``coins`` ``[2, N]``
    are uniform in [0, 1): a row for what joins, one for where growth starts.
    """
    mask = np.zeros(ptr.size - 1, np.bool_)
    seen = np.zeros(mask.size, np.bool_)  # taken, or at the border
    border = np.empty(mask.size, np.int64)  # of the graph at hand
    pool = np.arange(mask.size)  # of each graph, in a random order as far as it was needed
    for k in range(counts.size):
        size, next_start = 0, start[k]
        for step in range(counts[k]):
            if step == 0 and start[k] <= root < start[k + 1]:
                node = root
            elif size:
                j = int(coins[0, start[k] + step] * size)
                node = border[j]
                size -= 1
                border[j] = border[size]
            else:
                while True:
                    j = next_start + int(coins[1, next_start] * (start[k + 1] - next_start))
                    node = pool[j]
                    pool[j] = pool[next_start]
                    next_start += 1
                    if not mask[node]:
                        break
            mask[node] = seen[node] = True
            for e in range(ptr[node], ptr[node + 1]):
                if not seen[col[e]]:
                    seen[col[e]] = True
                    border[size] = col[e]
                    size += 1
    return mask
