"""The layers that encoders are made of: linear maps over sparse or dense rows, convolutions, jumping knowledge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from graphssl.adjacency import CSR, Pattern, full, matmul, max_neighbours, membership, segment_softmax, weighted_sum
from graphssl.dense import affine, below_zero, shifted
from graphssl.differentiation import once_differentiable
from graphssl.graph import Graph

JK = Literal["last", "cat", "max", "lstm"]
T = TypeVar("T")


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
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        (x,) = ctx.saved_tensors
        below = below_zero(x, grad, ctx.dtype)
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
        if isinstance(x, Tensor):
            return affine(x if torch.is_autocast_enabled(x.device.type) else full(x), self.weight, self.bias)
        return shifted(matmul(x, self.weight), self.bias)


class Neighbourhood(Protocol):
    """What a convolution asks of the structure: of a whole :class:`Graph`, or of some of its rows, whose matrices are ``[R, N]`` then."""

    @property
    def x(self) -> Tensor | CSR: ...
    @property
    def pattern(self) -> Pattern: ...
    @property
    def edge_weight(self) -> Tensor | None: ...
    @property
    def edge_attr(self) -> Tensor | None: ...
    @property
    def weights(self) -> Tensor: ...
    def summed(self) -> CSR: ...
    def averaged(self) -> CSR: ...
    def normalised(self) -> CSR: ...
    def looped(self) -> Pattern: ...
    def looped_weights(self) -> Tensor: ...
    def cached(self, name: str, make: Callable[[], T]) -> T: ...


class Convolution(nn.Module):
    """A layer in two steps, so that it can also be taken some rows at a time (:mod:`graphssl.embedding.layerwise`).

    :meth:`project` says what each row shows to its neighbours, a row at a time; :meth:`combine` makes a row's output of what its
    neighbours show, what it shows itself and, where ``uses_rows``, its input.
    """

    uses_rows = False  # combine reads x
    edge_width = 0  # numbers an edge that combine holds at a time, besides the matrix

    def project(self, x: Tensor | CSR) -> tuple[Tensor, ...]:
        """``[R, in] -> [R, *]``; ``x`` itself first where nothing is to be done."""
        raise NotImplementedError

    def combine(self, near: tuple[Tensor, ...], own: tuple[Tensor, ...], x: Tensor | CSR | None, g: Neighbourhood) -> Tensor:
        """``[R, out]`` from what all ``N`` nodes show, what these ``R`` show, and the rows' input."""
        raise NotImplementedError

    def forward(self, x: Tensor | CSR, g: Graph) -> Tensor:
        shown = self.project(x)
        return self.combine(shown, shown, x, g)


def widest(conv: nn.Module) -> int:
    """Numbers in the longest row that a convolution handles."""
    return max(max(part.in_channels, part.out_channels) for part in conv.modules() if isinstance(part, Linear))


class GCNConv(Convolution):
    """``D^-1/2 (A + I) D^-1/2 X W + b`` (Kipf and Welling, 2017, arXiv:1609.02907)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = Linear(in_channels, out_channels, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.narrow_first = in_channels < out_channels

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.bias)

    def project(self, x: Tensor | CSR) -> tuple[Tensor, ...]:
        return (x if self.narrow_first and isinstance(x, Tensor) else self.linear(x),)

    def combine(self, near: tuple[Tensor, ...], own: tuple[Tensor, ...], x: Tensor | CSR | None, g: Neighbourhood) -> Tensor:
        h = g.normalised() @ near[0]
        return shifted(self.linear(h) if _waits(self, self.linear, h) else h, self.bias)


class RowLinear(Convolution):
    """``x_i W + b``: a node's own features and nothing of its neighbours."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = Linear(in_channels, out_channels)

    def project(self, x: Tensor | CSR) -> tuple[Tensor, ...]:
        return (self.linear(x),)

    def combine(self, near: tuple[Tensor, ...], own: tuple[Tensor, ...], x: Tensor | CSR | None, g: Neighbourhood) -> Tensor:
        return own[0]


