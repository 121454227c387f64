"""A graph with the shape of ogbn-products in OGB's own files: ``python -m benchmarks.generate OUT [--scale 1.0] [--seed 0]``.

For measurements at full size where the real set cannot be had. As in ogbn-products (Hu et al., 2020, arXiv:2005.00687): 2,449,029 nodes,
61,859,140 undirected edges, each listed once, 100 features, 47 classes of very different sizes, heavy-tailed degrees (median 27 and at
most 12,609 at scale 1), ids in the order of a sales rank that goes with the degree, the first 8 % to train on, 2 % to validate, 90 % to
test; ``--scale`` multiplies nodes and edges.

Planted: each class has several communities; 88 % of the edges stay in the class, most of them in the community, and 5 % of a community's
nodes are strangers of another class, so that four edges of five join nodes of one class. A node's features are a weak class centre, a
somewhat stronger shift of its community, and strong noise of its own: one node says little, its neighbourhood much.

Everything is drawn in blocks; the largest thing in memory is the list of edges, 8 bytes each, three times where it is merged. The files
depend on scale and seed only. A file that is there is not made again, so that a broken run goes on where it was.
"""

from __future__ import annotations

import argparse
import gzip
import io
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
from pyarrow import csv

from graphssl.files import written

NODES, EDGES, FEATURES, CLASSES = 2_449_029, 61_859_140, 100, 47
TRAIN, VAL = 196_615, 39_323  # of NODES, as in ogbn-products
COMMUNITIES = 2_400  # at scale 1; they grow with the root of the scale, so that size and number both do
EXPONENT, STEEPEST = 1.6, 1_250.0  # of the expected degrees: a Pareto law, cut at so many times its scale
SPREAD = 0.8  # of the logarithm of a factor to it, so that there are nodes with a handful of neighbours
NEAR, WITHIN = 0.60, 0.88  # shares of edges drawn within the community, and within the class with these
STRANGERS = 0.05
CENTRE, SHIFT, NOISE = 0.04, 0.06, 1.0
BLOCK = 2**16  # rows of features at a time
DRAWS = 2**22  # edges at a time
LABELS, WEIGHTS, RANK, ENDS, ORDER, CENTRES, FEATURE = range(7)  # of the random streams


