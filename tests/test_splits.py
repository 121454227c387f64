"""Laws of splits: disjoint, complete, seeded, and named by their content alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from graphssl.datasets import Split, few_labels_split, from_masks, random_splits, split_hash

Y = torch.arange(200) % 5
Y[::7] = -1
KNOWN = (Y >= 0).nonzero().squeeze(1)


def rows(split: Split) -> torch.Tensor:
    return torch.cat([split.train, split.val, split.test]).sort().values


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize(("train", "val"), [(0.1, 0.1), (0.2, 0.0), (0.6, 0.2)])
def test_random_splits_divide_the_labelled_rows(train: float, val: float, stratified: bool) -> None:
    splits = random_splits(Y, train=train, val=val, num=4, stratified=stratified)
    assert len({split.hash for split in splits}) == 4
    for split in splits:
        assert torch.equal(rows(split), KNOWN)
        assert all((part.diff() > 0).all() and part.dtype == torch.int64 for part in (split.train, split.val, split.test))
        if not stratified:
            assert split.train.numel() == int(train * KNOWN.numel() + 1e-9)
            assert split.val.numel() == int(val * KNOWN.numel() + 1e-9)


def test_stratified_splits_keep_the_shares_of_each_class() -> None:
    for split in random_splits(Y, train=0.2, val=0.2, num=3, stratified=True):
        for c in range(5):
            size = int((c == Y).sum())
            assert int((Y[split.train] == c).sum()) == int(0.2 * size)
            assert int((Y[split.val] == c).sum()) == int(0.2 * size)


def test_each_row_is_drawn_equally_often() -> None:
    count = torch.zeros(50)
    for split in random_splits(torch.zeros(50), train=0.2, val=0.0, num=2000):
        count[split.train] += 1
    assert (count / 2000 - 0.2).abs().max() < 5 * (0.2 * 0.8 / 2000) ** 0.5


def test_same_seed_same_splits_whatever_their_number_and_the_global_state() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    first = random_splits(Y, num=3, seed=5)
    few_labels_split(Y, 3, seed=5)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())
    torch.manual_seed(2)
    again = random_splits(Y, num=5, seed=5)
    assert [split.hash for split in again[:3]] == [split.hash for split in first]
    assert {s.hash for s in random_splits(Y, num=3, seed=6)}.isdisjoint(s.hash for s in first)


def test_the_draw_is_the_same_on_every_platform() -> None:
    """Published hashes must stay: this value may never change."""
    assert split_hash(random_splits(torch.zeros(1000), seed=0)) == "cc004f503f85"


def test_hash_is_of_the_rows_and_nothing_else() -> None:
    one = Split("a", torch.tensor([3, 1]), torch.tensor([2]), torch.tensor([0]))
    same = Split("b", torch.tensor([1, 3], dtype=torch.int32), torch.tensor([2]), torch.tensor([0]), seed=4)
    assert one.hash == same.hash == split_hash([one])
    assert len(one.hash) == 12
    moved = Split("a", torch.tensor([1]), torch.tensor([2, 3]), torch.tensor([0]))
    swapped = Split("a", torch.tensor([1, 3]), torch.tensor([0]), torch.tensor([2]))
    empty = Split("a", torch.tensor([1, 3]), torch.tensor([]), torch.tensor([0, 2]))
    assert len({one.hash, moved.hash, swapped.hash, empty.hash}) == 4


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([], [1], [2]), "train is empty"),
        (([1], [2], []), "test is empty"),
        (([1, 2], [2], [3]), "row 2"),
        (([1, 1], [2], [3]), "row 1"),
        (([-1], [2], [3]), "row -1"),
        (([0.5], [2], [3]), "row numbers"),
        (([True], [2], [3]), "row numbers"),
    ],
)
def test_bad_splits_are_refused(parts: tuple[list[int], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Split("x", *(torch.tensor(part) for part in parts))


def test_few_labels() -> None:
    split = few_labels_split(Y, 3, val=20, seed=1)
    assert torch.equal(torch.bincount(Y[split.train]), torch.full((5,), 3))
    assert split.val.numel() == 20
    assert torch.equal(rows(split), KNOWN)
    assert few_labels_split(Y, 3, val=20, test=30, seed=1).test.numel() == 30
    assert few_labels_split(Y, 3, val=20, seed=2).hash != split.hash
    with pytest.raises(ValueError, match="class 0 has"):
        few_labels_split(Y, 100)


@pytest.mark.parametrize("shares", [{"train": 0}, {"train": 0.9, "val": 0.1}, {"train": 1.5}, {"val": -0.1}, {"num": 0}, {"train": 0.001}])
def test_impossible_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"got|too few"):
        random_splits(Y, **shares)  # type: ignore[arg-type]


def test_multi_label_rows_count_with_one_known_label() -> None:
    y = torch.zeros(30, 2)
    y[0], y[1, 0] = float("nan"), float("nan")
    assert torch.equal(rows(random_splits(y, num=1)[0]), torch.arange(1, 30))


def test_masks_of_all_shapes() -> None:
    train, val = torch.zeros(6, 2, dtype=torch.bool), torch.zeros(6, 2, dtype=torch.bool)
    train[0, 0] = train[1, 1] = val[2] = True
    test = torch.tensor([False] * 4 + [True] * 2)
    first, second = from_masks(train, val, test, name="wikics")
    assert (first.name, second.name) == ("wikics-0", "wikics-1")
    assert (first.train.tolist(), second.train.tolist()) == ([0], [1])
    assert first.test.tolist() == second.test.tolist() == [4, 5]
    assert from_masks(train[:, 0], None, None)[0].test.tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="shapes"):
        from_masks(train, val[:5], test)
    with pytest.raises(ValueError, match="train mask is missing"):
        from_masks(None, val, test)
