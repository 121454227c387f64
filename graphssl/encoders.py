"""Graph encoders: one GNN of any depth over GCN, GAT, GraphSAGE or GIN layers, with jumping knowledge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from typing_extensions import TypedDict, Unpack

from graphssl.adjacency import CSR, full, membership
from graphssl.fused import fits, norm_act
from graphssl.graph import Graph
from graphssl.layers import (
    ACTIVATIONS,
    JK,
    GATConv,
    GCNConv,
    GINConv,
    GINEConv,
    JumpingKnowledge,
    Linear,
    PReLU,
    RowLinear,
    SAGEConv,
    WeightStandardization,
)
from graphssl.readouts import Pooling, Readout

Norm = Literal["batch", "layer", "graph", "graphnorm", "none"]
Skip = Literal["none", "residual", "dense"]
Order = Literal["norm-act", "act-norm"]


class Block(nn.Module):
    """One layer: convolution, normalisation, activation; the last two may change places."""

    def __init__(self, conv: nn.Module, width: int, norm: Norm, norm_momentum: float, act: str, order: Order = "norm-act") -> None:
        super().__init__()
        self.conv = conv
        self.norm = _norm(norm, width, norm_momentum)
        self.width, self.per_graph = width, norm in ("graph", "graphnorm")
        self.act = ACTIVATIONS[act]()
        self.act_first = order == "act-norm"

    def forward(self, x: Tensor | CSR, g: Graph) -> Tensor:
        h = self.conv(x, g)
        h = self.act(h) if self.act_first else h
        if isinstance(self.act, PReLU) and not self.act_first and fits(h, self.norm):
            return norm_act(h, self.norm, self.act.weight)  # type: ignore[arg-type]
        h = self.norm(h, g.graph_ids, g.num_graphs) if self.per_graph else self.norm(h)
        return h if self.act_first else self.act(h)  # type: ignore[no-any-return]


class VirtualNode(nn.Module):
    """A node joined to all nodes of its graph: each takes its state, and it takes their sum, through an MLP, to the next layer."""

    def __init__(self, width: int, layers: int, norm_momentum: float) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(width))
        self.updates = nn.ModuleList(_update(width, norm_momentum) for _ in range(layers - 1))

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.start)

    def forward(self, h: Tensor, g: Graph, memory: Tensor | None, layer: int) -> tuple[Tensor, Tensor]:
        """``h`` ``[N, D]`` with the state added, and the state ``[G, D]`` for the next layer."""
        state = self.start.expand(g.num_graphs, -1) if memory is None else memory
        h = h + state.index_select(0, g.graph_ids)
        if layer < len(self.updates):
            total = CSR(g.cached("rows", lambda: membership(g.node_ptr, g.graph_ids))) @ h
            state = self.updates[layer](total + state)
        return h, state


class Options(TypedDict, total=False):
    """What every encoder takes besides its widths; see :class:`GNN`."""

    norm: Norm
    norm_momentum: float
    act: str | Sequence[str]
    dropout: float
    input_dropout: float
    skip: Skip
    jk: JK
    weight_standardization: bool
    order: Order
    input: int | None
    virtual_node: bool
    readout: Pooling


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
        input_dropout: on the first layer's input, the features.
        skip: ``residual`` adds a layer's input to its output (through a linear map where widths differ); ``dense`` feeds layer ``l``
            with the sum of all earlier outputs and a linear map of the features.
        jk: jumping knowledge: ``last``, ``cat``, ``max``, ``lstm``.
        weight_standardization: of the convolutions' weights, all but the first layer's (as BGRL's ogbn-arxiv encoder).
        order: ``norm-act``, or ``act-norm`` (as InfoGraph's and GraphCL's encoders).
        input: width of a linear map of the features before the first layer; over multi-hot rows it is a sum of embeddings.
        virtual_node: one more node a graph, joined to all its nodes, that carries what they sum to from layer to layer (Gilmer et al.,
            2017, arXiv:1704.01212; as OGB, arXiv:2005.00687). Needs ``input`` and layers of one width.
        readout: how nodes become a graph's embedding in :meth:`pool`; with ``jk="cat"`` each layer is read out and laid side by side.

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
        input_dropout: float = 0.0,
        skip: Skip = "none",
        jk: JK = "last",
        weight_standardization: bool = False,
        order: Order = "norm-act",
        input: int | None = None,
        virtual_node: bool = False,
        readout: Pooling = "mean",
    ) -> None:
        super().__init__()
        if isinstance(channels, int):
            raise ValueError(f"channels must be a list of widths, one a layer, got {channels}")
        if input is not None and input < 1:
            raise ValueError(f"input must be at least 1, or None, got {input}")
        widths = [in_channels if input is None else input, *channels]
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
        for name, share in (("dropout", dropout), ("input_dropout", input_dropout)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must be in [0, 1), got {share}")
        if order not in ("norm-act", "act-norm"):
            raise ValueError(f"order must be norm-act or act-norm, got {order!r}")
        if virtual_node and (input is None or len(set(widths)) > 1):
            raise ValueError(f"virtual_node needs input and all layers of one width, got input {input} and channels {list(channels)}")
        self.in_channels, self.channels, self.conv = in_channels, list(channels), conv
        self.dropout, self.input_dropout, self.skip = dropout, input_dropout, skip
        pairs = list(pairwise(widths))
        self.input = None if input is None else Linear(in_channels, input, bias=False)
        self.blocks = nn.ModuleList(Block(conv(i, o), o, norm, norm_momentum, a, order) for (i, o), a in zip(pairs, acts, strict=True))
        self.skips = nn.ModuleList(_skip(skip, widths[0], i, o, first=k == 0) for k, (i, o) in enumerate(pairs))
        self.virtual_node = VirtualNode(widths[-1], len(channels), norm_momentum) if virtual_node else None
        self.jk = JumpingKnowledge(jk, channels)
        self.readout = Readout(readout, self.jk.out_channels)
        if weight_standardization:
            for block in self.blocks[1:]:
                _standardize(block)

    @property
    def out_channels(self) -> int:
        """Width of a node's embedding."""
        return self.jk.out_channels

    @property
    def graph_channels(self) -> int:
        """Width of a graph's embedding."""
        return self.readout.out_channels

    def pool(self, h: Tensor, g: Graph) -> Tensor:
        """Embeddings of the graphs ``[G, D']`` from those of their nodes ``[N, D]``."""
        return self.readout(h, g)  # type: ignore[no-any-return]

    def forward(self, g: Graph) -> Tensor:
        if g.num_features != self.in_channels:
            raise ValueError(f"the graph has {g.num_features} features, and this encoder takes in_channels={self.in_channels}")
        layers: list[Tensor] = []
        whole = full(g.x) if isinstance(g.x, Tensor) else g.x  # files hold features in half precision too
        x: Tensor | CSR = dropped(whole, self.input_dropout, self.training)
        x = x if self.input is None else self.input(x)
        h, memory = x, None
        for k, (block, skip) in enumerate(zip(self.blocks, self.skips, strict=True)):
            if layers and self.skip == "dense":
                h = torch.stack(layers).sum(0) + skip(x)
            if layers and self.dropout:
                h = F.dropout(h, self.dropout, self.training)  # type: ignore[arg-type]
            if self.virtual_node is not None:
                h, memory = self.virtual_node(h, g, memory, k)
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
    return GNN(in_channels, channels, partial(SAGEConv, aggregation=aggregation), **options)


