"""Several processes do together what one does alone: losses, gradients, statistics, files; and what becomes of a run that loses one."""

from __future__ import annotations

import copy
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import graphs
import numpy as np
import psutil
import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn

from graphssl import (
    BGRL,
    CCASSG,
    DGI,
    GIN,
    GRACE,
    JOAO,
    BarlowTwins,
    Compose,
    DropEdges,
    Graph,
    GraphBatches,
    GraphCL,
    Identity,
    MaskFeatures,
    MoCo,
    VICReg,
    seeded,
)
from graphssl.batches import Batches, EgoBatches, NeighbourBatches, PartitionBatches, WalkBatches, shard
from graphssl.cli import main
from graphssl.distributed import agreed, everywhere, joined, mean_everywhere, same, shared, sum_gradients, world
from graphssl.encoders import GraphSAGE
from graphssl.files import waiting
from graphssl.objectives import ContextPrediction, Objective
from graphssl.training import Training, train
from graphssl.uniting import BatchNorm, unite

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun")
SIZES = (2, 3)
N = 20
Found = dict[str, Any]


class Turned:
    """A corruption that draws nothing: columns of features change places."""

    keeps_nodes: ClassVar[bool] = True

    def __call__(self, g: Graph) -> Graph:
        return g.with_x(g.dense_x().roll(1, 1))


SAME = (Identity(), Identity())
RANDOM = (Compose(DropEdges(0.3), MaskFeatures(0.3)), Compose(DropEdges(0.3), MaskFeatures(0.3)))


def sage(norm: str = "none", dropout: float = 0.0) -> Any:
    return GraphSAGE(graphs.F, [8, 4], norm=norm, dropout=dropout)


def gin() -> Any:
    return GIN(graphs.F, [4, 4], jk="cat", readout="sum", norm="batch")


def neighbours() -> Batches:
    return NeighbourBatches(graphs.undirected(N, 40), [-1, -1], 7, seed=1)


def egos() -> Batches:
    return EgoBatches(graphs.undirected(N, 30), 7, fan_out=-1, seed=1)


def parts() -> Batches:
    return PartitionBatches(graphs.undirected(N, 40), torch.arange(N) // 3, parts_per_batch=1, seed=1)


def walks() -> Batches:
    return WalkBatches(graphs.undirected(N, 40), 4, 2, num_batches=5, seed=1)


def many() -> Batches:
    return GraphBatches([graphs.undirected(6 + k, 7 + k, seed=k) for k in range(14)], 7)


# What one process and several must agree on to float tolerance: nothing is drawn, and each row sees the same neighbours either way. Batch
# norm takes the rows around the seeds too, so there the rows of a batch must be those of the ranks' batches together: egos, whole graphs.
EXACT: dict[str, tuple[Callable[[], Objective], Callable[[], Batches]]] = {
    "bgrl": (lambda: BGRL(sage(), SAME, hidden=8), neighbours),
    "cca-ssg": (lambda: CCASSG(sage(), SAME), neighbours),
    "dgi": (lambda: DGI(sage(), Turned()), neighbours),
    "gbt": (lambda: BarlowTwins(sage(), SAME), neighbours),
    "grace": (lambda: GRACE(sage(), SAME, hidden=8), neighbours),
    "grace, in chunks": (lambda: GRACE(sage(), SAME, hidden=8, chunk=2), neighbours),
    "grace, sampled": (lambda: GRACE(sage(), SAME, hidden=8, negatives=3), neighbours),
    "moco": (lambda: MoCo(sage(), SAME, hidden=8, queue=4), neighbours),
    "vicreg": (lambda: VICReg(sage(), SAME, hidden=8), neighbours),
    "bgrl, batch norm": (lambda: BGRL(sage("batch"), SAME, hidden=8), egos),
    "dgi, batch norm": (lambda: DGI(sage("batch"), Turned()), egos),
    "grace, batch norm": (lambda: GRACE(sage("batch"), SAME, hidden=8), egos),
    "bgrl, graphs": (lambda: BGRL(gin(), SAME, hidden=8), many),
    "bgrl, level graph": (lambda: BGRL(gin(), SAME, hidden=8, level="graph"), many),
    "dgi, graphs": (lambda: DGI(gin(), Turned()), many),
    "graphcl": (lambda: GraphCL(gin(), views=SAME), many),
}
DRAWN: dict[str, tuple[Callable[[], Objective], Callable[[], Batches]]] = {
    "bgrl": (lambda: BGRL(sage("batch", 0.2), RANDOM, hidden=8), neighbours),
    "bgrl, buffers copied": (lambda: BGRL(sage("batch"), RANDOM, hidden=8, target_buffers="copy"), parts),
    "dgi": (lambda: DGI(sage("batch")), walks),
    "grace": (lambda: GRACE(sage("batch"), RANDOM, hidden=8, negatives=3), egos),
    "joao": (lambda: JOAO(gin(), views=(Identity(), DropEdges(0.3))), many),
}


def started(make: Callable[[], Objective], batches: Callable[[], Batches], **options: Any) -> Training:
    with seeded(3):
        objective = make()
    share = shard(batches(), world().rank, world().size, least=2)
    return train(objective, share, **{"epochs": 2, "lr": 0.01, "optimizer": "adam", "weight_decay": 0.1, "clip": 5.0, **options})


def numbers(steps: Training) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in steps.trainer.objective.state_dict().items()}


