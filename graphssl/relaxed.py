"""Augmentations whose probability is a parameter: coins replaced by soft ones, through which a gradient goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.augment import DropEdges, MaskFeatures
from graphssl.augment.edges import edge_pairs, loops
from graphssl.graph import Graph

CLOSEST = 0.01  # of a probability to 0 and 1, where its gradient dies


@dataclass(frozen=True, init=False, eq=False)
class RelaxedDropEdges:
    r"""Edges dropped with a probability that is a parameter, by the concrete distribution (Maddison et al., 2017, arXiv:1611.00712).

    An edge keeps the share ``sigmoid((log u - log(1 - u) - logit) / temperature)`` of its weight, with ``u`` uniform and ``logit`` that of
    the probability: above one half with probability ``1 - p``, and nearer to 0 and 1 the lower the temperature. Both directions of an
    undirected edge share one draw; self-loops stay, as in :class:`graphssl.DropEdges`. The encoder must use edge weights.

    Args:
        p: probability to start from, in (0, 1).
        temperature: positive.

    Attributes:
        logit: scalar; what is tuned.

    Raises:
        ValueError: ``p`` or ``temperature`` out of its range.

    Example:
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> view = RelaxedDropEdges(0.3)
        >>> weight = view(g).edge_weight
        >>> bool((weight[0] == weight[1]) and 0 < weight[0] < 1), view.settled()
        (True, DropEdges(p=0.3, directed=False, exact=False))
    """

    logit: Tensor
    temperature: float
    keeps_nodes: ClassVar[bool] = True
    name: ClassVar[str] = "drop_edges"

    def __init__(self, p: float, *, temperature: float = 0.5) -> None:
        _start(self, torch.tensor(p, dtype=torch.get_default_dtype()), temperature)

    @property
    def p(self) -> float:
        """The probability as it is now."""
        return float(self.logit.detach().sigmoid())

    def settled(self) -> DropEdges:
        """The same with coins."""
        return DropEdges(round(self.p, 6))

    def __call__(self, g: Graph) -> Graph:
        if g.is_undirected:
            pair, first = edge_pairs(g)
            kept = _kept(self, self.logit.to(g.device).expand(first.numel() + 1))
            kept = torch.cat([kept[:-1], torch.ones_like(kept[-1:])]).index_select(0, pair)
        else:
            kept = _kept(self, self.logit.to(g.device).expand(g.num_edges)).index_fill(0, loops(g), 1.0)
        return g.with_weights(kept * g.weights)


@dataclass(frozen=True, init=False, eq=False)
class RelaxedMaskFeatures:
    r"""Columns of features masked with a probability that is a parameter, by the concrete distribution (arXiv:1611.00712).

    As :class:`RelaxedDropEdges`, with a draw for each column (and graph of a batch) that scales it down. With a probability for each column
    it learns which columns to hide.

    Args:
        p: probability to start from, in (0, 1); or one for each column, ``[F]``.
        temperature: positive.

    Attributes:
        logit: scalar or ``[F]``; what is tuned.

    Raises:
        ValueError: ``p`` or ``temperature`` out of its range.

    Example:
        >>> g = Graph.of((torch.ones(3, 5), torch.tensor([[0, 1], [1, 2]])))
        >>> x = RelaxedMaskFeatures(0.5)(g).x
        >>> bool((x == x[0]).all() and (x < 1).all())
        True
    """

    logit: Tensor
    temperature: float
    keeps_nodes: ClassVar[bool] = True
    name: ClassVar[str] = "mask_features"

    def __init__(self, p: float | Tensor, *, temperature: float = 0.5) -> None:
        _start(self, torch.as_tensor(p, dtype=torch.get_default_dtype()), temperature)

    @property
    def p(self) -> float:
        """The probability as it is now; the mean over columns where each has its own."""
        return float(self.logit.detach().sigmoid().mean())

    def settled(self) -> MaskFeatures:
        """The same with coins.

        Raises:
            ValueError: each column has a probability of its own.
        """
        if self.logit.dim():
            raise ValueError("settled: MaskFeatures has one probability, and here each column has its own")
        return MaskFeatures(round(self.p, 6))

    def __call__(self, g: Graph) -> Graph:
        if self.logit.dim() and self.logit.numel() != g.num_features:
            raise ValueError(f"p has {self.logit.numel()} columns, and the graph {g.num_features}")
        kept = _kept(self, self.logit.to(g.device).expand(g.num_graphs, g.num_features))
        return g.with_x(_scaled(g, kept))


Relaxed = RelaxedDropEdges | RelaxedMaskFeatures


def _start(view: Relaxed, p: Tensor, temperature: float) -> None:
    if p.dim() > 1 or not bool(((p > 0) & (p < 1)).all()):
        raise ValueError(f"p must lie between 0 and 1, both left out, got {p.tolist()}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    object.__setattr__(view, "logit", p.logit())
    object.__setattr__(view, "temperature", temperature)


def _kept(view: Relaxed, logit: Tensor) -> Tensor:
    """What a draw leaves where the logit of losing is ``logit``, in (0, 1), of its shape."""
    u = torch.rand(logit.shape, dtype=logit.dtype, device=logit.device).clamp(1e-4, 1 - 1e-4)
    return torch.sigmoid((u.logit() - logit) / view.temperature)


def _scaled(g: Graph, kept: Tensor) -> Tensor | CSR:
    """The features times what is left of each column in the node's graph, ``kept`` ``[G, F]``."""
    x, kept = g.x, kept.to(g.x.dtype)
    if isinstance(x, CSR):
        rows = g.graph_ids.index_select(0, x.pattern.row)
        return x.with_values(x.values() * kept[rows, x.pattern.col.long()])
    return x * (kept[0] if g.graph_id is None else kept.index_select(0, g.graph_id))
