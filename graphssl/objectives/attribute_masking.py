"""Attribute masking."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphssl.adjacency import CSR
from graphssl.augment.views import first_of_each, share_of, shuffled
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.objectives.base import Objective


class AttributeMasking(Objective):
    """Attribute masking (Hu et al., 2020, arXiv:1905.12265).

    Some atoms of each molecule lose their attributes to a learned token, and a linear layer on the encoder's output at these atoms must
    tell their element: cross-entropy, averaged over the hidden atoms of the batch. A graph of ``n`` nodes hides ``int(mask_rate n) + 1``
    of them, so at least one.

    The type to be told is the column of a node's only non-zero among the first ``num_types``: of OGB's multi-hot rows the first 119 are
    the element; of one-hot node labels all columns are. In the official code bond features of hidden atoms may be hidden too; by its
    default, as here, they are not.

    Args:
        encoder: what is trained.
        mask_rate: share of a graph's nodes that are hidden.
        num_types: columns of the type; ``None`` takes all.

    Raises:
        ValueError: an argument out of its range; at the first batch, nodes whose types are not one-hot.

    Example:
        >>> from graphssl import GIN, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> AttributeMasking(GIN(4, [8, 8]))(g).isfinite().item()
        True
    """

    def __init__(self, encoder: GNN, *, mask_rate: float = 0.15, num_types: int | None = None) -> None:
        super().__init__()
        if not 0 <= mask_rate <= 1:
            raise ValueError(f"mask_rate must be in [0, 1], got {mask_rate}")
        width = encoder.in_channels if num_types is None else num_types
        if not 2 <= width <= encoder.in_channels:
            raise ValueError(f"num_types must be from 2 to the {encoder.in_channels} features, or None for all, got {num_types}")
        self.encoder, self.mask_rate, self.num_types = encoder, mask_rate, num_types
        self.token = nn.Parameter(torch.zeros(1, encoder.in_channels))
        self.predictor = nn.Linear(encoder.out_channels, width)
        self.checked = False

    def forward(self, g: Graph) -> Tensor:
        masked = self.mask(g)
        x = g.dense_x()
        types = x.index_select(0, masked)[:, : self.predictor.out_features]  # [M, T]
        if not self.checked:  # once: a look at the values stops the device
            _check_types(g, self.predictor.out_features)
            self.checked = True
        hidden = g.with_x(x.index_copy(0, masked, self.token.to(x.dtype).expand(masked.numel(), -1)))
        h = self.nodes(hidden).index_select(0, masked)  # [M, D]
        return F.cross_entropy(self.predictor(h), types.argmax(dim=1))

    def mask(self, g: Graph) -> Tensor:
        """Rows that are hidden, ``[M]``."""
        graph = g.graph_ids[: g.num_seeds]
        sizes = torch.bincount(graph, minlength=g.num_graphs)
        return first_of_each(shuffled(graph), graph, share_of(self.mask_rate, sizes) + 1)


def _check_types(g: Graph, width: int) -> None:
    x = g.x
    if isinstance(x, CSR):
        kept = (x.pattern.col < width) & (x.values() != 0)
        counts = torch.bincount(x.pattern.row[kept], minlength=g.num_nodes)
    else:
        counts = x[:, :width].count_nonzero(dim=1)
    bad = (counts != 1).nonzero()
    if bad.numel():
        raise ValueError(
            f"attribute masking tells a node's type, one-hot in the first {width} columns of its features, and node {int(bad[0])} has "
            f"{int(counts[bad[0]])} non-zeros there; give num_types, or nodes with labels (features none, node_features labels)"
        )