def exact(name: str) -> Found:
    steps = started(*EXACT[name])
    first = next(steps)
    grads = {key: p.grad.clone() for key, p in steps.trainer.objective.named_parameters() if p.grad is not None}
    losses = [float(first.loss), *(float(step.loss) for step in steps)]
    return {"grads": grads, "losses": losses, "state": numbers(steps)}


def drawn(name: str) -> Found:
    """A run; its random numbers at the end; and the same run gone on with from each of its states."""
    steps = started(*DRAWN[name])
    states, losses = [], []
    for step in steps:
        losses.append(float(step.loss))
        states.append(copy.deepcopy(steps.state()))
    state, again = numbers(steps), []
    for k in (0, len(states) // 2, len(states) - 1):
        other = started(*DRAWN[name])
        other.restore(*states[k])
        again.append(([float(step.loss) for step in other], numbers(other)))
        assert again[-1][0] == losses[k + 1 :]
    return {"state": state, "losses": losses, "again": [found[1] for found in again], "stream": steps.trainer.stream.state["cpu"]}


def rows(count: int, rank: int, seed: int = 0) -> Tensor:
    with seeded(10 * seed + rank):
        return torch.randn(count, 3, dtype=torch.float64)


def gathering() -> Found:
    """The gradient of a loss of all rows, by each rank's share of them; sizes differ between ranks."""
    here = world()
    z = rows(2 + 3 * here.rank, here.rank).requires_grad_()
    whole = everywhere(z)
    (curved(whole) / here.size).backward()  # type: ignore[no-untyped-call]
    h = rows(2 + here.rank, here.rank, 1).requires_grad_()
    (mean_everywhere(h).exp().sum() / here.size).backward()  # type: ignore[no-untyped-call]
    return {"whole": whole.detach(), "grad": z.grad, "mean": h.grad}


def curved(z: Tensor) -> Tensor:
    """A loss in which each row meets all others."""
    return (z @ z.t()).logsumexp(1).mean()


def normalising() -> Found:
    here, found = world(), {}
    for momentum in (0.1, None):
        norm = nn.BatchNorm1d(3, momentum=momentum).double()
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([1.0, -2.0, 3.0]))
        unite(norm)
        x = rows(2 + 3 * here.rank, here.rank).requires_grad_()
        for _ in range(2):
            norm.zero_grad()
            x.grad = None
            y = norm(x)
            (y.cos().sum() + y.pow(3).sum()).backward()
        sum_gradients(list(norm.parameters()))
        grads = {"weight": norm.weight.grad, "bias": norm.bias.grad, "x": x.grad}
        found[str(momentum)] = {"y": y.detach(), **grads, "buffers": list(norm.buffers()), "kind": type(norm) is BatchNorm}
    return found


