"""InfoGraph*: a supervised encoder that learns from an unsupervised one beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from graphssl.batches import GraphBatches
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import ShortcutMLP
from graphssl.losses import node_graph_jsd
from graphssl.objectives.base import Objective
from graphssl.random import RandomStream
from graphssl.supervised.labels import Cycled
from graphssl.supervised.objective import Supervised

Tie = Literal["layers", "last"]
LEVELLED = ("sum", "mean", "max")  # readouts of which that of layers laid side by side is that of each layer


@dataclass(frozen=True)
class Pair:
    """Graphs with labels and graphs without, a step's worth of both."""

    labelled: Graph
    unlabelled: Graph

    def to(self, device: torch.device | str) -> Pair:
        return Pair(self.labelled.to(device), self.unlabelled.to(device))


class PairedBatches:
    """Labelled and unlabelled batches side by side, as many as the longer of the two has; the shorter one is gone through again and again.

    The order of the unlabelled batches comes from a stream of their own, so that the labelled ones come as they would alone.

    Example:
        >>> path = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
        >>> pairs = PairedBatches(GraphBatches([path] * 2, 2), GraphBatches([path] * 9, 3))
        >>> len(pairs), [(pair.labelled.num_graphs, pair.unlabelled.num_graphs) for pair in pairs]
        (3, [(2, 3), (2, 3), (2, 3)])
    """

    def __init__(self, labelled: GraphBatches, unlabelled: GraphBatches, *, seed: int = 0) -> None:
        length = max(len(labelled), len(unlabelled))
        self.labelled, self.unlabelled = Cycled(labelled, length), Cycled(unlabelled, length)
        self.stream = RandomStream(seed)

    def __len__(self) -> int:
        return len(self.labelled)

    def __iter__(self) -> Iterator[Pair]:
        without = iter(self.unlabelled)
        for labelled in self.labelled:
            with self.stream.running():
                unlabelled = next(without)
            yield Pair(labelled, unlabelled)


