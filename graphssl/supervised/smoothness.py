"""What predictions should be like without a label: sure, and the same for inputs that hardly differ."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.losses.precision import full_precision

Outputs = Callable[[Tensor], Tensor]


@full_precision
def entropy(logits: Tensor) -> Tensor:
    """Mean entropy of predictions, ``mean_i H(softmax(logits_i))``: 0 where all are sure, ``log C`` where none is.

    Entropy minimisation (Grandvalet and Bengio, 2005), beside S4L in MOAM (Zhai et al., 2019, arXiv:1905.03670).

    Args:
        logits: ``[N, C]``.

    Example:
        >>> entropy(torch.zeros(2, 4)).item() == torch.tensor(4.0).log().item(), entropy(torch.eye(3) * 200).item() < 1e-6
        (True, True)
    """
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1).mean()


def vat(outputs: Outputs, x: Tensor, *, eps: float = 1.0, xi: float = 0.01, steps: int = 1) -> Tensor:
    """Virtual adversarial training: predictions stay where features move the worst way (Miyato et al., 2018, arXiv:1704.03976).

    ``mean_i KL(p(x_i) || p(x_i + r_i))`` with ``r_i`` the :func:`worst_direction` times ``eps`` times the mean length of a row of ``x``.
    The prediction at ``x`` takes no gradient. On a graph a prediction depends on the neighbours' features too; all rows move together.

    Args:
        outputs: logits ``[N, C]`` of features ``[N', F]``.
        x: features ``[N', F]``.
        eps: length of the move, in mean lengths of a row: the features of one set may be a hundred times those of another.
        xi: length of the probe by which the direction is found, likewise.
        steps: of the power iteration.

    Raises:
        ValueError: a negative ``eps``, an ``xi`` that is not positive, or ``steps`` below 1.

    Example:
        >>> linear = torch.nn.Linear(3, 2)
        >>> vat(linear, torch.ones(4, 3), eps=0).item()
        0.0
    """
    if not eps >= 0:
        raise ValueError(f"eps must be 0 or more, got {eps}")
    length = x.norm(dim=1).mean()
    with torch.no_grad():
        before = outputs(x).float().log_softmax(1)
    r = worst_direction(outputs, x, before, xi=xi, steps=steps) * (eps * length)
    return divergence(before, outputs(x + r))


def worst_direction(outputs: Outputs, x: Tensor, before: Tensor, *, xi: float = 0.01, steps: int = 1) -> Tensor:
    """The direction in which the predictions move fastest away from ``before``, ``[N', F]`` with rows of length one.

    Raises:
        ValueError: an ``xi`` that is not positive, or ``steps`` below 1.
    """
    if not xi > 0 or steps < 1:
        raise ValueError(f"xi must be positive and steps at least 1, got {xi} and {steps}")
    length = x.norm(dim=1).mean()
    d = F.normalize(torch.randn_like(x), dim=1)
    for _ in range(steps):
        with torch.enable_grad():
            probe = d.detach().requires_grad_()
            (slope,) = torch.autograd.grad(divergence(before, outputs(x + xi * length * probe)), probe)
        scale = slope.abs().amax(1, keepdim=True)  # a slope may be far below what normalisation takes for zero
        d = F.normalize(torch.where(scale > 0, slope / scale.where(scale > 0, 1), d), dim=1)  # a node that nothing moves keeps its own
    return d.detach()


@full_precision
def divergence(log_p: Tensor, logits: Tensor) -> Tensor:
    """``mean_i KL(p_i || softmax(logits_i))`` of log probabilities ``[N, C]`` and logits.

    Example:
        >>> divergence(torch.zeros(2, 2).log_softmax(1), torch.ones(2, 2)).item()
        0.0
    """
    return F.kl_div(logits.log_softmax(1), log_p, log_target=True, reduction="batchmean")