class SAGEConv(Convolution):
    """``W_n mean_j(x_j) + W_r x_i + b`` over the edges ``j -> i``, or ``max_j`` (Hamilton et al., 2017, arXiv:1706.02216).

    The mean is weighted by ``edge_weight``; the maximum has no use for weights.
    """

    uses_rows = True

    def __init__(self, in_channels: int, out_channels: int, *, aggregation: Literal["mean", "max"] = "mean") -> None:
        super().__init__()
        if aggregation not in ("mean", "max"):
            raise ValueError(f"aggregation must be 'mean' or 'max', got {aggregation!r}")
        self.aggregation = aggregation
        self.neighbours = Linear(in_channels, out_channels, bias=False)
        self.root = Linear(in_channels, out_channels)
        self.narrow_first = in_channels < out_channels

    def project(self, x: Tensor | CSR) -> tuple[Tensor, ...]:
        if self.aggregation == "max":
            return (x if isinstance(x, Tensor) else x.to_dense(),)
        return (x if self.narrow_first and isinstance(x, Tensor) else self.neighbours(x),)

    def combine(self, near: tuple[Tensor, ...], own: tuple[Tensor, ...], x: Tensor | CSR | None, g: Neighbourhood) -> Tensor:
        if self.aggregation == "max":
            h = self.neighbours(max_neighbours(g.pattern, near[0]))
        else:
            h = g.averaged() @ near[0]
            h = self.neighbours(h) if _waits(self, self.neighbours, h) else h
        return h + self.root(x)  # type: ignore[no-any-return]


class GINConv(Convolution):
    """``MLP((1 + eps) x_i + sum_j w_ji x_j)`` with learned ``eps`` and two linear layers (Xu et al., 2019, arXiv:1810.00826).

    Args:
        in_channels: width of the input.
        out_channels: width of the output.
        expansion: the MLP's hidden layer is this many times as wide as its output.
        hidden: width of that layer, instead.
        mlp_norm: batch norm inside the MLP, before its ReLU.
        norm_momentum: of that batch norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        expansion: int = 1,
        hidden: int | None = None,
        mlp_norm: bool = False,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if expansion < 1:
            raise ValueError(f"expansion must be at least 1, got {expansion}")
        hidden = hidden or expansion * out_channels
        self.eps = nn.Parameter(torch.zeros(()))
        self.first = Linear(in_channels, hidden, bias=False)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.norm = nn.BatchNorm1d(hidden, momentum=norm_momentum) if mlp_norm else nn.Identity()
        self.second = Linear(hidden, out_channels)
        self.narrow_first = in_channels < hidden

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.eps)
        nn.init.zeros_(self.bias)

    def project(self, x: Tensor | CSR) -> tuple[Tensor, ...]:
        # the first layer commutes with the sum; the bias joins after it
        return (x if self.narrow_first and isinstance(x, Tensor) else self.first(x),)

    def combine(self, near: tuple[Tensor, ...], own: tuple[Tensor, ...], x: Tensor | CSR | None, g: Neighbourhood) -> Tensor:
        h = (1 + self.eps) * own[0] + g.summed() @ near[0]
        h = self.first(h) if _waits(self, self.first, h) else h
        return self.second(F.relu(self.norm(h + self.bias)))  # type: ignore[no-any-return]


class GINEConv(Convolution):
    """GIN with edge features: ``MLP((1 + eps) x_i + sum_j w_ji relu(x_j + W e_ji))`` (Hu et al., 2020, arXiv:1905.12265).

    Over multi-hot edge attributes ``W e`` is a sum of embeddings, one for each categorical attribute. The code of that paper adds
    without the ReLU and gives self-loops an edge type; this is the form of OGB (Hu et al., 2020, arXiv:2005.00687).

    Args:
        in_channels: width of the input.
        out_channels: width of the output.
        edge_channels: columns ``B`` of ``edge_attr``.
        expansion, hidden, mlp_norm, norm_momentum: as in :class:`GINConv`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        edge_channels: int,
        expansion: int = 1,
        hidden: int | None = None,
        mlp_norm: bool = False,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if expansion < 1:
            raise ValueError(f"expansion must be at least 1, got {expansion}")
        hidden = hidden or expansion * out_channels
        self.edge_channels, self.edge_width = edge_channels, 4 * in_channels
        self.eps = nn.Parameter(torch.zeros(()))
        self.edges = Linear(edge_channels, in_channels, bias=False)
        self.first = Linear(in_channels, hidden)
        self.norm = nn.BatchNorm1d(hidden, momentum=norm_momentum) if mlp_norm else nn.Identity()
        self.second = Linear(hidden, out_channels)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.eps)

    def project(self, x: Tensor | CSR) -> tuple[Tensor, ...]:
        return (x if isinstance(x, Tensor) else x.to_dense(),)

    def combine(self, near: tuple[Tensor, ...], own: tuple[Tensor, ...], x: Tensor | CSR | None, g: Neighbourhood) -> Tensor:
        source = g.pattern.col.long()
        messages = F.relu(near[0].index_select(0, source) + self.edges(edge_features(g, self.edge_channels)))  # [E, D]
        into = g.cached("into", lambda: membership(g.pattern.ptr, g.pattern.row))
        total = CSR(into) @ messages if g.edge_weight is None else weighted_sum(into, g.weights, messages)
        return self.second(F.relu(self.norm(self.first((1 + self.eps) * own[0] + total))))  # type: ignore[no-any-return]