def main(args: list[str] | None = None) -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description="A graph with the shape of ogbn-products.")
    parser.add_argument("out", type=Path, help="folder that gets products-like/")
    parser.add_argument("--scale", type=float, default=1.0, help="of nodes and edges (1.0)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(args)
    try:
        folder = generate(given.out, scale=given.scale, seed=given.seed, say=_say())
    except ValueError as error:
        parser.error(str(error))
    sys.stderr.write(f"{folder}\n")


def generate(out: Path, *, scale: float = 1.0, seed: int = 0, say: Callable[[str], object] = lambda text: None) -> Path:
    """Write ``out/products-like`` and return it; ``say`` hears of each file.

    Raises:
        ValueError: a scale that is too small for 47 classes, or a folder in which another scale or seed was begun.
    """
    if not 0.001 <= scale <= 100:
        raise ValueError(f"scale is {scale}; allowed: 0.001 to 100")
    folder = out / "products-like"
    plan = Plan(round(NODES * scale), round(EDGES * scale), scale, seed)
    mark = folder / "mapping" / "README.md"
    told = f"Not a real data set: made by `python -m benchmarks.generate --scale {scale} --seed {seed}`.\n"
    if mark.is_file() and mark.read_text() != told:
        raise ValueError(f"{folder} was begun with another scale or seed: {mark.read_text().strip()}")
    for below in ("raw", "mapping", "split/sales_ranking", "processed"):  # the last is empty; ogb's class wants it
        (folder / below).mkdir(parents=True, exist_ok=True)
    mark.write_text(told)
    n, train = plan.num_nodes, round(TRAIN * scale)
    val = train + round(VAL * scale)
    files: dict[str, Callable[[], Iterator[np.ndarray]]] = {
        "raw/num-node-list": lambda: iter([np.array([[n]])]),
        "raw/num-edge-list": lambda: iter([np.array([[plan.num_edges]])]),
        "split/sales_ranking/train": lambda: _range(0, train),
        "split/sales_ranking/valid": lambda: _range(train, val),
        "split/sales_ranking/test": lambda: _range(val, n),
        "raw/node-label": lambda: iter([plan.labels[plan.by_rank][:, None]]),
        "raw/node-feat": plan.features,
        "raw/edge": plan.edges,
    }
    for name, blocks in files.items():
        path = folder / f"{name}.csv.gz"
        if path.is_file():
            say(f"{path} is there")
            continue
        with written(path) as part:
            rows = _write(part, blocks(), lambda done, name=name: say(f"{name}: {done:,} rows"))  # type: ignore[misc]
        say(f"{path}: {rows:,} rows, {path.stat().st_size / 1e6:,.1f} MB")
    (folder / "RELEASE_v1.txt").write_text("Made, not released.\n")
    return folder


@dataclass(frozen=True)
class Plan:
    """What is planted. Places are nodes in the order of class and community; a node's id is its rank."""

    num_nodes: int
    num_edges: int
    scale: float
    seed: int

    def _random(self, *stream: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, *stream])))

    @cached_property
    def communities(self) -> tuple[np.ndarray, np.ndarray]:
        """The class of each community ``[C]``, ascending, and where its places begin ``[C + 1]``."""
        random = self._random(LABELS, 0)
        share = 1 / (np.arange(CLASSES) + 2.0) ** 1.3  # the largest class a quarter of all, the smallest a few in a thousand
        count = np.maximum(1, np.round(share / share.sum() * COMMUNITIES * np.sqrt(self.scale))).astype(int)  # of each class
        owner = np.repeat(np.arange(CLASSES), count)
        weight = (share / count)[owner] * random.lognormal(0, 0.5, owner.size)
        ends = np.round(np.cumsum(weight) / weight.sum() * self.num_nodes).astype(np.int64)
        return owner, np.concatenate([[0], ends])

    @cached_property
    def community(self) -> np.ndarray:
        """``[N]`` of each place."""
        owner, first = self.communities
        return np.repeat(np.arange(owner.size, dtype=np.int32), np.diff(first))

    @cached_property
    def labels(self) -> np.ndarray:
        """``[N]`` of each place: the community's class, or another one for the strangers."""
        random = self._random(LABELS, 1)
        labels = self.communities[0][self.community]
        strange = random.random(self.num_nodes) < STRANGERS
        return cast(np.ndarray, np.where(strange, labels[random.permutation(self.num_nodes)], labels))

    @cached_property
    def weights(self) -> np.ndarray:
        """``[N]`` expected degree of each place, up to a factor: Pareto times lognormal, cut (:data:`STEEPEST`; lower in a small graph)."""
        top = min(STEEPEST, self.num_nodes / 200)
        random = self._random(WEIGHTS)
        pareto = (1 - random.random(self.num_nodes) * (1 - top**-EXPONENT)) ** (-1 / EXPONENT)
        return cast(np.ndarray, np.minimum(pareto * random.lognormal(0, SPREAD, self.num_nodes), top))

    @cached_property
    def by_rank(self) -> np.ndarray:
        """``[N]`` place of each id: what sells well has many neighbours, more or less."""
        noise = self._random(RANK).normal(0, 1, self.num_nodes)
        return np.argsort(noise - np.log(self.weights), kind="stable")

    def features(self) -> Iterator[np.ndarray]:
        """Blocks ``[k, F]`` in the order of ids."""
        random, owner = self._random(CENTRES), self.communities[0]
        centres = CENTRE * random.standard_normal((CLASSES, FEATURES), dtype=np.float32)
        shifts = SHIFT * random.standard_normal((owner.size, FEATURES), dtype=np.float32)
        for i, start in enumerate(range(0, self.num_nodes, BLOCK)):
            places = self.by_rank[start : start + BLOCK]
            noise = self._random(FEATURE, i).standard_normal((places.size, FEATURES), dtype=np.float32)
            yield np.round(centres[self.labels[places]] + shifts[self.community[places]] + NOISE * noise, 4)

    def edges(self) -> Iterator[np.ndarray]:
        """Blocks ``[k, 2]`` of ids: each undirected edge once, in random order and direction, none of a node with itself."""
        n, random = self.num_nodes, self._random(ORDER)
        pairs = self._pairs()
        random.shuffle(pairs)
        ids = np.empty(n, dtype=np.int64)
        ids[self.by_rank] = np.arange(n)
        for start in range(0, pairs.size, DRAWS):
            ends = ids[np.stack(np.divmod(pairs[start : start + DRAWS], n), axis=1)]
            turned = random.random(len(ends)) < 0.5
            ends[turned] = ends[turned, ::-1]
            yield ends

    def _pairs(self) -> np.ndarray:
        """``[M]`` distinct ``low * N + high`` of places, ascending: what is drawn twice is drawn again, until all are there."""
        pairs, attempt = np.empty(0, dtype=np.int64), 0
        while missing := self.num_edges - pairs.size:
            random = self._random(ENDS, attempt)
            new = np.empty(missing, dtype=np.int64)
            for start in range(0, missing, DRAWS):
                new[start : start + DRAWS] = self._draw(random, min(DRAWS, missing - start), free=attempt > 20)
            new.sort()
            new = new[np.concatenate([[True], new[1:] != new[:-1]]) & (new >= 0)]
            if pairs.size:
                new = new[pairs[np.minimum(np.searchsorted(pairs, new), pairs.size - 1)] != new]
            pairs = np.concatenate([pairs, new])
            pairs.sort(kind="stable")  # two ascending runs: a merge
            attempt += 1
        return pairs

    def _draw(self, random: np.random.Generator, count: int, *, free: bool) -> np.ndarray:
        """``count`` pairs; -1 for a node with itself. ``free``: any two nodes, where communities are too small for their edges."""
        n = self.num_nodes
        if free:
            a, b = random.integers(0, n, (2, count))
        else:
            every, near = self._sums
            owner, first = self.communities
            a = _pick(every, random.random(count) * every[-1])
            kind, at = random.random(count), random.random(count)
            # A node with more neighbours than half its community has has the others in the whole class.
            size = np.diff(first)[self.community[a]]
            expected = self.weights[a] * (2 * self.num_edges / self.weights.sum())
            kind = np.where(kind < NEAR * np.minimum(1, 0.5 * size / expected), 0, np.where(kind < WITHIN, 1, 2))
            b = np.empty_like(a)
            edges_of_class = first[np.searchsorted(owner, np.arange(CLASSES + 1))]
            group = self.community[a]
            for k, sums, low, high in (
                (0, near, first[group], first[group + 1]),
                (1, every, edges_of_class[owner[group]], edges_of_class[owner[group] + 1]),
                (2, every, np.zeros_like(a), np.full_like(a, n)),
            ):
                own = kind == k
                below, above = sums[low[own]], sums[high[own]]
                b[own] = _pick(sums, below + at[own] * (above - below))
        return np.where(a == b, -1, np.minimum(a, b) * n + np.maximum(a, b))

    @cached_property
    def _sums(self) -> tuple[np.ndarray, np.ndarray]:
        """``[N + 1]`` sums of the weights; and of weights cut at eight times the mean, so that no hub takes a whole community."""
        both = (self.weights, np.minimum(self.weights, 8 * self.weights.mean()))
        every, near = (np.concatenate([[0.0], np.cumsum(weights)]) for weights in both)
        return every, near


def _pick(sums: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(sums, at, side="right") - 1, 0, sums.size - 2)


def _range(start: int, end: int) -> Iterator[np.ndarray]:
    return iter([np.arange(start, end)[:, None]])


def _write(path: Path, blocks: Iterator[np.ndarray], told: Callable[[int], object]) -> int:
    """Rows as gzipped text without header; the same bytes for the same rows."""
    done = 0
    with (
        open(path, "wb") as raw,
        gzip.GzipFile("", "wb", 1, raw, mtime=0) as file,
        io.BufferedWriter(cast(io.RawIOBase, file), 2**20) as buffer,
    ):
        for block in blocks:
            columns = np.ascontiguousarray(block.T)
            table = pa.table([pa.array(column) for column in columns], names=[str(i) for i in range(len(columns))])
            csv.write_csv(table, buffer, csv.WriteOptions(include_header=False, batch_size=8192))
            done += len(block)
            told(done)
    return done


def _say() -> Callable[[str], object]:
    began = time.monotonic()

    def say(text: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        sys.stderr.write(f"{time.monotonic() - began:7.1f} s, {time.process_time():7.1f} CPU s, {peak:.2f} GB: {text}\n")
        sys.stderr.flush()

    return say


if __name__ == "__main__":
    main()
