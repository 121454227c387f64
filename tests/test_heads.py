"""Heads: projector, moving average, discriminator, readout."""

from __future__ import annotations

import pytest
import references
import torch
from checks import close
from torch import nn

from graphssl import GCN
from graphssl.heads import EMA, MLP, Bilinear, mean_per_graph
from graphssl.layers import PReLU


def test_mlp_is_two_linear_layers() -> None:
    mlp = MLP(4, 7, 3, act="elu").double()
    x = torch.randn(5, 4, dtype=torch.float64)
    first, act, second = mlp
    assert isinstance(act, nn.ELU)
    close(mlp(x), nn.functional.elu(x @ first.weight.t() + first.bias) @ second.weight.t() + second.bias)
    assert isinstance(MLP(4, 7, 3)[1], PReLU)


def test_unknown_activation_is_named() -> None:
    for word in ("act", "swish", "relu"):
        with pytest.raises(ValueError, match=word):
            MLP(4, 7, 3, act="swish")


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.99, 1.0])
def test_moving_average_law(momentum: float) -> None:
    online = GCN(4, [6, 6], weight_standardization=True).double()
    target = EMA(online)
    with torch.no_grad():
        for p in target.parameters():
            p.normal_()
    start = [p.clone() for p in target.copy.parameters()]
    for k in range(1, 6):
        target.update(online, momentum)
        for now, first, theta in zip(target.copy.parameters(), start, online.parameters(), strict=True):
            close(now, references.ema(first, theta, momentum, k), 1e-12)  # type: ignore[arg-type]


def test_copy_takes_no_gradient_and_shares_nothing() -> None:
    online = GCN(4, [6])
    target = EMA(online)
    assert not any(p.requires_grad for p in target.parameters())
    assert all(p.requires_grad for p in online.parameters())
    assert {p.data_ptr() for p in target.parameters()}.isdisjoint(p.data_ptr() for p in online.parameters())


def test_reset_or_copy() -> None:
    torch.manual_seed(0)
    online = GCN(4, [6, 6])
    same, other = EMA(online), EMA(online, reset=True)
    for (name, a), b, c in zip(online.named_parameters(), same.copy.parameters(), other.copy.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c) != name.endswith("linear.weight"), name  # biases and slopes start at a constant


def test_reset_reaches_a_single_layer() -> None:
    online = nn.Linear(3, 3)
    assert not torch.equal(EMA(online, reset=True).copy.weight, online.weight)  # type: ignore[arg-type]


def test_buffers() -> None:
    online = GCN(4, [6])
    own, taken = EMA(online, buffers="own"), EMA(online, buffers="copy")
    for b in online.buffers():
        b.copy_(torch.full_like(b, 3))
    for target in (own, taken):
        target.update(online, 0.5)
    assert all((b == 3).all() for b in taken.copy.buffers())
    assert not any((b == 3).any() for b in own.copy.buffers())
    for word in ("buffers", "mine", "own", "copy"):
        with pytest.raises(ValueError, match=word):
            EMA(online, buffers="mine")  # type: ignore[arg-type]


def test_discriminator_equals_its_loop() -> None:
    head = Bilinear(4).double()
    nn.init.constant_(head.bias, 0.7)
    head.requires_grad_(False)
    h, s, index = torch.randn(5, 4).double(), torch.randn(3, 4).double(), torch.tensor([0, 0, 1, 2, 2])
    expected = [sum(float(h[i, a] * head.weight[a, b] * s[index[i], b]) for a in range(4) for b in range(4)) + 0.7 for i in range(5)]
    close(head(h, s, index), torch.tensor(expected, dtype=torch.float64))
    close(head(h, s[:1]), head(h, s, torch.zeros(5, dtype=torch.long)))


def test_readout_equals_its_loop() -> None:
    h, graph_id = torch.randn(6, 3).double(), torch.tensor([0, 0, 2, 2, 2, 4])
    close(mean_per_graph(h, graph_id, 5), references.means(h, graph_id.tolist(), 5), 1e-12)
    close(mean_per_graph(h, None, 1), h.mean(0, keepdim=True), 1e-12)
