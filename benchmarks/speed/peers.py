"""Methods as they are usually written: on PyG's layers, dense features and lists of edges."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv
from torch_geometric.utils import dropout_edge, mask_feature

from benchmarks.speed.measure import Phases, clock
from graphssl.graph import Graph
from graphssl.recipes.base import TwoViews

View = tuple[Tensor, Tensor]  # features [N, F] and edges [2, E]
State = dict[str, Tensor]


class Encoder(nn.Module):
    """``GCNConv -> BatchNorm1d -> PReLU`` (or another activation, without norm) for each width."""

    def __init__(self, in_channels: int, recipe: TwoViews) -> None:
        super().__init__()
        widths = [in_channels, *recipe.channels]
        self.convs = nn.ModuleList(GCNConv(i, o) for i, o in pairwise(widths))
        norm: Callable[[int], nn.Module] = nn.Identity
        if recipe.norm == "batch":
            norm = lambda width: nn.BatchNorm1d(width, momentum=recipe.norm_momentum)  # noqa: E731
        self.norms = nn.ModuleList(norm(width) for width in recipe.channels)
        self.acts = nn.ModuleList(nn.PReLU() if recipe.act == "prelu" else nn.ReLU() for _ in recipe.channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for conv, norm, act in zip(self.convs, self.norms, self.acts, strict=True):
            x = act(norm(conv(x, edge_index)))
        return x

    @torch.no_grad()
    def take(self, state: State) -> None:
        """The parameters of one of the library's encoders."""
        for k, (conv, norm, act) in enumerate(zip(self.convs, self.norms, self.acts, strict=True)):
            conv.lin.weight.copy_(state[f"blocks.{k}.conv.linear.weight"].t())
            conv.bias.copy_(state[f"blocks.{k}.conv.bias"])
            for name, parameter in norm.named_parameters():
                parameter.copy_(state[f"blocks.{k}.norm.{name}"])
            for name, parameter in act.named_parameters():
                parameter.copy_(state[f"blocks.{k}.act.{name}"])


