"""Estimates of mutual information against the truth, on correlated Gaussians: ``python -m benchmarks.gaussians``.

``d`` pairs of standard normal numbers, each pair with correlation ``rho``: ``-d/2 log(1 - rho^2)`` nats. Every estimator gets the same
40,000 draws, the critic of :func:`graphssl.mutual_information` and as many steps, and tells of 10,000 draws that it did not train on. The
record goes to ``benchmarks/results/gaussians.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from graphssl.environment import environment
from graphssl.estimation import Estimator, mutual_information

RECORD = Path(__file__).parent / "results" / "gaussians.json"
RHOS, WIDTHS, DRAWS = (0.0, 0.5, 0.9, 0.99), (1, 20), 50_000
NUMBERS: dict[str, Any] = {"critic": "concatenated", "hidden": 48, "steps": 600, "batch_size": 128, "lr": 2e-3, "held_out": 0.2}


def truth(rho: float, d: int) -> float:
    """Nats.

    Example:
        >>> round(truth(0.9, 20), 2)
        16.61
    """
    return -d / 2 * math.log1p(-(rho**2)) + 0.0


def draws(rho: float, d: int, num: int = DRAWS, seed: int = 0) -> tuple[Tensor, Tensor]:
    """``x`` and ``y``, ``[num, d]`` each."""
    x, noise = torch.randn(2, num, d, generator=torch.Generator().manual_seed(seed))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def measured(rho: float, d: int, seed: int = 0) -> dict[str, Any]:
    """A row of the record: the truth, and what each estimator tells."""
    x, y = draws(rho, d, seed=seed)
    told = {name: mutual_information(x, y, estimator=name, seed=seed, **NUMBERS) for name in get_args(Estimator)}
    values = {name: {"held_out": round(e.value, 4), "train": round(e.train, 4)} for name, e in told.items()}
    return {"rho": rho, "d": d, "truth": round(truth(rho, d), 4), "estimates": values}


def main() -> None:
    """All distributions, one after the other."""
    argparse.ArgumentParser(prog="python -m benchmarks.gaussians", description=__doc__).parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    rows = [measured(rho, d) for d in WIDTHS for rho in RHOS]
    seconds = round(time.process_time() - start, 1)
    record = {"what": "mutual information of correlated Gaussians, nats", "numbers": {**NUMBERS, "draws": DRAWS, "seed": 0}}
    RECORD.write_text(json.dumps({**record, "cpu_seconds": seconds, "environment": environment(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
