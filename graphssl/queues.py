"""Keys of earlier steps: a queue of the newest, and a bank with a row for each node. Both are saved with the model."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """First in, first out: the newest keys, which later steps take as negatives (MoCo, He et al., 2020, arXiv:1911.05722).

    Its places are buffers, so a checkpoint holds them and a resumed run goes on alike. With ``num_classes`` each class has a queue of its
    own, of ``size`` places, as ResCom has it (Zhong et al., 2022, arXiv:2203.11506). Several processes push the rows of all of them
    (:func:`graphssl.distributed.everywhere`), and stay alike.

    Args:
        size: places; with ``num_classes``, places a class.
        channels: width ``D`` of a key.
        num_classes: classes that have a queue each; ``None``: one queue for all.

    Raises:
        ValueError: a size, a width or a number of classes below 1.

    Example:
        >>> queue = KeyQueue(2, 3)
        >>> queue.push(torch.eye(3))
        >>> queue.keys()[:, 1:].sum(0)  # the first was pushed out
        tensor([1., 1.])
        >>> queue = KeyQueue(2, 3, num_classes=2)
        >>> queue.push(torch.eye(3), torch.tensor([1, 1, 1]))
        >>> queue.labels()
        tensor([1, 1])
    """

    rows: Tensor
    classes: Tensor
    filled: Tensor
    next: Tensor

    def __init__(self, size: int, channels: int, *, num_classes: int | None = None) -> None:
        super().__init__()
        for name, value in (("size", size), ("channels", channels), ("num_classes", num_classes)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.size, self.num_classes = size, num_classes
        places = size * (num_classes or 1)
        self.register_buffer("rows", torch.zeros(places, channels))
        self.register_buffer("classes", torch.full((places,), -1))
        self.register_buffer("filled", torch.zeros(places, dtype=torch.bool))
        self.register_buffer("next", torch.zeros(num_classes or 1, dtype=torch.long))  # the place to be filled next, of each queue

    @torch.no_grad()
    def push(self, keys: Tensor, labels: Tensor | None = None) -> None:
        """Take in keys ``[B, D]``, the last row the newest, and their classes ``[B]``; where those are -1, queues of classes take none.

        Raises:
            ValueError: keys of another width, labels that are not one a key, or none or too large ones where each class has a queue.
        """
        if keys.dim() != 2 or keys.size(1) != self.rows.size(1):
            raise ValueError(f"keys must be [B, {self.rows.size(1)}], got {tuple(keys.shape)}")
        if labels is None and self.num_classes is not None:
            raise ValueError("labels must be given where each class has a queue")
        if labels is not None and labels.shape != keys.shape[:1]:
            raise ValueError(f"labels must be [B] for {keys.size(0)} keys, got {tuple(labels.shape)}")
        if labels is not None and self.num_classes is not None and labels.numel() and int(labels.max()) >= self.num_classes:
            raise ValueError(f"labels must be below {self.num_classes}, got {int(labels.max())}")
        of = torch.full(keys.shape[:1], -1, device=keys.device) if labels is None else labels
        queue = of if self.num_classes is not None else torch.zeros_like(of)
        order = torch.nonzero(queue >= 0).flatten()
        order = order[queue[order].argsort(stable=True)]  # queue by queue, oldest first
        counts = torch.bincount(queue[order], minlength=len(self.next))
        rank = torch.arange(len(order), device=keys.device) - (counts.cumsum(0) - counts)[queue[order]]
        place = queue[order] * self.size + (self.next[queue[order]] + rank) % self.size
        stays = rank >= counts[queue[order]] - self.size  # others are pushed out by the same batch
        self.rows[place[stays]] = keys[order[stays]].to(self.rows.dtype)
        self.classes[place[stays]] = of[order[stays]]
        self.filled[place[stays]] = True
        self.next.copy_((self.next + counts) % self.size)

    def keys(self) -> Tensor:
        """A copy of the keys there are, ``[Q, D]``: later pushes leave it, and its gradient, alone."""
        return self.rows[self.filled]

    def labels(self) -> Tensor:
        """The classes of :meth:`keys`, ``[Q]``; -1 where none was given."""
        return self.classes[self.filled]


class MemoryBank(nn.Module):
    """A row for each node, moved towards its newest embedding (Wu et al., 2018, arXiv:1805.01978).

    Rows have unit length. The bank stays where and as it was made: ``module.to(...)`` leaves it alone, so that it may lie on the CPU in
    half precision beside a model on a GPU, and :meth:`keys` brings the rows that are asked for.

    Args:
        num: nodes.
        channels: width ``D`` of a row.
        dtype: in which rows are kept, say ``torch.float16``.
        device: where.

    Example:
        >>> bank = MemoryBank(4, 2)
        >>> bank.update(torch.tensor([2]), torch.tensor([[3.0, 0.0]]))
        >>> bank.update(torch.tensor([2]), torch.tensor([[0.0, 5.0]]), momentum=0.5)
        >>> bank.keys(torch.tensor([2]))
        tensor([[0.7071, 0.7071]])
    """

    rows: Tensor
    filled: Tensor

    def __init__(self, num: int, channels: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> None:
        super().__init__()
        if min(num, channels) < 1:
            raise ValueError(f"num and channels must be at least 1, got {num} and {channels}")
        self.register_buffer("rows", torch.zeros(num, channels, dtype=dtype, device=device))
        self.register_buffer("filled", torch.zeros(num, dtype=torch.bool, device=device))

    @torch.no_grad()
    def update(self, index: Tensor, rows: Tensor, momentum: float = 0.5) -> None:
        """Move rows ``index [B]``, each named once, to ``normalize(momentum old + (1 - momentum) new)``, new ``[B, D]``; at first, to new.

        Raises:
            ValueError: rows of another shape, or a momentum outside [0, 1].
        """
        if rows.shape != (index.numel(), self.rows.size(1)):
            raise ValueError(f"rows must be [{index.numel()}, {self.rows.size(1)}], got {tuple(rows.shape)}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        index = index.to(self.rows.device)
        new = F.normalize(rows.to(self.rows.device, torch.float32), dim=1)
        moved = torch.where(self.filled[index, None], self.rows[index].float().lerp(new, 1 - momentum), new)
        self.rows[index] = F.normalize(moved, dim=1).to(self.rows.dtype)
        self.filled[index] = True

    def keys(self, index: Tensor | None = None, *, like: Tensor | None = None) -> Tensor:
        """A copy of the rows ``index [Q]``, or of all that were ever set, ``[Q, D]``; in the precision and on the device of ``like``."""
        rows = self.rows[self.filled if index is None else index.to(self.rows.device)]
        return rows if like is None else rows.to(like.device, like.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MemoryBank:
        return self
