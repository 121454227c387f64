"""Few-shot episodes on frozen embeddings: new classes, a few labelled rows of each, all episodes solved together."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from scipy.stats import t
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.evaluation.logistic import Problem, newton
from graphssl.evaluation.rows import Scaler, embedding, labels, take
from graphssl.evaluation.score import Score, check_setting, number

Classifier = Literal["logistic", "centroid", "nearest"]
ENTRIES = 2**24  # of the rows of episodes held at a time


@dataclass(frozen=True)
class FewShot(Score):
    """A score over episodes, each a value; ``half_width`` is that of the interval of Student's t of the mean, at 95 %."""

    @property
    def half_width(self) -> float:
        """``t_{0.975, n - 1}`` standard errors of the mean over ``n`` episodes; infinite for one."""
        n = len(self.values)
        return float(t.ppf(0.975, n - 1)) * statistics.stdev(self.values) / n**0.5 if n > 1 else float("inf")

    def __str__(self) -> str:
        interval = f"{number(self.mean, self.metric)} % ± {number(self.half_width, self.metric)}"
        return f"{self.metric} {interval} (95 % interval over {len(self.values)} episodes), {self.protocol} v{self.version}, {self.setting}"


def few_shot(
    z: Any,
    y: Any,
    *,
    ways: int = 5,
    shots: int = 5,
    queries: int = 15,
    episodes: int = 600,
    novel: Sequence[int] | None = None,
    classifier: Classifier = "logistic",
    penalty: float = 1.0,
    seed: int = 0,
    setting: str = "transductive",
) -> FewShot:
    r"""How well a few labelled rows tell new classes apart on a frozen embedding (RFS; Tian et al., 2020, arXiv:2003.11539).

    An episode draws ``ways`` of the novel classes and of each ``shots`` rows to learn from and ``queries`` others to test on. Rows are
    scaled to unit length; a classifier is fitted to the ``ways * shots``. The score is the mean accuracy over episodes.

    Args:
        z: ``[N, D]`` embedding or raw features, dense or sparse.
        y: ``[N]`` classes, -1: unlabelled.
        ways: classes an episode.
        shots: labelled rows of each.
        queries: test rows of each.
        episodes: how many.
        novel: the classes that episodes draw from, which training should not have seen; all by default.
        classifier: ``logistic``: multinomial logistic regression with penalty ``C = penalty`` and a free intercept; ``centroid``: the
            class whose mean of unit rows has the largest cosine; ``nearest``: the class of the row with the largest cosine.
        penalty: ``C`` of ``logistic``; small is strong regularisation.
        seed: of the episodes, which depend on ``y`` and not on ``z``.
        setting: ``transductive`` or ``inductive``.

    Raises:
        ValueError: counts below 1 (``ways`` below 2), more ways than novel classes, or a class with fewer rows than an episode needs.

    Example:
        >>> y = torch.arange(60) % 3
        >>> print(few_shot(torch.eye(3)[y], y, ways=3, shots=1, episodes=10))
        accuracy 100.00 % ± 0.00 (95 % interval over 10 episodes), few-shot v1, transductive

    Deviation:
        The authors' code enlarges the support fivefold by augmented images, which an embedding does not have.
    """
    check_setting(setting)
    if classifier not in get_args(Classifier):
        raise ValueError(f"classifier must be one of {', '.join(get_args(Classifier))}, got {classifier!r}")
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, got {penalty}")
    x = embedding(z)
    truth, _ = labels(y, x.size(0), x.device)
    drawn = draw_episodes(truth, ways=ways, shots=shots, queries=queries, episodes=episodes, novel=novel, seed=seed)
    unit = Scaler.fit("l2", x)
    values, converged = [], True
    step = max(1, ENTRIES // (ways * (shots + queries) * x.size(1)))
    for part in torch.split(drawn.to(x.device), step):
        rows = unit(take(x, part.flatten()))
        points = (rows.to_dense() if isinstance(rows, CSR) else rows).view(*part.shape, -1)  # [E, ways, shots + queries, D] float64
        support, asked = (points[:, :, place].flatten(1, 2) for place in (slice(shots), slice(shots, None)))  # [E, ways * _, D]
        scores, done = _scores(support, asked, ways, classifier, penalty)  # [E, ways * queries, ways]
        converged &= done
        own = torch.arange(ways, device=x.device).repeat_interleave(queries)
        values += (scores.argmax(2) == own).double().mean(1).tolist()
    digest = hashlib.sha256(drawn.cpu().numpy().tobytes()).hexdigest()[:16]
    chosen = {"ways": float(ways), "shots": float(shots), "queries": float(queries)}
    return FewShot("accuracy", tuple(values), setting, "few-shot", 1, digest, converged, (chosen,))


def draw_episodes(
    y: Tensor, *, ways: int, shots: int, queries: int, episodes: int, novel: Sequence[int] | None = None, seed: int = 0
) -> Tensor:
    """Rows of each episode, ``[episodes, ways, shots + queries]``: the first ``shots`` to learn from; no row twice in an episode.

    Raises:
        ValueError: as :func:`few_shot`.

    Example:
        >>> y = torch.arange(40) % 4
        >>> rows = draw_episodes(y, ways=2, shots=1, queries=3, episodes=5, novel=(1, 3))
        >>> rows.shape, (y[rows] % 2 == 1).all().item()
        (torch.Size([5, 2, 4]), True)
    """
    for name, given, least in (("ways", ways, 2), ("shots", shots, 1), ("queries", queries, 1), ("episodes", episodes, 1)):
        if given < least:
            raise ValueError(f"{name} must be at least {least}, got {given}")
    classes = y[y >= 0].unique() if novel is None else torch.tensor(sorted(set(novel)), device=y.device)  # type: ignore[no-untyped-call]
    if len(classes) < ways:
        raise ValueError(f"ways must be at most the number of novel classes, {len(classes)}, got {ways}")
    members = [(y == c).nonzero().squeeze(1).cpu().numpy() for c in classes.tolist()]
    need = shots + queries
    if short := [(int(c), len(rows)) for c, rows in zip(classes.tolist(), members, strict=True) if len(rows) < need]:
        raise ValueError(f"an episode takes {need} rows of a class (shots and queries), and class {short[0][0]} has {short[0][1]}")
    rng = np.random.Generator(np.random.PCG64([seed, 2]))
    which = rng.random((episodes, len(classes))).argsort(1)[:, :ways]  # [episodes, ways]
    sizes = np.array([len(rows) for rows in members])
    starts = sizes.cumsum() - sizes
    places = _without_replacement(sizes[which], need, rng)
    return torch.from_numpy(np.concatenate(members)[starts[which][:, :, None] + places])


def _without_replacement(sizes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` different numbers below each of ``sizes``, ``[*sizes.shape, count]``, each order equally likely.

    The ``j``-th is the ``r``-th of those that are left, ``r`` uniform: counted up past the taken ones, smallest first.
    """
    taken = np.empty((*sizes.shape, 0), dtype=np.int64)  # ascending
    drawn = []
    for j in range(count):
        place = (rng.random(sizes.shape) * (sizes - j)).astype(np.int64)
        for k in range(j):
            place += place >= taken[..., k]
        drawn.append(place)
        taken = np.sort(np.concatenate([taken, place[..., None]], axis=-1), axis=-1)
    return np.stack(drawn, axis=-1)


def _scores(support: Tensor, asked: Tensor, ways: int, classifier: Classifier, penalty: float) -> tuple[Tensor, bool]:
    """Scores ``[E, Q, ways]`` of what is asked ``[E, Q, D]`` from the support ``[E, S, D]``, by class; and whether all converged."""
    e, s, _ = support.shape
    if classifier == "logistic":
        return _logistic(support, asked, ways, penalty)
    if classifier == "centroid":
        centre = torch.nn.functional.normalize(support.view(e, ways, s // ways, -1).mean(2), dim=2)
        return asked @ centre.mT, True
    return (asked @ support.mT).view(e, -1, ways, s // ways).amax(3), True


def _logistic(support: Tensor, asked: Tensor, ways: int, penalty: float) -> tuple[Tensor, bool]:
    """Logistic regression of all episodes at once, in the span of each support: ``S`` numbers a row, whatever ``D``."""
    e, s, _ = support.shape
    mean = support.mean(1, keepdim=True)  # a free intercept: rows may be centred
    centred = support - mean
    value, vectors = torch.linalg.eigh(centred @ centred.mT)  # [E, S], [E, S, S]
    root = value.clamp_min(0).sqrt()
    inverse = torch.where(value > 1e-12 * value[:, -1:].clamp_min(1e-12), 1 / root, 0.0)
    one = support.new_ones(e, 1, 1)
    z = torch.cat([vectors * root[:, None], one.expand(-1, s, -1)], 2)  # [E, S, S + 1]
    hot = torch.eye(ways, dtype=z.dtype, device=z.device).repeat_interleave(s // ways, 0)  # [S, ways]
    ridge = z.new_ones(s + 1, 1, 1)
    ridge[-1] = 0
    y = hot[:, None].expand(-1, e, -1)
    problem = Episodes(z, z.square(), ridge, y, z.new_full((e,), penalty), z.new_zeros(s + 1, e, ways))
    w, done = newton(problem, 100, 1e-8)  # [S + 1, E, ways]
    basis = (asked - mean) @ centred.mT @ (vectors * inverse[:, None])
    return torch.cat([basis, one.expand(-1, asked.size(1), -1)], 2) @ w.transpose(0, 1), bool(done.all())


@dataclass(frozen=True, eq=False)
class Episodes(Problem):
    """Problems that have each its own rows: ``z`` is ``[P, n, r]``."""

    z: Tensor
    square: Tensor

    def forward(self, v: Tensor) -> Tensor:
        """``[r, P, k] -> [n, P, k]``."""
        return (self.z @ v.transpose(0, 1)).transpose(0, 1)

    def backward(self, v: Tensor, squared: bool = False) -> Tensor:
        """``[n, P, k] -> [r, P, k]``."""
        return ((self.square if squared else self.z).mT @ v.transpose(0, 1)).transpose(0, 1)

    def of(self, index: Tensor) -> Problem:
        """Some of the problems, as far as products go."""
        return replace(self, z=self.z[index], square=self.square[index])

    def take(self, index: Tensor) -> Problem:
        """Some of the problems."""
        return replace(super().take(index), z=self.z[index], square=self.square[index])