def _waits(conv: Any, linear: Linear, h: Tensor) -> bool:
    """The linear map is still to come: it widens, and ``h`` is as wide as before it."""
    return conv.narrow_first and h.size(1) == linear.in_channels


def edge_features(g: Neighbourhood, channels: int) -> Tensor:
    """The edge attributes ``[E, B]`` in the features' float type.

    Raises:
        ValueError: the graph has none, or another number of columns.
    """
    attr = g.edge_attr
    if attr is None:
        raise ValueError(f"this encoder takes edge_attr with {channels} columns, and the graph has no edge_attr; gin does without")
    attr = attr[:, None] if attr.dim() == 1 else attr
    if attr.size(1) != channels:
        raise ValueError(f"this encoder takes edge_attr with {channels} columns, and the graph has {attr.size(1)}")
    return attr.to(torch.promote_types(g.x.dtype, torch.float32))


class GATConv(Convolution):
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
        self.narrow_first = heads == 1 and not dynamic and in_channels < out_channels
        self.uses_rows, self.edge_width = dynamic, 8 * heads + (4 * out_channels if dynamic else 0)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_uniform_(self.attention)
        nn.init.zeros_(self.bias)

    def project(self, x: Tensor | CSR) -> tuple[Tensor, ...]:
        # narrow: the linear map waits for the sum, with which it commutes
        h = x if self.narrow_first and isinstance(x, Tensor) else self.neighbours(x)  # [N, H * C]
        return (h,) if self.dynamic else (h, self._scores(h, 0))

    def combine(self, near: tuple[Tensor, ...], own: tuple[Tensor, ...], x: Tensor | CSR | None, g: Neighbourhood) -> Tensor:
        pattern = g.looped()
        heads = near[0].unflatten(1, (self.heads, -1))  # type: ignore[no-untyped-call]  # [N, H, C]
        if self.root is not None:
            pairs = heads[pattern.col] + self.root(x).unflatten(1, (self.heads, -1))[pattern.row]  # [E, H, C]
            scores = (F.leaky_relu(pairs, 0.2) * self.attention[0]).sum(-1)
        else:
            scores = F.leaky_relu(near[1].index_select(0, pattern.col) + self._scores(own[0], 1).index_select(0, pattern.row), 0.2)
        if g.edge_weight is not None:
            scores = scores + g.looped_weights().log()[:, None]
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # half precision is not enough for a softmax
        alpha = F.dropout(segment_softmax(scores, pattern), self.dropout, self.training)  # [E, H]
        parts = [weighted_sum(pattern, alpha[:, k], heads[:, k]) for k in range(self.heads)]
        return (self.neighbours(parts[0]) if _waits(self, self.neighbours, parts[0]) else torch.cat(parts, dim=1)) + self.bias

    def _scores(self, h: Tensor, end: int) -> Tensor:
        """What each head makes of a node as one end of an edge, ``[N, H]``."""
        a = self.attention[end]
        if _waits(self, self.neighbours, h):
            return h @ (self.neighbours.weight @ a.t())
        return (h.unflatten(1, (self.heads, -1)) * a).sum(-1)  # type: ignore[no-untyped-call, no-any-return]


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


def reset_parameters(module: nn.Module) -> None:
    """Draw every parameter of ``module`` anew, buffers included, from torch's global generator."""
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if reset is not None:
            reset()
