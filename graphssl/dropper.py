"""A network that says how much of each edge to leave: the adversary of AD-GCL, and what learns the views of InfoMin."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from graphssl.adjacency import full
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import MLP, mean_per_graph
from graphssl.layers import GATConv, RowLinear, SAGEConv, reset_parameters
from graphssl.readouts import Readout


class EdgeDropper(nn.Module):
    r"""A GNN of the encoder's shape and an MLP over the two ends of each edge, as in AD-GCL (Suresh et al., 2021, arXiv:2106.05819).

    The logit ``l`` of an edge gives a soft weight ``sigmoid((l + log u - log(1 - u)) / temperature)`` with ``u`` uniform, above one half
    with probability ``sigmoid(l)``. Both directions of an undirected edge share their mean logit and one draw.

    Args:
        encoder: whose shape is taken; its parameters are drawn anew. It must use edge weights.
        hidden: width of the MLP.
        temperature: of the soft weights; a lower one brings them nearer to 0 and 1.
        hard: weights of 0 and 1, with the gradient of the soft ones (straight-through; Bengio et al., 2013, arXiv:1308.3432).

    Raises:
        ValueError: a temperature that is not positive, an encoder without use for edge weights, or ``hard`` with attention, which takes
            the logarithm of a weight.
    """

    def __init__(self, encoder: GNN, *, hidden: int = 64, temperature: float = 1.0, hard: bool = False) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        if any(isinstance(module, SAGEConv) and module.aggregation == "max" for module in encoder.modules()):
            raise ValueError(
                "encoder must use edge weights, which the augmenter learns, and sage with aggregation 'max' has no use for them; "
                "allowed: aggregation 'mean', or another encoder"
            )
        if any(isinstance(module, RowLinear) for module in encoder.modules()):
            raise ValueError(
                "encoder must use edge weights, which the augmenter learns, and mlp has no use for edges; allowed: another one"
            )
        if hard and any(isinstance(module, GATConv) for module in encoder.modules()):
            raise ValueError("hard cannot be used with attention, which takes the logarithm of a weight of 0; allowed: another encoder")
        self.temperature, self.hard = temperature, hard
        self.gnn = copy.deepcopy(encoder)
        self.gnn.readout = Readout("sum", encoder.out_channels)  # not used, so nothing to learn
        reset_parameters(self.gnn)
        self.scorer = MLP(2 * encoder.out_channels, hidden, 1, act="relu")

    def logits(self, g: Graph) -> Tensor:
        """Logit of keeping each edge, ``[E]``."""
        h = full(self.gnn(g))  # [N, D]
        source, target = g.edge_index
        logit = full(self.scorer(torch.cat([h[source], h[target]], dim=1))).squeeze(1)
        return logit if g.reverse is None else (logit + logit[g.reverse]) / 2

    def forward(self, g: Graph) -> Tensor:
        """What a draw leaves of each edge, from 0 to 1, ``[E]``."""
        logit = self.logits(g)
        u = torch.rand_like(logit).clamp(1e-4, 1 - 1e-4)
        if g.reverse is not None:
            u = u[torch.minimum(g.reverse, torch.arange(g.num_edges, device=g.device))]
        soft = torch.sigmoid((logit + u.logit()) / self.temperature)
        return soft + ((soft > 0.5).to(soft.dtype) - soft).detach() if self.hard else soft


def dropped(w: Tensor, g: Graph) -> Tensor:
    """Mean over the graphs that have edges of the share of its edges that the weights ``w`` ``[E]`` leave out."""
    graph = g.graph_ids[g.edge_index[1]]
    shares = mean_per_graph((1 - w)[:, None], graph, g.num_graphs)
    return shares.sum() / torch.bincount(graph, minlength=g.num_graphs).clamp(max=1).sum().clamp(min=1)


def weighed(g: Graph, w: Tensor) -> Graph:
    """The graph with its edges' weights times ``w`` ``[E]``."""
    return g.with_weights(w if g.edge_weight is None else w * g.edge_weight)
