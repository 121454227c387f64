"""Decorrelation, mixed negatives and cancelled ones as plain double loops in float64, written from the papers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from references import cosine, log_sum_exp, rows
from torch import Tensor

Matrix = list[list[float]]


def columns(z: Tensor, *, standardized: bool = True) -> Matrix:
    """Columns with mean 0, and deviation 1 if ``standardized`` (over ``N`` rows, as the equations have it)."""
    centred = []
    for column in map(list, zip(*rows(z), strict=True)):
        mean = sum(column) / len(column)
        centred.append([value - mean for value in column])
    if not standardized:
        return centred
    deviations = [math.sqrt(sum(value * value for value in column) / len(column)) for column in centred]
    return [[value / deviation for value in column] for column, deviation in zip(centred, deviations, strict=True)]


def products(a: Matrix, b: Matrix, over: int) -> Matrix:
    """``sum_i a_ki b_li / over`` for all ``k, l``."""
    return [[sum(x * y for x, y in zip(p, q, strict=True)) / over for q in b] for p in a]


def barlow_twins(u: Tensor, v: Tensor, weight: float) -> float:
    """Zbontar et al., 2021, arXiv:2103.03230, equations 1 and 2."""
    c = products(columns(u), columns(v), len(u))
    total = 0.0
    for k, row in enumerate(c):
        for j, value in enumerate(row):
            total += (1 - value) ** 2 if k == j else weight * value**2
    return total


def cca_ssg(u: Tensor, v: Tensor, weight: float) -> float:
    """Zhang et al., 2021, arXiv:2106.12484, equation 4 with half its first term, as the code has it."""
    n, total = len(u), 0.0
    a, b = columns(u), columns(v)
    for p, q in zip(a, b, strict=True):
        total += sum((x - y) ** 2 for x, y in zip(p, q, strict=True)) / n / 2
    for z in (a, b):
        for k, row in enumerate(products(z, z, n)):
            total += weight * sum((value - (k == j)) ** 2 for j, value in enumerate(row))
    return total


def vicreg(u: Tensor, v: Tensor, weights: Sequence[float]) -> float:
    """Bardes et al., 2022, arXiv:2105.04906, algorithm 1."""
    n, d = u.shape
    apart = sum((x - y) ** 2 for p, q in zip(rows(u), rows(v), strict=True) for x, y in zip(p, q, strict=True)) / (n * d)
    total = weights[0] * apart
    for z in (u, v):
        covariances = products(centred := columns(z, standardized=False), centred, n - 1)
        for k, row in enumerate(covariances):
            total += weights[1] * max(0.0, 1 - math.sqrt(row[k] + 1e-4)) / d
            total += weights[2] * sum(value**2 for j, value in enumerate(row) if j != k) / d
    return total


def fnc(u: Tensor, v: Tensor, tau: float, false: Sequence[Sequence[int]], how: str) -> float:
    """Huynh et al., 2022, arXiv:2011.11765, equations 3 and 4, over all anchors of both views."""
    z, n, total = rows(u) + rows(v), len(u), 0.0
    for i in range(2 * n):
        own, others = (i + n) % (2 * n), [j + side for j in false[i % n] for side in (0, n)]
        scores = {a: cosine(z[i], z[a]) / tau for a in range(2 * n) if a != i}
        if how == "eliminate":
            total += log_sum_exp([s for a, s in scores.items() if a == own or a not in others]) - scores[own]
        else:
            positives = [own, *others]
            total += log_sum_exp(list(scores.values())) - sum(scores[p] for p in positives) / len(positives)
    return total / (2 * n)


def false_negatives(support: Sequence[Tensor], keys: Sequence[Tensor], k: int, threshold: float) -> set[tuple[int, int]]:
    """The paper's section 3.3: top-k and a threshold of the highest similarity."""
    n, found = len(support[0]), set()
    for i in range(n):
        scores = {j: max(cosine(rows(a)[i], rows(b)[j]) for a in support for b in keys) for j in range(n) if j != i}
        best = sorted(scores, key=lambda j: -scores[j])[:k]
        found |= {(i, j) for j in best if scores[j] > threshold}
    return found


def unit(a: Sequence[float]) -> list[float]:
    """Of length 1."""
    length = math.sqrt(sum(x * x for x in a))
    return [x / length for x in a]


def mochi(
    u: Tensor,
    v: Tensor,
    tau: float,
    draws: Sequence[Tensor],
    num_hard: int,
    *,
    extra: Tensor | None = None,
    intra: bool = False,
    out: Sequence[Sequence[int]] = (),
) -> float:
    """Kalantidis et al., 2020, arXiv:2010.01028, equations 4 to 6, every mixture made; ranks and shares as the library drew them."""
    first, second, share, of_query, query = ([float(x) for x in draw] for draw in draws)
    more = [] if extra is None else rows(extra)
    total, n = 0.0, len(u)
    for mine, other in ((rows(u), rows(v)), (rows(v), rows(u))):
        for i in range(n):
            q, left = unit(mine[i]), {i, *(out[i] if out else ())}
            keys = [unit(key) for views in ((other, mine) if intra else (other,)) for j, key in enumerate(views) if j not in left]
            keys += [unit(key) for key in more]
            hard = sorted(keys, key=lambda key: -cosine(q, key))[:num_hard]
            mixed = []
            for x, y, a in zip(first, second, share, strict=True):
                one, two = hard[int(x * len(hard))], hard[int(y * len(hard))]
                mixed.append([a * s + (1 - a) * t for s, t in zip(one, two, strict=True)])
            for x, b in zip(of_query, query, strict=True):
                mixed.append([b / 2 * s + (1 - b / 2) * t for s, t in zip(q, hard[int(x * len(hard))], strict=True)])
            own = cosine(q, other[i]) / tau
            total += log_sum_exp([own, *(cosine(q, key) / tau for key in [*keys, *mixed])]) - own
    return total / (2 * n)
