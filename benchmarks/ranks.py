"""The same training on one process and on several: ``python -m benchmarks.ranks STORE WORK [--ranks 1 2 4] [--epochs N]``.

Each is the command under ``torchrun`` (gloo), one thread a process, BGRL on sampled neighbours with the same 1,024 seeds a step, dealt out
over the ranks; the score is that of 20 labels a class over ten draws. The record goes to ``benchmarks/results/ranks.json``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OPTIONS = [
    *("--batches", "neighbours", "--fan-out", "5", "5", "--batch-size", "1024"),
    *("--channels", "128", "128", "--hidden", "128", "--norm", "layer", "--features", "none", "--lr", "1e-3"),
    *("--protocol", "low-label-20", "--quiet"),
]


def main() -> None:
    """One run for each number of ranks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("work", type=Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    rows = [_run(size, options.store, options.work / f"ranks-{size}", options.epochs) for size in options.ranks]
    from graphssl.environment import environment

    record = {"what": "BGRL under torchrun on one machine of two cores", "environment": environment(), "rows": rows}
    (Path(__file__).parent / "results" / "ranks.json").write_text(json.dumps(record, indent=1) + "\n")


def _run(size: int, store: str, out: Path, epochs: int) -> dict[str, Any]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)] if size > 1 else [sys.executable]
    command = [*start, "-m", "graphssl", "train", "bgrl", store, *OPTIONS, "--epochs", str(epochs), "--out", str(out), "--force"]
    began = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    score = json.loads((out / "score.json").read_text())
    with open(out / "seed-0" / "history.csv", newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    row = {
        "ranks": size,
        "score": round(score["mean"], 4),
        "std_splits": round(score["std_splits"], 4),
        "untrained": round(score["untrained"]["mean"], 4),
        "raw_features": round(score["raw_features"]["mean"], 4),
        "seeds_a_second": round(1024 * len(seconds) / sum(seconds)),
        "seconds": round(time.perf_counter() - began, 1),
        "protocol": score["protocol"],
        "split_hash": score["split_hash"],
    }
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    main()