def GIN(in_channels: int, channels: Sequence[int], *, expansion: int = 1, mlp_norm: bool = False, **options: Unpack[Options]) -> GNN:
    """Graph isomorphism network (Xu et al., 2019, arXiv:1810.00826); ``options`` as in :class:`GNN`.

    Args:
        in_channels: width of the features.
        channels: width of each layer.
        expansion: hidden width of each layer's MLP, in multiples of its output.
        mlp_norm: batch norm inside the MLP.
        options: as in :class:`GNN`.

    Example:
        >>> GIN(7, [32, 32, 32], jk="cat", readout="sum").graph_channels
        96
    """
    momentum = options.get("norm_momentum", 0.1)
    return GNN(
        in_channels,
        channels,
        partial(GINConv, expansion=expansion, mlp_norm=mlp_norm, norm_momentum=momentum),
        **options,
    )


def GINE(
    in_channels: int,
    channels: Sequence[int],
    *,
    edge_channels: int,
    expansion: int = 1,
    mlp_norm: bool = False,
    **options: Unpack[Options],
) -> GNN:
    """GIN with edge features, for molecules (Hu et al., 2020, arXiv:1905.12265); ``options`` as in :class:`GNN`.

    Args:
        in_channels: width of the features.
        channels: width of each layer.
        edge_channels: columns of the graphs' ``edge_attr``.
        expansion: hidden width of each layer's MLP, in multiples of its output.
        mlp_norm: batch norm inside the MLP.
        options: as in :class:`GNN`.

    Example:
        >>> GINE(173, [300] * 5, edge_channels=13, input=300, expansion=2, virtual_node=True).out_channels
        300
    """
    momentum = options.get("norm_momentum", 0.1)
    return GNN(
        in_channels,
        channels,
        partial(GINEConv, edge_channels=edge_channels, expansion=expansion, mlp_norm=mlp_norm, norm_momentum=momentum),
        **options,
    )


