"""How sure a trained network is, without training it for that: how much its answers move when it is disturbed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from graphssl.adjacency import CSR, full
from graphssl.augment import Augmentation, DropEdges
from graphssl.encoders import GNN, dropped
from graphssl.graph import Graph
from graphssl.random import seeded

Disturbance = Literal["noise", "transformation", "dropout"]
Answer = Callable[[Graph], Tensor]

STRENGTHS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)


def uncertainty(
    model: nn.Module,
    g: Graph,
    *,
    by: Disturbance | Augmentation = "noise",
    strength: float | None = None,
    times: int = 20,
    seed: int = 0,
    layer: int | None = None,
) -> Tensor:
    r"""How much the answers of a trained network vary under disturbance, one number a row, ``[N]`` float32 on the CPU.

    Training-free uncertainty estimation (Mi et al., 2022, arXiv:1910.04858), on graphs: the network answers ``times`` times, each time
    disturbed anew, and ``u_i = sum_k Var_t f_k(x_i^{(t)})``, the unbiased variance summed over the columns of the answer. Where the
    answer is easily moved, it is likely to be wrong. Mean and squares are kept up as passes go by (Welford), so that memory does not
    grow with ``times``.

    ``noise``: Gaussian noise with ``strength`` times the deviation of all entries of what it is added to. ``transformation``: each edge
    is dropped with probability ``strength``; or any augmentation that keeps the nodes, whose own numbers count. ``dropout``: on the
    input of the layers, with probability ``strength``. All else is as in evaluation: batch norm keeps to its running statistics.

    Args:
        model: an encoder, of which the embeddings vary, or a :class:`graphssl.supervised.Supervised`, of which the predictions do
            (probabilities; values of a regression); any module ``Graph -> [N, K]`` where no layer is asked for.
        g: one graph, or several side by side.
        by: what disturbs.
        strength: of the disturbance; ``None`` takes the largest that :func:`tolerable` finds.
        times: passes.
        seed: of the disturbances; torch's global generator stays as it was.
        layer: of ``noise`` the layer whose output, of ``dropout`` the one whose input is disturbed, from 0; ``None``: noise on the
            features, dropout on the input of every layer.

    Raises:
        ValueError: an unknown word, a strength out of its range, fewer than two passes, or a layer that the model does not have.

    Example:
        >>> from graphssl import GCN
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> net = GCN(3, [5])
        >>> uncertainty(net, g, strength=0.5).shape, uncertainty(net, g, strength=0).tolist()
        (torch.Size([3]), [0.0, 0.0, 0.0])
    """
    if times < 2:
        raise ValueError(f"times must be at least 2, got {times}")
    if strength is None and isinstance(by, str):
        strength = tolerable(model, g, by=by, seed=seed, layer=layer)
    passes = _passes(model, g, by, strength or 0.0, times, seed, layer)
    mean = squares = torch.zeros(())
    for k, answer in enumerate(passes, start=1):
        apart = answer - mean
        mean = mean + apart / k
        squares = squares + apart * (answer - mean)
    return (squares.sum(1) / (times - 1)).float()


def tolerable(
    model: nn.Module,
    g: Graph,
    *,
    by: Disturbance = "noise",
    strengths: Sequence[float] = STRENGTHS,
    tolerance: float = 0.05,
    loss: Callable[[Tensor], float] | None = None,
    times: int = 5,
    seed: int = 0,
    layer: int | None = None,
) -> float:
    """The largest strength that the network tolerates, which is the one to ask :func:`uncertainty` with.

    The paper's rule: a disturbance should hardly change the quality of the answers (Mi et al., 2022, arXiv:1910.04858). With ``loss`` the
    mean loss over ``times`` disturbed passes may be at most ``1 + tolerance`` times that of the undisturbed one. Without one (no labels)
    the answers' mean squared displacement may be at most ``tolerance`` times their variance over the rows. Strengths are tried in
    ascending order up to the first that is too much; the smallest where that is the first.

    Args:
        model: as in :func:`uncertainty`.
        g: likewise.
        by: what disturbs.
        strengths: what is tried.
        tolerance: how much worse answers may be.
        loss: of answers ``[N, K]`` against labels that may be used to choose, as those of validation rows.
        times: disturbed passes for each strength.
        seed: of the disturbances.
        layer: as in :func:`uncertainty`.

    Raises:
        ValueError: no strength, or as in :func:`uncertainty`.

    Example:
        >>> from graphssl import GCN
        >>> g = Graph.of((torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])))
        >>> tolerable(GCN(3, [5]), g, strengths=(0.01, 100.0))
        0.01
    """
    if not strengths:
        raise ValueError("strengths is empty; give at least one")
    tried = sorted(strengths)
    (plain,) = _passes(model, g, by, 0.0, 1, seed, layer)
    allowed = (1 + tolerance) * loss(plain) if loss is not None else tolerance * float((plain - plain.mean(0)).square().sum(1).mean())
    best = tried[0]
    for strength in tried:
        answers = list(_passes(model, g, by, strength, times, seed, layer))
        found = [loss(answer) if loss is not None else float((answer - plain).square().sum(1).mean()) for answer in answers]
        if sum(found) / len(found) > allowed:
            break
        best = strength
    return best


def _passes(
    model: nn.Module, g: Graph, by: Disturbance | Augmentation, strength: float, times: int, seed: int, layer: int | None
) -> Iterator[Tensor]:
    """Answers ``[N, K]`` of as many disturbed passes, float64 on the CPU; the model is left as it was."""
    if isinstance(by, str) and by not in get_args(Disturbance):
        raise ValueError(f"by must be one of {', '.join(get_args(Disturbance))} or an augmentation, got {by!r}")
    if not isinstance(by, str) and not by.keeps_nodes:
        raise ValueError(f"by must keep the nodes, whose answers are compared, got {by!r}")
    if strength < 0 or (by in ("transformation", "dropout") and strength >= 1):
        raise ValueError(f"strength must be 0 or more, and below 1 for transformation and dropout, got {strength}")
    blocks = _blocks(model, by, layer)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    view: Callable[[Graph], Graph] | None = partial(_noisy, strength=strength)
    if not isinstance(by, str):
        view = by
    elif by == "transformation":
        view = DropEdges(strength)
    elif blocks:
        view = None  # the layers are disturbed, and the graph is not
    return _answers(model, g.to(device), view, by, blocks, strength, times, seed)


@torch.no_grad()
def _answers(
    model: nn.Module, g: Graph, view: Any, by: Any, blocks: list[nn.Module], strength: float, times: int, seed: int
) -> Iterator[Tensor]:
    answer = _reader(model)
    for k in range(times):
        with _disturbed(model, blocks, by, strength), seeded(seed * times + k):
            told = answer(g if view is None or not (strength or not isinstance(by, str)) else view(g))
        yield told.double().cpu()


@contextmanager
def _disturbed(model: nn.Module, blocks: list[nn.Module], by: Any, strength: float) -> Iterator[None]:
    """Evaluation mode, and hooks on the layers that are disturbed; afterwards neither."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    hooks = []
    for block in blocks if strength else ():
        if by == "dropout":
            hooks.append(block.register_forward_pre_hook(lambda _, given: (dropped(given[0], strength, True), *given[1:])))
        else:
            hooks.append(block.register_forward_hook(lambda _, given, out: out + _noise(out, strength)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for part, mode in modes:
            part.training = mode


def _blocks(model: nn.Module, by: Any, layer: int | None) -> list[nn.Module]:
    """The layers that are disturbed inside."""
    if layer is None and by != "dropout":
        return []
    if by not in ("noise", "dropout"):
        raise ValueError(f"layer is for noise and dropout, got it with {by!r}")
    nets = [part for part in model.modules() if isinstance(part, GNN)]
    if not nets:
        raise ValueError(f"{by} inside a network needs a graphssl.GNN, got {type(model).__name__}")
    count = min(len(net.blocks) for net in nets)
    if layer is None:
        return [block for net in nets for block in net.blocks]
    if not 0 <= layer < count:
        raise ValueError(f"layer must be in 0 to {count - 1}, got {layer}")
    return [net.blocks[layer] for net in nets]


def _reader(model: nn.Module) -> Answer:
    """What of a model is looked at: probabilities, values or embeddings."""
    from graphssl.supervised.objective import Supervised

    if not isinstance(model, Supervised):
        return lambda g: full(model(g))[: g.num_seeds]
    if model.task == "regression":
        return model.predict
    return lambda g: model.predict(g).softmax(1) if model.task == "classification" else model.predict(g).sigmoid()


def _noisy(g: Graph, strength: float) -> Graph:
    x = full(g.x.to_dense() if isinstance(g.x, CSR) else g.x)
    return g.with_x(x + _noise(x, strength))


def _noise(x: Tensor, strength: float) -> Tensor:
    return strength * x.std(correction=0) * torch.randn_like(x)
