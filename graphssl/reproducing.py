"""A published score run again: seed by seed, each kept, and one record with the difference and all that went into it."""

from __future__ import annotations

import _thread
import json
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from graphssl.datasets.files import roots
from graphssl.datasets.table import DATASETS
from graphssl.evaluation import Score
from graphssl.files import MARK, make_folder, write_durably
from graphssl.pipeline import Watcher, beside, load_for, run
from graphssl.recipes.targets import Target, targets
from graphssl.runs import read_json

RECORD = "record.json"
CONFIDENCE, DRAWS = 0.95, 10_000
AT_LEAST = 0.5  # points that a score may lie below the published one, where its published deviation is smaller
ENDING = 5.0  # seconds that processes have to end by themselves before they are asked to
SUMMED = ("mean", "std_splits", "std_seeds")

Found = tuple[dict[str, Any], dict[str, Any]]  # score.json and run.json of one seed


def reproduce(
    target: Target,
    *,
    out: Path,
    seeds: Sequence[int] = (0, 1, 2),
    root: str | None = None,
    jobs: int = 1,
    watcher: Watcher | None = None,
    told: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run a target's recipe with each of ``seeds`` and leave the record of all seeds that are there in ``out/record.json``.

    Each seed is a run folder ``out/seed-K`` of its own; one that is whole is not run again, and one that was stopped goes on. What needs
    no training (raw features) is scored once.

    Args:
        target: of :func:`graphssl.recipes.targets.find_target`.
        out: folder of this target.
        seeds: of pre-training.
        root: folder of the raw data.
        jobs: seeds that run at a time, each in a process with its share of the processors.
        watcher: is told how the seeds get on, with one job.
        told: is given a line for each seed that is done.

    Raises:
        ValueError: the folder is at work, or holds seeds of another recipe or another version of the data.
        KeyboardInterrupt: the run was stopped; what was done stays.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    with _held(out):
        left = [seed for seed in seeds if finished(target, out, seed) is None]
        known = _beside(target, out, root, watcher) if left else {}
        alone = min(jobs, len(left)) < 2
        for seed in _in_turn(target, out, left, root, known, watcher) if alone else _together(target, out, left, root, known, jobs):
            told(_line(target, out, seed))
            write_record(target, out)  # at once, as the next seed may be stopped
        return write_record(target, out)


def finished(target: Target, out: Path, seed: int) -> Found | None:
    """The records of a seed that is whole.

    Raises:
        ValueError: it ran another recipe.
    """
    folder = out / f"seed-{seed}"
    if not (folder / "score.json").is_file():
        return None
    score, ran = read_json(folder, "score.json"), read_json(folder, MARK)
    wanted = target.recipe.model_dump(mode="json")
    if ran["method"] != target.method or ran["dataset"] != target.dataset or ran["recipe"] != wanted:
        differs = [name for name in wanted if ran["recipe"].get(name) != wanted[name]]
        raise ValueError(
            f"out: {folder} ran another recipe (it differs in {', '.join(differs) or 'method or dataset'}); name another folder"
        )
    return score, ran


def write_record(target: Target, out: Path) -> dict[str, Any]:
    """The record of all seeds in ``out`` that are whole, written to ``out/record.json``."""
    numbers = sorted(int(path.name.removeprefix("seed-")) for path in out.glob("seed-*") if path.name.removeprefix("seed-").isdecimal())
    found = [one for seed in numbers if (one := finished(target, out, seed)) is not None]
    if not found:
        raise ValueError(f"out: {out} holds no seed that is whole")
    record = merged(target, found)
    write_durably(out / RECORD, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    return record


def merged(target: Target, found: Sequence[Found]) -> dict[str, Any]:
    """One record of several seeds' runs, each of one seed: what ``score.json`` holds, and the comparison with what is published.

    Raises:
        ValueError: the runs were not scored on the same splits.
    """
    scores, runs = [score for score, _ in found], [ran for _, ran in found]
    first = scores[0]
    if len({(score["protocol"], score["protocol_version"], score["split_hash"]) for score in scores}) > 1:
        raise ValueError(f"seeds {', '.join(str(s['seeds'][0]) for s in scores)} of {target.name} were scored on different splits")
    lists = ("seeds", "per_seed", "values", "validation", "epochs_per_seed")
    record = {**first, **{name: [value for score in scores for value in score[name]] for name in lists}}
    record |= {**_over(scores), "untrained": _over([score["untrained"] for score in scores]), "n_seeds": len(scores)}
    record |= {
        "converged": all(score["converged"] for score in scores),
        "epochs": max(record["epochs_per_seed"]),
        "seconds_per_step": round(statistics.median(score["seconds_per_step"] for score in scores), 5),
        "peak_rss_mb": max(score["peak_rss_mb"] for score in scores),
        "wall_seconds": round(sum(ran["wall_seconds"] for ran in runs), 2),
        "parameters": _parameters(runs[0]["encoder"]),
        "variant": target.variant,
        "why": target.why,
        "recipe": runs[0]["recipe"],
        "environment": runs[0]["environment"],
        "versions": sorted({ran["environment"]["graphssl"] + " " + str(ran["environment"].get("git", "")) for ran in runs}),
        "data": runs[0]["data"],
        "published": target.published.model_dump(),
        "difference": difference(record["values"], target.published.score / 100),
        "allowed": allowed(target),
    }
    record["reproduced"] = bool(record["difference"]["mean"] >= -record["allowed"])
    return record


def difference(values: Sequence[Sequence[float]], published: float) -> dict[str, Any]:
    """Mean over seeds and splits less the published mean, with a percentile bootstrap interval; shares.

    Seeds and splits are drawn anew, crossed, since all seeds share the splits (Owen and Eckles, 2012, arXiv:1106.2125). With three seeds it
    is narrower than it should be, and the spread of the published mean is not in it. One seed on one split has none.

    Args:
        values: the score of each seed on each split, ``[S][K]``.
        published: as a share.

    Example:
        >>> difference([[0.81, 0.83]], 0.83)["mean"]
        -0.01
    """
    table = np.asarray(values, dtype=np.float64)  # [S, K]
    mean = round(float(table.mean() - published), 12)
    if table.size == 1:
        return {"mean": mean, "low": None, "high": None}
    rng = np.random.default_rng(0)
    seeds, splits = (rng.integers(0, n, (DRAWS, n)) for n in table.shape)
    counts = [np.stack([(drawn == k).mean(1) for k in range(n)], 1) for drawn, n in zip((seeds, splits), table.shape, strict=True)]
    means = np.einsum("bs,sk,bk->b", counts[0], table, counts[1]) - published
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    over = " and ".join(name for name, n in zip(("seeds", "splits"), table.shape, strict=True) if n > 1)
    return {"mean": mean, "low": float(low), "high": float(high), "confidence": CONFIDENCE, "over": over}


def allowed(target: Target) -> float:
    """How far below the published mean counts as reached: its deviation, or half a point where that is smaller; a share."""
    return max(target.published.std or 0.0, AT_LEAST) / 100


# ---------------------------------------------------------------------- all of the table


def plan(out: Path, root: str | None = None) -> tuple[list[Target], list[Target]]:
    """Targets whose data are on this machine, fewest seeds first and then the cheapest, and the others.

    The cost of a target is what a seed of it took here, or else is taken to grow with its epochs and the size of its raw files.
    """
    sizes = {target.name: raw_size(target.dataset, root) for target in targets()}
    here = [target for target in targets() if sizes[target.name] is not None]
    here.sort(key=lambda target: (_done(out / target.name), _cost(target, out / target.name, sizes[target.name] or 0)))
    return here, [target for target in targets() if sizes[target.name] is None]


def raw_size(dataset: str, root: str | None = None) -> int | None:
    """Bytes of a dataset's raw files; ``None`` where they are not on this machine."""
    entry = DATASETS[dataset]
    if entry.family == "embedded":
        return 0
    folders = [place / entry.folder for place in roots(root)]
    if entry.files:
        sets = [[folder / "raw" / name for name, _ in entry.files] for folder in folders]
    else:
        sets = [[path for path in folder.rglob("*") if path.is_file()] for folder in folders if folder.is_dir()]
    whole = next((paths for paths in sets if paths and all(path.is_file() for path in paths)), None)
    return None if whole is None else sum(path.stat().st_size for path in whole)


def _done(folder: Path) -> int:
    return len(list(folder.glob("seed-*/score.json")))


def _cost(target: Target, folder: Path, size: int) -> float:
    ran = [json.loads(path.read_bytes())["wall_seconds"] for path in folder.glob(f"seed-*/{MARK}")]
    return statistics.median(ran) if ran else 10.0 + 3e-7 * target.recipe.epochs * size


# ---------------------------------------------------------------------- one seed


def _in_turn(
    target: Target, out: Path, seeds: Sequence[int], root: str | None, known: dict[str, Score], watcher: Watcher | None
) -> Iterator[int]:
    """Run seeds in this process; gives each when it is done."""
    for seed in seeds:
        _one(target, out, seed, root, known, watcher)
        yield seed


def _one(target: Target, out: Path, seed: int, root: str | None, known: dict[str, Score], watcher: Watcher | None = None) -> None:
    record = run(
        target.method,
        target.dataset,
        target.recipe,
        out=out / f"seed-{seed}",
        root=root,
        seeds=(seed,),
        resume=True,
        watcher=watcher,
        known=known,
    )
    if record.get("interrupted"):
        raise KeyboardInterrupt


def _together(target: Target, out: Path, left: Sequence[int], root: str | None, known: dict[str, Score], jobs: int) -> Iterator[int]:
    """Seeds as they get done, each in a process; where one fails or all are stopped, no other begins, and those under way save and end."""
    others = set(active_children())
    with ProcessPoolExecutor(min(jobs, len(left)), mp_context=get_context("spawn"), initializer=_begin, initargs=(jobs,)) as pool:
        todo, running = iter(left), dict[Future[None], int]()
        try:
            while True:
                for seed in islice(todo, jobs - len(running)):  # what a pool is given ahead of time it would begin, stopped or not
                    running[pool.submit(_one_of_several, target, out, seed, root, known)] = seed
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    done.result()
                    yield running.pop(done)
        except BaseException:
            if wait(running, timeout=ENDING).not_done:  # Ctrl-C reaches them too, and a second signal strikes at once
                for process in set(active_children()) - others:
                    with suppress(ProcessLookupError, TypeError):
                        os.kill(process.pid, signal.SIGINT)  # type: ignore[arg-type]
            raise


def _begin(jobs: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # between seeds the parent alone is stopped
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))


def _one_of_several(*args: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _one(*args)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _beside(target: Target, out: Path, root: str | None, watcher: Watcher | None) -> dict[str, Score]:
    """Scores of what needs no training, made once and kept in ``out/beside.json``."""
    path, watcher = out / "beside.json", watcher or Watcher()
    if not path.is_file():
        watcher.stage(f"loading {target.dataset}")
        made = beside(load_for(target.recipe, target.dataset, root), target.recipe, watcher)
        write_durably(path, json.dumps({name: score.to_dict() for name, score in made.items()}, allow_nan=False).encode())
    return {name: Score.from_dict(value) for name, value in json.loads(path.read_bytes()).items()}


def _line(target: Target, out: Path, seed: int) -> str:
    found = finished(target, out, seed)
    assert found is not None
    score, ran = found
    return f"{target.name} seed {seed}: {100 * score['mean']:.2f} in {ran['wall_seconds']:.0f} s"


def _over(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Mean over seeds of rows of one seed each, mean of their deviations over splits, and deviation over seeds."""
    means = [row["mean"] for row in rows]
    splits = [row["std_splits"] for row in rows if row["std_splits"] is not None]
    over = statistics.stdev(means) if len(means) > 1 else None
    return dict(zip(SUMMED, (statistics.fmean(means), statistics.fmean(splits) if splits else None, over), strict=True))


def _parameters(encoder: dict[str, Any]) -> int:
    from graphssl.encoders import build
    from graphssl.random import seeded

    with seeded(0):
        return sum(p.numel() for p in build(encoder).parameters())


@contextmanager
def _held(out: Path) -> Iterator[None]:
    make_folder(out)
    lock = FileLock(out / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(f"out: another process is at work in {out}; name another folder") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def deadline(seconds: float) -> Iterator[Callable[[], bool]]:
    """Inside, this process is asked to stop, as by Ctrl-C, after so many seconds; gives a function that says whether it was asked.

    It is heard where Ctrl-C is not, as in what a shell script runs in the background.
    """
    end, main = time.monotonic() + seconds, threading.main_thread()
    heard = threading.current_thread() is main
    before = signal.signal(signal.SIGINT, signal.default_int_handler) if heard else None

    def stop() -> None:
        if hasattr(signal, "pthread_kill") and main.ident is not None:
            signal.pthread_kill(main.ident, signal.SIGINT)  # wakes it too where it waits for other processes
        else:
            _thread.interrupt_main()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield lambda: time.monotonic() >= end
    finally:
        timer.cancel()
        if heard:
            signal.signal(signal.SIGINT, before)
