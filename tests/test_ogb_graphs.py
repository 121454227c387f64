"""The OGB door: equal to ogb's own reading, no question, no pickle, no rdkit, and safe with what it downloads."""

from __future__ import annotations

import builtins
import gzip
import io
import logging
import pickle
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from graphssl.datasets import DATASETS, Dataset, DatasetNotFound, download, load
from graphssl.datasets.molecules import atom_dims, bond_dims
from graphssl.datasets.table import canonical

NAMES = [name for name, entry in DATASETS.items() if entry.family == "ogb"]
SIZES = [3, 1, 5, 2, 1, 4, 3, 2]


@pytest.fixture(autouse=True)
def no_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question on standard input, or a pickle that is opened by the library, fails the test; so does the network."""

    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("asked, unpickled or online")

    monkeypatch.setattr(builtins, "input", refuse)
    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)
    monkeypatch.setitem(sys.modules, "outdated", None)  # the package ogb would ask the network for a newer version


def save(path: Path, table: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table).to_csv(path, header=False, index=False, compression="gzip")


def molecule_set(folder: Path, labels: Any, *, columns: Sequence[str] = ("HIV_active",), seed: int = 0) -> Path:
    """Random molecules in exactly the files that OGB ships."""
    rng = np.random.default_rng(seed)
    bonds = [np.stack([np.arange(n - 1), np.arange(1, n)], axis=1)[:, :: rng.choice([-1, 1])] for n in SIZES]  # chains
    total = sum(map(len, bonds))
    save(folder / "raw" / "num-node-list.csv.gz", SIZES)
    save(folder / "raw" / "num-edge-list.csv.gz", [len(own) for own in bonds])
    save(folder / "raw" / "edge.csv.gz", np.concatenate(bonds))
    save(folder / "raw" / "node-feat.csv.gz", np.stack([rng.integers(0, n, sum(SIZES)) for n in atom_dims()], axis=1))
    save(folder / "raw" / "edge-feat.csv.gz", np.stack([rng.integers(0, n, total) for n in bond_dims()], axis=1))
    save(folder / "raw" / "graph-label.csv.gz", labels)
    for part, rows in {"train": [5, 0, 1, 3], "valid": [2], "test": [7, 4, 6]}.items():
        save(folder / "split" / "scaffold" / f"{part}.csv.gz", rows)
    (folder / "split" / "scaffold" / "split_dict.pt").write_bytes(pickle.dumps(folder))  # never opened
    mapping = pd.DataFrame({**dict(zip(columns, np.asarray(labels).T, strict=True)), "smiles": ["C" * n for n in SIZES], "mol_id": "x"})
    (folder / "mapping").mkdir()
    mapping.to_csv(folder / "mapping" / "mol.csv.gz", index=False, compression="gzip")
    (folder / "RELEASE_v1.txt").write_text("version 1\n")
    return folder


HIV = np.arange(8).reshape(-1, 1) % 2


def codes(hot: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    return torch.stack([block.argmax(1) for block in hot.split(list(dims), dim=1)], dim=1)


def assert_same_graphs(ours: Dataset, theirs: Sequence[Any]) -> None:
    assert ours.num_graphs == len(theirs)
    atoms, bonds = codes(ours.graph.dense_x(), atom_dims()), codes(ours.graph.edge_attr, bond_dims())
    assert torch.equal(atoms, torch.cat([data.x for data in theirs]))
    assert ours.graph.node_ptr.diff().tolist() == [data.num_nodes for data in theirs]
    ptr = ours.graph.node_ptr
    edges = torch.cat([data.edge_index + ptr[i] for i, data in enumerate(theirs)], dim=1)
    order = (edges[1] * ours.num_nodes + edges[0]).argsort(stable=True)
    assert torch.equal(ours.graph.edge_index, edges[:, order])
    assert torch.equal(bonds, torch.cat([data.edge_attr for data in theirs])[order])
    assert ours.graph.is_undirected


# ---------------------------------------------------------------------- equal to ogb's own reading


def test_graphs_are_those_that_ogb_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = molecule_set(tmp_path / "ogb" / "ogbg_molhiv", HIV)
    monkeypatch.setitem(sys.modules, "rdkit", None)
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(torch, "load", None)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    data = load("ogbg_molhiv", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "outdated", None)
    from ogb.io.read_graph_pyg import read_graph_pyg

    assert_same_graphs(data, read_graph_pyg(str(folder / "raw"), add_inverse_edge=True))
    assert data.y.tolist() == HIV[:, 0].tolist()
    assert (data.name, data.level, data.task, data.metric, data.targets) == (
        "ogbg-molhiv",
        "graph",
        "classification",
        "roc_auc",
        ("HIV_active",),
    )
    split = data.split
    assert (split.name, split.train.tolist(), split.val.tolist(), split.test.tolist()) == ("scaffold", [0, 1, 3, 5], [2], [4, 6, 7])
    assert data.ids == tuple("C" * n for n in SIZES)


@pytest.mark.parametrize("name", ["ogbg-molbace", "ogbg-molesol"])
def test_real_sets_are_those_of_ogbs_class(name: str, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(DATASETS[name].folder)
    if not (data_root / folder).is_dir():
        pytest.skip(f"needs GRAPHSSL_DATA with {folder}")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # what ogb needs to load what it wrote
    shutil.copytree(data_root / folder, tmp_path / folder.name, copy_function=shutil.copyfile)
    for path in [tmp_path / folder.name, *(tmp_path / folder.name).rglob("*")]:
        path.chmod(0o755)
    from ogb.graphproppred import PygGraphPropPredDataset

    theirs = PygGraphPropPredDataset(name, root=str(tmp_path))
    ours = load(name, data_root)
    assert_same_graphs(ours, theirs)
    y = torch.cat([data.y for data in theirs])
    assert torch.equal(ours.y, y[:, 0] if ours.task == "classification" else y)
    parts = theirs.get_idx_split()
    for own, part in (("train", "train"), ("val", "valid"), ("test", "test")):
        assert torch.equal(getattr(ours.split, own), parts[part].sort().values)


def test_missing_labels_and_regression(tmp_path: Path) -> None:
    some = np.where(np.arange(16).reshape(8, 2) % 3 == 0, np.nan, np.arange(16).reshape(8, 2) % 2)
    molecule_set(tmp_path / "ogbg_molclintox", some, columns=("a", "b"))
    data = load("ogbg-molclintox", tmp_path)  # the folder that a user of ogb has: without ogb/ around it
    assert data.task == "multilabel"
    assert np.array_equal(data.y.numpy(), some, equal_nan=True)
    molecule_set(tmp_path / "ogb" / "ogbg_mollipo_pyg", np.linspace(-1, 2, 8).reshape(-1, 1), columns=("exp",))
    data = load("OGBG-MolLipo", tmp_path)
    assert (data.task, data.metric, data.y.dtype) == ("regression", "rmse", torch.float32)
    np.testing.assert_allclose(data.y[:, 0], np.linspace(-1, 2, 8), rtol=1e-6)
    gap = np.where(np.arange(8) == 3, np.nan, 0.5).reshape(-1, 1)
    folder = molecule_set(tmp_path / "ogb" / "ogbg_molesol", gap, columns=("y",))
    save(folder / "split" / "scaffold" / "train.csv.gz", [0, 1, 5])
    assert load("ogbg-molesol", tmp_path).y.isnan().nonzero()[:, 0].tolist() == [3]
    (folder / "raw" / "graph-label.csv.gz").write_bytes(gzip.compress(b"0.5\n0.5\n0.5\n\n" + b"0.5\n" * 4))  # nothing at all in its line
    assert load("ogbg-molesol", tmp_path).y.isnan().nonzero()[:, 0].tolist() == [3]


def test_names_of_molecules_are_not_needed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = molecule_set(tmp_path / "ogb" / "ogbg_molhiv", HIV)
    save(folder / "mapping" / "mol.csv.gz", [["HIV_active", "smiles"], [0, "CC"]])
    with caplog.at_level(logging.WARNING, "graphssl"):
        assert load("ogbg-molhiv", tmp_path).ids is None
    assert "names no SMILES for each of the 8 molecules" in caplog.text
    shutil.rmtree(folder / "mapping")
    data = load("ogbg-molhiv", tmp_path)
    assert (data.ids, data.targets) == (None, None)


def test_the_table_says_what_ogb_says() -> None:
    metrics = {"rocauc": "roc_auc", "ap": "average_precision", "rmse": "rmse"}
    for name in NAMES:
        row = download.master("graphproppred")[name]
        assert DATASETS[name].metric == metrics[row["eval metric"]]
        assert row["split"] == "scaffold"
        assert row["add_inverse_edge"] == "True"
        assert row["binary"] == "False"
        assert row["url"].startswith("http://snap.stanford.edu/")
        assert canonical(name.replace("-", "_")) == name
    assert len(NAMES) == 12


# ---------------------------------------------------------------------- damaged files


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("raw/node-feat.csv.gz", np.full((sum(SIZES), 9), 300), "truncated or not what they should be"),
        ("raw/node-feat.csv.gz", np.full((sum(SIZES), 9), 7), "must hold 9 codes below 119, 5"),
        ("raw/node-feat.csv.gz", np.zeros((4, 9), int), "21 atoms and 13 bonds are counted, 4, 13 and 13 listed"),
        ("raw/edge-feat.csv.gz", np.zeros((13, 4), int), "must hold 3 codes"),
        ("raw/edge.csv.gz", np.full((13, 2), 5), "a bond joins an atom that its molecule does not have"),
        ("raw/edge.csv.gz", np.full((13, 2), -1), "a bond joins an atom"),
        ("raw/num-node-list.csv.gz", SIZES[:-1], "7 counts of atoms, 8 of bonds and 8 labels"),
        ("raw/num-node-list.csv.gz", [[1, None]] * 8, "a number is missing"),
        ("raw/graph-label.csv.gz", [["x"]] * 8, "conversion error"),
        ("split/scaffold/train.csv.gz", [0, 99], "row 99"),
        ("split/scaffold/train.csv.gz", [2], "row 2 stands in more than one"),
    ],
)
def test_damaged_files_are_named(file: str, content: Any, message: str, tmp_path: Path) -> None:
    folder = molecule_set(tmp_path / "ogb" / "ogbg_molhiv", HIV)
    save(folder / file, content)
    with pytest.raises(ValueError, match=rf"dataset 'ogbg-molhiv': the files in .*ogbg_molhiv .*{message}.*Delete the folder"):
        load("ogbg-molhiv", tmp_path)


def test_a_file_that_is_no_gzip(tmp_path: Path) -> None:
    folder = molecule_set(tmp_path / "ogb" / "ogbg_molhiv", HIV)
    (folder / "raw" / "edge.csv.gz").write_bytes((folder / "raw" / "edge.csv.gz").read_bytes()[:20])
    with pytest.raises(ValueError, match="truncated or not what they should be"):
        load("ogbg-molhiv", tmp_path)


# ---------------------------------------------------------------------- downloads


class Response(io.BytesIO):
    def __init__(self, content: bytes, size: int | None = None) -> None:
        super().__init__(content)
        self.headers = {"Content-Length": str(len(content) if size is None else size)} if size != 0 else {}


def zipped(folder: Path, top: str = "hiv", *, also: Sequence[str] = ()) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{top}/", "")
        for path in folder.rglob("*"):
            if path.is_file():
                archive.write(path, f"{top}/{path.relative_to(folder)}")
        for name in also:
            archive.writestr(name, "x")
    return buffer.getvalue()


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes, size: int | None = None) -> list[str]:
    asked: list[str] = []
    monkeypatch.setattr(
        download.urllib.request, "urlopen", lambda request, timeout: asked.append(request.full_url) or Response(content, size)
    )
    return asked


def test_a_missing_set_is_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    source = molecule_set(tmp_path / "source", HIV)
    monkeypatch.setenv("GRAPHSSL_CACHE", str(tmp_path / "cache"))
    asked = serve(monkeypatch, zipped(source))
    root = tmp_path / "root"
    with caplog.at_level(logging.INFO, "graphssl"):
        data = load("ogbg-molhiv", root)
    assert asked == ["https://snap.stanford.edu/ogb/data/graphproppred/csv_mol_download/hiv.zip"]
    line = next(record.getMessage() for record in caplog.records if "downloading" in record.getMessage())
    assert "ogbg-molhiv" in line
    assert "MB, licence MIT) from https://snap" in line
    assert load("ogbg-molhiv", root).fingerprint == data.fingerprint
    assert len(asked) == 1
    assert sorted(path.name for path in (root / "ogb").iterdir()) == ["ogbg_molhiv"]


def test_a_root_that_cannot_be_written_to_leaves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = molecule_set(tmp_path / "source", HIV)
    monkeypatch.setenv("GRAPHSSL_CACHE", str(tmp_path / "cache"))
    serve(monkeypatch, zipped(source))
    (tmp_path / "root").write_text("a file, so that no folder can be made below it")
    load("ogbg-molhiv", tmp_path / "root")
    assert (tmp_path / "cache" / "data" / "ogb" / "ogbg_molhiv" / "raw").is_dir()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "hiv/../../evil", "C:\\evil", "hiv\\..\\..\\evil", "C:/evil"])
def test_a_zip_that_climbs_out_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = molecule_set(tmp_path / "source", HIV)
    serve(monkeypatch, zipped(source, also=[name]))
    with pytest.raises(ValueError, match="points outside of it, and is refused"):
        load("ogbg-molhiv", tmp_path / "root")
    assert not list(tmp_path.rglob("*evil*"))
    assert not (tmp_path / "root" / "ogb" / "ogbg_molhiv").exists()


def test_above_one_gigabyte_a_yes_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped(molecule_set(tmp_path / "source", HIV))
    serve(monkeypatch, content, size=3 * 2**30)
    with pytest.raises(ValueError, match=r"larger than 1 GB \(3,221\.2 MB\); pass yes=True \(--yes\)"):
        load("ogbg-molhiv", tmp_path / "root")
    with pytest.raises(DatasetNotFound, match="broke off after"):
        load("ogbg-molhiv", tmp_path / "root", yes=True)
    monkeypatch.setattr(download, "ASK", 100)
    serve(monkeypatch, content, size=0)  # no length is told: it is found out on the way
    with pytest.raises(ValueError, match="larger than 1 GB"):
        load("ogbg-molhiv", tmp_path / "root")
    assert load("ogbg-molhiv", tmp_path / "root", yes=True).num_graphs == 8


def test_what_cannot_be_had_says_where_it_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, b"no zip")
    with pytest.raises(DatasetNotFound, match=r"root/ogb/ogbg_molhiv .*not a zip.*Unpack https://.*hiv\.zip"):
        load("ogbg-molhiv", tmp_path / "root")
    half = molecule_set(tmp_path / "root" / "ogb" / "ogbg_molhiv", HIV)
    (half / "raw" / "edge.csv.gz").unlink()
    with pytest.raises(DatasetNotFound, match="not all of its files: delete it"):
        load("ogbg-molhiv", tmp_path / "root")
    serve(monkeypatch, zipped(half))
    with pytest.raises(DatasetNotFound, match=r"holds no raw/edge\.csv\.gz"):
        load("ogbg-molhiv", tmp_path / "other")


def test_a_name_that_is_nearly_one() -> None:
    with pytest.raises(ValueError, match="did you mean ogbg-molhiv"):
        load("ogbg-molhi")
