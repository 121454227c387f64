"""Where a run ran: versions, machine, state of the source, memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import torch

from graphssl import __version__

PACKAGES = ("torch", "torch-geometric", "numpy", "scipy", "scikit-learn", "numba", "ogb", "networkx")


def environment() -> dict[str, Any]:
    """Versions, machine, threads, and the git state of the package's source where it is under git."""
    return {
        "graphssl": __version__,
        "python": platform.python_version(),
        **{name: version_of(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "git": git_state(Path(__file__).parent),
    }


def version_of(package: str) -> str | None:
    """Installed version of a distribution, ``None`` where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_state(folder: Path) -> str | None:
    """Commit of the source at ``folder``, with ``+changes`` where files differ from it; ``None`` outside git."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB (10^6 bytes)."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / 1e6 if sys.platform == "darwin" else float(peak) * 1024 / 1e6


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        return names[0] if names else platform.machine()
    return platform.processor() or platform.machine()
