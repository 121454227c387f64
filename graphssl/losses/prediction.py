"""Losses without negatives: a prediction is drawn to a target that takes no gradient."""

from __future__ import annotations

from torch import Tensor

from graphssl.fused import cosine
from graphssl.losses.precision import full_precision


@full_precision
def bootstrap(q: Tensor, z: Tensor) -> Tensor:
    """One minus the mean cosine similarity of rows: 0 when they point alike, 2 when opposite.

    ``1 - mean_i cos(q_i, z_i)``. Half of BYOL's squared distance of normalised rows (Grill et al., 2020, arXiv:2006.07733); BGRL
    adds it over both directions (Thakoor et al., 2022, arXiv:2102.06514).

    Args:
        q: ``[N, D]`` predictions.
        z: ``[N, D]`` targets; the caller stops their gradient.

    Example:
        >>> import torch
        >>> bootstrap(torch.eye(3), torch.eye(3)).item(), bootstrap(torch.eye(3), -torch.eye(3)).item()
        (0.0, 2.0)
    """
    return 1 - cosine(q, z).mean()
