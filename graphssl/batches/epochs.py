"""Passes over batches that are made by number: sized, shuffled by nothing but a seed, and resumable in the middle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphssl.batches.prefetch import ahead
from graphssl.batches.shards import Share
from graphssl.graph import Graph


class Epochs:
    """What batches of a large graph share: ``len``, one pass an ``iter``, and the state of a pass.

    Batch ``k`` of epoch ``e`` depends on the seed, ``e`` and ``k`` only. A subclass says how many there are (``__len__``) and makes one
    (:meth:`batch`), which several threads may ask for at once.

    Args:
        seed: of all draws, 0 or more.
        threads: batches made at a time; 0: each when it is asked for.
        ahead: batches made before they are asked for.

    Raises:
        ValueError: a negative number.
    """

    share = Share()  # of several processes; graphssl.batches.shards.shard sets it

    def __init__(self, *, seed: int, threads: int, ahead: int) -> None:
        at_least("seed", seed, 0)
        at_least("threads", threads, 0)
        at_least("ahead", ahead, 0)
        self.seed, self.threads, self.ahead = seed, threads, ahead
        self.epoch = self.position = 0

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must say how many batches an epoch has")

    def batch(self, epoch: int, k: int) -> Graph:
        """Batch ``k`` of epoch ``epoch``."""
        raise NotImplementedError(f"{type(self).__name__} must write batch(epoch, k)")

    def too_few(self) -> str:
        """What is wrong where a rank of the share would go without; nothing otherwise."""
        return ""

    def __iter__(self) -> Iterator[Graph]:
        epoch, start, count = self.epoch, self.position, len(self)
        made = ahead(partial(self.batch, epoch), range(start, count), threads=self.threads, ahead=self.ahead)
        for k, batch in enumerate(made, start):
            self.epoch, self.position = (epoch, k + 1) if k + 1 < count else (epoch + 1, 0)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and the batches of it that were handed out; with the last one the next epoch begins."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where :meth:`state_dict` was taken.

        Raises:
            ValueError: a state that is not one of these batches.
        """
        epoch, position = state.get("epoch", -1), state.get("position", -1)
        if epoch < 0 or not 0 <= position < len(self):
            raise ValueError(f"state must hold an epoch from 0 and a position in [0, {len(self)}), got {dict(state)}")
        self.epoch, self.position = epoch, position


def at_least(name: str, value: int, least: int) -> None:
    """Refuses a count that is too small, or none.

    Raises:
        ValueError: it is.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


def checked_seeds(seeds: Tensor, num_nodes: int) -> NDArray[np.int64]:
    """Rows of a graph as an array, ``[S]``.

    Raises:
        ValueError: not integers, none, outside the graph, or one of them twice.
    """
    if seeds.dim() != 1 or not seeds.numel() or seeds.is_floating_point() or seeds.dtype == torch.bool:
        raise ValueError(f"seeds must be integers [S], at least one, got {seeds.dtype} of shape {tuple(seeds.shape)}")
    if int(seeds.min()) < 0 or int(seeds.max()) >= num_nodes:
        raise ValueError(f"seeds must be rows in [0, {num_nodes}), got {int(seeds.min())} to {int(seeds.max())}")
    rows: NDArray[np.int64] = seeds.long().cpu().numpy()
    there = np.zeros(num_nodes, np.bool_)
    there[rows] = True
    if (distinct := int(there.sum())) < len(rows):
        raise ValueError(f"seeds must be different rows, got {distinct} different ones among {len(rows)}")
    return rows
