"""Published scores run again: every seed kept and none run twice, one record, the difference and its interval, the whole table."""

from __future__ import annotations

import json
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphssl import reproducing
from graphssl.cli import main
from graphssl.recipes import RECIPES, Reported, find_recipe
from graphssl.recipes.targets import VARIANTS, Target, find_target, targets
from graphssl.reproducing import RECORD, difference, merged, plan, raw_size, reproduce

SMALL = find_recipe("bgrl", "digits").model_copy(
    update={"epochs": 3, "channels": (8, 4), "hidden": 8, "protocol": "random-10-10-80", "num_splits": 2}
)
ROW = Target("bgrl", "digits", "", SMALL, Reported(score=50.0, std=1.0, protocol="random-10-10-80", where="made up"))


# ---------------------------------------------------------------------- the rows


def test_every_published_score_is_a_row_and_every_variant_says_why() -> None:
    rows = targets()
    assert len({row.name for row in rows}) == len(rows)
    own = {
        (method, dataset)
        for method, known in RECIPES.items()
        for dataset, r in known.items()
        for p in r.reported
        if p.protocol == r.protocol
    }
    assert {(row.method, row.dataset) for row in rows if not row.variant} == own
    for row in rows:
        assert row.published.protocol == row.recipe.protocol
        assert bool(row.why) == bool(row.variant)
        if row.variant:
            assert row.recipe != find_recipe(row.method, row.dataset)
    assert set(VARIANTS) <= {(row.method, row.dataset) for row in rows if row.variant}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("bgrll", "cora", ""), r"unknown method 'bgrll' \(did you mean 'bgrl'\?\)"),
        (("bgrl", "digits", ""), r"no score of bgrl on digits is published with a recipe; there are some on amazon-computers"),
        (("context-prediction", "hiv", ""), r"no score of context-prediction is published with a recipe; there are some of"),
        (("bgrl", "photo", "10-10-8"), r"unknown variant '10-10-8' \(did you mean '10-10-80'\?\)"),
        (("dgi", "cora", "x"), r"variant: dgi on cora has none, got 'x'"),
    ],
)
def test_what_is_no_row_is_refused(given: tuple[str, str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        find_target(*given)


# ---------------------------------------------------------------------- the difference


def test_interval_covers_the_truth_and_is_drawn_over_what_there_is() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(60):
        table = 0.8 + rng.normal(0, 0.02, (8, 1)) + rng.normal(0, 0.01, (1, 20))
        found = difference(table.tolist(), 0.8)
        inside += found["low"] <= 0 <= found["high"]
        assert found["low"] <= found["mean"] <= found["high"]
        assert found["over"] == "seeds and splits"
    assert inside >= 48  # of 60 at 95 %, eight seeds: the percentile bootstrap is somewhat narrow
    assert difference([[0.5], [0.7]], 0.6)["over"] == "seeds"
    assert difference([[0.5, 0.7]], 0.6)["over"] == "splits"
    assert difference([[0.5]], 0.6) == {"mean": -0.1, "low": None, "high": None}
    same = difference([[0.7, 0.7]] * 3, 0.6)
    assert same["low"] == pytest.approx(same["high"]) == pytest.approx(0.1)
    assert difference([[0.5, 0.7]], 0.6) == difference([[0.5, 0.7]], 0.6)  # drawn alike each time


# ---------------------------------------------------------------------- one row


def test_seeds_are_kept_and_none_is_run_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = reproducing.run

    def counted(*args: Any, **options: Any) -> Any:
        asked.extend(options["seeds"])
        return real(*args, **options)

    monkeypatch.setattr(reproducing, "run", counted)
    told: list[str] = []
    one = reproduce(ROW, out=tmp_path / "row", seeds=(0,), told=told.append)
    record = reproduce(ROW, out=tmp_path / "row", seeds=range(3), told=told.append)
    assert asked == [0, 1, 2]
    assert reproduce(ROW, out=tmp_path / "row", seeds=range(2)) == record  # nothing to do, and none is forgotten
    assert asked == [0, 1, 2]
    assert [line.split(":")[0] for line in told] == [f"bgrl-digits seed {k}" for k in range(3)]
    assert record == json.loads((tmp_path / "row" / RECORD).read_text())
    assert (record["seeds"], record["n_seeds"], one["n_seeds"]) == ([0, 1, 2], 3, 1)
    assert record["values"][0] == one["values"][0]
    assert record["mean"] == pytest.approx(statistics.fmean(record["per_seed"]))
    assert record["std_seeds"] == pytest.approx(statistics.stdev(record["per_seed"]))
    assert record["difference"]["mean"] == pytest.approx(record["mean"] - 0.5)
    assert record["reproduced"] == (record["difference"]["mean"] >= -0.01)
    assert record["raw_features"]["mean"] > 0
    assert record["untrained"]["std_seeds"] is not None
    assert record["parameters"] == 64 * 8 + 8 * 4 + 3 * (8 + 4) + 2  # weights; bias and the two of batch norm; a slope a layer
    assert {"split_hash", "environment", "wall_seconds", "peak_rss_mb", "recipe", "data", "published"} <= record.keys()


def test_several_at_a_time_are_the_same(tmp_path: Path) -> None:
    alone = reproduce(ROW, out=tmp_path / "alone", seeds=range(2))
    both = reproduce(ROW, out=tmp_path / "both", seeds=range(2), jobs=2)
    for name in ("values", "untrained", "raw_features", "split_hash", "difference"):
        assert alone[name] == both[name], name


def test_a_stopped_seed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reproduce(ROW, out=tmp_path / "whole", seeds=(0,))

    class Stop(reproducing.Watcher):
        def step(self, seed: int, step: Any) -> None:
            if step.number == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(ROW, out=tmp_path / "row", seeds=(0,), watcher=Stop())
    assert not (tmp_path / "row" / RECORD).exists()
    assert reproduce(ROW, out=tmp_path / "row", seeds=(0,))["values"] == whole["values"]


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard, which processes that run tests side by side do not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_stopped_processes_end_and_no_other_seed_begins(tmp_path: Path) -> None:
    long = replace(ROW, recipe=SMALL.model_copy(update={"epochs": 10**6}))
    begun = threading.Event()

    def stop() -> None:  # as a budget that is over: of Ctrl-C the processes hear without the parent
        while len(list((tmp_path / "row").glob(".seed-*.resume"))) < 2 and not begun.wait(0.1):
            pass
        time.sleep(0.5)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=stop, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            reproduce(long, out=tmp_path / "row", seeds=range(4), jobs=2)
    finally:
        begun.set()
    assert {path.name for path in (tmp_path / "row").glob("*seed-[23]*")} == set()
    assert not active_children()


def test_a_deadline_wakes_what_waits_and_ends_with_its_block() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
    try:
        _deadlines()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def _deadlines() -> None:
    with pytest.raises(KeyboardInterrupt), reproducing.deadline(0.2) as over:
        threading.Event().wait(30)
    assert over()
    with reproducing.deadline(0.2) as over:
        assert not over()
    time.sleep(0.4)


def test_seeds_of_another_recipe_are_refused(tmp_path: Path) -> None:
    reproduce(ROW, out=tmp_path / "row", seeds=(0,))
    other = replace(ROW, recipe=SMALL.model_copy(update={"lr": 0.5}))
    with pytest.raises(ValueError, match=r"seed-0 ran another recipe \(it differs in lr\); name another folder"):
        reproduce(other, out=tmp_path / "row", seeds=(0, 1))
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        reproduce(ROW, out=tmp_path / "row", jobs=0)
    score, ran = reproducing.finished(ROW, tmp_path / "row", 0) or ({}, {})
    with pytest.raises(ValueError, match="were scored on different splits"):
        merged(ROW, [(score, ran), ({**score, "split_hash": "other"}, ran)])


# ---------------------------------------------------------------------- the table


def test_plan_takes_the_least_covered_and_then_the_cheapest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproducing, "raw_size", lambda dataset, root=None: {"cora": 10**6, "mutag": 10**5}.get(dataset))
    here, elsewhere = plan(tmp_path)
    assert {row.dataset for row in here} == {"cora", "mutag"}
    assert len(here) + len(elsewhere) == len(targets())
    costs = [row.recipe.epochs * {"cora": 10**6, "mutag": 10**5}[row.dataset] for row in here]
    assert costs == sorted(costs)
    folder = tmp_path / here[0].name / "seed-0"
    folder.mkdir(parents=True)
    (folder / "score.json").write_text("{}")
    (folder / "run.json").write_text('{"wall_seconds": 1.0}')
    assert plan(tmp_path)[0][-1] == here[0]


def test_size_of_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHSSL_DATA", raising=False)
    assert raw_size("digits") == 0
    assert raw_size("amazon-photo", str(tmp_path)) is None


# ---------------------------------------------------------------------- the command


def test_command_lists_and_refuses(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "--list"]) == 0
    assert "bgrl-amazon-photo-10-10-80" in capsys.readouterr().out
    assert main(["reproduce", "--list", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(targets())
    for args, words in (
        ([], "METHOD and DATASET are needed"),
        (["bgrl"], "METHOD and DATASET are needed"),
        (["bgrl", "corra"], "unknown dataset 'corra': did you mean cora"),
        (["dgi", "cora", "--seeds", "0"], "seeds must be at least 1, got 0"),
        (["--all", "--budget", "soon"], "budget: a time above zero as 90m or 2h is needed, got 'soon'"),
        (["--all", "--methods", "bgrlx"], "unknown method 'bgrlx'"),
    ):
        assert main(["reproduce", *args]) == 2
        assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_command_runs_a_row_and_the_table(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("graphssl.recipes.targets.targets", lambda: [ROW])
    monkeypatch.setattr("graphssl.reproducing.targets", lambda: [ROW])
    assert main(["reproduce", "bgrl", "digits", "--seeds", "1", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "bgrl-digits: published 50.00 ± 1.00, ours" in out
    assert "Record: reproductions/bgrl-digits/record.json" in out
    assert main(["reproduce", "--all", "--seeds", "2", "--quiet", "--budget", "1h"]) == 0
    told = capsys.readouterr()
    assert "over 2 seeds" in told.out
    assert "1 of 1 rows; 0 others have no data on this machine" in told.err
    monkeypatch.setattr(reproducing, "reproduce", lambda *args, **options: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(["reproduce", "--all", "--seeds", "3", "--quiet"]) == 130
    assert "stopped; what is done stays in reproductions, and the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr(reproducing, "deadline", lambda seconds: nullcontext(lambda: True))
    assert main(["reproduce", "--all", "--seeds", "3", "--quiet", "--budget", "1s"]) == 0
    assert "the budget of 1s is over; the same command goes on" in capsys.readouterr().err