class Usual:
    """BGRL by PyG's own functions: :func:`dropout_edge`, :func:`mask_feature`, ``GCNConv`` on an edge list, ``torch.optim.AdamW``."""

    def __init__(self, g: Graph, recipe: TwoViews) -> None:
        self.recipe, self.width = recipe, recipe.channels[-1]
        self.x, self.edge_index = g.dense_x(), g.edge_index
        self.encoder = Encoder(g.num_features, recipe)
        hidden: int = recipe.hidden  # type: ignore[attr-defined]
        self.predictor = self._head(hidden)
        self.optimizer = self._optimizer([*self.encoder.parameters(), *self.predictor.parameters()])
        self.target = copy.deepcopy(self.encoder).requires_grad_(False)

    def _head(self, hidden: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(self.width, hidden), nn.PReLU(), nn.Linear(hidden, self.width))

    def _optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        kind = torch.optim.AdamW if self.recipe.optimizer == "adamw" else torch.optim.Adam
        return kind(parameters, lr=self.recipe.lr, weight_decay=self.recipe.weight_decay)

    def take(self, state: State) -> None:
        """The parameters of the library's objective."""
        self.encoder.take({name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")})
        self.target.take({name.removeprefix("target.copy."): value for name, value in state.items() if name.startswith("target.copy.")})
        self.predictor.load_state_dict({n.removeprefix("predictor."): v for n, v in state.items() if n.startswith("predictor.")})

    def views(self) -> tuple[View, View]:
        """Two views; both directions of an edge together where the recipe says so."""
        both = not self.recipe.directed_drop
        return tuple(  # type: ignore[return-value]
            (mask_feature(self.x, pf, mode="col")[0], dropout_edge(self.edge_index, pe, force_undirected=both)[0])
            for pe, pf in zip(self.recipe.drop_edges, self.recipe.mask_features, strict=True)
        )

    def loss(self, v1: View, v2: View) -> Tensor:
        """``2 - mean cos(q(h1), t2) - mean cos(q(h2), t1)``."""
        q1, q2 = (self.predictor(self.encoder(*v)) for v in (v1, v2))
        with torch.no_grad():
            t1, t2 = (self.target(*v) for v in (v1, v2))
        return 2 - F.cosine_similarity(q1, t2, dim=-1).mean() - F.cosine_similarity(q2, t1, dim=-1).mean()

    def follow(self) -> None:
        """The target moves."""
        with torch.no_grad():
            for mine, other in zip(self.target.parameters(), self.encoder.parameters(), strict=True):
                mine.lerp_(other, 0.01)

    def gradient(self) -> Tensor:
        """Of the first layer's weight, ``[F, D]``."""
        (weight,) = (c.lin.weight for c in self.encoder.convs[:1])
        assert isinstance(weight.grad, Tensor)
        return weight.grad.t()

    def step(self) -> Phases:
        """One step, in its parts."""
        times = [clock()]
        views = self.views()
        times.append(clock())
        loss = self.loss(*views)
        times.append(clock())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        times.append(clock())
        self.optimizer.step()
        times.append(clock())
        self.follow()
        times.append(clock())
        parts = ("views", "forward", "backward", "optimiser", "target")
        taken = {part: b - a for part, (a, b) in zip(parts, pairwise(times), strict=True)}
        return {**taken, "step": times[-1] - times[0]}


class Official(Usual):
    """BGRL in the structure of the authors' code.

    Copied data, features zeroed in the copy, each direction of an edge with its own coin, a pass of the network for each direction of the
    loss, a loop over parameters for the target.
    """

    def __init__(self, g: Graph, recipe: TwoViews) -> None:
        super().__init__(g, recipe)
        self.data = Data(x=self.x, edge_index=self.edge_index)

    def views(self) -> tuple[View, View]:
        made = []
        for pe, pf in zip(self.recipe.drop_edges, self.recipe.mask_features, strict=True):
            view = self.data.clone()
            view.edge_index = view.edge_index[:, torch.rand(view.edge_index.size(1)) >= pe]
            view.x[:, torch.rand(view.x.size(1)) < pf] = 0
            made.append((view.x, view.edge_index))
        return made[0], made[1]

    def loss(self, v1: View, v2: View) -> Tensor:
        pairs = [self._pair(v1, v2), self._pair(v2, v1)]
        return 2 - sum(F.cosine_similarity(q, t, dim=-1).mean() for q, t in pairs)  # type: ignore[return-value]

    def _pair(self, online: View, other: View) -> tuple[Tensor, Tensor]:
        q = self.predictor(self.encoder(*online))
        with torch.no_grad():
            t = self.target(*other)
        return q, t.detach()

    def follow(self) -> None:
        for mine, other in zip(self.target.parameters(), self.encoder.parameters(), strict=True):
            mine.data.mul_(0.99).add_(other.data, alpha=0.01)


class DenseGRACE(Usual):
    """GRACE with a loss that holds four ``N x N`` matrices: exponentials of the similarities within each view, and between them twice."""

    def __init__(self, g: Graph, recipe: TwoViews) -> None:
        self.recipe, self.width = recipe, recipe.channels[-1]
        self.x, self.edge_index = g.dense_x(), g.edge_index
        self.encoder = Encoder(g.num_features, recipe)
        hidden: int = recipe.hidden  # type: ignore[attr-defined]
        self.tau: float = recipe.tau  # type: ignore[attr-defined]
        self.predictor = nn.Sequential(nn.Linear(self.width, hidden), nn.ELU(), nn.Linear(hidden, self.width))
        self.optimizer = self._optimizer([*self.encoder.parameters(), *self.predictor.parameters()])

    def take(self, state: State) -> None:
        self.encoder.take({name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")})
        self.predictor.load_state_dict({n.removeprefix("projector."): v for n, v in state.items() if n.startswith("projector.")})

    def loss(self, v1: View, v2: View) -> Tensor:
        z1, z2 = (self.predictor(self.encoder(*v)) for v in (v1, v2))
        return ((self._one_way(z1, z2) + self._one_way(z2, z1)) / 2).mean()

    def _one_way(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = F.normalize(a), F.normalize(b)
        own, other = torch.exp(a @ a.t() / self.tau), torch.exp(a @ b.t() / self.tau)
        return -torch.log(other.diag() / (own.sum(1) + other.sum(1) - own.diag()))

    def follow(self) -> None:
        pass


PEERS: dict[str, type[Usual]] = {"pyg": Usual, "official": Official, "dense": DenseGRACE}
