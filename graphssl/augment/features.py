"""Views with other features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.augment.views import check_choice, check_share, shuffled
from graphssl.graph import Graph


@dataclass(frozen=True)
class MaskFeatures:
    """Feature masking: what the coin hits becomes zero, with probability ``p``; nothing is rescaled by ``1 / (1 - p)``.

    ``mode`` says what a coin stands for:

    - ``"column"``: a feature dimension, for all nodes of a graph (Zhu et al., 2020, GRACE, arXiv:2006.04131, and most after
      it); in a batch of graphs each graph has its own coins.
    - ``"entry"``: one number of one node (BGRL on MAG240M, Thakoor et al., 2022, arXiv:2102.06514). Of sparse features only the
      stored entries have coins, so under one seed the view differs from that of the same features held dense.
    - ``"node"``: all features of a node (Hou et al., 2022, GraphMAE, arXiv:2205.10803, without its learned token).

    Args:
        p: probability of a zero, from 0 to 1.
        mode: ``"column"``, ``"entry"`` or ``"node"``.

    Raises:
        ValueError: ``p`` is not from 0 to 1, or ``mode`` is none of the three.

    Example:
        >>> g = Graph.of((torch.ones(3, 5), torch.tensor([[0, 1], [1, 2]])))
        >>> x = MaskFeatures(0.5)(g).x
        >>> bool((x == x[0]).all())
        True
        >>> MaskFeatures(1.0, mode="node")(g).x.sum()
        tensor(0.)
    """

    p: float
    mode: Literal["column", "entry", "node"] = "column"
    keeps_nodes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("p", self.p)
        check_choice("mode", self.mode, ("column", "entry", "node"))

    def __call__(self, g: Graph) -> Graph:
        if self.mode == "column":
            return g.with_x(keep_columns(g, torch.rand(g.num_graphs, g.num_features, device=g.device) >= self.p))
        x = g.x
        if self.mode == "node":
            keep = (torch.rand(g.num_nodes, device=g.device) >= self.p).to(x.dtype)
            if isinstance(x, CSR):
                return g.with_x(x.with_values(x.values() * keep.index_select(0, x.pattern.row)))
            return g.with_x(x * keep[:, None])
        values = x.values() if isinstance(x, CSR) else x
        values = values * (torch.rand(values.shape, device=g.device) >= self.p)
        return g.with_x(x.with_values(values) if isinstance(x, CSR) else values)


@dataclass(frozen=True)
class ShuffleFeatures:
    """The corruption of Deep Graph Infomax (Velickovic et al., 2019, arXiv:1809.10341): feature rows change places.

    The rows are permuted uniformly among the nodes of each graph, so each graph keeps its edges and the multiset of its rows.
    ``node_id`` stays that of the places: node ``i`` has its own neighbours and somebody else's features.

    Example:
        >>> g = Graph.of((torch.arange(4.0)[:, None], torch.tensor([[0, 1], [1, 2]])))
        >>> sorted(ShuffleFeatures()(g).x.squeeze(1).tolist())
        [0.0, 1.0, 2.0, 3.0]
    """

    keeps_nodes: ClassVar[bool] = True

    def __call__(self, g: Graph) -> Graph:
        order = torch.randperm(g.num_nodes, device=g.device) if g.graph_id is None else shuffled(g.graph_id)
        return g.with_x(g.x.rows(order) if isinstance(g.x, CSR) else g.x.index_select(0, order))


def keep_columns(g: Graph, keep: Tensor) -> Tensor | CSR:
    """The features with zeros in the columns where ``keep`` ``[G, F]`` is false for the node's graph."""
    x = g.x
    keep = keep.to(x.dtype)
    if g.graph_id is None:
        return x.scale_columns(keep[0]) if isinstance(x, CSR) else x * keep[0]
    if isinstance(x, CSR):
        return x.with_values(x.values() * keep[g.graph_id[x.pattern.row], x.pattern.col.long()])
    return x * keep.index_select(0, g.graph_id)
