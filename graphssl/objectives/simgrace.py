"""Contrast with a perturbed encoder: SimGRACE."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphssl.adjacency import full
from graphssl.encoders import GNN
from graphssl.graph import Graph
from graphssl.heads import MLP
from graphssl.losses import info_nce
from graphssl.objectives.base import Objective, several_graphs


class SimGRACE(Objective):
    """Simple framework for GRAph Contrastive lEarning without augmentation (Xia et al., 2022, arXiv:2202.03104).

    The second view of a graph is not another graph but another encoder: the same with noise on its weights,
    ``W' = W + eta * N(0, std(W)^2)``, drawn anew at each step for each tensor, readout included. Both go through one projector, and the
    noisy view of a graph is to find the clean one among those of the batch. As in the official code the noisy side takes no gradient,
    the positive is not among what it is compared with, and the loss runs in one direction.

    A tensor of a single number, as GIN's eps, has no spread and stays as it is. The noisy pass normalises by its own batch's statistics
    where the encoder has batch norm, and leaves the running ones to the clean pass.

    Args:
        encoder: what is trained.
        eta: size of the noise; 0 gives two equal views.
        tau: temperature.
        decoupled: leave the positive out of the denominator.
        symmetric: also from the clean view to the noisy one.
        detach: the noisy view takes no gradient.

    Raises:
        ValueError: at construction, an argument out of its range; at the call, a batch of one graph, which has no negative.

    Example:
        >>> from graphssl import GIN, Graph, side_by_side
        >>> path = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> objective = SimGRACE(GIN(3, [4, 4], jk="cat", readout="sum"))
        >>> objective(side_by_side([path, path])).isfinite().item()
        True
    """

    mean_over = "graphs"

    def __init__(
        self,
        encoder: GNN,
        *,
        eta: float = 1.0,
        tau: float = 0.2,
        decoupled: bool = True,
        symmetric: bool = False,
        detach: bool = True,
    ) -> None:
        super().__init__()
        if not eta >= 0:
            raise ValueError(f"eta must be 0 or more, got {eta}")
        if tau <= 0:
            raise ValueError(f"tau must be positive, got {tau}")
        self.encoder, self.eta, self.tau = encoder, eta, tau
        self.decoupled, self.symmetric, self.detach = decoupled, symmetric, detach
        width = encoder.graph_channels
        self.projector = MLP(width, width, width, act="relu")

    def forward(self, g: Graph) -> Tensor:
        several_graphs(g)
        clean = self.projector(self.graphs(g))  # [G, D]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            state = perturbed(self.encoder, self.eta)
            embeddings = torch.func.functional_call(Pooled(self.encoder), {f"encoder.{name}": value for name, value in state.items()}, (g,))
            noisy = self.projector(embeddings)
        return info_nce(noisy, clean, tau=self.tau, decoupled=self.decoupled, symmetric=self.symmetric)


class Pooled(nn.Module):
    """An encoder and its readout as one call ``Graph -> [G, D]``, for which ``functional_call`` can change the parameters of both."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, g: Graph) -> Tensor:
        return self.encoder.pool(full(self.encoder(g)), g)  # type: ignore[operator, no-any-return]


def perturbed(module: nn.Module, eta: float) -> dict[str, Tensor]:
    """Parameters of ``module`` with noise, each ``eta`` times as large as the tensor's own spread, and copies of its buffers."""
    state = {name: buffer.clone() for name, buffer in module.named_buffers()}
    for name, p in module.named_parameters():
        spread = p.detach().std() if p.numel() > 1 else 0.0
        state[name] = p + eta * spread * torch.randn_like(p)
    return state