def talking() -> Found:
    """Small things that ranks tell one another."""
    here = world()
    p, q, r = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    p.grad = torch.full((2,), here.rank + 1.0)
    if here.rank == 1:
        q.grad = torch.ones(2)
    sum_gradients([p, q, r])
    refused = []
    for objective, source in ((DGI(sage()), [graphs.path()] * (1 + here.rank)), (ContextPrediction(gin()), [graphs.batch()])):
        try:
            train(objective, source, epochs=1)
        except ValueError as error:
            refused.append(str(error))
    return {
        "world": tuple(here),
        "grads": [p.grad, q.grad, r.grad],
        "shared": shared({"rank": here.rank}),
        "same": same(torch.tensor([here.rank])),
        "agreed": [agreed(here.rank == 0, None), agreed(here.rank == 1, 15 if here.rank == 1 else None), agreed(False, None)],
        "refused": refused,
    }


JOBS: dict[str, Callable[[], Found]] = {
    **{f"exact {name}": lambda name=name: exact(name) for name in EXACT},  # type: ignore[misc]
    **{f"drawn {name}": lambda name=name: drawn(name) for name in DRAWN},  # type: ignore[misc]
    "gathering": gathering,
    "normalising": normalising,
    "talking": talking,
}


def process(rank: int, size: int, port: int, folder: str) -> None:
    """One of the processes: all jobs, one after the other."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with joined():
        for name, job in JOBS.items():
            torch.save(job(), Path(folder) / f"{name}-{rank}.pt")
    torch.save({"threads": threads()}, Path(folder) / f"after-{rank}.pt")


def threads() -> list[str]:
    """Names of this process's threads, where the system tells them."""
    return [(one / "comm").read_text().strip() for one in Path("/proc/self/task").glob("*")]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module", params=SIZES)
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Found]]:
    """What each rank found in a job."""
    size, folder = request.param, tmp_path_factory.mktemp("ranks")
    context = mp.get_context("spawn")
    port = free_port()
    processes = [context.Process(target=process, args=(rank, size, port, str(folder))) for rank in range(size)]
    for one in processes:
        one.start()
    end = time.monotonic() + 300
    for one in processes:
        one.join(max(end - time.monotonic(), 0))
    hung = [one for one in processes if one.is_alive()]
    for one in hung:
        one.kill()
    assert not hung

    def found(name: str) -> list[Found]:
        return [torch.load(folder / f"{name}-{rank}.pt", weights_only=False) for rank in range(size)]

    return found


Together = Callable[[str], list[Found]]


def close(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=tolerance, atol=tolerance), name


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ---------------------------------------------------------------------- as one process


@pytest.mark.parametrize("name", EXACT)
def test_ranks_with_pieces_of_a_batch_take_the_step_of_one_process(name: str, together: Together) -> None:
    alone = exact(name)
    for found in together(f"exact {name}"):
        close(found["grads"], alone["grads"])
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-5, abs=5e-6)  # float32; that of GraphCL is a small difference
        if EXACT[name][1] is neighbours:  # Adam makes much of the rounding in the gradient of a bias that batch norm takes away
            close(found["state"], alone["state"], 1e-4)  # after all steps


@pytest.mark.parametrize("name", [*(f"exact {name}" for name in EXACT), *(f"drawn {name}" for name in DRAWN)])
def test_ranks_hold_the_same_bits(name: str, together: Together) -> None:
    first, *others = together(name)
    assert any("target" in key for key in first["state"]) == ("bgrl" in name or "moco" in name)
    for other in others:
        assert equal(first["state"], other["state"])
        assert first["losses"] == other["losses"]


@pytest.mark.parametrize("name", DRAWN)
def test_each_rank_draws_its_own_and_goes_on_to_the_same_bits(name: str, together: Together) -> None:
    found = together(f"drawn {name}")
    assert len({bytes(one["stream"].numpy()) for one in found}) == len(found)
    for one in found:
        assert all(equal(state, one["state"]) for state in one["again"])


