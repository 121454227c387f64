"""Few-shot episodes: how they are drawn, the classifiers against scikit-learn, the interval, and the command."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from graphssl.adjacency import CSR
from graphssl.cli import main
from graphssl.evaluation import FewShot, few_shot
from graphssl.evaluation.episodes import _logistic, _without_replacement, draw_episodes
from graphssl.evaluation.logistic import logistic_path

Y = torch.arange(120) % 6


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---------------------------------------------------------------------- episodes


def test_support_and_queries_are_different_rows_of_novel_classes() -> None:
    y = torch.where(torch.arange(120) % 11 == 0, -1, Y)
    rows = draw_episodes(y, ways=2, shots=3, queries=4, episodes=300, novel=(1, 3, 4), seed=1)
    assert rows.shape == (300, 2, 7)
    assert all(len(set(episode.flatten().tolist())) == 14 for episode in rows)
    of = y[rows]
    assert set(of.unique().tolist()) == {1, 3, 4}
    assert bool((of == of[:, :, :1]).all()), "a way is one class"
    assert bool((of[:, 0, 0] != of[:, 1, 0]).all()), "two ways are two classes"


def test_each_row_and_each_order_is_as_likely() -> None:
    found = _without_replacement(np.full((60_000,), 4), 3, np.random.default_rng(0))
    codes, counts = np.unique(found @ [16, 4, 1], return_counts=True)
    assert len(codes) == 24
    assert np.abs(counts / 60_000 * 24 - 1).max() < 0.1
    assert sorted(_without_replacement(np.array([5]), 5, np.random.default_rng(0))[0]) == [0, 1, 2, 3, 4]


def test_episodes_follow_the_seed_and_leave_the_global_numbers_alone() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    options: dict[str, Any] = {"ways": 3, "shots": 1, "queries": 2, "episodes": 20}
    first = draw_episodes(Y, seed=4, **options)
    assert torch.equal(first, draw_episodes(Y, seed=4, **options))
    assert not torch.equal(first, draw_episodes(Y, seed=5, **options))
    assert torch.equal(torch.get_rng_state(), state)


# ---------------------------------------------------------------------- classifiers


def test_logistic_regression_of_all_episodes_is_that_of_each() -> None:
    """scikit-learn's multinomial regression with a free intercept, and the library's own, an episode at a time."""
    ways, shots, queries, e = 3, 4, 6, 5
    support, asked = draw(e, ways * shots, 20), draw(e, ways * queries, 20, seed=1)
    for penalty in (0.1, 1.0, 30.0):
        scores, done = _logistic(support, asked, ways, penalty)
        assert done
        y = torch.arange(ways).repeat_interleave(shots)
        for k in range(e):
            theirs = LogisticRegression(C=penalty, tol=1e-10, max_iter=10_000).fit(support[k], y)
            expected = theirs.predict_proba(asked[k])
            assert np.abs(scores[k].softmax(1).numpy() - expected).max() < 1e-4
            own = logistic_path(support[k], torch.eye(ways)[y], [penalty], softmax=True, tol=1e-12).scores(asked[k])[0]
            torch.testing.assert_close(scores[k].softmax(1), own.softmax(1), atol=1e-4, rtol=1e-4)


def test_fewer_columns_than_rows_and_rows_that_repeat() -> None:
    support = draw(4, 12, 2)
    support[:, 1] = support[:, 0]
    scores, done = _logistic(support, draw(4, 9, 2, seed=1), 3, 1.0)
    assert done
    assert scores.isfinite().all()
    scores, done = _logistic(torch.zeros(4, 12, 2, dtype=torch.float64), draw(4, 9, 2), 3, 1.0)
    torch.testing.assert_close(scores.softmax(2), torch.full_like(scores, 1 / 3))


@pytest.mark.parametrize("classifier", ["logistic", "centroid", "nearest"])
def test_what_is_separable_is_told_apart(classifier: Any) -> None:
    z = torch.eye(6)[Y] + 0.01 * torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
    found = few_shot(z, Y, ways=5, shots=1, queries=3, episodes=50, classifier=classifier)
    assert found.mean == 1.0
    assert found.half_width == 0.0
    assert found.converged


@pytest.mark.parametrize("classifier", ["logistic", "centroid", "nearest"])
def test_noise_is_worth_a_guess(classifier: Any) -> None:
    found = few_shot(draw(120, 30), Y, ways=4, shots=5, queries=10, episodes=400, classifier=classifier)
    assert abs(found.mean - 0.25) < 0.06


def test_cosine_classifiers_by_hand() -> None:
    z = draw(120, 8)
    unit = torch.nn.functional.normalize(z, dim=1)
    rows = draw_episodes(Y, ways=3, shots=2, queries=4, episodes=6, seed=9)
    values: dict[str, list[float]] = {"centroid": [], "nearest": []}
    for episode in rows:
        right = dict.fromkeys(values, 0)
        for c in range(3):
            for q in episode[c, 2:]:
                mean = [float(unit[q] @ torch.nn.functional.normalize(unit[episode[k, :2]].mean(0), dim=0)) for k in range(3)]
                near = [max(float(unit[q] @ unit[s]) for s in episode[k, :2]) for k in range(3)]
                right["centroid"] += int(np.argmax(mean) == c)
                right["nearest"] += int(np.argmax(near) == c)
        for name, count in right.items():
            values[name].append(count / 12)
    for name, expected in values.items():
        found = few_shot(z, Y, ways=3, shots=2, queries=4, episodes=6, seed=9, classifier=name)  # type: ignore[arg-type]
        assert found.values == pytest.approx(expected)


def test_sparse_rows_and_any_scale_give_the_same() -> None:
    z = draw(120, 12).clamp_min(0)
    options: dict[str, Any] = {"ways": 3, "shots": 2, "queries": 4, "episodes": 30}
    dense = few_shot(z, Y, **options)
    assert few_shot(CSR.from_torch(z.to_sparse_csr()), Y, **options).values == dense.values
    assert few_shot(7 * z, Y, **options).values == dense.values


def test_the_interval_is_that_of_student() -> None:
    found = FewShot("accuracy", (0.5, 0.7, 0.9, 0.6), "transductive", "few-shot", 1, "0" * 16, True, ({},))
    assert found.half_width == pytest.approx(3.182446305 * statistics.stdev(found.values) / 2)
    assert FewShot("accuracy", (0.5,), "transductive", "few-shot", 1, "0" * 16, True, ({},)).half_width == float("inf")


def test_600_episodes_take_seconds() -> None:
    z, y = draw(3000, 256).float(), torch.arange(3000) % 7
    start = time.process_time()
    found = few_shot(z, y, ways=5, shots=5)
    assert len(found.values) == 600
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ways": 1}, "ways must be at least 2"),
        ({"shots": 0}, "shots must be at least 1"),
        ({"ways": 3, "novel": (1, 2)}, "ways must be at most the number of novel classes, 2"),
        ({"queries": 40}, "class 0 has 20"),
        ({"classifier": "svm"}, "classifier must be one of logistic, centroid, nearest"),
        ({"penalty": 0.0}, "penalty must be positive"),
        ({"setting": "else"}, "setting"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        few_shot(draw(120, 4), Y, **options)


# ---------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("few-shot") / "run"
    assert main(["train", "dgi", "digits", "--epochs", "2", "--channels", "16", "--seed", "0,1", "--quiet", "--out", str(out)]) == 0
    return out


def test_command(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    asked = ["evaluate", str(run), "--probe", "few-shot", "--ways", "3", "--shots", "5", "--episodes", "40", "--novel", "4,5,6"]
    assert main([*asked, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["probe"] == record["protocol"] == "few-shot"
    assert record["episodes"] == {"ways": 3, "shots": 5, "episodes": 40, "novel": [4, 5, 6]}
    assert set(record["rows"]) == {"dgi on digits", "untrained encoder", "raw features"}
    for row in record["rows"].values():
        assert 1 / 3 < row["mean"] <= 1
        assert 0 < row["half_width"] < 0.1
    assert main(asked) == 0
    text = capsys.readouterr().out
    assert "few-shot probe" in text
    assert "95 % interval" in text


def test_command_refuses(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for extra, words in (
        (["--ways", "3"], "ways can only be given with probe few-shot"),
        (["--probe", "few-shot", "--novel", "a,b"], "numbers of classes as 4,5,6"),
        (["--probe", "few-shot", "--novel", "4,5"], "ways must be at most the number of novel classes, 2"),
    ):
        capsys.readouterr()
        assert main(["evaluate", str(run), *extra]) == 2
        assert words in capsys.readouterr().err
