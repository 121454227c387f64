"""Views with other features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.adjacency import CSR, Pattern, true_entries
from graphssl.augment.views import Cut, check_choice, check_share, drawn, graph_sizes, only, share_of, shuffled
from graphssl.graph import Graph
from graphssl.heads import mean_per_graph


@dataclass(frozen=True)
class MaskFeatures:
    """Feature masking: what the coin hits becomes zero, with probability ``p``; nothing is rescaled by ``1 / (1 - p)``.

    ``mode`` says what a coin stands for:

    - ``"column"``: a feature dimension, for all nodes of a graph (Zhu et al., 2020, GRACE, arXiv:2006.04131, and most after
      it); in a batch of graphs each graph has its own coins.
    - ``"entry"``: one number of one node (BGRL on MAG240M, Thakoor et al., 2022, arXiv:2102.06514). Of sparse features only the
      stored entries have coins, so under one seed the view differs from that of the same features held dense.
    - ``"node"``: all features of a node (Hou et al., 2022, GraphMAE, arXiv:2205.10803, without its learned token).

    Args:
        p: probability of a zero, from 0 to 1.
        mode: ``"column"``, ``"entry"`` or ``"node"``.
        fill: what a masked node gets in place of its features: ``"zero"``, ``"noise"`` (normal, mean and standard deviation 0.5) or
            ``"mean"`` (of the features of its graph). The last two are GraphCL's (You et al., 2020, arXiv:2010.13902; noise for the TU
            sets, the mean for transfer) and need mode ``"node"``.
        exact: mask ``int(p * n)`` nodes of each graph of ``n``, drawn uniformly, instead of tossing coins; needs mode ``"node"``.

    Raises:
        ValueError: ``p`` is not from 0 to 1, ``mode`` or ``fill`` is none of those, or an option of mode ``"node"`` with another.

    Example:
        >>> g = Graph.of((torch.ones(3, 5), torch.tensor([[0, 1], [1, 2]])))
        >>> x = MaskFeatures(0.5)(g).x
        >>> bool((x == x[0]).all())
        True
        >>> MaskFeatures(1.0, mode="node")(g).x.sum()
        tensor(0.)
    """

    p: float
    mode: Literal["column", "entry", "node"] = "column"
    fill: Literal["zero", "noise", "mean"] = "zero"
    exact: bool = False
    keeps_nodes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share("p", self.p)
        check_choice("mode", self.mode, ("column", "entry", "node"))
        check_choice("fill", self.fill, ("zero", "noise", "mean"))
        if self.mode != "node" and (self.fill != "zero" or self.exact):
            raise ValueError(f"fill and exact are for mode 'node', got mode {self.mode!r} with fill {self.fill!r}, exact {self.exact}")

    def __call__(self, g: Graph) -> Graph:
        return self.cut_out(g).of(g)

    def cut_out(self, g: Graph, among: Tensor | None = None) -> Cut:
        """Other features for the graphs where ``among`` ``[G]`` is true."""
        if self.mode == "node":
            return Cut(x=self._masked_nodes(g, among))
        if self.mode == "column":
            keep = torch.rand(g.num_graphs, g.num_features, device=g.device) >= self.p
            return Cut(x=keep_columns(g, keep if among is None else keep | ~among[:, None]))
        values = g.x.values() if isinstance(g.x, CSR) else g.x
        keep = torch.rand(values.shape, device=g.device) >= self.p
        if among is not None:
            stays = ~among[g.graph_ids]
            keep |= stays[g.x.pattern.row] if isinstance(g.x, CSR) else stays[:, None]
        return Cut(x=g.x.with_values(values * keep) if isinstance(g.x, CSR) else values * keep)

    def _masked_nodes(self, g: Graph, among: Tensor | None) -> Tensor | CSR:
        x = g.x
        if self.exact:
            masked = drawn(g.graph_ids, only(share_of(self.p, graph_sizes(g)), among))
        else:
            masked = torch.rand(g.num_nodes, device=g.device) < self.p
            masked = masked if among is None else masked & among[g.graph_ids]
        if self.fill == "zero":
            keep = (~masked).to(x.dtype)
            return x.with_values(x.values() * keep.index_select(0, x.pattern.row)) if isinstance(x, CSR) else x * keep[:, None]
        rows = masked.nonzero().squeeze(1)
        if self.fill == "noise":
            new = 0.5 + 0.5 * torch.randn(rows.numel(), g.num_features, dtype=x.dtype, device=g.device)
        else:
            new = mean_per_graph(g.dense_x(), g.graph_id, g.num_graphs)[g.graph_ids[rows]]
        return _with_rows(x, rows, new) if isinstance(x, CSR) else x.index_copy(0, rows, new)


@dataclass(frozen=True)
class ShuffleFeatures:
    """The corruption of Deep Graph Infomax (Velickovic et al., 2019, arXiv:1809.10341): feature rows change places.

    The rows are permuted uniformly among the nodes of each graph, so each graph keeps its edges and the multiset of its rows.
    ``node_id`` stays that of the places: node ``i`` has its own neighbours and somebody else's features.

    Example:
        >>> g = Graph.of((torch.arange(4.0)[:, None], torch.tensor([[0, 1], [1, 2]])))
        >>> sorted(ShuffleFeatures()(g).x.squeeze(1).tolist())
        [0.0, 1.0, 2.0, 3.0]
    """

    keeps_nodes: ClassVar[bool] = True

    def __call__(self, g: Graph) -> Graph:
        order = torch.randperm(g.num_nodes, device=g.device) if g.graph_id is None else shuffled(g.graph_id)
        return g.with_x(g.x.rows(order) if isinstance(g.x, CSR) else g.x.index_select(0, order))


def keep_columns(g: Graph, keep: Tensor) -> Tensor | CSR:
    """The features with zeros in the columns where ``keep`` ``[G, F]`` is false for the node's graph."""
    x = g.x
    if g.graph_id is None and isinstance(x, CSR):
        return x.keep_columns(keep[0])
    keep = keep.to(x.dtype)
    if isinstance(x, CSR):
        assert g.graph_id is not None
        return x.with_values(x.values() * keep[g.graph_id[x.pattern.row], x.pattern.col.long()])
    return x * (keep[0] if g.graph_id is None else keep.index_select(0, g.graph_id))


def _with_rows(x: CSR, rows: Tensor, new: Tensor) -> CSR:
    """``x`` with the dense ``new`` ``[M, F]`` in place of its ``rows`` ``[M]``."""
    width = new.size(1)
    entries = x.pattern.counts.index_fill(0, rows, width)
    ptr = F.pad(entries.cumsum(0), (1, 0))
    stays = torch.ones(x.size(0), dtype=torch.bool, device=x.device).index_fill_(0, rows, False).index_select(0, x.pattern.row)
    old = true_entries(stays)[0]
    place = old + (ptr[:-1] - x.pattern.ptr[:-1]).index_select(0, x.pattern.row.index_select(0, old))
    columns = torch.arange(width, dtype=x.pattern.col.dtype, device=x.device)
    fresh = (ptr.index_select(0, rows)[:, None] + columns).flatten()
    col = x.pattern.col.new_empty(place.numel() + fresh.numel())
    col.scatter_(0, place, x.pattern.col.index_select(0, old)).scatter_(0, fresh, columns.repeat(rows.numel()))
    val = new.new_empty(col.numel()).scatter_(0, place, x.values().index_select(0, old)).scatter_(0, fresh, new.flatten())
    return CSR(Pattern(ptr, col, x.size(1)), val)
