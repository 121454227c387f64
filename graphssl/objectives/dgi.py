"""Deep Graph Infomax."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from graphssl.augment import Augmentation, ShuffleFeatures
from graphssl.batches import side_by_side
from graphssl.distributed import mean_everywhere
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import Bilinear, mean_per_graph
from graphssl.losses import bce
from graphssl.objectives.base import Objective


class DGI(Objective):
    """Deep Graph Infomax (Velickovic et al., 2019, arXiv:1809.10341).

    A discriminator tells nodes of the graph from nodes of a corrupted copy, given a summary of the whole graph:
    ``s = sigmoid(mean_i h_i)``, scores ``h_i^T W s + b``, binary cross-entropy of real against corrupt.

    Several graphs have a summary each. Where the encoder has batch norm, graph and corrupted copy go through it side by side, in one
    pass: two passes would be normalised by statistics of their own, which tell real from corrupt without looking at a node.

    Args:
        encoder: what is trained.
        corruption: makes the negative graph; shuffling feature rows by default.

    Example:
        >>> import torch
        >>> from graphssl import GCN, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> DGI(GCN(4, [8], norm="none"))(g).isfinite().item()
        True
    """

    def __init__(self, encoder: GNN, corruption: Augmentation | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.corruption = ShuffleFeatures() if corruption is None else corruption
        self.discriminator = Bilinear(encoder.out_channels)
        self.one_pass = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in encoder.modules())

    def forward(self, g: Graph) -> Tensor:
        return bce(*self.scores(g)[1:])

    def scores(self, g: Graph) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of the nodes ``[S, D]``, and scores of them and of the corrupted ones against the summary of their graph, ``[S]``."""
        fake = self.corruption(g)
        if self.one_pass:
            both = side_by_side([replace(part, num_seeds=None) for part in (g, fake)])
            h = self.encoder(both)  # [N + N', D]
            real, corrupt = h[: g.num_nodes][: g.num_seeds], h[g.num_nodes :][: fake.num_seeds]
        else:
            real, corrupt = self.nodes(g), self.nodes(fake)
        ids, fake_ids = (None if b.graph_id is None else b.graph_id[: b.num_seeds] for b in (g, fake))
        means = mean_everywhere(real) if ids is None else mean_per_graph(real, ids, g.num_graphs)  # one graph may be that of all ranks
        summary = means.sigmoid()  # [G, D]
        return real, self.discriminator(real, summary, ids), self.discriminator(corrupt, summary, fake_ids)
