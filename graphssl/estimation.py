"""Mutual information of two sets of rows, by a network that is trained to tell pairs drawn together from pairs drawn apart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphssl.losses.bounds import diagonal_and_rest, dv, info_nce_bound, mine, nwj, smile
from graphssl.losses.mutual_information import jsd
from graphssl.random import seeded

Estimator = Literal["mine", "dv", "nwj", "jsd", "info_nce", "smile"]
CriticKind = Literal["separable", "concatenated"]


@dataclass(frozen=True)
class Estimate:
    """An estimate of mutual information, in nats."""

    value: float
    """On pairs that training did not see."""
    train: float
    """On the pairs of training: far above ``value`` where the critic has learned them by heart."""
    estimator: str
    steps: int
    num_train: int
    num_held_out: int

    def __float__(self) -> float:
        return self.value


class MINE(nn.Module):
    """The loss of MINE with its moving average (Belghazi et al., 2018, arXiv:1801.04062): :func:`graphssl.losses.mine` with a memory.

    In training mode each call moves the average of ``mean exp(negative)`` by the batch and corrects its start, as Adam does; it is kept
    as a logarithm. With ``momentum=0`` the loss is :func:`graphssl.losses.dv`, gradient and all.

    Args:
        momentum: share of the old average at each step.

    Raises:
        ValueError: ``momentum`` outside [0, 1).

    Example:
        >>> loss = MINE()
        >>> loss(torch.zeros(4), torch.zeros(4)).item(), round(abs(loss.log_average.item()), 3)
        (0.0, 0.0)
    """

    log_sum: Tensor
    steps: Tensor

    def __init__(self, momentum: float = 0.99) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        self.momentum = momentum
        self.register_buffer("log_sum", torch.tensor(-math.inf))
        self.register_buffer("steps", torch.tensor(0))

    @property
    def log_average(self) -> Tensor:
        """Logarithm of the moving average, a scalar."""
        return self.log_sum - (1 - self.momentum**self.steps).log()

    def forward(self, positive: Tensor, negative: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                new = negative.flatten().to(torch.promote_types(negative.dtype, torch.float32)).logsumexp(0) - math.log(negative.numel())
                old = self.log_sum + self.log_sum.new_tensor(self.momentum).log()
                self.log_sum.copy_(torch.logaddexp(old, new + math.log1p(-self.momentum)))
                self.steps += 1
        average = self.log_average.to(positive.device) if self.training or self.steps else negative.new_zeros(())  # none yet: as NWJ
        return mine(positive, negative, average)


class Critic(nn.Module):
    """Scores of all rows of ``x`` ``[N, D]`` with all rows of ``y`` ``[M, D']``, ``[N, M]``.

    ``separable``: the inner product of two networks, ``f(x_i) . g(y_j)``, linear in time but for the product. ``concatenated``: one network
    of each pair, ``N M`` passes of it; its first layer is taken once a row.

    Args:
        x_channels: width of ``x``.
        y_channels: width of ``y``.
        kind: ``separable`` or ``concatenated``.
        hidden: width of the two hidden layers.
        out: width of the embeddings of a separable critic.

    Raises:
        ValueError: an unknown kind.

    Example:
        >>> Critic(3, 2)(torch.zeros(5, 3), torch.zeros(4, 2)).shape
        torch.Size([5, 4])
    """

    def __init__(self, x_channels: int, y_channels: int, kind: CriticKind = "separable", *, hidden: int = 128, out: int = 32) -> None:
        super().__init__()
        if kind not in get_args(CriticKind):
            raise ValueError(f"critic must be one of {', '.join(get_args(CriticKind))}, got {kind!r}")
        self.of_x, self.of_y = nn.Linear(x_channels, hidden), nn.Linear(y_channels, hidden)
        ends = [out, out] if kind == "separable" else [1]
        self.level = nn.Parameter(torch.zeros(()))
        self.rest = nn.ModuleList(nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, end)) for end in ends)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        a, b = self.of_x(x), self.of_y(y)
        if len(self.rest) == 2:
            f, g = self.rest
            return f(a) @ g(b).t() + self.level  # type: ignore[no-any-return]
        return self.rest[0](a[:, None] + b).squeeze(-1) + self.level  # type: ignore[no-any-return]


def mutual_information(
    x: Tensor,
    y: Tensor,
    *,
    estimator: Estimator = "mine",
    critic: CriticKind = "concatenated",
    hidden: int = 64,
    steps: int = 1000,
    batch_size: int = 128,
    lr: float = 2e-3,
    momentum: float = 0.99,
    clip: float = 5.0,
    held_out: float = 0.2,
    seed: int = 0,
) -> Estimate:
    r"""Estimate of the mutual information ``I(x; y)`` of rows that were drawn together, in nats.

    A critic learns to score pairs by one of the losses below with Adam, on one part of the rows; the value is that of the other part.
    Negatives are the other pairs of a batch. ``mine``: Donsker-Varadhan with MINE's gradient (Belghazi et al., 2018, arXiv:1801.04062);
    ``dv``: without it; ``nwj``: Nguyen-Wainwright-Jordan; ``jsd``: trained by the Jensen-Shannon loss, told by ``nwj`` (Poole et al., 2019,
    arXiv:1905.06922); ``info_nce``: at most ``log batch_size``; ``smile``: clipped ratios (Song and Ermon, 2020, arXiv:1910.06222). All but
    ``smile`` are lower bounds in expectation (``mine`` and ``dv`` up to the logarithm of an average), and tell too little where the
    information is large beside the logarithm of the number of pairs.

    Columns are standardised first, which changes no mutual information. The global random numbers are left as they were.

    Args:
        x: ``[N, D]`` or ``[N]``.
        y: ``[N, D']`` or ``[N]``; classes, if integer.
        estimator: one of the six.
        critic: ``concatenated``, or ``separable``, several times faster and further off (:class:`Critic`).
        hidden: width of the critic.
        steps: of Adam.
        batch_size: pairs a step, and pairs among which ``info_nce`` tells the right one.
        lr: learning rate.
        momentum: of MINE's moving average.
        clip: of ``smile``.
        held_out: share of the rows that the value is taken on.
        seed: of the parts, the critic and the batches.

    Raises:
        ValueError: an unknown name, a number out of its range, rows that disagree, or fewer than two of them in a part.

    Example:
        >>> with seeded(0):
        ...     x = torch.randn(2000, 1)
        ...     y = 0.9 * x + (1 - 0.81) ** 0.5 * torch.randn(2000, 1)  # 0.83 nats
        >>> estimate = mutual_information(x, y, estimator="info_nce", critic="separable", steps=300)
        >>> 0.6 < estimate.value < 1.0
        True
    """
    _check(estimator=(estimator in get_args(Estimator), estimator, f"one of {', '.join(get_args(Estimator))}"))
    _check(
        steps=(steps >= 1, steps, "at least 1"),
        batch_size=(batch_size >= 2, batch_size, "at least 2"),
        hidden=(hidden >= 1, hidden, "at least 1"),
        lr=(lr > 0, lr, "positive"),
        clip=(clip > 0, clip, "positive"),
        held_out=(0 < held_out < 1, held_out, "in (0, 1)"),
    )
    x, y = _columns(x), _columns(y)
    n, held = x.size(0), int(held_out * x.size(0))
    _check(y=(y.size(0) == n, y.size(0), f"as many rows as x, {n}"), x=(min(held, n - held) >= 2, n, "rows enough for two in each part"))
    size = min(batch_size, n - held, held)
    with seeded(seed):
        order = torch.randperm(n).to(x.device)
        test, train = order[:held], order[held:]
        x, y = _standardised(x, train), _standardised(y, train)
        net = Critic(x.size(1), y.size(1), critic, hidden=hidden).to(x.device)
        loss = MINE(momentum).to(x.device)
        optimizer = torch.optim.Adam(net.parameters(), lr=lr)
        for rows in _batches(train, size, steps):
            value = _loss(estimator, net(x[rows], y[rows]), loss, clip)
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        seen = train[torch.randperm(train.numel())[:held].to(x.device)]
    told = [_value(estimator, net, x[rows], y[rows], size, clip) for rows in (test, seen)]
    return Estimate(told[0], told[1], estimator, steps, n - held, held)


def _loss(estimator: Estimator, scores: Tensor, average: MINE, clip: float) -> Tensor:
    if estimator == "info_nce":
        return info_nce_bound(scores)
    positive, negative = diagonal_and_rest(scores)
    if estimator == "mine":
        return average(positive, negative)  # type: ignore[no-any-return]
    if estimator == "smile":
        return smile(positive, negative, clip=clip)
    return {"dv": dv, "nwj": nwj, "jsd": jsd}[estimator](positive, negative)


@torch.no_grad()
def _value(estimator: Estimator, net: Critic, x: Tensor, y: Tensor, size: int, clip: float) -> float:
    """The estimate on these rows: scores within batches of ``size``, positives and negatives of all batches together."""
    scores = [net(a, b) for a, b in zip(x.split(size), y.split(size), strict=True) if len(a) == size]  # type: ignore[no-untyped-call]
    if estimator == "info_nce":
        return -float(torch.stack([info_nce_bound(s) for s in scores]).mean())
    positive, negative = (torch.cat(part) for part in zip(*map(diagonal_and_rest, scores), strict=True))
    if estimator == "smile":
        return -float(smile(positive, negative, clip=clip))
    level = 1.0 if estimator == "jsd" else 0.0  # its optimum is the log-ratio, and that of nwj one more
    return -float((dv if estimator in ("mine", "dv") else nwj)(positive + level, negative + level))


def _batches(rows: Tensor, size: int, steps: int) -> Iterator[Tensor]:
    """So many batches of ``size`` rows, those of an epoch disjoint."""
    done = 0
    while done < steps:
        order = rows[torch.randperm(rows.numel()).to(rows.device)]
        for batch in order[: rows.numel() // size * size].split(size)[: steps - done]:  # type: ignore[no-untyped-call]
            done += 1
            yield batch


def _columns(t: Tensor) -> Tensor:
    if t.dim() == 1 and not t.is_floating_point():
        return F.one_hot(torch.unique(t, return_inverse=True)[1]).float()
    _check(rows=(t.dim() in (1, 2), tuple(t.shape), "[N, D] or [N]"))
    return (t[:, None] if t.dim() == 1 else t).detach().float()


def _standardised(t: Tensor, rows: Tensor) -> Tensor:
    spread, mean = torch.std_mean(t[rows], dim=0)
    return (t - mean) / spread.where(spread > 0, 1)


def _check(**given: tuple[bool, object, str]) -> None:
    for name, (holds, value, allowed) in given.items():
        if not holds:
            raise ValueError(f"{name} must be {allowed}, got {value!r}")
