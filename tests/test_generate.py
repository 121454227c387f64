"""The generated graph: exactly as large as asked, in OGB's own files, the same for a seed, and worth learning on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from benchmarks.generate import EDGES, NODES, TRAIN, VAL, generate

SCALE = 0.004


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("made"), scale=SCALE)


def table(path: Path) -> np.ndarray:
    return pd.read_csv(path, header=None).to_numpy()


def test_it_is_exactly_as_large_as_asked(folder: Path) -> None:
    n, m = round(NODES * SCALE), round(EDGES * SCALE)
    assert table(folder / "raw/num-node-list.csv.gz").tolist() == [[n]]
    assert table(folder / "raw/num-edge-list.csv.gz").tolist() == [[m]]
    edges = table(folder / "raw/edge.csv.gz")
    assert edges.shape == (m, 2)
    assert edges.min() >= 0
    assert edges.max() < n
    assert (edges[:, 0] != edges[:, 1]).all()
    low, high = np.sort(edges, axis=1).T
    assert np.unique(low * n + high).size == m
    assert 0.45 < (edges[:, 0] < edges[:, 1]).mean() < 0.55  # listed in either direction
    assert table(folder / "raw/node-feat.csv.gz").shape == (n, 100)
    assert np.unique(table(folder / "raw/node-label.csv.gz")).tolist() == list(range(47))
    parts = [table(folder / f"split/sales_ranking/{part}.csv.gz")[:, 0] for part in ("train", "valid", "test")]
    assert [part.size for part in parts[:2]] == [round(TRAIN * SCALE), round(VAL * SCALE)]
    assert np.concatenate(parts).tolist() == list(range(n))
    assert (folder / "RELEASE_v1.txt").is_file()


def test_there_is_something_to_learn(folder: Path) -> None:
    edges, y = table(folder / "raw/edge.csv.gz"), table(folder / "raw/node-label.csv.gz")[:, 0]
    x = table(folder / "raw/node-feat.csv.gz")
    assert 0.72 < (y[edges[:, 0]] == y[edges[:, 1]]).mean() < 0.86
    n = len(y)
    a = sp.csr_matrix((np.ones(len(edges)), edges.T), shape=(n, n))
    a = a + a.T
    degree = np.asarray(a.sum(1)).ravel()
    assert degree.max() > 8 * degree.mean() > 20 * degree.min()
    assert degree[: n // 10].mean() > 2 * degree[n // 2 :].mean()  # the best sellers have many neighbours
    walk = sp.diags(1 / np.maximum(degree + 1, 1)) @ (a + sp.eye(n))
    train, test = np.arange(round(TRAIN * SCALE)), np.arange(round((TRAIN + VAL) * SCALE), n)

    def accuracy(h: np.ndarray) -> float:
        h = (h - h.mean(0)) / h.std(0)
        return float(LogisticRegression(C=0.01, max_iter=200).fit(h[train], y[train]).score(h[test], y[test]))

    raw, one, two = accuracy(x), accuracy(walk @ x), accuracy(walk @ (walk @ x))
    assert raw < one < two < 0.96
    assert two > raw + 0.25


def test_a_seed_gives_the_same_files_and_a_broken_run_goes_on(folder: Path, tmp_path: Path) -> None:
    again = generate(tmp_path, scale=SCALE)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.csv.gz"))
    assert len(files) == 8
    for file in files:
        assert (again / file).read_bytes() == (folder / file).read_bytes(), file
    (again / "raw/edge.csv.gz").unlink()
    before = (again / "raw/node-feat.csv.gz").stat().st_mtime_ns
    generate(tmp_path, scale=SCALE)
    assert (again / "raw/edge.csv.gz").read_bytes() == (folder / "raw/edge.csv.gz").read_bytes()
    assert (again / "raw/node-feat.csv.gz").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="begun with another scale or seed"):
        generate(tmp_path, scale=SCALE, seed=1)
    other = generate(tmp_path / "other", scale=SCALE, seed=1)
    assert (other / "raw/edge.csv.gz").read_bytes() != (folder / "raw/edge.csv.gz").read_bytes()


def test_the_command(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.generate", tmp_path, "--scale", "0.001"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "raw/edge.csv.gz: 61,859 rows" in done.stderr
    assert len(table(tmp_path / "products-like/raw/edge.csv.gz")) == 61_859
    done = subprocess.run([sys.executable, "-m", "benchmarks.generate", tmp_path, "--scale", "0"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "scale is 0.0; allowed: 0.001 to 100" in done.stderr
