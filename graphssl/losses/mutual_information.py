"""Losses over scores: lower bounds of mutual information between what belongs together and what does not."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from graphssl.losses.precision import full_precision


@full_precision
def bce(positive: Tensor, negative: Tensor) -> Tensor:
    """Binary cross-entropy of a discriminator that tells positive from negative scores.

    ``-mean log sigmoid(positive) - mean log(1 - sigmoid(negative))``, the loss of DGI (Velickovic et al., 2019, arXiv:1809.10341).
    Computed with softplus, so that a confidently wrong score keeps its gradient. The official code divides by two.

    Args:
        positive: scores (logits) of any shape.
        negative: scores of any shape.

    Example:
        >>> import torch
        >>> round(bce(torch.zeros(5), torch.zeros(3)).item(), 4)  # 2 log 2: knows nothing
        1.3863
    """
    return F.softplus(-positive).mean() + F.softplus(negative).mean()


def jsd(positive: Tensor, negative: Tensor) -> Tensor:
    """Minus the Jensen-Shannon estimate of mutual information (Hjelm et al., 2019, arXiv:1808.06670; Nowozin et al., 2016).

    ``mean[softplus(negative) - log 2] - mean[log 2 - softplus(-positive)]``: :func:`bce` less ``2 log 2``, so 0 where the scores
    say nothing.

    Example:
        >>> import torch
        >>> jsd(torch.zeros(5), torch.zeros(3)).item()
        0.0
    """
    return bce(positive, negative) - 2 * math.log(2)
