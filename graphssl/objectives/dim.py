"""Deep InfoMax: local, global, and a prior."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import MLP, ShortcutMLP, gradient_reversed, mean_per_graph
from graphssl.losses import bce, jsd, node_graph_jsd
from graphssl.objectives.base import several_graphs
from graphssl.objectives.dgi import DGI


class DIM(DGI):
    r"""Deep InfoMax (Hjelm et al., 2019, arXiv:1808.06670): local and global mutual information, and a prior matched by an adversary.

    ``-(alpha I_global + beta I_local) + gamma E_prior``, with Jensen-Shannon estimates ``I``:

    - local, at ``graph`` level: nodes belong with the embedding of their graph, as in InfoGraph (with ``gamma = alpha = 0`` it is that);
      at ``node`` level: nodes belong with the summary of the graph and nodes of a shuffled copy do not, as in DGI.
    - global: an embedding belongs with the input it is of, the mean of a graph's features, or that of a node's and its neighbours';
      another row's input, at a random distance, is the negative.
    - prior: ``E_prior = E_v log D(v) + E_e log(1 - D(e))`` with ``v`` uniform on the cube and ``e`` the embeddings through a sigmoid, or
      ``v`` normal and ``e`` as they are. The discriminator ``D`` raises it and the encoder lowers it, in one pass: ``D`` sees the
      embeddings behind a reversed gradient (Ganin and Lempitsky, 2015, arXiv:1409.7495).

    DIM(L) is ``alpha=0, beta=1, gamma=0.1``, DIM(G) ``alpha=1, beta=0, gamma=1``. The prior option of the official InfoGraph code is not
    this: there encoder and discriminator are trained in one direction. Several processes share training at node level alone, where all
    terms are means over nodes.

    Args:
        encoder: what is trained; at graph level its readout must be as wide as its nodes.
        alpha: weight of the global term.
        beta: weight of the local term.
        gamma: weight of the prior.
        prior: ``uniform`` or ``normal``.
        hidden: width of the hidden layers of the prior's discriminator and of the global scores.
        level: ``node`` or ``graph``.
        chunk: at graph level, nodes whose scores against all graphs of the batch are held at a time.

    Raises:
        ValueError: a negative weight, no weight at all, an unknown name, or a readout of another width; at the call, a single graph
            at graph level.

    Example:
        >>> from graphssl import GCN, Graph
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> DIM(GCN(4, [8], norm="none"), alpha=0.5)(g).isfinite().item()
        True
    """

    def __init__(
        self,
        encoder: GNN,
        *,
        alpha: float = 0.0,
        beta: float = 1.0,
        gamma: float = 0.1,
        prior: Literal["uniform", "normal"] = "uniform",
        hidden: int = 200,
        level: Literal["node", "graph"] = "node",
        chunk: int | None = 16_384,
    ) -> None:
        super().__init__(encoder)
        for name, weight in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            if not weight >= 0:
                raise ValueError(f"{name} must be 0 or more, got {weight}")
        if not alpha + beta + gamma:
            raise ValueError("alpha, beta and gamma must not all be 0")
        if prior not in ("uniform", "normal"):
            raise ValueError(f"prior must be uniform or normal, got {prior!r}")
        if level not in ("node", "graph"):
            raise ValueError(f"level must be node or graph, got {level!r}")
        if level == "graph" and encoder.graph_channels != encoder.out_channels:
            raise ValueError(f"the readout must keep the width of the nodes, {encoder.out_channels}, got {encoder.graph_channels}")
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1 or None, got {chunk}")
        self.alpha, self.beta, self.gamma, self.prior, self.level, self.chunk = alpha, beta, gamma, prior, level, chunk
        self.mean_over = None if level == "graph" else "nodes"  # means over nodes and over graphs
        width = encoder.out_channels
        if level == "graph" or not beta:
            del self.discriminator
        if level == "graph" and beta:
            self.local, self.summary = ShortcutMLP(width), ShortcutMLP(width)
        if alpha:
            self.of_input, self.of_embedding = MLP(encoder.in_channels, hidden, width, act="relu"), nn.Linear(width, width)
        if gamma:
            self.prior_discriminator = MLP(width, hidden, 1, act="relu")

    def forward(self, g: Graph) -> Tensor:
        e, loss = self.of_graphs(g) if self.level == "graph" else self.of_nodes(g)
        if self.alpha:
            loss = loss + self.alpha * self.global_term(e, self.inputs(g))
        return loss + self.prior_term(e) if self.gamma else loss

    def of_graphs(self, g: Graph) -> tuple[Tensor, Tensor]:
        """Embeddings of the graphs ``[G, D]`` and the local term."""
        several_graphs(g)
        h = self.nodes(g)  # [N, D]
        s = self.encoder.pool(h, g)  # type: ignore[operator]  # [G, D]
        if not self.beta:
            return s, s.new_zeros(())
        return s, self.beta * node_graph_jsd(self.local(h), self.summary(s), g.graph_ids, chunk=self.chunk)

    def of_nodes(self, g: Graph) -> tuple[Tensor, Tensor]:
        """Embeddings of the nodes ``[S, D]`` and the local term."""
        if not self.beta:
            h = self.nodes(g)
            return h, h.new_zeros(())
        h, positive, negative = self.scores(g)
        return h, self.beta * jsd(positive, negative)

    def inputs(self, g: Graph) -> Tensor:
        """What the embeddings are of: the mean of a graph's features ``[G, F]``, or of those around each node ``[S, F]``."""
        x = g.dense_x()
        if self.level == "graph":
            return mean_per_graph(x, g.graph_id, g.num_graphs)
        source, target = g.edge_index
        around = x.index_add(0, target, x.index_select(0, source))  # [N, F], with itself
        degree = torch.bincount(target, minlength=g.num_nodes) + 1
        return (around / degree[:, None])[: g.num_seeds]

    def global_term(self, e: Tensor, x: Tensor) -> Tensor:
        """Minus the estimate of the information between embeddings ``[M, D]`` and their inputs ``[M, F]``."""
        if e.size(0) < 2:
            raise ValueError(f"the global term needs at least two rows, of which one is the other's negative, got {e.size(0)}")
        a, b = self.of_embedding(e), self.of_input(x)
        shift = torch.randint(1, e.size(0), (), device=e.device)
        other = (torch.arange(e.size(0), device=e.device) + shift) % e.size(0)
        return jsd(torch.linalg.vecdot(a, b), torch.linalg.vecdot(a, b.index_select(0, other)))

    def matched(self, e: Tensor) -> Tensor:
        """Embeddings as the prior has them, ``[M, D]``."""
        return e.sigmoid() if self.prior == "uniform" else e

    def prior_term(self, e: Tensor) -> Tensor:
        """``gamma E_prior``, with the encoder's gradient for the embeddings and the discriminator's own, of ``-E_prior``, for it."""
        e = self.matched(e)
        v = torch.rand_like(e) if self.prior == "uniform" else torch.randn_like(e)
        cost = bce(self.prior_discriminator(v), self.prior_discriminator(gradient_reversed(e, self.gamma)))
        return cost - (1 + self.gamma) * cost.detach()
