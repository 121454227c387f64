"""Contrast of two structural views: MVGRL."""

from __future__ import annotations

from torch import Tensor, nn

from graphssl.graph import Graph
from graphssl.heads import ShortcutMLP
from graphssl.losses import node_graph_jsd
from graphssl.multiview import MultiView
from graphssl.objectives.base import Objective, several_graphs


class MVGRL(Objective):
    """Contrastive Multi-View Representation Learning on Graphs (Hassani and Khasahmadi, 2020, arXiv:2006.05582), at graph level.

    Two encoders see the graph: one as it is, the other through its diffusion. The nodes of each view are to tell their own graph, as
    the other view sums it up, from the other graphs of the batch: ``jsd(h1, s2) + jsd(h2, s1)`` behind one projection of nodes and one of
    graphs. The embedding of a graph is ``s1 + s2`` (:class:`graphssl.MultiView`).

    With ``jk="cat"`` the nodes are those of the last layer, and the graphs the readouts of all. Deviations from the official code: a GCN
    normalises the diffused weights once more here; the padding that it masks by the sizes of other graphs does not exist here.

    Args:
        encoder: what is trained, of two views.
        chunk: nodes whose scores against all graphs of the batch are held at a time.

    Raises:
        ValueError: an encoder that is not of two views; at the call, a batch of one graph, which has no negative.

    Example:
        >>> import torch
        >>> from graphssl import GCN, Diffuse, Identity, side_by_side
        >>> path = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> encoder = MultiView([GCN(3, [8], readout="sum") for _ in range(2)], views=(Identity(), Diffuse("ppr", alpha=0.2)))
        >>> MVGRL(encoder)(side_by_side([path, path])).isfinite().item()
        True
    """

    def __init__(self, encoder: MultiView, *, chunk: int | None = 16_384) -> None:
        super().__init__()
        if len(getattr(encoder, "encoders", ())) != 2:
            raise ValueError(f"encoder must be a MultiView of two views, got {type(encoder).__name__}")
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1 or None, got {chunk}")
        self.encoder, self.chunk = encoder, chunk
        self.width = encoder.channels[-1]
        self.local = ShortcutMLP(self.width, act="prelu", linear=nn.Linear)

    def forward(self, g: Graph) -> Tensor:
        several_graphs(g)
        h = self.nodes(g)  # [N, 2 D]
        u1, u2 = (self.local(part[:, -self.width :]) for part in self.encoder.parts(h))  # type: ignore[operator]
        s1, s2 = self.encoder.summaries(h, g)  # type: ignore[operator]  # [G, D]
        ids, chunk = g.graph_ids, self.chunk
        return node_graph_jsd(u1, s2, ids, chunk=chunk) + node_graph_jsd(u2, s1, ids, chunk=chunk)
