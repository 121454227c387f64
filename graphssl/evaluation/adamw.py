"""One linear layer trained by a fixed number of AdamW steps, as BGRL's official code probes PPI."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.evaluation.logistic import Fit


def adamw_path(
    x: Tensor | CSR, targets: Tensor, weight_decays: Sequence[float], *, lr: float = 0.01, max_iter: int = 100, seed: int = 0
) -> Fit:
    """A linear layer with binary cross-entropy for each weight decay, ``max_iter`` full-batch AdamW steps each, in float32.

    A fit counts as converged when its last ten steps changed the loss by less than one part in a thousand. Where a weight decay times
    the rate is 2 or more, each step overshoots and the layer diverges; the official code trains it nevertheless, here it stays at zero
    weights, which predict nothing.

    Args:
        x: ``[n, D]`` standardised rows.
        targets: ``[n, K]`` in {0, 1}.
        weight_decays: the grid.
        lr: rate.
        max_iter: steps.
        seed: of the layer's first weights, uniform in ``±1/sqrt(D)`` as torch's own; the same for each weight decay.

    Example:
        >>> x = torch.tensor([[-1.0], [1.0]])
        >>> fit = adamw_path(x, torch.tensor([[0], [1]]), [0.01])
        >>> bool(fit.coef > 0), bool(fit.converged)
        (True, False)
    """
    rows = (x.to_dense() if isinstance(x, CSR) else x).float()
    truth = targets.float()
    d, k = rows.size(1), truth.size(1)
    draw = torch.rand(d + 1, k, generator=torch.Generator().manual_seed(seed))
    first = ((2 * draw - 1) / d**0.5).to(rows.device)
    coef, intercept, converged = [], [], []
    for decay in weight_decays:
        weight, bias = (part.clone().requires_grad_() for part in (first[:d], first[d]))
        losses = _train(rows, truth, weight, bias, lr, decay, max_iter) if lr * decay < 2 else []
        coef.append(weight.detach() if losses else torch.zeros_like(first[:d]))
        intercept.append(bias.detach() if losses else torch.zeros_like(first[d]))
        converged.append(len(losses) > 10 and abs(losses[-1] - losses[-11]) < 1e-3 * losses[-11])
    return Fit(torch.stack(coef).to(x.dtype), torch.stack(intercept).to(x.dtype), torch.tensor(converged, device=rows.device))


def _train(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, lr: float, decay: float, steps: int) -> list[float]:
    optimiser = torch.optim.AdamW([weight, bias], lr=lr, weight_decay=decay)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        with torch.enable_grad():
            loss = F.binary_cross_entropy_with_logits(torch.addmm(bias, x, weight), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.detach())
    return torch.stack(losses).tolist()  # type: ignore[no-any-return]