def MPNN(in_channels: int, channels: Sequence[int], *, edge_channels: int, edge_hidden: int = 128, **options: Unpack[Options]) -> GNN:
    """Edge networks with a GRU and Set2Set (Gilmer et al., 2017, arXiv:1704.01212): a :class:`graphssl.mpnn.MessagePassing`.

    Example:
        >>> encoder = MPNN(173, [64, 64, 64], edge_channels=13)
        >>> encoder.out_channels, encoder.graph_channels
        (64, 128)
    """
    from graphssl.mpnn import MessagePassing  # which is a GNN itself

    return MessagePassing(in_channels, channels, edge_channels=edge_channels, edge_hidden=edge_hidden, **options)


def GAT(in_channels: int, channels: Sequence[int], *, heads: int = 4, attention_dropout: float = 0.0, **options: Unpack[Options]) -> GNN:
    """Graph attention network; a layer's width is that of all its heads (Velickovic et al., 2018, arXiv:1710.10903).

    Example:
        >>> GAT(1433, [64, 64], heads=8).out_channels
        64
    """
    return GNN(in_channels, channels, partial(GATConv, heads=heads, dropout=attention_dropout), **options)


def GATv2(in_channels: int, channels: Sequence[int], *, heads: int = 4, attention_dropout: float = 0.0, **options: Unpack[Options]) -> GNN:
    """GATv2, dynamic attention (Brody et al., 2022, arXiv:2105.14491); ``options`` as in :class:`GNN`.

    Example:
        >>> GATv2(1433, [64], heads=2).out_channels
        64
    """
    return GNN(in_channels, channels, partial(GATConv, heads=heads, dropout=attention_dropout, dynamic=True), **options)


def MLP(in_channels: int, channels: Sequence[int], **options: Unpack[Options]) -> GNN:
    """Layers on each node's features alone: what the graph adds is beside it, and a student that needs no neighbours; as :class:`GNN`.

    As a student of a GNN it is the GLNN of Zhang et al., 2022, arXiv:2110.08727.

    Example:
        >>> MLP(1433, [256]).out_channels
        256
    """
    return GNN(in_channels, channels, RowLinear, **options)


ENCODERS: dict[str, Callable[..., GNN]] = {
    "gcn": GCN,
    "gat": GAT,
    "gatv2": GATv2,
    "sage": GraphSAGE,
    "gin": GIN,
    "gine": GINE,
    "mpnn": MPNN,
    "mlp": MLP,
}


def dropped(x: Tensor | CSR, share: float, training: bool) -> Tensor | CSR:
    if not (share and training):
        return x
    return x.with_values(F.dropout(x.values(), share)) if isinstance(x, CSR) else F.dropout(x, share)


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


def _update(width: int, norm_momentum: float) -> nn.Module:
    def half(i: int, o: int) -> list[nn.Module]:
        return [Linear(i, o), nn.BatchNorm1d(o, momentum=norm_momentum), nn.ReLU()]

    return nn.Sequential(*half(width, 2 * width), *half(2 * width, width))


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
    """The encoder that :func:`config_of` describes, with fresh parameters; with ``diffusion`` or ``structures``, of several views."""
    options = dict(config)
    if (structures := options.pop("structures", None)) is not None:
        return _of_structures(options, **structures)
    if (diffusion := options.pop("diffusion", None)) is not None:
        from graphssl.augment import Diffuse, Identity
        from graphssl.multiview import MultiView

        return MultiView((build(options), build(options)), (Identity(), Diffuse(**diffusion)))  # type: ignore[return-value]  # the same face
    name, in_channels, channels = options.pop("name"), options.pop("in_channels"), options.pop("channels")
    if name not in ENCODERS:
        raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}, got {name!r}")
    return ENCODERS[name](in_channels, channels, **options)


def _of_structures(options: dict[str, Any], kinds: Sequence[Any], merge: Any, **settings: Any) -> GNN:
    """One encoder a view of the structure (:func:`graphssl.multiview.structure`); that of the features alone is an MLP."""
    from graphssl.multiview import MultiView, structure

    shared = {name: value for name, value in options.items() if name in {*Options.__annotations__, "in_channels", "channels"}}
    parts = [build({**shared, "name": "mlp"} if kind == "features" else options) for kind in kinds]
    views = [structure(kind, **settings) for kind in kinds]
    return MultiView(parts, views, merge=merge, project=False)  # type: ignore[return-value]  # the same face
