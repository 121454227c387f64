"""The message passing network of quantum chemistry: a matrix for each edge from its attributes, a GRU, Set2Set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from typing_extensions import Unpack

from graphssl.adjacency import CSR, membership, weighted_sum
from graphssl.encoders import GNN, Options, dropped
from graphssl.graph import Graph
from graphssl.layers import edge_features

KINDS = 256  # different edges up to which there is a matrix for each kind, and edges of a kind are multiplied together
CHUNK = 4_194_304  # numbers that the products of edges and neighbours may hold at a time elsewhere: 16 MB


class EdgeConv(nn.Module):
    """``mean_j(A(e_ji) h_j) + b``, where a network of two layers makes the matrix ``A`` of an edge (Gilmer et al., 2017, arXiv:1704.01212).

    The mean is weighted by ``edge_weight``.

    The matrices are never all held, which would take ``4 D D'`` bytes an edge. Where edge attributes are 0 and 1 and few different rows
    occur, as of bonds, there is one matrix for each kind of edge, and edges of a kind are multiplied together. Elsewhere the second layer
    is taken after the neighbours: with ``a = relu(W_1 e + b_1)``, ``A(e) h`` is linear in ``[a, 1] (x) h``, whose mean over the
    neighbours is multiplied by the second layer's weights, some nodes at a time and recomputed for the gradient.

    Args:
        in_channels: width ``D`` of the input.
        out_channels: width of the output.
        edge_channels: columns of ``edge_attr``.
        hidden: width of the network's hidden layer.
    """

    def __init__(self, in_channels: int, out_channels: int, *, edge_channels: int, hidden: int = 128) -> None:
        super().__init__()
        self.shape, self.edge_channels = (in_channels, out_channels), edge_channels
        self.first = nn.Linear(edge_channels, hidden)
        self.second = nn.Linear(hidden, in_channels * out_channels)
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor | CSR, g: Graph) -> Tensor:
        h = x if isinstance(x, Tensor) else x.to_dense()
        attr = edge_features(g, self.edge_channels).to(h.dtype)  # [E, B]
        kinds = g.cached("edge kinds", lambda: edge_kinds(attr))
        share = None if g.edge_weight is None else g.averaged().values().to(h.dtype)  # [E]
        total = self._by_kind(h, g, share, *kinds) if kinds is not None else self._by_node(h, g, share, attr)
        if share is None:
            total = total / g.pattern.counts.clamp(min=1).to(h.dtype)[:, None]
        return total + self.bias

    def _by_kind(self, h: Tensor, g: Graph, share: Tensor | None, rows: Tensor, order: Tensor, counts: list[int]) -> Tensor:
        matrices = self.second(F.relu(self.first(rows.to(h.dtype)))).reshape(-1, *self.shape)  # [U, D, D']
        near = torch.split(h.index_select(0, g.edge_index[0].index_select(0, order)), counts)  # type: ignore[no-untyped-call]
        messages = torch.cat([rows @ matrix for rows, matrix in zip(near, matrices, strict=True)])  # [E, D'], by kind
        back = torch.empty_like(order).scatter_(0, order, torch.arange(order.numel(), device=order.device))
        into = membership(g.pattern.ptr, g.edge_index[1])
        messages = messages.index_select(0, back)
        return CSR(into) @ messages if share is None else weighted_sum(into, share, messages)

    def _by_node(self, h: Tensor, g: Graph, share: Tensor | None, attr: Tensor) -> Tensor:
        a = F.pad(F.relu(self.first(attr)), (0, 1), value=1.0)  # [E, K + 1], the last for the second layer's bias
        a = a if share is None else a * share[:, None]  # which the message is linear in
        weight = torch.cat([self.second.weight.t(), self.second.bias[None]]).reshape(-1, self.shape[1])  # [(K + 1) D, D']
        ptr, source = g.pattern.ptr.long(), g.edge_index[0]
        width = a.size(1) * self.shape[0]
        parts = []
        for start, stop in _spans(ptr, max(1, CHUNK // width)):
            edges = slice(int(ptr[start]), int(ptr[stop]))
            near = h.index_select(0, source[edges])
            parts.append(checkpoint(_outer, a[edges], near, ptr[start : stop + 1] - ptr[start], weight, use_reentrant=False))
        return torch.cat(cast(list[Tensor], parts))


class MessagePassing(GNN):
    """Message passing with edge networks and a GRU, read out by Set2Set (Gilmer et al., 2017, arXiv:1704.01212).

    ``h_0 = relu(W x)``, then in each step ``m_i = act(norm(mean_j A(e_ji) h_j + b))`` and ``h_i = GRU(m_i, h_i)``; edge network and GRU are
    the same in all steps. The encoder of InfoGraph* (Sun et al., 2020, arXiv:1908.01000), there with ``norm="none"``, ReLU and three steps.

    Args:
        in_channels: width of the features.
        channels: the width, once for each step.
        edge_channels: columns of the graphs' ``edge_attr``: multi-hot, or numbers such as distances.
        edge_hidden: width of the hidden layer of the edge network.
        options: as in :class:`GNN`, but for ``skip``, ``weight_standardization`` and ``virtual_node``; ``jk`` is over the steps. Without a
            word on them, ``norm`` is ``none``, ``act`` is ``relu`` and ``readout`` is ``set2set``.

    Raises:
        ValueError: steps of different width, or an option that this encoder does not have.

    Example:
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> from dataclasses import replace
        >>> encoder = MessagePassing(3, [8, 8, 8], edge_channels=1)
        >>> g = replace(g, edge_attr=torch.ones(4, 1))
        >>> encoder.pool(encoder(g), g).shape
        torch.Size([1, 16])

    Deviation:
        The authors pad each molecule to a complete graph; here messages go along the edges that are there.
    """

    def __init__(
        self, in_channels: int, channels: Sequence[int], *, edge_channels: int, edge_hidden: int = 128, **options: Unpack[Options]
    ) -> None:
        if len(set(channels)) > 1:
            raise ValueError(f"channels of an mpnn must be one width, once for each step, got {list(channels)}")
        if edge_hidden < 1:
            raise ValueError(f"edge_hidden must be at least 1, got {edge_hidden}")
        width = channels[0] if channels else 0
        for name, allowed in (("skip", "none"), ("weight_standardization", False), ("virtual_node", False)):
            if options.get(name, allowed) != allowed:
                raise ValueError(f"an mpnn has no {name}, got {options[name]!r}")  # type: ignore[literal-required]
        if options.get("input") not in (None, width):
            raise ValueError(f"input of an mpnn is as wide as its steps, {width}, got {options['input']}")
        full: Options = {"norm": "none", "act": "relu", "readout": "set2set", **options, "input": width}  # type: ignore[typeddict-item]
        super().__init__(in_channels, channels, _Given, **full)
        self.conv = partial(EdgeConv, edge_channels=edge_channels, hidden=edge_hidden)
        self.message = self.conv(width, width)
        self.gru = nn.GRUCell(width, width)

    def forward(self, g: Graph) -> Tensor:
        if g.num_features != self.in_channels:
            raise ValueError(f"the graph has {g.num_features} features, and this encoder takes in_channels={self.in_channels}")
        assert self.input is not None
        h = F.relu(self.input(dropped(g.x, self.input_dropout, self.training)))  # [N, D]
        states: list[Tensor] = []
        for block in self.blocks:
            seen = F.dropout(h, self.dropout, self.training) if states and self.dropout else h
            h = self.gru(block(self.message(seen, g), g), h)
            states.append(h)
        return self.jk(states)  # type: ignore[no-any-return]


class _Given(nn.Module):
    """In place of a convolution: messages that are made already, so that a block is its normalisation and activation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()

    def forward(self, messages: Tensor, g: Graph) -> Tensor:
        return messages


