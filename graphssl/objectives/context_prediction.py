"""Context prediction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.augment.views import below, graph_sizes
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import mean_per_graph
from graphssl.objectives.base import Objective


class ContextPrediction(Objective):
    """Context prediction (Hu et al., 2020, arXiv:1905.12265).

    A random node of each graph is its centre. The encoder embeds the centre inside its neighbourhood of ``hops`` hops; a second, smaller
    encoder embeds the context, the subgraph of the nodes more than ``inner`` and at most ``outer`` hops away. The context is the mean of
    its anchors, the nodes that are in the neighbourhood as well. The dot product of centre and context must tell a graph's own
    context from those of ``num_negatives`` other graphs in the batch: binary cross-entropy, the negatives weighted by their number.

    A graph whose centre reaches nothing beyond ``inner`` hops is left out, as in the official code; a batch with too few graphs left has
    loss zero. The context encoder has ``outer - inner`` layers of the encoder's kind and width, with batch norm and ReLU.

    Args:
        encoder: what is trained; as many layers as ``hops`` see the whole neighbourhood.
        hops: radius of the neighbourhood.
        inner: hops around the centre that are not context; less than ``hops``.
        outer: hops to where the context ends; more than ``inner``.
        num_negatives: other contexts held against each centre.

    Raises:
        ValueError: an argument out of its range; at the first batch, graphs of which none reaches far enough.

    Example:
        >>> from graphssl import GIN, Graph, side_by_side
        >>> ends = torch.arange(8)
        >>> path = Graph.of((torch.eye(9), torch.stack([torch.cat([ends, ends + 1]), torch.cat([ends + 1, ends])])))
        >>> objective = ContextPrediction(GIN(9, [8, 8]), hops=2, inner=1, outer=3)
        >>> objective(side_by_side([path, path])).isfinite().item()
        True
    """

    mean_over = None  # a batch without contexts does not go through the encoders, for which others would wait

    def __init__(self, encoder: GNN, *, hops: int = 5, inner: int = 4, outer: int = 7, num_negatives: int = 1) -> None:
        super().__init__()
        if not 0 <= inner < min(hops, outer):
            raise ValueError(f"inner must be 0 or more, and below hops and outer, got inner={inner}, hops={hops}, outer={outer}")
        if num_negatives < 1:
            raise ValueError(f"num_negatives must be at least 1, got {num_negatives}")
        self.encoder, self.hops, self.inner, self.outer, self.num_negatives = encoder, hops, inner, outer, num_negatives
        depth, width = outer - inner, encoder.out_channels
        linear = None if encoder.input is None else encoder.input.weight.size(1)
        acts = ["relu"] * (depth - 1) + ["none"]
        self.context = GNN(encoder.in_channels, [width] * depth, encoder.conv, act=acts, input=linear)
        self.checked = False

    def forward(self, g: Graph) -> Tensor:
        centre = self.centres(g)  # [G]
        distance = hops_from(g, centre, max(self.hops, self.outer))  # [N]
        anchor = (distance > self.inner) & (distance <= min(self.hops, self.outer))
        usable = torch.zeros(g.num_graphs, dtype=torch.bool, device=g.device).index_fill_(0, g.graph_ids[anchor], True)
        chosen = usable.nonzero().squeeze(1)  # [U]
        if not self.checked:
            self._check(chosen.numel())
        if chosen.numel() <= self.num_negatives:
            return sum((p.sum() * 0 for p in self.parameters()), centre.new_zeros((), dtype=torch.float32))
        of_usable = usable.index_select(0, g.graph_ids)
        near = (of_usable & (distance <= self.hops)).nonzero().squeeze(1)
        around = (of_usable & (distance > self.inner) & (distance <= self.outer)).nonzero().squeeze(1)
        h = self.nodes(g.keep_nodes(near)).index_select(0, torch.searchsorted(near, centre[chosen]))  # [U, D]
        context = self._contexts(g.keep_nodes(around), anchor[around]).index_select(0, chosen)  # [U, D]
        positive = torch.linalg.vecdot(h, context)
        negative = torch.stack([torch.linalg.vecdot(h, context.roll(-k, 0)) for k in range(1, self.num_negatives + 1)])
        return F.softplus(-positive).mean() + self.num_negatives * F.softplus(negative).mean()

    def centres(self, g: Graph) -> Tensor:
        """A random row of each graph, ``[G]``; of a graph without nodes, row 0."""
        sizes = graph_sizes(g)
        return (g.node_ptr[:-1] + below(sizes.clamp(min=1))).where(sizes > 0, 0)

    def _contexts(self, g: Graph, anchor: Tensor) -> Tensor:
        rows = anchor.nonzero().squeeze(1)
        return mean_per_graph(self.nodes(g, self.context).index_select(0, rows), g.graph_ids.index_select(0, rows), g.num_graphs)

    def _check(self, usable: int) -> None:
        if not usable:
            raise ValueError(
                f"context prediction: no centre in the first batch reaches beyond inner={self.inner} hops; lower hops, inner and outer"
            )
        self.checked = True


def hops_from(g: Graph, start: Tensor, most: int) -> Tensor:
    """Hops from the nearest of the rows ``start`` along the edges' direction, ``[N]`` int64; ``most + 1`` where there are more."""
    distance = torch.full((g.num_nodes,), most + 1, device=g.device).index_fill_(0, start, 0)
    reached = (distance == 0).float()[:, None]
    arrivals = CSR(g.pattern)
    for hop in range(1, most + 1):
        met = (arrivals @ reached).squeeze(1) > 0
        distance = distance.where(~met | (distance < hop), hop)
        reached = (distance == hop).float()[:, None]
    return distance
