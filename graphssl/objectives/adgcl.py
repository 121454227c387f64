"""Adversarial graph contrastive learning: AD-GCL."""

from __future__ import annotations

from torch import Tensor

from graphssl.dropper import EdgeDropper, dropped, weighed
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import MLP, gradient_reversed
from graphssl.losses import info_nce
from graphssl.objectives.base import Objective, several_graphs


class ADGCL(Objective):
    r"""Adversarial graph contrastive learning (Suresh et al., 2021, arXiv:2106.05819).

    A second network learns which edges to drop so that as little as possible of the graph's embedding survives, and the encoder learns
    to find the graph again: ``min over the encoder, max over the augmenter of  contrast - reg_lambda * (share of edges dropped)``.

    The augmenter is a GNN of the encoder's shape and an MLP over the two ends of each edge, whose logit ``l`` gives a soft edge weight
    ``sigmoid((l + log u - log(1 - u)) / temperature)`` with ``u`` uniform; nothing is dropped outright. Both directions of an undirected
    edge share their mean logit and one draw. The contrast is that of the official code: positives outside the denominator, symmetric.

    One pass serves both: the augmenter gets the contrast's gradient with its sign turned. The official code takes the two steps one
    after the other with an optimiser each, the augmenter's under the encoder's running statistics of batch norm, and draws for each
    direction of an edge; both networks' learning rates are equal there too. The value is the contrast, without the share dropped.

    Args:
        encoder: what is trained; it must use edge weights (graphssl's encoders do, but for ``sage`` with ``max``).
        reg_lambda: price of dropping edges; the paper's fixed choice is 5.
        tau: temperature of the contrast.
        temperature: of the soft edge weights; a lower one brings them nearer to 0 and 1.
        hidden: width of the MLP over edges.

    Raises:
        ValueError: at construction, an argument out of its range, or an encoder without use for edge weights; at the call, a batch of one
            graph, which has no negative.

    Example:
        >>> import torch
        >>> from graphssl import GIN, Graph, side_by_side
        >>> path = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> objective = ADGCL(GIN(3, [4, 4], readout="sum"))
        >>> objective(side_by_side([path, path])).isfinite().item()
        True
    """

    mean_over = "graphs"

    def __init__(self, encoder: GNN, *, reg_lambda: float = 5.0, tau: float = 0.2, temperature: float = 1.0, hidden: int = 64) -> None:
        super().__init__()
        if not tau > 0:
            raise ValueError(f"tau must be positive, got {tau}")
        if not reg_lambda >= 0:
            raise ValueError(f"reg_lambda must be 0 or more, got {reg_lambda}")
        self.encoder, self.reg_lambda, self.tau, self.temperature = encoder, reg_lambda, tau, temperature
        self.augmenter = EdgeDropper(encoder, hidden=hidden, temperature=temperature)
        width = encoder.graph_channels
        self.projector = MLP(width, width, width, act="relu")

    def forward(self, g: Graph) -> Tensor:
        several_graphs(g)
        w = self.edge_weights(g)  # [E]
        view = weighed(g, gradient_reversed(w))
        z1, z2 = self.projector(self.graphs(g)), self.projector(self.graphs(view))  # [G, D]
        price = self.reg_lambda * dropped(w, g)
        return info_nce(z1, z2, tau=self.tau, decoupled=True) + price - price.detach()

    def edge_weights(self, g: Graph) -> Tensor:
        """What a draw leaves of each edge, in (0, 1), ``[E]``."""
        return self.augmenter(g)  # type: ignore[no-any-return]
