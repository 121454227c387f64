"""Memory and time of losses of pairs, chunked and whole: ``python -m benchmarks.pairwise [--nodes N] [--losses NAME ...]``.

Every loss of the table that takes two views, or two views and labels, and that works with ``chunk``: its value and gradient at random rows,
each measurement in a process of its own. Memory is what the process came to hold at most besides the rows. In chunks it is measured at full
size; and in chunks and whole at the largest size at which the whole will fit, as it is foretold from a small size: there they are compared.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from graphssl.environment import environment
from graphssl.losses.table import LOSSES

NODES, WIDTH, CHUNK, CLASSES = 50_000, 256, 128, 40
FITS = 0.5  # of the memory that is free, which the whole may come to hold
SMALL = 2_000  # nodes to foretell from
HERE = Path(__file__).parent


def main(args: list[str] | None = None) -> None:
    """Measure, print, and write ``results/pairwise.json``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairwise", description="Losses of pairs in chunks and whole.")
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--chunk", type=int, default=CHUNK)
    parser.add_argument("--dense", type=int, default=None, help="nodes at which the whole is measured (else what memory allows)")
    parser.add_argument("--losses", nargs="+", default=None, metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "pairwise.json")
    parser.add_argument("--one", nargs=3, default=None, help=argparse.SUPPRESS)  # a measurement: the loss, nodes, chunk (0: whole)
    given = parser.parse_args(args)
    if given.one:
        print(json.dumps(measured(given.one[0], int(given.one[1]), given.width, int(given.one[2]) or None, given.threads)))
        return
    names = given.losses or chunked()
    unknown = set(names) - set(chunked())
    if unknown:
        raise SystemExit(f"no loss in chunks is named {', '.join(sorted(unknown))}; there are {', '.join(chunked())}")
    done = json.loads(given.out.read_text(encoding="utf-8"))["rows"] if given.losses and given.out.is_file() else []
    rows = {row["loss"]: row for row in done}  # some are measured again, the others stay
    for name in names:
        rows[name] = compared(name, given)
        print(rows[name], flush=True)
        record = {"what": "value and gradient of a loss of two views", "width": given.width, "rows": list(rows.values())}
        given.out.write_text(json.dumps(record | {"environment": environment()}, indent=1) + "\n", encoding="utf-8")


def chunked() -> list[str]:
    """The names of the losses that are measured."""
    from graphssl import losses

    taking = [name for name, line in LOSSES.items() if line.takes != "other"]
    return [name for name in taking if "chunk" in inspect.signature(getattr(losses, name.replace("-", "_"))).parameters]


def compared(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """A loss in chunks at full size, and in chunks and whole at the size at which the whole fits."""
    dense = given.dense or fitting(_apart(name, SMALL, 0, given)["memory_mb"], given.nodes)
    at = [(given.nodes, given.chunk), (dense, given.chunk), (dense, 0)]
    full, part, whole = (_apart(name, nodes, chunk, given) for nodes, chunk in at)
    both = part["memory_mb"] is not None and whole["memory_mb"] is not None
    return {
        "loss": name, "nodes": given.nodes, "chunk": given.chunk, "threads": given.threads,
        "seconds": full["seconds"], "memory_mb": full["memory_mb"], "dense_nodes": dense,
        "dense_seconds": whole["seconds"], "dense_memory_mb": whole["memory_mb"],
        "chunked_seconds": part["seconds"], "chunked_memory_mb": part["memory_mb"],
        "share_of_memory": round(part["memory_mb"] / whole["memory_mb"], 4) if both else None,
        "share_at_full_size": None if full["memory_mb"] is None or whole["memory_mb"] is None
        else round(full["memory_mb"] / (whole["memory_mb"] * (given.nodes / dense) ** 2), 4),
        "values": [part["value"], whole["value"]],
    }  # fmt: skip


def fitting(memory_mb: float | None, nodes: int) -> int:
    """So many nodes that the whole fits, given what it takes at the small size: it grows with the square."""
    free = FITS * psutil.virtual_memory().available / 1e6
    return SMALL if memory_mb is None else min(nodes, int(SMALL * math.sqrt(free / max(memory_mb, 1.0)) / 1000) * 1000)


def _apart(name: str, nodes: int, chunk: int, given: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.pairwise", "--width", str(given.width), "--threads", str(given.threads)]
    done = subprocess.run([*command, "--one", name, str(nodes), str(chunk)], capture_output=True, text=True, cwd=HERE.parent, check=False)
    if done.returncode:
        print(f"{name} of {nodes} nodes, chunk {chunk or 'none'}: {(done.stderr.strip() or 'killed').splitlines()[-1]}", file=sys.stderr)
        return {"seconds": None, "memory_mb": None, "value": None}
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def measured(name: str, nodes: int, width: int, chunk: int | None, threads: int) -> dict[str, Any]:
    """CPU seconds, most memory in MB besides the rows, and value of one loss and its gradient in this process."""
    import torch

    from graphssl import losses

    torch.set_num_threads(threads)
    function = getattr(losses, name.replace("-", "_"))
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(CLASSES, (nodes,), generator=generator)
    centres = torch.randn(CLASSES, width, generator=generator)
    u, v = (centres[y] + torch.randn(nodes, width, generator=generator) for _ in range(2))
    options: dict[str, Any] = {"y": y} if LOSSES[name].takes == "labels" else {}
    options |= {"intra": True} if "intra" in inspect.signature(function).parameters else {}
    torch.manual_seed(0)
    few = slice(0, 64)  # what is imported and set up at first use is no part of it
    function(u[few].requires_grad_(), v[few], **{**options, **({"y": y[few]} if "y" in options else {})}, chunk=32).backward()
    u, v = u.detach().requires_grad_(), v.detach().requires_grad_()
    with Peak() as peak:
        start = time.process_time()
        value = function(u, v, **options, chunk=chunk)
        value.backward()
        seconds = time.process_time() - start
    return {"seconds": round(seconds, 2), "memory_mb": max(round(peak.most / 1e6, 1), 0.1), "value": float(value.detach())}


class Peak:
    """The most memory that this process came to hold on top of what it held, in bytes: looked at every millisecond."""

    def __enter__(self) -> Peak:
        self.process, self.over = psutil.Process(), threading.Event()
        self.start, self.most = self.process.memory_info().rss, 0
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self) -> None:
        while not self.over.wait(0.001):
            self.most = max(self.most, self.process.memory_info().rss - self.start)

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


if __name__ == "__main__":
    main()
