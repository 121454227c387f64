"""Clocks, peaks of memory, processes of their own, and routes that take turns."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch

from graphssl.environment import peak_rss_mb

Phases = dict[str, float]  # seconds of the parts of a step, and of all of it as "step"
ROOT = Path(__file__).parent.parent.parent


def clock() -> float:
    """Seconds of the processor with one thread; of the wall with more, whose work it would add up."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds(work: Callable[[], Any]) -> Phases:
    """What ``work`` takes, as the only part of a step."""
    start = clock()
    work()
    return {"step": clock() - start}


def alternate(routes: Mapping[str, Callable[[], Phases]], *, rounds: int, budget: float = 60.0, least: int = 2) -> dict[str, list[Phases]]:
    """What each route took in each round: all of them once a round, in turn; fast ones up to five times beside slow ones.

    At most ``rounds`` rounds, and no more after ``least`` once the ``budget`` of seconds is spent. Each route must be warm.
    """
    found: dict[str, list[Phases]] = {name: [] for name in routes}
    start = time.perf_counter()
    slowest = 0.0
    for k in range(rounds):
        for name, route in routes.items():
            first = route()
            found[name].append(first)
            for _ in range(min(4, int(slowest / max(first["step"], 1e-3) / 4)) if k else 0):
                found[name].append(route())
            slowest = max(slowest, first["step"])
        if k + 1 >= least and time.perf_counter() - start > budget:
            break
    return found


def medians(taken: list[Phases]) -> Phases:
    """Median milliseconds of each part."""
    return {part: round(1e3 * statistics.median(t.get(part, 0.0) for t in taken), 3) for part in taken[0]}


def spread(taken: list[Phases]) -> float:
    """Half the distance between the quartiles of a step's seconds, as a share of their median."""
    times = [t["step"] for t in taken]
    if len(times) < 2:
        return 0.0
    low, _, high = statistics.quantiles(times, n=4, method="inclusive")
    return round((high - low) / 2 / statistics.median(times), 3)


class Peak:
    """The most memory resident between entering and leaving, and how much of it was not there before, in MB (10^6 bytes)."""

    def __enter__(self) -> Peak:
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        self.before = psutil.Process().memory_info().rss / 1e6
        self.exact = _reset_peak()
        return self

    def __exit__(self, *_: object) -> None:
        self.resident = _high_water_mark() if self.exact else peak_rss_mb()
        self.more = max(self.resident - self.before, 0.0)


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _high_water_mark() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def child(task: str, *args: str, threads: int = 1) -> dict[str, Any]:
    """A task of ``benchmarks.speed`` in a process of its own: what it prints last.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.speed", "--task", task, *args]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join([task, *args])} failed with {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def room_for(gigabytes: float) -> None:
    """Refuses where so much memory is not free.

    Raises:
        MemoryError: it is not.
    """
    free = psutil.virtual_memory().available / 1e9
    if free < gigabytes:
        raise MemoryError(f"about {gigabytes:.0f} GB are needed, and {free:.1f} GB are free")


def keep(path: Path, record: dict[str, Any]) -> None:
    """Write a record so that another one is never half there."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)
