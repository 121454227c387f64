"""Runs killed at random moments and gone on with: ``python -m benchmarks.kills STORE WORK [--kills N]``.

For each kind of batches, a run of the command that is left alone, and one that is killed by SIGKILL at random moments and begun again with
``--resume`` until it ends. Both must end with the same encoder, embeddings, history and score, bit for bit. The record goes to
``benchmarks/results/kills.json``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

KINDS: dict[str, list[str]] = {
    "neighbours": ["--batches", "neighbours", "--fan-out", "5", "5", "--batch-size", "1024", "--norm", "layer"],
    "partitions": ["--batches", "partitions", "--num-parts", "12"],
}
SMALL = ["--channels", "64", "64", "--hidden", "64", "--epochs", "6", "--features", "none", "--quiet", "--save-every", "0.5"]


def main() -> None:
    """Both kinds, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("work", type=Path)
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = [_campaign(kind, options.store, options.work, options.kills) for kind in KINDS]
    from graphssl.environment import environment

    record = {"what": "runs killed by SIGKILL at random moments and gone on with", "environment": environment(), "rows": rows}
    (Path(__file__).parent / "results" / "kills.json").write_text(json.dumps(record, indent=1) + "\n")


def _campaign(kind: str, store: str, work: Path, kills: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "graphssl", "train", "bgrl", store, *KINDS[kind], *SMALL]
    start = time.perf_counter()
    subprocess.run([*command, "--out", str(work / f"{kind}-whole"), "--force"], check=True)
    seconds = time.perf_counter() - start
    rng, times, same = random.Random(kind), [], True
    out = work / f"{kind}-killed"
    begun = [*command, "--out", str(out), "--resume"]
    whole = _content(work / f"{kind}-whole")
    while len(times) < kills or not out.exists():
        process = subprocess.Popen(begun)
        after = rng.uniform(0.1, 0.6) * seconds
        try:
            process.wait(after if len(times) < kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            times.append(round(after, 1))
            continue
        same = same and _content(out) == whole
        if len(times) < kills:  # it came to its end between two kills: again from the start
            shutil.rmtree(out)
    row = {"batches": kind, "kills": len(times), "after seconds": times, "seconds of the whole run": round(seconds, 1), "same bits": same}
    print(json.dumps(row), flush=True)
    return row


def _content(run: Path) -> list[Any]:
    """What must be the same: everything but times."""
    score = json.loads((run / "score.json").read_text())
    kept = [score[name] for name in ("mean", "values", "untrained", "raw_features", "diagnostics", "epochs")]
    digests = [hashlib.sha256((run / "seed-0" / name).read_bytes()).hexdigest() for name in ("encoder.safetensors", "embeddings.npy")]
    with open(run / "seed-0" / "history.csv", newline="") as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    return [kept, digests, rows]


if __name__ == "__main__":
    main()
