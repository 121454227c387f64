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

from graphssl.adjacency import CSR, matmul, max_neighbours, segment_softmax, weighted_sum
from graphssl.graph import Graph

Norm = Literal["batch", "layer", "graph", "graphnorm", "none"]
Skip = Literal["none", "residual", "dense"]
JK = Literal["last", "cat", "max", "lstm"]


class PReLU(nn.Module):
    """``max(x, 0) + a min(x, 0)`` with one learned ``a``, from 0.25 (He et al., 2015, arXiv:1502.01852), as :class:`torch.nn.PReLU`.

    On CPU, torch's own backward pass takes several times as long as this one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, 0.25)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":  # the slope would have to be fetched from the device
            return F.prelu(x, self.weight.to(x.dtype))
        out: Tensor = _PReLU.apply(x, self.weight)  # type: ignore[no-untyped-call]
        return out


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.slope, ctx.dtype = weight.item(), weight.dtype
        return F.leaky_relu(x, ctx.slope)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        (x,) = ctx.saved_tensors
        below = torch.dot(x.clamp(max=0).flatten().to(ctx.dtype), grad.flatten().to(ctx.dtype))  # faster than a masked sum
        return torch.ops.aten.leaky_relu_backward(grad, x, ctx.slope, False), below.reshape(1)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "prelu": PReLU,
    "rrelu": nn.RReLU,
    "elu": nn.ELU,
    "leaky-relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "none": nn.Identity,
}


class Linear(nn.Module):
    """``x @ weight + bias`` for dense features or sparse rows, ``[N, in] -> [N, out]``; Glorot-uniform weight, zero bias."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels))  # [in, out]: a sparse row picks rows of it
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        weight = self.parametrizations.weight.original if parametrize.is_parametrized(self, "weight") else self.weight  # type: ignore[union-attr]
        nn.init.xavier_uniform_(weight)  # type: ignore[arg-type]
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor | CSR) -> Tensor:
        h = matmul(x, self.weight)
        return h if self.bias is None else h + self.bias


class GCNConv(nn.Module):
    """``D^-1/2 (A + I) D^-1/2 X W + b`` (Kipf and Welling, 2017, arXiv:1609.02907)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = Linear(in_channels, out_channels, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.narrow_first = in_channels < out_channels

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor | CSR, g: Graph) -> Tensor:
        a = g.normalised()
        h = self.linear(a @ x) if self.narrow_first and isinstance(x, Tensor) else a @ self.linear(x)
        return h + self.bias  # type: ignore[no-any-return]


class SAGEConv(nn.Module):
    """``W_n mean_j(x_j) + W_r x_i + b`` over the edges ``j -> i``, or ``max_j`` (Hamilton et al., 2017, arXiv:1706.02216).

    The mean is weighted by ``edge_weight``; the maximum has no use for weights.
    """

    def __init__(self, in_channels: int, out_channels: int, *, aggregation: Literal["mean", "max"] = "mean") -> None:
        super().__init__()
        if aggregation not in ("mean", "max"):
            raise ValueError(f"aggregation must be 'mean' or 'max', got {aggregation!r}")
        self.aggregation = aggregation
        self.neighbours = Linear(in_channels, out_channels, bias=False)
        self.root = Linear(in_channels, out_channels)
        self.narrow_first = in_channels < out_channels

    def forward(self, x: Tensor | CSR, g: Graph) -> Tensor:
        if self.aggregation == "max":
            h = self.neighbours(max_neighbours(g.pattern, x if isinstance(x, Tensor) else x.to_dense()))
        elif self.narrow_first and isinstance(x, Tensor):
            h = self.neighbours(g.averaged() @ x)
        else:
            h = g.averaged() @ self.neighbours(x)
        return h + self.root(x)  # type: ignore[no-any-return]


class GINConv(nn.Module):
    """``MLP((1 + eps) x_i + sum_j w_ji x_j)`` with learned ``eps`` and two linear layers (Xu et al., 2019, arXiv:1810.00826)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(()))
        self.first = Linear(in_channels, out_channels, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.second = Linear(out_channels, out_channels)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.eps)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor | CSR, g: Graph) -> Tensor:
        h = self.first(x)  # the first layer commutes with the sum, and is narrower; the bias joins after it
        h = (1 + self.eps) * h + g.summed() @ h + self.bias
        return self.second(F.relu(h))  # type: ignore[no-any-return]


