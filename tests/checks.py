"""The laws that many things must obey, each as a function that fails with an AssertionError."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from graphssl.adjacency import CSR
from graphssl.batches import side_by_side
from graphssl.graph import Graph
from graphssl.objectives import Objective
from graphssl.random import seeded


def close(a: Tensor, b: Tensor, tol: float = 1e-10) -> None:
    """Equal up to ``tol``, absolute and relative, and of one shape; NaN is equal to nothing."""
    assert a.shape == b.shape, f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
    torch.testing.assert_close(a.double(), b.double(), atol=tol, rtol=tol)


def double(g: Graph) -> Graph:
    """The same graph in float64."""
    x = g.x.with_values(g.x.values().double()) if isinstance(g.x, CSR) else g.x.double()
    return replace(g, x=x, edge_weight=None if g.edge_weight is None else g.edge_weight.double())


def relabelled(g: Graph, order: Tensor) -> Graph:
    """The same graph with its nodes in another order: new node ``k`` is old node ``order[k]``."""
    new = torch.empty_like(order)
    new[order] = torch.arange(order.numel())
    x = g.x.rows(order) if isinstance(g.x, CSR) else g.x[order]
    changed = replace(g, x=x, graph_id=None if g.graph_id is None else g.graph_id[order])
    return changed.with_edges(new[g.edge_index], g.edge_weight, g.edge_attr)


def shuffled_within_graphs(g: Graph, seed: int = 1) -> Tensor:
    """A random order of the nodes that leaves each graph's nodes together."""
    key = torch.rand(g.num_nodes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (g.graph_ids + key).argsort()


def permutation_equivariant(encoder: nn.Module, g: Graph, tol: float = 1e-9) -> None:
    """Other names of the nodes give the same rows under the other names."""
    order = shuffled_within_graphs(g)
    assert not torch.equal(order, torch.arange(g.num_nodes)), "the law needs an order that moves something"
    close(encoder(relabelled(g, order)), encoder(g)[order], tol)


def batch_is_one_by_one(encoder: nn.Module, graphs: Sequence[Graph], tol: float = 1e-9) -> None:
    """Graphs side by side give what each gives alone."""
    close(encoder(side_by_side(graphs)), torch.cat([encoder(g) for g in graphs]), tol)


def same_state_same_output(module: nn.Module, other: nn.Module, run: Callable[[nn.Module], Tensor]) -> None:
    """``other``, made anew, gives what ``module`` gives once it has loaded its state, and did not before."""
    module.eval()
    other.eval()
    assert not torch.equal(run(module), run(other)), "the law needs two modules that differ"
    other.load_state_dict(copy.deepcopy(module.state_dict()))
    assert torch.equal(run(module), run(other))


def value_and_gradients(run: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
    """``run(*inputs)`` and its gradient in each input."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    value = run(*leaves)
    return value.detach(), *torch.autograd.grad(value, leaves)


def loss_falls(objective: Objective, g: Graph, *, steps: int = 30, lr: float = 3e-3) -> None:
    """Thirty optimiser steps bring the loss down by 3 % at least, under the same draws of the views before and after."""

    def mean_loss() -> float:
        objective.train()
        losses = []
        for seed in range(5):
            with torch.no_grad(), seeded(seed):
                losses.append(objective(g))
        return float(torch.stack(losses).mean())

    before = mean_loss()
    optimizer = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], lr=lr)
    for k in range(steps):
        loss = objective(g)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.after_step((k + 1) / steps)
    after = mean_loss()
    assert after < 0.97 * before, f"from {before} to {after}"


def gradients_where_due(objective: Objective, g: Graph) -> None:
    """Each trainable parameter gets a gradient that is not zero, and no frozen one gets any."""
    objective.train()
    objective(g).backward()
    for name, p in objective.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, f"{name} got no gradient"
            assert p.grad.isfinite().all(), f"{name} got a gradient that is not finite"
            assert p.grad.abs().sum() > 0 or _shift_before_norm(name, objective), f"{name} got a gradient of zero"
        else:
            assert p.grad is None, f"{name} is frozen and got a gradient"


def _shift_before_norm(name: str, objective: Objective) -> bool:
    """A bias right before batch norm cannot matter: its gradient is zero up to rounding."""
    return name.endswith("conv.bias") and any(isinstance(m, nn.BatchNorm1d) for m in objective.encoder.modules())
