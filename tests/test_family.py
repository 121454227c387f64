"""The experiments of the family: what is run is not run again, differences are paired by seed, the table tells what the records say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import pairwise, report
from benchmarks.family import MODULES, Row, __main__, paired, rows, summary, verdict
from benchmarks.family.instance import margins

CALLS: list[tuple[str, int]] = []


def ran(variant: str, seed: int) -> dict[str, float]:
    CALLS.append((variant, seed))
    return {"score": seed + {"plain": 0.0, "better": 1.0 + 0.1 * seed, "noise": (-1.0) ** seed}[variant], "steps": 3}


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> Row:
    row = Row("made", "nothing", "Nobody, 2020, arXiv:0000.00000", "none", "points", ("plain", "better", "noise"), ran)
    monkeypatch.setattr(__main__, "rows", lambda: {"made": row})
    monkeypatch.setattr(__main__, "FIRST", 0)
    CALLS.clear()
    return row


def test_every_row_has_its_source_and_variants() -> None:
    found = rows()
    assert len(found) >= 9
    assert all("arXiv:" in row.source for row in found.values())
    assert len(set(MODULES)) == len(MODULES)


def test_what_is_run_is_not_run_again(row: Row, tmp_path: Path) -> None:
    assert __main__.main(["--seeds", "2", "--out", str(tmp_path)]) == 0
    assert [(variant, seed) for seed in range(2) for variant in row.variants] == CALLS
    assert __main__.main(["made", "--seeds", "3", "--out", str(tmp_path)]) == 0
    assert CALLS[6:] == [(variant, 2) for variant in row.variants]
    record = json.loads((tmp_path / "made.json").read_text())
    assert record["summary"]["better"]["verdict"] == "gain"
    assert record["summary"]["noise"]["verdict"] == "no reliable difference"
    assert record["summary"]["plain"]["figures"] == {"steps": 3}
    assert record["summary"]["plain"]["seeds"] == [0, 1, 2]


def test_a_run_that_was_stopped_goes_on(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = row.run

    def stops(variant: str, seed: int) -> dict[str, float]:
        if len(CALLS) == 2:
            raise KeyboardInterrupt
        return real(variant, seed)

    object.__setattr__(row, "run", stops)
    with pytest.raises(KeyboardInterrupt):
        __main__.main(["--seeds", "1", "--out", str(tmp_path)])
    object.__setattr__(row, "run", real)
    assert __main__.main(["--seeds", "1", "--out", str(tmp_path)]) == 0
    assert CALLS == [("plain", 0), ("better", 0), ("noise", 0)]


def test_another_dataset_begins_anew(row: Row, tmp_path: Path) -> None:
    __main__.main(["--seeds", "1", "--out", str(tmp_path)])
    object.__setattr__(row, "dataset", "another")
    __main__.main(["--seeds", "1", "--out", str(tmp_path)])
    assert len(CALLS) == 6


@pytest.mark.parametrize(("args", "words"), [(["maed"], "did you mean 'made'"), (["--seeds", "0"], "seeds must be at least 1")])
def test_mistakes_are_told(row: Row, args: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(args) == 2
    assert words in capsys.readouterr().err
    assert not CALLS


def test_intervals_are_those_of_scipy() -> None:
    from scipy import stats

    mine, base = {0: 3.0, 1: 5.0, 2: 4.5, 7: 1.0}, {0: 2.0, 1: 4.5, 2: 2.5, 8: 0.0}
    apart = [1.0, 0.5, 2.0]
    low, high = stats.t.interval(0.95, 2, loc=sum(apart) / 3, scale=stats.sem(apart))
    found = paired(mine, base)
    assert (found["low"], found["high"], found["seeds"]) == (pytest.approx(low), pytest.approx(high), 3)
    assert paired({0: 1.0}, {0: 0.0})["low"] is None
    with pytest.raises(ValueError, match="no seed in common"):
        paired({0: 1.0}, {1: 1.0})


def test_verdicts() -> None:
    assert verdict({"mean": -1.0, "low": -2.0, "high": -0.1}) == "loss"
    assert verdict({"mean": -1.0, "low": -2.0, "high": -0.1}, "lower") == "gain"
    assert verdict({"mean": 0.0, "low": 0.0, "high": 0.0}) == "no reliable difference"
    assert verdict({"mean": 1.0, "low": None, "high": None}) == "one seed"


def test_the_table_tells_the_records(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "HERE", tmp_path)
    assert len(report.family().splitlines()) == 2, "works without records"
    assert len(report.pairwise().splitlines()) == 2
    folder = tmp_path / "results" / "family"
    __main__.main(["--seeds", "3", "--out", str(folder)])
    lines = report.family().splitlines()
    assert len(lines) == 5
    assert "1.00 ± 1.00 (3 seeds) |  | baseline" in lines[2]
    assert "+1.10 (+0.85 to +1.35) | gain" in lines[3]


def test_a_text_without_marks_stays() -> None:
    assert report.readme("without marks") == "without marks"


def test_summary_of_a_row_half_run(row: Row) -> None:
    assert set(summary(row, {"better": {"0": {"score": 1.0}}})) == {"better"}


def test_margins_are_to_the_nearest_of_another_label() -> None:
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert margins(z, torch.tensor([0, 0, 1])).tolist() == [1.0, 0.0]


def test_a_small_measurement_of_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(name: str, nodes: int, chunk: int, given: Any) -> dict[str, Any]:
        return pairwise.measured(name, nodes, given.width, chunk or None, torch.get_num_threads())

    monkeypatch.setattr(pairwise, "_apart", here)  # in this process, not one of its own
    out = tmp_path / "pairwise.json"
    told = ["--nodes", "300", "--width", "8", "--chunk", "32", "--dense", "200", "--losses", "dcl", "--out", str(out)]
    pairwise.main(told)
    (found,) = json.loads(out.read_text())["rows"]
    assert found["values"][0] == pytest.approx(found["values"][1], abs=1e-5)
    assert {"dcl", "sup-con", "renyi", "sce", "info-nce"} <= set(pairwise.chunked())
    with pytest.raises(SystemExit, match="no loss in chunks is named bce"):
        pairwise.main(["--losses", "bce"])