def edge_kinds(attr: Tensor) -> tuple[Tensor, Tensor, list[int]] | None:
    """The different rows ``[U, B]`` of attributes of 0 and 1, an order ``[E]`` that puts equal ones together, and how many each has.

    ``None`` where there are other values, too many columns to number the rows exactly, or too many different rows.
    """
    if not attr.numel() or attr.size(1) > 50 or not bool(((attr == 0) | (attr == 1)).all()):
        return None
    code = attr.double() @ 2.0 ** torch.arange(attr.size(1), dtype=torch.float64, device=attr.device)
    _, kind, counts = code.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    if counts.numel() > KINDS:
        return None
    order = kind.argsort(stable=True)
    first = order[F.pad(counts.cumsum(0), (1, 0))[:-1]]
    return attr.index_select(0, first), order, counts.tolist()


def _outer(a: Tensor, near: Tensor, ptr: Tensor, weight: Tensor) -> Tensor:
    """``sum_j (a_ji (x) h_j) W`` over the edges ``ptr[i]`` to ``ptr[i + 1]`` of each node, ``[n, D]``."""
    products = (a[:, :, None] * near[:, None, :]).flatten(1)  # [e, K D]
    target = torch.arange(ptr.numel() - 1, device=ptr.device).repeat_interleave(ptr.diff(), output_size=a.size(0))
    return (CSR(membership(ptr, target)) @ products) @ weight


def _spans(ptr: Tensor, edges: int) -> list[tuple[int, int]]:
    """Ranges of nodes that together have no more than ``edges`` edges, or are a single node."""
    bounds, spans, start = ptr.tolist(), [], 0
    for stop in range(1, len(bounds)):
        if stop + 1 == len(bounds) or bounds[stop + 1] - bounds[start] > edges:
            spans.append((start, stop))
            start = stop
    return spans