def test_rows_of_all_ranks_have_the_gradient_of_one_process(together: Together) -> None:
    found = together("gathering")
    z = torch.cat([rows(2 + 3 * rank, rank) for rank in range(len(found))]).requires_grad_()
    curved(z).backward()  # type: ignore[no-untyped-call]
    h = torch.cat([rows(2 + rank, rank, 1) for rank in range(len(found))]).requires_grad_()
    h.mean(0).exp().sum().backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert h.grad is not None
    assert torch.equal(found[0]["whole"], z)
    assert torch.allclose(torch.cat([one["grad"] for one in found]), z.grad, rtol=1e-12)
    assert torch.allclose(torch.cat([one["mean"] for one in found]), h.grad, rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_is_that_of_all_rows(momentum: float | None, together: Together) -> None:
    found = [one[str(momentum)] for one in together("normalising")]
    norm = nn.BatchNorm1d(3, momentum=momentum).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 3.0]))
    x = torch.cat([rows(2 + 3 * rank, rank) for rank in range(len(found))]).requires_grad_()
    for _ in range(2):
        norm.zero_grad()
        x.grad = None
        y = norm(x)
        (y.cos().sum() + y.pow(3).sum()).backward()
    assert x.grad is not None
    assert torch.allclose(torch.cat([one["y"] for one in found]), y)
    assert torch.allclose(torch.cat([one["x"] for one in found]), x.grad)
    for one in found:
        assert one["kind"]
        assert torch.allclose(one["weight"], norm.weight.grad)  # type: ignore[arg-type]
        assert torch.allclose(one["bias"], norm.bias.grad)  # type: ignore[arg-type]
        assert all(torch.allclose(mine, whole) for mine, whole in zip(one["buffers"], norm.buffers(), strict=True))
        assert all(torch.equal(mine, first) for mine, first in zip(one["buffers"], found[0]["buffers"], strict=True))


def test_what_ranks_tell_one_another(together: Together) -> None:
    found = together("talking")
    size = len(found)
    for rank, one in enumerate(found):
        assert one["world"] == (rank, size, rank, "gloo")
        p, q, r = one["grads"]
        assert p.tolist() == [size * (size + 1) / 2] * 2
        assert q.tolist() == [1, 1]
        assert r is None
        assert one["shared"] == {"rank": 0}
        assert one["same"].tolist() == [0]
        assert one["agreed"] == [(True, None), (False, 15), (False, None)]
        assert one["refused"] == [
            f"batches must be as many in each process, got {', '.join(str(1 + k) for k in range(size))}",
            f"objective: ContextPrediction cannot be trained by several processes, got {size}",
        ]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are not told here")
def test_no_thread_of_the_group_outlives_it(together: Together) -> None:
    for one in together("after"):
        assert one["threads"]
        assert not [name for name in one["threads"] if "gloo" in name]


def test_one_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (None, "1"):
        monkeypatch.delenv("WORLD_SIZE", raising=False) if size is None else monkeypatch.setenv("WORLD_SIZE", size)
        with joined() as here:
            assert (here.rank, here.size, here.device) == (0, 1, None)
            assert not torch.distributed.is_initialized()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ValueError, match=r"WORLD_SIZE is 2, and RANK, .* is not set"), joined():
        pass
    assert agreed(True, 2) == (True, 2)


# ---------------------------------------------------------------------- shares


def passes(batches: Callable[[], Batches], size: int, epochs: int = 2, least: int = 1) -> list[list[list[Graph]]]:
    """``[rank][epoch][batch]``."""
    found = []
    for rank in range(size):
        mine = shard(batches(), rank, size, least=least)
        with seeded(5):  # of the order of graphs, which ranks take from the first
            found.append([list(mine) for _ in range(epochs)])
        assert all(len(one) == len(mine) for one in found[-1])
    assert len({len(one[0]) for one in found}) == 1
    return found


def seeds(g: Graph) -> list[int]:
    assert g.node_id is not None
    return g.node_id[: g.num_seeds].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", [2, 3, 6])
