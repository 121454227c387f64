"""GraphMAE."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.layers import GATConv, GINConv, GINEConv, PReLU
from graphssl.losses import scaled_cosine
from graphssl.objectives.base import Objective


class GraphMAE(Objective):
    """GraphMAE, a masked autoencoder of node features (Hou et al., 2022, arXiv:2205.10803).

    A share of the nodes lose their features to a learned token, or to another node's features; the encoder sees that graph. Its output
    is set to zero at the same nodes and handed to a decoder, which must tell the features again from the neighbours:
    ``mean over hidden nodes of (1 - cos(x_hat_i, x_i))^alpha``. Embeddings are the encoder's, of the graph with nothing hidden.

    Hidden are exactly ``int(mask_rate N)`` nodes (at least one) of the ``N`` in the batch, all graphs together; with ``num_seeds``, of
    the seeds. Features become dense: a batch holds them a few times as ``[N, F]``.

    Deviations: where token and replacement are both in use, the official code's rounding can leave a hidden node its own features; here
    it has one or the other. The official GIN has PReLU inside its MLPs and self-loops on the graphs, and learns no eps.

    Args:
        encoder: what is trained.
        mask_rate: share of the nodes that are hidden.
        replace_rate: share of these that get the features of a random node instead of the token.
        alpha: exponent of the error.
        decoder: ``same``, one layer of the encoder's kind (attention has one head, an MLP the encoder's width inside); ``mlp``, two linear
            layers at each node alone; ``linear``, one. The latter two see the encoder's output as it is, as the official code has it.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> from graphssl import GIN, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> 0 <= GraphMAE(GIN(4, [8, 8]))(g).item() <= 4
        True
    """

    def __init__(
        self,
        encoder: GNN,
        *,
        mask_rate: float = 0.5,
        replace_rate: float = 0.0,
        alpha: float = 2.0,
        decoder: Literal["same", "mlp", "linear"] = "same",
    ) -> None:
        super().__init__()
        if not 0 < mask_rate <= 1:
            raise ValueError(f"mask_rate must be in (0, 1], got {mask_rate}")
        if not 0 <= replace_rate <= 1:
            raise ValueError(f"replace_rate must be in [0, 1], got {replace_rate}")
        if not alpha >= 1:
            raise ValueError(f"alpha must be at least 1, got {alpha}")
        if decoder not in ("same", "mlp", "linear"):
            raise ValueError(f"decoder must be same, mlp or linear, got {decoder!r}")
        self.encoder, self.mask_rate, self.replace_rate, self.alpha = encoder, mask_rate, replace_rate, alpha
        self.token = nn.Parameter(torch.zeros(1, encoder.in_channels))
        self.to_decoder = nn.Linear(encoder.out_channels, encoder.out_channels, bias=False)
        self.remasks = decoder == "same"
        self.decoder = _decoder(decoder, encoder)

    def forward(self, g: Graph) -> Tensor:
        masked, hidden, x = self.mask(g)
        h = self.to_decoder(self.encoder(hidden))  # [N, D]
        if self.remasks:
            h = self.decoder(g.with_x(h.index_fill(0, masked, 0)))  # [N, F]
            h = h.index_select(0, masked)
        else:
            h = self.decoder(h.index_select(0, masked))
        return scaled_cosine(h, x.index_select(0, masked), alpha=self.alpha)

    def mask(self, g: Graph) -> tuple[Tensor, Graph, Tensor]:
        """The rows ``[M]`` that are hidden, the graph with them hidden, and the true features ``[N, F]``."""
        n = g.num_nodes if g.num_seeds is None else g.num_seeds
        masked = torch.randperm(n, device=g.device)[: max(1, int(self.mask_rate * n))]
        num_replaced = int(self.replace_rate * masked.numel())
        replaced, blank = masked[:num_replaced], masked[num_replaced:]
        x = g.dense_x()
        hidden = x.index_copy(0, blank, self.token.to(x.dtype).expand(blank.numel(), -1))
        if num_replaced:
            others = torch.randint(g.num_nodes, (num_replaced,), device=g.device)
            hidden = hidden.index_copy(0, replaced, x.index_select(0, others))
        return masked, g.with_x(hidden), x


def _decoder(kind: str, encoder: GNN) -> nn.Module:
    d, f = encoder.out_channels, encoder.in_channels
    if kind == "linear":
        return nn.Linear(d, f)
    if kind == "mlp":
        return nn.Sequential(nn.Linear(d, d), PReLU(), nn.Dropout(0.2), nn.Linear(d, f))
    changes: dict[Any, dict[str, int]] = {GATConv: {"heads": 1}, GINConv: {"hidden": d}, GINEConv: {"hidden": d}}
    conv = encoder.conv
    if isinstance(conv, partial):
        conv = partial(conv, **changes.get(conv.func, {}))
    return GNN(d, [f], conv, norm="none", act="none", input_dropout=encoder.input_dropout)
