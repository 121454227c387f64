"""A graph of ogbn-products' size from OGB's raw files to a score: ``python -m benchmarks.large FOLDER WORK [--epochs N] [--threads N]``.

FOLDER is what ``benchmarks.generate`` wrote. Each step is a process of its own, under a count of its seconds and of the most memory that it
had resident at a time, pages of mapped files included, which the system takes back when it needs them. A step that is done is not done
again. The record goes to ``benchmarks/results/large.json``, or to ``--record FILE``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

BGRL: dict[str, Any] = {"channels": (256, 256), "hidden": 256, "norm_momentum": 0.1, "lr": 1e-3, "warmup": 0.1, "num_parts": 600}


def convert(work: Path, folder: str, **_: Any) -> dict[str, Any]:
    """OGB's raw files into a store."""
    from graphssl.datasets.ogb_nodes import open_source
    from graphssl.store import write_store

    card = write_store(open_source(folder), work / "store", memory="4GB")
    return {"summary": card.summary()}


def train(work: Path, *, epochs: int, **_: Any) -> dict[str, Any]:
    """BGRL on partition batches, so many passes over all nodes; the untrained encoder is kept too."""
    import torch
    from safetensors.torch import save_file

    from graphssl.batches import PartitionBatches
    from graphssl.batches.partition import partition
    from graphssl.building import make
    from graphssl.random import seeded
    from graphssl.recipes.bgrl import DEFAULT, LARGE
    from graphssl.store import open_store
    from graphssl.training import train as steps_of

    recipe = DEFAULT.model_copy(update={**LARGE, **BGRL})
    graph = open_store(work / "store").graph()
    with seeded(0):
        objective = make("bgrl", recipe, graph.num_features)
    save_file(objective.encoder.state_dict(), work / "untrained.safetensors")
    start = time.perf_counter()
    parts = partition(graph, BGRL["num_parts"])
    cut = time.perf_counter() - start
    batches = PartitionBatches(graph, parts)
    start = time.perf_counter()
    for step in steps_of(objective, batches, epochs=epochs, lr=recipe.lr, warmup=recipe.warmup, schedule="cosine", weight_decay=1e-5):
        if step.number % 50 == 0:
            print(f"step {step.number}/{step.total}, loss {float(step.loss):.4f}, {time.perf_counter() - start:.0f} s", flush=True)
    save_file(objective.encoder.state_dict(), work / "trained.safetensors")
    seconds = time.perf_counter() - start
    return {
        "partition_seconds": round(cut, 1),
        "epochs": epochs,
        "seconds_an_epoch": round(seconds / epochs, 1),
        "loss": round(float(step.loss), 4),
        "threads": torch.get_num_threads(),
        "recipe": recipe.model_dump(mode="json"),
    }


def embed(work: Path, *, which: str, **_: Any) -> dict[str, Any]:
    """All nodes, exactly, layer by layer."""
    from safetensors.torch import load_file

    from graphssl.building import encoder_config
    from graphssl.embedding import embed as embedded
    from graphssl.encoders import build
    from graphssl.recipes.bgrl import DEFAULT, LARGE
    from graphssl.store import open_store

    graph = open_store(work / "store").graph()
    encoder = build(encoder_config(DEFAULT.model_copy(update={**LARGE, **BGRL}), graph.num_features))
    encoder.load_state_dict(load_file(work / f"{which}.safetensors"))
    start = time.perf_counter()
    z = embedded(encoder, graph, memory="6GB", out=work / f"{which}.npy")
    return {"rows": z.size(0), "columns": z.size(1), "embedding_seconds": round(time.perf_counter() - start, 1)}


def probe(work: Path, *, which: str, **_: Any) -> dict[str, Any]:
    """Logistic regression on the train rows, its penalty chosen on validation, scored on the test rows."""
    import numpy as np
    import torch

    from graphssl.evaluation import evaluate
    from graphssl.store import open_store

    data = open_store(work / "store").dataset()
    z = data.graph.x if which == "raw" else torch.from_numpy(np.load(work / f"{which}.npy", mmap_mode="c"))
    score = evaluate(z, data, "fixed", setting="transductive")
    return {"score": round(score.mean, 4), "converged": score.converged, **score.selected[0]}


STEPS: dict[str, tuple[Callable[..., dict[str, Any]], dict[str, str]]] = {
    "convert": (convert, {}),
    "train": (train, {}),
    "embed trained": (embed, {"which": "trained"}),
    "embed untrained": (embed, {"which": "untrained"}),
    "probe trained": (probe, {"which": "trained"}),
    "probe untrained": (probe, {"which": "untrained"}),
    "probe raw features": (probe, {"which": "raw"}),
}


def main() -> None:
    """All steps that are not done, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("work", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--record", type=Path, default=Path(__file__).parent / "results" / "large.json")
    parser.add_argument("--step", choices=STEPS)
    options = parser.parse_args()
    if options.step is not None:
        make, more = STEPS[options.step]
        print(json.dumps(make(options.work, folder=options.folder, epochs=options.epochs, **more)))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    done = options.work / "steps.json"
    rows = json.loads(done.read_text()) if done.exists() else []
    for step in STEPS:
        if step not in [row["step"] for row in rows]:
            rows.append(_measured(step, sys.argv[1:], options.threads))
            done.write_text(json.dumps(rows, indent=1))
            print(json.dumps({key: value for key, value in rows[-1].items() if key != "recipe"}), flush=True)
    from graphssl.environment import environment

    record = {"what": "a graph from OGB's raw files to a score", "threads": options.threads, "environment": environment(), "rows": rows}
    options.record.write_text(json.dumps(record, indent=1) + "\n")


def _measured(step: str, args: list[str], threads: int) -> dict[str, Any]:
    """A step in a process of its own: what it prints last, its seconds, and the most memory that it had resident."""
    command = [sys.executable, "-m", "benchmarks.large", *args, "--step", step]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    watch = {"resident": 0, "own": 0, "cpu": 0.0}
    follower = threading.Thread(target=_follow, args=(process, watch))
    follower.start()
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        last = line
        if not line.startswith("{"):
            print(line, end="", flush=True)
    follower.join()
    if process.wait():
        raise SystemExit(f"{step} failed")
    return {
        "step": step,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(watch["cpu"], 1),
        "resident_gb": round(watch["resident"] / 1e9, 2),
        "own_gb": round(watch["own"] / 1e9, 2),  # without the pages of mapped files
        **json.loads(last),
    }


def _follow(process: subprocess.Popen[str], watch: dict[str, float]) -> None:
    seen = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            memory, times = seen.memory_info(), seen.cpu_times()
        except psutil.Error:
            return
        watch["resident"] = max(watch["resident"], memory.rss)
        watch["own"] = max(watch["own"], memory.rss - getattr(memory, "shared", 0))
        watch["cpu"] = times.user + times.system
        time.sleep(0.1)


if __name__ == "__main__":
    main()
