"""Graph encoders: one GNN of any depth over GCN, GAT, GraphSAGE or GIN layers, with jumping knowledge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from typing_extensions import TypedDict, Unpack

from graphssl.adjacency import CSR
from graphssl.graph import Graph
from graphssl.layers import (
    ACTIVATIONS,
    JK,
    GATConv,
    GCNConv,
    GINConv,
    JumpingKnowledge,
    Linear,
    SAGEConv,
    WeightStandardization,
)

Norm = Literal["batch", "layer", "graph", "graphnorm", "none"]
Skip = Literal["none", "residual", "dense"]


class Block(nn.Module):
    """One layer: convolution, normalisation, activation."""

    def __init__(self, conv: nn.Module, width: int, norm: Norm, norm_momentum: float, act: str) -> None:
        super().__init__()
        self.conv = conv
        self.norm = _norm(norm, width, norm_momentum)
        self.per_graph = norm in ("graph", "graphnorm")
        self.act = ACTIVATIONS[act]()

    def forward(self, x: Tensor | CSR, g: Graph) -> Tensor:
        h = self.conv(x, g)
        h = self.norm(h, g.graph_ids, g.num_graphs) if self.per_graph else self.norm(h)
        return self.act(h)  # type: ignore[no-any-return]


class Options(TypedDict, total=False):
    """What every encoder takes besides its widths; see :class:`GNN`."""

    norm: Norm
    norm_momentum: float
    act: str | Sequence[str]
    dropout: float
    skip: Skip
    jk: JK
    weight_standardization: bool


class GNN(nn.Module):
    """A stack of convolutions ``Graph -> [N, D]``; :func:`GCN`, :func:`GAT`, :func:`GraphSAGE` and :func:`GIN` make one by name.

    Args:
        in_channels: width ``F`` of the features.
        channels: width of each layer.
        conv: makes a layer from its two widths; the layer takes ``(x, graph)``.
        norm: after each convolution: ``batch``, ``layer`` (a row at a time), ``graph`` (all entries of a graph together, PyG's
            graph-mode layer norm), ``graphnorm`` (Cai et al., 2021, arXiv:2009.03294) or ``none``.
        norm_momentum: of batch norm, in PyTorch's sense: the share of the newest batch in the running statistics.
        act: activation after each norm, a name for all layers or one name a layer (``none`` switches the last off).
        dropout: on each layer's input but the first's.
        skip: ``residual`` adds a layer's input to its output (through a linear map where widths differ); ``dense`` feeds layer ``l``
            with the sum of all earlier outputs and a linear map of the features.
        jk: jumping knowledge: ``last``, ``cat``, ``max``, ``lstm``.
        weight_standardization: of the convolutions' weights, all but the first layer's (as BGRL's ogbn-arxiv encoder).

    Raises:
        ValueError: widths that do not fit together, or an unknown name.

    Example:
        >>> g = Graph.of((torch.eye(4), torch.tensor([[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]])))
        >>> encoder = GCN(4, [8, 8], jk="cat")
        >>> encoder(g).shape, encoder.out_channels
        (torch.Size([4, 16]), 16)
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        conv: Callable[[int, int], nn.Module],
        *,
        norm: Norm = "batch",
        norm_momentum: float = 0.1,
        act: str | Sequence[str] = "prelu",
        dropout: float = 0.0,
        skip: Skip = "none",
        jk: JK = "last",
        weight_standardization: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(channels, int):
            raise ValueError(f"channels must be a list of widths, one a layer, got {channels}")
        widths = [in_channels, *channels]
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(
                f"channels must hold at least one width, all positive, got in_channels={in_channels}, channels={list(channels)}"
            )
        acts = [act] * len(channels) if isinstance(act, str) else list(act)
        for name in acts:
            if name not in ACTIVATIONS:
                raise ValueError(f"act must be one of {', '.join(ACTIVATIONS)}, got {name!r}")
        if len(acts) != len(channels):
            raise ValueError(f"act must be one name or one for each of the {len(channels)} layers, got {len(acts)}")
        if skip not in ("none", "residual", "dense"):
            raise ValueError(f"skip must be none, residual or dense, got {skip!r}")
        if skip == "dense" and len(set(channels)) > 1:
            raise ValueError(f"skip='dense' needs layers of equal width, got channels {list(channels)}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout}")
        self.in_channels, self.channels = in_channels, list(channels)
        self.dropout, self.skip = dropout, skip
        pairs = list(pairwise(widths))
        self.blocks = nn.ModuleList(Block(conv(i, o), o, norm, norm_momentum, a) for (i, o), a in zip(pairs, acts, strict=True))
        self.skips = nn.ModuleList(_skip(skip, in_channels, i, o, first=k == 0) for k, (i, o) in enumerate(pairs))
        self.jk = JumpingKnowledge(jk, channels)
        if weight_standardization:
            for block in self.blocks[1:]:
                _standardize(block)

    @property
    def out_channels(self) -> int:
        """Width of the embedding."""
        return self.jk.out_channels

    def forward(self, g: Graph) -> Tensor:
        if g.num_features != self.in_channels:
            raise ValueError(f"the graph has {g.num_features} features, and this encoder takes in_channels={self.in_channels}")
        layers: list[Tensor] = []
        h: Tensor | CSR = g.x
        for block, skip in zip(self.blocks, self.skips, strict=True):
            if layers and self.skip == "dense":
                h = torch.stack(layers).sum(0) + skip(g.x)
            if layers and self.dropout:
                h = F.dropout(h, self.dropout, self.training)  # type: ignore[arg-type]
            out = block(h, g)
            h = out = out + skip(h) if self.skip == "residual" else out
            layers.append(out)
        return self.jk(layers)  # type: ignore[no-any-return]


def GCN(in_channels: int, channels: Sequence[int], **options: Unpack[Options]) -> GNN:
    """Graph convolutional network (Kipf and Welling, 2017, arXiv:1609.02907); ``options`` as in :class:`GNN`.

    Example:
        >>> GCN(1433, [512, 256]).out_channels
        256
    """
    return GNN(in_channels, channels, GCNConv, **options)


def GraphSAGE(
    in_channels: int, channels: Sequence[int], *, aggregation: Literal["mean", "max"] = "mean", **options: Unpack[Options]
) -> GNN:
    """GraphSAGE with mean or max aggregation (Hamilton et al., 2017, arXiv:1706.02216); ``options`` as in :class:`GNN`.

    Example:
        >>> GraphSAGE(50, [512, 512, 512], norm="graph", skip="dense").out_channels
        512
    """
    return GNN(in_channels, channels, lambda i, o: SAGEConv(i, o, aggregation=aggregation), **options)


def GIN(in_channels: int, channels: Sequence[int], **options: Unpack[Options]) -> GNN:
    """Graph isomorphism network (Xu et al., 2019, arXiv:1810.00826); ``options`` as in :class:`GNN`.

    Example:
        >>> GIN(7, [32, 32, 32], jk="cat").out_channels
        96
    """
    return GNN(in_channels, channels, GINConv, **options)


def GAT(in_channels: int, channels: Sequence[int], *, heads: int = 4, attention_dropout: float = 0.0, **options: Unpack[Options]) -> GNN:
    """Graph attention network; a layer's width is that of all its heads (Velickovic et al., 2018, arXiv:1710.10903).

    Example:
        >>> GAT(1433, [64, 64], heads=8).out_channels
        64
    """
    return GNN(in_channels, channels, lambda i, o: GATConv(i, o, heads=heads, dropout=attention_dropout), **options)


def GATv2(in_channels: int, channels: Sequence[int], *, heads: int = 4, attention_dropout: float = 0.0, **options: Unpack[Options]) -> GNN:
    """GATv2, dynamic attention (Brody et al., 2022, arXiv:2105.14491); ``options`` as in :class:`GNN`.

    Example:
        >>> GATv2(1433, [64], heads=2).out_channels
        64
    """
    return GNN(in_channels, channels, lambda i, o: GATConv(i, o, heads=heads, dropout=attention_dropout, dynamic=True), **options)


ENCODERS: dict[str, Callable[..., GNN]] = {"gcn": GCN, "gat": GAT, "gatv2": GATv2, "sage": GraphSAGE, "gin": GIN}


def _norm(kind: Norm, width: int, momentum: float) -> nn.Module:
    if kind in ("graph", "graphnorm"):
        from torch_geometric.nn import GraphNorm, LayerNorm

        return LayerNorm(width, mode="graph") if kind == "graph" else GraphNorm(width)  # type: ignore[no-any-return]
    makers: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: nn.BatchNorm1d(width, momentum=momentum),
        "layer": lambda: nn.LayerNorm(width),
        "none": nn.Identity,
    }
    if kind not in makers:
        raise ValueError(f"norm must be one of batch, layer, graph, graphnorm, none, got {kind!r}")
    return makers[kind]()


def _skip(kind: Skip, features: int, width: int, out: int, *, first: bool) -> nn.Module:
    if kind == "dense" and not first:
        return Linear(features, width, bias=False)
    if kind == "residual" and (width != out or first):
        return Linear(width, out, bias=False)  # the first layer's features may be sparse rows, which only a Linear takes
    return nn.Identity()


def _standardize(block: nn.Module) -> None:
    for part in list(block.modules()):
        if isinstance(part, Linear):
            parametrize.register_parametrization(part, "weight", WeightStandardization())


def config_of(name: str, in_channels: int, **options: Any) -> dict[str, Any]:
    """What is needed to build an encoder again with :func:`build`, as JSON-able values."""
    return {"name": name, "in_channels": in_channels, **options}


def build(config: dict[str, Any]) -> GNN:
    """The encoder that :func:`config_of` describes, with freshly drawn parameters."""
    options = dict(config)
    name, in_channels, channels = options.pop("name"), options.pop("in_channels"), options.pop("channels")
    if name not in ENCODERS:
        raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}, got {name!r}")
    return ENCODERS[name](in_channels, channels, **options)
