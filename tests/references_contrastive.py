"""What the papers of the contrastive family say, as plain double loops in float64: slow, obvious, independent of the library."""

from __future__ import annotations

import math

from references import cosine, log_sum_exp, rows
from torch import Tensor


def table(a: list[list[float]], b: list[list[float]], tau: float) -> list[list[float]]:
    """Cosines over the temperature, each pair on its own."""
    return [[cosine(x, y) / tau for y in b] for x in a]


def dcl(u: Tensor, v: Tensor, tau: float, sigma: float | None = None) -> float:
    """Equations 6 and, with ``sigma``, 7 of arXiv:2110.06848 over the stacked views: no positive in the sum, weights of mean 1."""
    z = rows(u) + rows(v)
    s, n = table(z, z, tau), len(z) // 2
    cosines = [tau * s[i][i + n] for i in range(n)]
    mean = 1.0 if sigma is None else sum(math.exp(c / sigma) for c in cosines) / n
    weights = [1.0 if sigma is None else 2 - math.exp(c / sigma) / mean for c in cosines]
    total = 0.0
    for i in range(2 * n):
        own = (i + n) % (2 * n)
        total += log_sum_exp([s[i][k] for k in range(2 * n) if k not in (i, own)]) - weights[i % n] * s[i][own]
    return total / (2 * n)


def supervised(u: Tensor, v: Tensor, y: list[int], tau: float, *, kind: str, form: str, eps: float = 0.0) -> float:
    """SupCon (arXiv:2004.11362, eqs. 2 and 3), and its two forms with a margin (arXiv:2211.05568, eqs. 5 and 9)."""
    z, label = rows(u) + rows(v), y + y
    s, n, values = table(z, z, tau), len(z), []
    for i in range(n):
        positives = [k for k in range(n) if k != i and label[k] == label[i] >= 0]
        negatives = [s[i][k] for k in range(n) if k != i and k not in positives]
        if not positives:
            continue
        logs = []
        for p in positives:
            mine = [p] if kind == "info-nce" else positives
            logs.append(s[i][p] - log_sum_exp([s[i][k] - eps for k in mine] + negatives))
        values.append(-sum(logs) / len(logs) if form == "out" else math.log(len(logs)) - log_sum_exp(logs))
    return sum(values) / len(values)


def renyi(u: Tensor, v: Tensor, tau: float, gamma: float, alpha: float) -> float:
    """The skew Renyi bound (arXiv:2208.06270, eq. 10) as means of exponentials; at order 1 of the divergence of Kullback and Leibler."""
    f = table(rows(u), rows(v), tau)
    n = len(f)
    positive = [f[i][i] for i in range(n)]
    negative = [f[i][j] for i in range(n) for j in range(n) if i != j]

    def mean(values: list[float], order: float) -> float:
        return sum(math.exp(order * x) for x in values) / len(values)

    pull = sum(positive) / n if gamma == 1 else math.log(mean(positive, gamma - 1)) / (gamma - 1)
    return math.log(alpha * mean(positive, gamma) + (1 - alpha) * mean(negative, gamma)) / gamma - pull


def soft_targets(keys: Tensor, lam: float, target_tau: float) -> list[list[float]]:
    """Equation 5 of arXiv:2111.14585: the partner, and the relations of the keys without their own."""
    r = table(rows(keys), rows(keys), target_tau)
    n = len(r)
    out = []
    for i in range(n):
        total = log_sum_exp([r[i][j] for j in range(n) if j != i])
        out.append([lam if i == j else (1 - lam) * math.exp(r[i][j] - total) for j in range(n)])
    return out


def sce(u: Tensor, v: Tensor, tau: float, lam: float, target_tau: float) -> float:
    """Equation 6 of arXiv:2111.14585: cross-entropy of the soft targets, averaged over both directions."""
    total, n = 0.0, len(rows(u))
    for queries, keys in ((u, v), (v, u)):
        s, w = table(rows(queries), rows(keys), tau), soft_targets(keys, lam, target_tau)
        for i in range(n):
            total -= sum(w[i][j] * (s[i][j] - log_sum_exp(s[i])) for j in range(n))
    return total / (2 * n)