class GATConv(nn.Module):
    """Attention over the edges into a node and itself, heads side by side (Velickovic et al., 2018, arXiv:1710.10903).

    ``e_ij = leaky_relu(a_n . W x_j + a_r . W x_i)``, ``alpha_i = softmax_j(e_ij)``, ``h_i = sum_j alpha_ij W x_j``.
    ``dynamic=True`` is GATv2 (Brody et al., 2022, arXiv:2105.14491): ``e_ij = a . leaky_relu(W_n x_j + W_r x_i)``; it holds one
    ``[E, D]`` tensor. An edge of weight ``w`` counts as ``w`` parallel edges. Inside, no ``[E, D]`` message is formed.
    """

    def __init__(self, in_channels: int, out_channels: int, *, heads: int = 4, dropout: float = 0.0, dynamic: bool = False) -> None:
        super().__init__()
        if heads < 1 or out_channels % heads:
            raise ValueError(f"heads must divide the width of each layer, got heads={heads} and width {out_channels}")
        if not 0 <= dropout < 1:
            raise ValueError(f"attention dropout must be in [0, 1), got {dropout}")
        self.heads, self.dropout, self.dynamic = heads, dropout, dynamic
        self.neighbours = Linear(in_channels, out_channels, bias=False)
        self.root = Linear(in_channels, out_channels, bias=False) if dynamic else None
        self.attention = nn.Parameter(torch.empty(1 if dynamic else 2, heads, out_channels // heads))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.attention)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor | CSR, g: Graph) -> Tensor:
        pattern = g.looped()
        h = self.neighbours(x)  # [N, H * C]
        heads = h.unflatten(1, (self.heads, -1))  # [N, H, C]
        if self.root is not None:
            pairs = heads[pattern.col] + self.root(x).unflatten(1, (self.heads, -1))[pattern.row]  # [E, H, C]
            scores = (F.leaky_relu(pairs, 0.2) * self.attention[0]).sum(-1)
        else:
            near, own = (heads * self.attention[0]).sum(-1), (heads * self.attention[1]).sum(-1)  # [N, H]
            scores = F.leaky_relu(near[pattern.col] + own[pattern.row], 0.2)
        if g.edge_weight is not None:
            scores = scores + g.looped_weights().log()[:, None]
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # half precision is not enough for a softmax
        alpha = F.dropout(segment_softmax(scores, pattern), self.dropout, self.training)  # [E, H]
        parts = [weighted_sum(pattern, alpha[:, k], heads[:, k]) for k in range(self.heads)]
        return torch.cat(parts, dim=1) + self.bias


class JumpingKnowledge(nn.Module):
    """All layers' outputs ``L x [N, D]`` as one (Xu et al., 2018, arXiv:1806.03536).

    ``last``: the last; ``cat``: side by side; ``max``: element-wise maximum; ``lstm``: a convex combination a node, whose weights a
    bidirectional LSTM over its layers gives (hidden width ``L * D / 2`` a direction, as in PyG).
    """

    def __init__(self, mode: JK, channels: Sequence[int]) -> None:
        super().__init__()
        if mode not in ("last", "cat", "max", "lstm"):
            raise ValueError(f"jk must be one of last, cat, max, lstm, got {mode!r}")
        if mode in ("max", "lstm") and len(set(channels)) > 1:
            raise ValueError(f"jk={mode!r} needs layers of equal width, got channels {list(channels)}")
        self.mode = mode
        self.out_channels = sum(channels) if mode == "cat" else channels[-1]
        if mode == "lstm":
            hidden = max(1, len(channels) * channels[0] // 2)
            self.lstm = nn.LSTM(channels[0], hidden, bidirectional=True, batch_first=True)
            self.score = nn.Linear(2 * hidden, 1)

    def forward(self, layers: list[Tensor]) -> Tensor:
        if self.mode == "last":
            return layers[-1]
        if self.mode == "cat":
            return torch.cat(layers, dim=1)
        stack = torch.stack(layers, dim=1)  # [N, L, D]
        if self.mode == "max":
            return stack.amax(dim=1)
        weights = self.score(self.lstm(stack)[0]).softmax(dim=1)  # [N, L, 1]
        return (weights * stack).sum(dim=1)  # type: ignore[no-any-return]


class WeightStandardization(nn.Module):
    """Each output column of a weight ``[in, out]`` to zero mean and unit variance (Qiao et al., 2019, arXiv:1903.10520).

    A parametrisation: the stored weight is never changed by a forward pass.
    """

    def forward(self, weight: Tensor) -> Tensor:
        centred = weight - weight.mean(dim=0)
        return centred / centred.std(dim=0, unbiased=False).clamp(min=1e-5)


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

    def reset_parameters(self) -> None:
        """Draw every parameter anew."""
        reset_parameters(self)


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


def reset_parameters(module: nn.Module) -> None:
    """Draw every parameter of ``module`` anew, buffers included, from torch's global generator."""
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if reset is not None and not isinstance(part, GNN):  # a GNN has no parameters but its parts' own
            reset()


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