@pytest.mark.parametrize("make", [neighbours, egos, parts])
def test_every_node_is_a_seed_of_one_rank_once_an_epoch(make: Callable[[], Batches], size: int) -> None:
    found = passes(make, size)
    for epoch in range(2):
        told = sorted(seed for rank in found for g in rank[epoch] for seed in seeds(g))
        assert told == list(range(N))
    assert [seeds(g) for g in found[0][0]] != [seeds(g) for g in found[0][1]]


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("make", [neighbours, egos])
def test_pieces_make_up_the_batch_of_one_process(make: Callable[[], Batches], size: int) -> None:
    found = passes(make, size, epochs=1)
    for k, whole in enumerate(list(make())[: len(found[0][0])]):
        pieces = [seeds(rank[0][k]) for rank in found]
        assert [seed for piece in pieces for seed in piece] == seeds(whole)
        assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


def test_a_last_batch_that_is_too_small_for_all_is_left_out_by_all() -> None:
    path = graphs.path(9)
    for cls in (lambda: NeighbourBatches(path, [2], 4), lambda: EgoBatches(path, 4)):
        assert [len(shard(cls(), 1, size)) for size in (1, 2, 3, 4) if size > 1] == [2, 2, 2]
        assert len(cls()) == 3
    assert len(shard(GraphBatches([path] * 7, 4), 0, 2, least=2)) == 1
    assert len(shard(GraphBatches([path] * 8, 4), 0, 2, least=2)) == 2


def test_graphs_are_split_too() -> None:
    found = passes(many, 3, epochs=1)
    with seeded(5):
        for k, whole in enumerate(many()):
            pieces = [rank[0][k] for rank in found]
            assert [g.num_graphs for g in pieces] == [2, 2, 3]
            assert torch.equal(torch.cat([g.dense_x() for g in pieces]), whole.dense_x())


def test_walks_and_draws_differ_between_ranks() -> None:
    found = passes(walks, 2, epochs=1)
    assert [len(rank[0]) for rank in found] == [3, 3]
    told = [tuple(seeds(g)) for rank in found for g in rank[0]]
    assert len(set(told)) == len(told)
    loops = replace(graphs.undirected(N, 60))  # the same seeds on both ranks would draw differently
    one = NeighbourBatches(loops, [2], N, shuffle=False)
    keys = {shard(one, rank, 2).share.key(0, 0) for rank in range(2)}  # type: ignore[attr-defined]
    assert len(keys) == 2


def test_a_share_goes_on_in_the_middle_of_an_epoch() -> None:
    mine = shard(neighbours(), 1, 2)
    whole = list(mine)
    again = shard(neighbours(), 1, 2)
    again.load_state_dict({"epoch": 0, "position": 1})  # type: ignore[attr-defined]
    assert [seeds(g) for g in again] == [seeds(g) for g in whole[1:]]


@pytest.mark.parametrize(
    ("batches", "size", "words"),
    [
        (graphs.path, 2, "batches whole cannot be split over 2 processes; give --batches neighbours"),
        (lambda: [graphs.path()], 2, "batches must be those of graphssl.batches to be split over 2 processes, got list"),
        (neighbours, 8, "batch_size must be at least 8, got 7 for 8 processes"),
        (egos, 21, "there must be at least 21 seeds, got 20 for 21 processes"),
        (parts, 8, "num_parts must be at least 8, got 7 for 8 processes"),
        (lambda: GraphBatches([graphs.path()], 4), 2, "there must be at least 2 graphs, got 1 for 2 processes"),
    ],
)
def test_what_cannot_be_split_is_refused(batches: Callable[[], Any], size: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        shard(batches(), 0, size)
    made = batches()
    assert shard(made, 0, 1) is made
    with pytest.raises(ValueError, match=r"rank must be in \[0, 2\), got 2"):
        shard(made, 2, 2)


# ---------------------------------------------------------------------- the command

RUN = ["train", "bgrl", "karate", "--channels", "8", "4", "--hidden", "8", "--epochs", "40", "--protocol", "random-10-10-80"]
RUN += ["--num-splits", "2", "--batches", "neighbours", "--batch-size", "15", "--save-every", "0"]


def torchrun(folder: Path, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, "-m", "graphssl", *args], cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, **streams)


