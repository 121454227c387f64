"""InfoGraph, unsupervised."""

from __future__ import annotations

from torch import Tensor

from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import ShortcutMLP
from graphssl.losses import node_graph_jsd
from graphssl.objectives.base import Objective


class InfoGraph(Objective):
    """InfoGraph (Sun et al., 2020, arXiv:1908.01000).

    A graph's embedding should tell its own nodes, as each layer sees them, from those of the other graphs in the batch: the
    Jensen-Shannon estimate of mutual information between nodes and graphs, both behind a projection. With ``jk="cat"`` and
    ``readout="sum"`` the embedding is the paper's, a sum a layer laid side by side.

    The official code's optional prior term is left out: its sign trains the encoder and the discriminator in one direction.

    Args:
        encoder: what is trained; its readout must be as wide as its nodes.
        chunk: nodes whose scores against all graphs of the batch are held at a time.

    Raises:
        ValueError: a readout of another width.

    Example:
        >>> import torch
        >>> from graphssl import GIN, Graph, side_by_side
        >>> path = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
        >>> objective = InfoGraph(GIN(2, [4, 4], jk="cat", readout="sum"))
        >>> objective(side_by_side([path, path])).isfinite().item()
        True
    """

    def __init__(self, encoder: GNN, *, chunk: int | None = 16_384) -> None:
        super().__init__()
        if encoder.graph_channels != encoder.out_channels:
            raise ValueError(
                f"InfoGraph compares nodes and graphs, so the readout must keep the width of the nodes, {encoder.out_channels}, got "
                f"{encoder.graph_channels}; allowed: sum, mean, max, attention"
            )
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1 or None, got {chunk}")
        self.encoder, self.chunk = encoder, chunk
        self.local, self.summary = ShortcutMLP(encoder.out_channels), ShortcutMLP(encoder.out_channels)

    def forward(self, g: Graph) -> Tensor:
        h = self.nodes(g)  # [N, D]
        s = self.encoder.pool(h, g)  # type: ignore[operator]  # [G, D]
        return node_graph_jsd(self.local(h), self.summary(s), g.graph_ids, chunk=self.chunk)
