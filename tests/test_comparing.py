"""Methods against one another: the test's statistic by hand, its size on equal methods, Holm's correction, what may not be compared."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from graphssl.cli import main
from graphssl.comparing import compare, draw, holm, sizes_ratio
from graphssl.evaluation.protocols import PROTOCOLS


def record(values: Any, method: str = "a", protocol: str = "random-10-10-80", **more: Any) -> dict[str, Any]:
    shared = {"dataset": "cora", "setting": "transductive", "protocol_version": 1, "split_hash": "abc", "metric": "accuracy"}
    return {"method": method, "protocol": protocol, "values": np.asarray(values).tolist(), **shared, **more}


def test_statistic_is_that_of_nadeau_and_bengio() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.02, (3, 20)), rng.normal(0.79, 0.02, (2, 20))
    (pair,) = compare([record(a), record(b, "b")]).pairs
    d = [sum(a[s][k] for s in range(3)) / 3 - sum(b[s][k] for s in range(2)) / 2 for k in range(20)]
    mean = sum(d) / 20
    variance = sum((x - mean) ** 2 for x in d) / 19
    t = abs(mean) / math.sqrt((1 / 20 + 0.8 / 0.1) * variance)
    assert abs(pair.difference) == pytest.approx(abs(mean))
    assert pair.p == pair.corrected == pytest.approx(2 * stats.t.sf(t, 19))
    half = stats.t.ppf(0.975, 19) * math.sqrt((1 / 20 + 8) * variance)
    assert (pair.high - pair.low) / 2 == pytest.approx(half)


def test_own_splits_are_compared_over_seeds_as_welch_does() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.8, 0.01, (5, 1)), rng.normal(0.83, 0.03, (4, 1))
    found = compare([record(a, protocol="planetoid-public"), record(b, "b", protocol="planetoid-public")])
    (pair,) = found.pairs
    assert found.names == ("b", "a")  # the best first
    theirs = stats.ttest_ind(b[:, 0], a[:, 0], equal_var=False)
    assert pair.p == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval()
    assert (pair.low, pair.high) == pytest.approx((interval.low, interval.high))
    with pytest.raises(ValueError, match="each run needs at least two, got 4 and 1"):
        compare([record(a[:1], protocol="planetoid-public"), record(b, "b", protocol="planetoid-public")])


def test_equal_methods_are_rarely_told_apart() -> None:
    """Splits of one dataset share most of their rows: a t-test that takes them as independent finds what is not there."""
    rng, wrong, naive = np.random.default_rng(2), 0, 0
    for _ in range(200):
        d = rng.normal(0, 1) * 0.01 + rng.normal(0, 0.01 / math.sqrt(8), 20)  # correlated as 10/10/80 splits may be
        base = rng.normal(0.8, 0.01, 20)
        (pair,) = compare([record([base + d]), record([base], "b")]).pairs
        wrong += pair.p < 0.05
        naive += stats.ttest_1samp(d, 0).pvalue < 0.05
    assert wrong <= 16
    assert naive > 100


@pytest.mark.parametrize("p", [[0.2], [0.01, 0.01, 0.01], [0.5, 0.001, 0.03, 0.9], [1.0, 1.0]])
def test_holm_is_the_textbooks(p: list[float]) -> None:
    order = sorted(range(len(p)), key=lambda i: p[i])
    told, largest = [0.0] * len(p), 0.0
    for k, i in enumerate(order):
        largest = max(largest, min(1.0, p[i] * (len(p) - k)))
        told[i] = largest
    assert holm(p) == pytest.approx(told)


def test_ratio_of_each_protocol() -> None:
    assert sizes_ratio(PROTOCOLS["bgrl-20-80"], 3) == 4
    assert sizes_ratio(PROTOCOLS["tu-svm"], 10) == sizes_ratio(PROTOCOLS["tu-svm"], 50) == pytest.approx(1 / 9)
    for name, protocol in PROTOCOLS.items():
        ratio = sizes_ratio(protocol, 10)
        assert (ratio is None) == (protocol.draw in ("dataset", "per-class")), name
        assert ratio is None or ratio > 0
        assert sizes_ratio(protocol, 1) is None


def test_ranks_and_order() -> None:
    base = np.linspace(0.7, 0.8, 10)
    found = compare([record([base], "low"), record([base + 0.2], "top"), record([base + 0.1], "mid")])
    assert (found.names, found.ranks) == (("top", "mid", "low"), (1.0, 2.0, 3.0))
    assert [(p.first, p.second) for p in found.pairs] == [("top", "mid"), ("top", "low"), ("mid", "low")]
    assert all(pair.p < 1e-9 and pair.low == pytest.approx(pair.high) for pair in found.pairs)  # always the same difference
    errors = compare([record([base], "less", metric="rmse"), record([base + 0.2], "more", metric="rmse")])
    assert errors.names == ("less", "more")
    same = compare([record([base]), record([base])])
    assert same.names == ("a 1", "a 2")
    assert same.pairs[0].p == 1


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two are needed to compare, got 1"):
        compare([record([[0.5, 0.6]])])
    for key, value in (("dataset", "pubmed"), ("split_hash", "def"), ("metric", "micro_f1"), ("setting", "inductive")):
        with pytest.raises(ValueError, match=f"they differ in {key.replace('_', ' ')} and cannot be compared"):
            compare([record([[0.5, 0.6]]), record([[0.5, 0.6]], "b", **{key: value})])


def test_picture(tmp_path: Path) -> None:
    pytest.importorskip("scikit_posthocs")
    rng = np.random.default_rng(0)
    found = compare([record(rng.normal(0.7 + 0.05 * i, 0.001, (1, 10)), name) for i, name in enumerate("abcd")])
    for name in ("p.png", "p.svg"):
        draw(found, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.png", "p.svg"]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for i, name in enumerate(("dgi", "bgrl")):
        folder = tmp_path / name
        folder.mkdir()
        values = record(rng.normal(0.7 + 0.1 * i, 0.01, (2, 20)), name)
        (folder / ("record.json" if i else "score.json")).write_text(json.dumps(values))
    runs = [str(tmp_path / "dgi"), str(tmp_path / "bgrl")]
    assert main(["compare", *runs]) == 0
    out = capsys.readouterr().out
    assert "bgrl - dgi" in out
    assert "Holm's correction" in out
    assert main(["compare", *runs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["names"] == ["bgrl", "dgi"]
    for args, words in (
        ([runs[0]], "at least two are needed to compare, got 1"),
        ([*runs, str(tmp_path)], "is not a run folder: it has no score.json"),
        ([*runs, "--plot", "x.gif"], "plot: the file must end in .png, .svg, .pdf, got 'x.gif'"),
    ):
        assert main(["compare", *args]) == 2
        assert words in capsys.readouterr().err