def content(out: Path) -> list[Any]:
    score = json.loads((out / "score.json").read_text())
    return [score[name] for name in ("mean", "values", "untrained", "diagnostics", "epochs_per_seed", "ranks")] + [
        (out / "seed-0" / name).read_bytes() for name in ("encoder.safetensors", "embeddings.npy")
    ]


def rank_of(parent: int, rank: int) -> psutil.Process:
    for child in psutil.Process(parent).children(recursive=True):
        if child.environ().get("RANK") == str(rank):
            return child
    raise AssertionError(f"no rank {rank}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes, and what it told."""
    folder = tmp_path_factory.mktemp("whole")
    run = torchrun(folder, *RUN, "--out", "run", "--json")
    out, err = run.communicate(timeout=200)
    assert run.returncode == 0, err
    assert json.loads(out) == json.loads((folder / "run" / "score.json").read_text())  # told once
    return folder


def test_torchrun_trains_writes_once_and_says_so(whole: Path) -> None:
    assert sorted(path.name for path in whole.iterdir()) == ["run"]
    record, score = (json.loads((whole / "run" / name).read_text()) for name in ("run.json", "score.json"))
    told = {"size": 2, "backend": "gloo", "batch_per_rank": {"batch_size": 8}, "norm_statistics": "of all ranks", "negatives": None}
    assert record["ranks"] == score["ranks"] == told
    assert record["seeds"]["0"]["steps"] == 40 * 3
    assert np.load(whole / "run" / "seed-0" / "embeddings.npy").shape == (34, 4)
    assert main(["evaluate", str(whole / "run"), "--json"]) == 0


def saved(run: subprocess.Popen[str], out: Path, number: int = 1) -> None:
    """Wait until so many checkpoints of the run are there."""
    checkpoints, end = waiting(out) / "checkpoint-0", time.monotonic() + 120
    while not any(int(path.stem) >= number for path in checkpoints.glob("*.json")) and time.monotonic() < end and run.poll() is None:
        time.sleep(0.01)


def test_a_killed_rank_ends_the_run_which_goes_on_to_the_same_numbers(whole: Path, tmp_path: Path, capsys: Any) -> None:
    for rank, number in ((1, 10), (0, 40)):
        run = torchrun(tmp_path, *RUN, "--out", "run", "--resume")
        saved(run, tmp_path / "run", number)
        rank_of(run.pid, rank).send_signal(signal.SIGKILL)
        out, err = run.communicate(timeout=60)
        assert run.returncode != 0
        assert "Run folder" not in out
        assert err.count("graphssl: another process of this run ended or cannot be reached") == 1, err
        assert "--resume goes on from there" in err
        assert "graphssl/training.py" not in err  # no traceback
        assert not (tmp_path / "run").exists()

    assert main([*RUN, "--out", str(tmp_path / "run"), "--resume"]) == 2
    assert "had 2 processes, and this one has 1" in capsys.readouterr().err
    again = torchrun(tmp_path, *RUN, "--out", "run", "--resume")
    out, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    assert "goes on from step" in err
    assert content(tmp_path / "run") == content(whole / "run")


def test_sigterm_saves_and_an_error_is_told_once(tmp_path: Path) -> None:
    run = torchrun(tmp_path, *RUN, "--out", "run", "--epochs", "4000")
    saved(run, tmp_path / "run")
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=60)
    assert run.returncode != 0
    assert err.count("stopped; the same command with --resume goes on") == 1, err
    assert list((waiting(tmp_path / "run") / "checkpoint-0").glob("*.json"))
    other = torchrun(tmp_path, "train", "bgrl", "karate", "--epochs", "3", "--out", "other")
    _, err = other.communicate(timeout=100)
    assert other.returncode != 0
    assert err.count("graphssl: batches whole cannot be split over 2 processes; give --batches neighbours") == 1, err
