"""The measurement of speed measures what it says: routes of the same numbers, floors by hand, rows that are kept."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
pytest.importorskip("benchmarks.speed")

from benchmarks.speed import __main__ as speed
from benchmarks.speed import floor, growth, layers, losses, measure, probe, steps
from benchmarks.speed.table import table


@pytest.fixture(autouse=True, scope="module")
def _short() -> Any:
    threads, usual = torch.get_num_threads(), (floor.SHORT, floor.LARGE)
    floor.SHORT, floor.LARGE = 0.01, 2**22
    yield
    floor.SHORT, floor.LARGE = usual
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def row(_short: None) -> dict[str, Any]:
    """Of a tiny graph's step, with memory."""
    row = steps.time_of("bgrl", "tiny", rounds="2")
    row["memory_mb"] = {name: steps.memory_of("bgrl", "tiny", name) for name in steps.ROUTES["bgrl"]}
    return row | steps.ratios(row)


def test_all_routes_take_the_same_step(row: dict[str, Any]) -> None:
    assert row["loss_apart"] < 1e-5
    assert row["gradient_apart"] < 1e-4
    assert set(row["ms"]) == set(steps.ROUTES["bgrl"])


def test_the_parts_of_a_step_are_all_of_it(row: dict[str, Any]) -> None:
    for name, parts in row["ms"].items():
        assert all(ms >= 0 for ms in parts.values()), name
    one = steps.Ours("bgrl", *steps.graph_and_recipe("tiny"))
    taken = one.step()
    assert sum(v for k, v in taken.items() if k != "step") == pytest.approx(taken["step"])
    assert taken["views"] > 0
    assert taken["backward"] > 0


def test_routes_that_differ_are_found() -> None:
    g, recipe = steps.graph_and_recipe("tiny")

    class Wrong(steps.PEERS["official"]):  # type: ignore[misc]
        def loss(self, v1: Any, v2: Any) -> Any:
            return 1.01 * super().loss(v1, v2)

    with pytest.raises(ArithmeticError, match="the routes differ"):
        steps.same_loss("bgrl", g, recipe, {"wrong": Wrong(g, recipe)})


def test_two_threads_are_measured_on_the_wall() -> None:
    before = torch.get_num_threads()
    for threads, clock in ((1, time.process_time), (2, time.perf_counter)):
        torch.set_num_threads(threads)
        start = clock()
        assert start <= measure.clock() <= clock()
    torch.set_num_threads(before)


def test_a_dense_loss_is_graces() -> None:
    row = steps.time_of("grace", "tiny", rounds="2")
    assert row["loss_apart"] < 1e-5
    assert steps.ratios(row)["times"]["dense"] > 0


def test_the_floor_by_hand() -> None:
    g, recipe = steps.graph_and_recipe("tiny")
    n, (d1, d2) = g.num_nodes, recipe.channels
    todo = floor.operations(g, recipe)
    hidden = recipe.hidden  # type: ignore[attr-defined]
    assert sum(o.flops for o in todo) == 2 * 2 * n * (4 * d1 * d2 + 6 * d2 * hidden)  # sparse features: no dense product in layer 1
    dense = floor.operations(g.with_x(g.dense_x()), recipe)
    assert sum(o.flops for o in dense) - sum(o.flops for o in todo) == 2 * 2 * n * 3 * g.num_features * d1
    halved = floor.operations(g, recipe, width=2)
    assert sum(o.moved for o in todo) / 2 < sum(o.moved for o in halved) < sum(o.moved for o in todo)


def test_the_floor_is_below_the_step(row: dict[str, Any]) -> None:
    assert row["floor"]["bandwidth_gb_s"] > 0
    assert row["floor"]["float32"]["peak_gigaflop_s"] >= row["floor"]["float32"]["default_gigaflop_s"] > 0
    assert 0 < row["floor"]["float32"]["ms"] < row["ms"]["graphssl"]["step"]
    assert row["floor"]["float32"]["ms"] == pytest.approx(sum(row["floor"]["float32"]["parts_ms"].values()), abs=0.05)


def test_routes_take_turns() -> None:
    seen: list[str] = []

    def route(name: str) -> Any:
        def work() -> dict[str, float]:
            seen.append(name)
            return {"step": 1.0}

        return work

    found = measure.alternate({"a": route("a"), "b": route("b")}, rounds=3)
    assert seen == ["a", "b"] * 3
    assert measure.medians(found["a"]) == {"step": 1000.0}
    assert measure.alternate({"a": route("a")}, rounds=9, budget=0.0, least=2)["a"] == [{"step": 1.0}] * 2


def test_the_peak_is_that_of_the_work_inside() -> None:
    with measure.Peak() as peak:
        torch.ones(25_000_000).sum()
    assert not peak.exact or 90 < peak.more < 150


def test_an_exponent_is_that_of_the_power() -> None:
    sizes = [1, 2, 4, 8]
    assert growth.exponent(sizes, [3.0 * s**1.5 for s in sizes]) == {"exponent": 1.5, "error": 0.0}
    with pytest.raises(ValueError, match="at least 3"):
        growth.exponent([1, 2], [1, 2])


def test_growth_varies_what_it_says() -> None:
    row = growth.grown("sparse features", "64")
    sizes = [size["features"] for size in row["sizes"]]
    assert sizes == sorted(set(sizes))
    assert len({size["nodes"] for size in row["sizes"]}) == 1
    assert set(row["time"]) == {"exponent", "error"}


@pytest.mark.parametrize("name", layers.LAYERS)
def test_layers_are_pygs(name: str) -> None:
    row = layers.layer(name, "tiny")
    assert row["largest_difference"] < 1e-4
    assert row["times"] > 0


def test_losses_in_chunks_are_whole() -> None:
    row = losses.chunked("300", "8")
    assert row["loss_apart"] < 1e-5
    assert row["gradient_apart"] < 1e-4
    assert set(losses.linear("64")["dgi"]) == {"ms", "exponent", "error"}


def test_both_probes_reach_the_same() -> None:
    row = probe.protocol("tiny", splits="2", theirs="1")
    assert row["converged"]
    assert row["score_apart"] < 0.03
    assert max(row["objective_excess"].values()) < 1e-3


def test_rows_are_kept_and_not_done_again(tmp_path: Path, row: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []

    def good(root: str | None) -> dict[str, Any]:
        done.append("good")
        return dict(row)

    def bad(root: str | None) -> dict[str, Any]:
        raise MemoryError("no room")

    path = tmp_path / "speed.json"
    todo: Any = {"step": {"bad": bad, "tiny": good}}
    speed.run(todo, path, root=None, only=None, again=False)
    speed.run(todo, path, root=None, only=["step/tiny"], again=False)
    assert done == ["good"]
    assert "no room" in capsys.readouterr().out
    speed.run(todo, path, root=None, only=["step"], again=True)
    assert done == ["good"] * 2
    assert [p.name for p in tmp_path.iterdir()] == ["speed.json"]
    record = json.loads(path.read_text())
    assert list(record["parts"]["step"]) == ["tiny"]
    assert table(record["parts"]).splitlines()[2].startswith("| tiny | 300 |")
    with pytest.raises(SystemExit, match="--only takes"):
        speed.run(todo, path, root=None, only=["steps"], again=False)


def test_every_part_has_its_tiny_rows() -> None:
    assert set(speed.parts(quick=True)) == set(speed.parts(quick=False))
    assert all(speed.parts(quick=True).values())
