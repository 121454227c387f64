"""Which labels a run may see: a drawn share of the training rows, and batches that carry no others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from graphssl.batches import Batches, GraphBatches
from graphssl.datasets import Dataset
from graphssl.datasets.dataset import Task
from graphssl.graph import Graph


def draw_labels(y: Tensor, rows: Tensor, share: float, *, task: Task = "classification", seed: int = 0) -> Tensor:
    """A random share of the training rows, ``[k]`` ascending: ``k = max(2, round(share * n))``.

    Classes keep their shares, each with one row at least. The draws of a seed are nested up to rounding: those of 1 % are among those of
    10 %. They come from PCG64's raw stream, the same on each platform.

    Args:
        y: labels of all rows.
        rows: ``[n]`` training rows.
        share: in (0, 1]; 1 takes all.
        task: of ``classification`` the classes are drawn from apart; all else is drawn from as a whole.
        seed: of the draw.

    Raises:
        ValueError: a share outside (0, 1].

    Example:
        >>> draw_labels(torch.arange(40) % 2, torch.arange(20), 0.1)
        tensor([ 2, 11])
    """
    if not 0 < share <= 1:
        raise ValueError(f"labels must be a share in (0, 1], got {share}")
    if share == 1:
        return rows
    n = len(rows)
    order = np.argsort(np.random.PCG64([seed, 0]).random_raw(n), kind="stable")
    total = min(n, max(2, round(share * n)))
    if task != "classification":
        return rows[torch.from_numpy(np.sort(order[:total]))]
    classes = y[rows].numpy()[order]
    names, counts = np.unique(classes, return_counts=True)
    taken = _quotas(counts, max(total, len(names)))
    chosen = [order[classes == name][:k] for name, k in zip(names, taken, strict=True)]
    return rows[torch.from_numpy(np.sort(np.concatenate(chosen)))]


def _quotas(counts: np.ndarray, total: int) -> list[int]:
    """``total`` shared out in proportion to ``counts``, one at least to each: largest remainders, the first of equals."""
    shares = [Fraction(int(count) * total, int(counts.sum())) for count in counts]
    taken = [max(1, int(share)) for share in shares]
    while sum(taken) > total:  # those that got one too much for their share give it back where they have more
        most = max(range(len(taken)), key=lambda i: (taken[i] - shares[i], taken[i]) if taken[i] > 1 else (-total, 0))
        taken[most] -= 1
    while sum(taken) < total:
        least = max(range(len(taken)), key=lambda i: shares[i] - taken[i] if taken[i] < counts[i] else -total)
        taken[least] += 1
    return taken


def seed_for(what: str, seed: int) -> int:
    """A seed of its own for each thing that is drawn in a run, so that one does not repeat the numbers of another.

    Example:
        >>> seed_for("head", 0) == seed_for("head", 0), seed_for("head", 0) == seed_for("start", 0)
        (True, False)
    """
    return int.from_bytes(hashlib.sha256(f"{what} {seed}".encode()).digest()[:8], "little") >> 1


def labelled_batches(data: Dataset, rows: Tensor, batch_size: int) -> Batches:
    """Batches for supervised training: the graphs ``rows`` with their labels, or at node level all train graphs with those labels alone.

    A last batch smaller than the others is left out, at each pass another one.
    """
    if data.level == "graph":
        g = data.graph.keep_graphs(rows)
        return GraphBatches(replace(g, y=data.y[rows]), batch_size, drop_last=True)
    sizes = [g.num_nodes for g in data.graphs]
    shown = [replace(g, y=part) for g, part in zip(data.graphs, torch.split(seen_labels(data, rows), sizes), strict=True)]
    has = torch.zeros(data.num_rows, dtype=torch.bool)
    has[rows] = True
    return [g for g, part in zip(shown, torch.split(has, sizes), strict=True) if bool(part.any())]


def seen_labels(data: Dataset, rows: Tensor) -> Tensor:
    """Labels of all rows of a dataset, ``[R]`` or ``[R, K]``, of which only those of ``rows`` are known (-1 or NaN: unknown).

    Example:
        >>> from graphssl import load
        >>> seen_labels(load("karate"), torch.tensor([1, 2]))[:4]
        tensor([-1,  1,  1, -1])
    """
    y = torch.full_like(data.y, -1 if data.task == "classification" else torch.nan)
    y[rows] = data.y[rows]
    return y


class Cycled:
    """Batches gone through again and again, ``length`` of them in all, in a new order each time where they shuffle.

    Example:
        >>> path = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
        >>> [batch.num_graphs for batch in Cycled(GraphBatches([path] * 3, batch_size=2), 5)]
        [2, 1, 2, 1, 2]
    """

    def __init__(self, batches: Batches, length: int) -> None:
        self.batches, self.length = batches, length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Graph]:
        left = self.length
        while left:
            for g in self.batches:
                yield g
                left -= 1
                if not left:
                    break