class InfoGraphStar(Objective):
    r"""InfoGraph*, semi-supervised (Sun et al., 2020, arXiv:1908.01000).

    A supervised encoder ``f`` learns from the labels, an unsupervised one ``g`` of the same shape from the unlabelled graphs, as InfoGraph
    does, and ``f`` is to hold what ``g`` found out: the mutual information between their embeddings of a graph is raised at every layer,
    by the same estimate, a graph's own pair against those of other graphs. So the two tasks do not pull at one set of weights.

    ``L = L_supervised(f) + unsupervised * L_InfoGraph(g) + weight / K * sum_k JSD(A_k(s_k^f), B_k(s_k^g))`` over ``K`` layers, with
    projections ``A_k``, ``B_k``. :meth:`predict` is that of ``f``; ``encoder`` is ``f`` too. Batch norm in ``f`` keeps to the statistics of
    the labelled graphs: those of the unlabelled ones alone change its score, tied or not, and would pass for an effect of the tie.

    Args:
        supervised: ``f`` and its head.
        other: ``g``.
        weight: of the tie.
        unsupervised: weight of the loss of ``g``.
        tie: at all ``layers``, which takes encoders with ``jk="cat"`` and a readout ``sum``, ``mean`` or ``max``; or the ``last``, the
            embeddings of graphs as they are.

    Raises:
        ValueError: a negative weight, encoders of different shape, or a tie that they do not have.

    Example:
        >>> from dataclasses import replace
        >>> from graphssl import GIN, Graph, side_by_side
        >>> path = Graph.of((torch.eye(2), torch.tensor([[0, 1], [1, 0]])))
        >>> f, g = (GIN(2, [4, 4], jk="cat", readout="sum") for _ in range(2))
        >>> objective = InfoGraphStar(Supervised(f, "classification", 2), g)
        >>> both = side_by_side([path, path])
        >>> objective(Pair(replace(both, y=torch.tensor([0, 1])), both)).isfinite().item()
        True

    Deviation:
        The official code ties the embeddings of graphs alone (``tie="last"``), and its epochs end with the labelled graphs.
    """

    def __init__(self, supervised: Supervised, other: GNN, *, weight: float = 1e-3, unsupervised: float = 1.0, tie: Tie = "layers") -> None:
        super().__init__()
        for name, value in (("weight", weight), ("unsupervised", unsupervised)):
            if value < 0:
                raise ValueError(f"{name} must be 0 or more, got {value}")
        if tie not in get_args(Tie):
            raise ValueError(f"tie must be one of {', '.join(get_args(Tie))}, got {tie!r}")
        if supervised.level != "graph":
            raise ValueError(f"InfoGraph* is for labels of graphs, got a supervised part of level {supervised.level!r}")
        encoder = supervised.encoder
        if (other.channels, other.graph_channels) != (encoder.channels, encoder.graph_channels):
            raise ValueError(f"the encoders must be of one shape, got channels {encoder.channels} and {other.channels}")
        self.supervised, self.encoder, self.other = supervised, encoder, other
        self.weight, self.unsupervised = weight, unsupervised
        self.widths = _levels(encoder, tie)
        nodes, graphs = encoder.out_channels, encoder.graph_channels
        self.local = ShortcutMLP(nodes)
        self.summary = ShortcutMLP(graphs, nodes)
        self.ours, self.theirs = (nn.ModuleList(ShortcutMLP(width) for width in self.widths) for _ in range(2))

    def forward(self, pair: Pair) -> Tensor:  # type: ignore[override]
        loss = self.supervised(pair.labelled)
        if not (self.weight or self.unsupervised):
            return loss  # type: ignore[no-any-return]
        g = pair.unlabelled
        h = self.nodes(g, self.other)  # [N, D]
        s = self.other.pool(h, g)  # [G, D']
        if self.unsupervised:
            loss = loss + self.unsupervised * node_graph_jsd(self.local(h), self.summary(s), g.graph_ids)
        if self.weight:
            with statistics_kept(self.encoder):
                f = self.graphs(g)
            loss = loss + self.weight * self.tied(f, s)
        return loss  # type: ignore[no-any-return]

    def tied(self, f: Tensor, g: Tensor) -> Tensor:
        """Minus the mutual information between two embeddings ``[G, D']`` of the same graphs, a mean over the levels; 0 for scores of 0."""
        own = torch.arange(f.size(0), device=f.device)
        levels = zip(self.ours, self.theirs, _split(f, self.widths), _split(g, self.widths), strict=True)
        return torch.stack([node_graph_jsd(a(one), b(two), own) for a, b, one, two in levels]).mean()

    def predict(self, g: Graph) -> Tensor:
        """Logits, or targets in their own units, ``[G, K]``."""
        return self.supervised.predict(g)


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Inside, batch norm normalises by the batch as ever, and its running statistics stay as they are."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    counts = [None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone() for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            if count is not None:
                norm.num_batches_tracked = count


def _levels(encoder: GNN, tie: Tie) -> list[int]:
    """Widths of the parts of a graph's embedding that are tied apart."""
    if tie == "last" or (len(encoder.channels) == 1 and encoder.graph_channels == encoder.channels[0]):
        return [encoder.graph_channels]
    if encoder.graph_channels != sum(encoder.channels) or encoder.readout.kind not in LEVELLED:
        raise ValueError(
            f"tie='layers' takes encoders with jk='cat' and readout {', '.join(LEVELLED)}, which hold a graph's embedding of each layer, "
            f"got jk={encoder.jk.mode!r} and readout {encoder.readout.kind!r}; or take tie='last'"
        )
    return list(encoder.channels)


def _split(z: Tensor, widths: list[int]) -> tuple[Tensor, ...]:
    return torch.split(z, widths, dim=1)  # type: ignore[no-untyped-call, no-any-return]
