"""Molecules: OGB's attributes, tables of SMILES, the scaffold split, fingerprints, and clear words about what is wrong."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from graphssl.datasets import DATASETS, Dataset, NeedsRdkit, from_table, load, molecules, scaffold, scaffold_split, smiles_graphs
from graphssl.datasets.molecules import atom_dims, bond_dims, starts
from graphssl.evaluation import morgan_fingerprints

pytest.importorskip("rdkit")
from rdkit import Chem, RDConfig
from rdkit.Chem.Scaffolds import MurckoScaffold

SMILES = [
    "CCO",
    "C",  # no bond
    "[Na+].[Cl-]",
    "*C(=O)[C@H](N)C",  # an atom that is no element
    "C/C=C/C#N",
    "C/C=C\\C",
    "[13CH4]",
    "[CH3]",  # a radical
    "c1ccc2c(c1)[nH]c1ccccc12",
    "O=S(=O)(O)c1ccccc1",
    "F[Si-2](F)(F)(F)(F)F",
    "[O-][N+](=O)c1cc([N+](=O)[O-])ccc1Cl",
    "C[C@@H]1CC[C@H](C)O1",
    "[H][H]",
    "N[Pt](N)(Cl)Cl",
    "[U+6]",  # a charge beyond OGB's list
    "O=C1O[Zn]23OC1=[O]2.[O]3",
]
BROKEN = ["C1CC", "CN(C)(C)(C)C", "nonsense!"]


@pytest.fixture
def ogb(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package ogb without its thread that asks the network for a newer version."""
    monkeypatch.setitem(sys.modules, "outdated", None)


def codes(hot: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """Codes ``[n, K]`` of multi-hot rows, one column a block."""
    blocks = hot.split(list(dims), dim=1)
    assert all((block.sum(1) == 1).all() for block in blocks)
    return torch.stack([block.argmax(1) for block in blocks], dim=1)


def write(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def alkanes(path: Path, header: str, row: str, num: int = 40) -> Path:
    """A table of ``num`` readable molecules, ``row`` filled in with the SMILES ``s`` and the row number ``i``."""
    return write(path, header, *(row.format(s="C" * (i % 20 + 1) + ("O" if i % 2 else "c1ccccc1"), i=i) for i in range(num)))


# ---------------------------------------------------------------------- atoms and bonds


def test_attributes_are_those_of_ogb(ogb: None) -> None:
    from ogb.utils import smiles2graph

    g, rows, refused = smiles_graphs(SMILES)
    assert not refused
    assert rows.tolist() == list(range(len(SMILES)))
    atoms, bonds = codes(g.dense_x(), atom_dims()), codes(g.edge_attr, bond_dims())
    ptr = g.node_ptr.tolist()
    for i, smiles in enumerate(SMILES):
        theirs = smiles2graph(smiles)
        assert np.array_equal(atoms[ptr[i] : ptr[i + 1]], theirs["node_feat"]), smiles
        mine = (g.edge_index[0] >= ptr[i]) & (g.edge_index[0] < ptr[i + 1])
        ours = torch.cat([g.edge_index[:, mine] - ptr[i], bonds[mine].T]).T.tolist()
        assert sorted(ours) == sorted(np.concatenate([theirs["edge_index"].T, theirs["edge_feat"]], axis=1).tolist()), smiles
    assert g.is_undirected
    assert torch.equal(g.edge_attr, g.edge_attr[g.reverse])
    assert torch.equal(g.graph_ids[g.edge_index[0]], g.graph_ids[g.edge_index[1]])


def test_a_linear_map_of_the_rows_is_ogbs_encoder(ogb: None) -> None:
    from ogb.graphproppred.mol_encoder import AtomEncoder, BondEncoder

    g, _, _ = smiles_graphs(SMILES)
    atom_encoder, bond_encoder = AtomEncoder(16), BondEncoder(16)
    atom_weight = torch.cat([table.weight for table in atom_encoder.atom_embedding_list])
    bond_weight = torch.cat([table.weight for table in bond_encoder.bond_embedding_list])
    assert atom_weight.shape == (g.num_features, 16)
    torch.testing.assert_close(g.x @ atom_weight, atom_encoder(codes(g.dense_x(), atom_dims())))
    torch.testing.assert_close(g.edge_attr @ bond_weight, bond_encoder(codes(g.edge_attr, bond_dims())))
    assert (sum(atom_dims()), sum(bond_dims())) == (174, 13)
    assert starts((3, 2, 4)).tolist() == [0, 3, 5]


def test_what_cannot_be_read_is_refused_with_its_reason(capfd: pytest.CaptureFixture[str]) -> None:
    g, rows, refused = smiles_graphs(["CCO", *BROKEN, "", "  ", "CC"])
    assert (g.num_graphs, g.num_nodes, rows.tolist()) == (2, 5, [0, 6])
    assert [(row, smiles) for row, smiles, _ in refused] == [(1, "C1CC"), (2, "CN(C)(C)(C)C"), (3, "nonsense!"), (4, ""), (5, "  ")]
    reasons = [reason for _, _, reason in refused]
    assert "grammar" in reasons[0]
    assert "valence for atom # 1 N, 5" in reasons[1]
    assert "empty" in reasons[3]
    assert "empty" in reasons[4]
    assert capfd.readouterr().err == ""
    with pytest.raises(ValueError, match=r"none of the 3 SMILES could be read: row 0 'C1CC' .*row 2"):
        smiles_graphs(BROKEN)
    with pytest.raises(ValueError, match="holds no molecule"):
        smiles_graphs([])


def test_a_bond_that_ogb_has_no_code_for_is_refused() -> None:
    axis = "Cc1cccc(I)c1N1C(C)=CC=C1Br |wU:7.6|"  # one of the newer kinds of stereo bonds; ogb itself stops there
    g, _, refused = smiles_graphs(["CCO", axis, "CC=O"])
    if "ATROP" in "".join(str(bond.GetStereo()) for bond in Chem.MolFromSmiles(axis).GetBonds()):
        assert (g.num_graphs, g.num_nodes, g.num_edges) == (2, 6, 8)
        assert refused[0].row == 1
        assert "OGB's attributes have no place for it" in refused[0].reason


def test_relaxed_reading_keeps_what_only_breaks_the_rules_of_valence() -> None:
    g, rows, refused = smiles_graphs(["CCO", *BROKEN], relax=True)
    assert rows.tolist() == [0, 2]
    assert [row for row, _, _ in refused] == [1, 3]
    strict, _, _ = smiles_graphs(["CCO"])
    assert torch.equal(g.keep_graphs(torch.tensor([0])).dense_x(), strict.dense_x())
    degree = codes(g.dense_x(), atom_dims())[:, 2].tolist()
    assert degree[3 + 1] == 5
    assert smiles_graphs(SMILES, relax=True)[0].edge_index.equal(smiles_graphs(SMILES)[0].edge_index)


def test_featurised_molecules_are_cached_by_their_smiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(molecules, "CACHED_FROM", 1)
    monkeypatch.setenv("GRAPHSSL_CACHE", str(tmp_path))
    read: list[str] = []
    parse = molecules.parse
    monkeypatch.setattr(molecules, "parse", lambda text, **options: read.append(text) or parse(text, **options))
    first, second = smiles_graphs([*SMILES, "C1CC"]), smiles_graphs([*SMILES, "C1CC"])
    assert len(read) == len(SMILES) + 1
    assert torch.equal(first[0].dense_x(), second[0].dense_x())
    assert torch.equal(first[0].edge_attr, second[0].edge_attr)
    assert torch.equal(first[0].edge_index, second[0].edge_index)
    assert torch.equal(first[1], second[1])
    assert first[2] == second[2]
    smiles_graphs(["CCO", *SMILES[1:], "C1CC"][::-1])
    assert len(read) == 2 * (len(SMILES) + 1)
    smiles_graphs([*SMILES, "C1CC"], relax=True)
    assert len(read) == 3 * (len(SMILES) + 1)
    assert len(list((tmp_path / "processed").iterdir())) == 3


def test_without_rdkit_one_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data_root: Path) -> None:
    table = write(tmp_path / "a.csv", "smiles,y", "CCO,1")
    monkeypatch.setitem(sys.modules, "rdkit", None)
    calls = [
        lambda: smiles_graphs(["CCO"]),
        lambda: load(table),
        lambda: load("chembl-2321810"),
        lambda: load("nci-5k"),
        lambda: load("esol", data_root),
        lambda: morgan_fingerprints(["CCO"]),
        lambda: scaffold_split(["CCO"]),
    ]
    for call in calls:
        with pytest.raises(NeedsRdkit, match=r"pip install 'graphssl-pyg\[mol\]'"):
            call()
    assert issubclass(NeedsRdkit, ValueError)


def test_neither_rdkit_nor_ogb_is_imported_before_it_is_needed() -> None:
    program = "import sys, graphssl.datasets.loading; sys.exit('rdkit' in sys.modules or 'ogb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=120).returncode == 0


# ---------------------------------------------------------------------- tables


def test_three_broken_rows_and_missing_targets(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [f"{'C' * (i + 1)}O,{i % 2},{'' if i % 3 else (i // 3) % 2},m{i}" for i in range(30)]
    for row, smiles in zip((4, 9, 20), BROKEN, strict=True):
        rows[row] = f"{smiles},1,0,m{row}"
    rows[6] = "CCCCCCCO,,nan,m6"
    path = write(tmp_path / "mine.csv", "SMILES,tox,active,name", *rows)
    with caplog.at_level(logging.WARNING, "graphssl"):
        data = load(path, split="random")
    assert "3 of 30 SMILES could not be read and are left out (rows count from 0): row 4 'C1CC' (" in caplog.text
    assert "row 20 'nonsense!'" in caplog.text
    kept = [i for i in range(30) if i not in (4, 9, 20)]
    assert data.row_id is not None
    assert data.row_id.tolist() == kept
    assert data.ids is not None
    assert data.ids[4] == "CCCCCCO"
    assert (data.level, data.task, data.metric, data.targets, data.num_rows) == ("graph", "multilabel", "roc_auc", ("tox", "active"), 27)
    assert data.y.isnan().any(1).sum() == 19
    place = kept.index(6)
    assert data.y[place].isnan().all()
    for split in data.splits:
        assert torch.cat([split.train, split.val, split.test]).sort().values.tolist() == [i for i in range(27) if i != place]
    again = load(str(path), split="random")
    assert again.fingerprint == data.fingerprint
    with pytest.raises(ValueError, match=r"mine: 3 of 30 SMILES could not be read: row 4"):
        load(path, invalid="refuse")
    relaxed = load(path, invalid="relax")
    assert relaxed.row_id is not None
    assert relaxed.row_id.tolist() == sorted([*kept, 9])


def test_parquet_is_read_as_the_csv_is(tmp_path: Path) -> None:
    smiles = ["C" * (i + 1) for i in range(30)]
    columns = {
        "canonical_smiles": pa.array(smiles).dictionary_encode(),
        "a": pa.array([None if i == 3 else i / 7 for i in range(30)]),
        "b": pa.array([float("nan") if i == 5 else i for i in range(30)], pa.float32()),
        "day": pa.array(list(range(30)), pa.date32()),
    }
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    rows = [f"{s};{'' if i == 3 else i / 7};{'NaN' if i == 5 else i}" for i, s in enumerate(smiles)]
    write(tmp_path / "t.csv", "canonical_smiles;a;b", *rows)
    first, second = (load(tmp_path / f"t.{kind}", split="random") for kind in ("parquet", "csv"))
    assert first.fingerprint == second.fingerprint
    assert (first.task, first.metric, first.targets) == ("regression", "rmse", ("a", "b"))
    assert first.y[3, 0].isnan()
    assert first.y[5, 1].isnan()
    assert first.y.isnan().sum() == 2


@pytest.mark.parametrize(
    ("header", "row", "options", "task", "metric", "targets"),
    [
        ("smiles,y", "{s},{i}", {}, "regression", "rmse", ("y",)),
        ("mol,y", "{s},-0.5", {}, "regression", "rmse", ("y",)),
        ("Smiles,id,y", "{s},{i},1.0", {}, "classification", "roc_auc", ("y",)),
        ("my_smiles_2,y", "{s},True", {}, "classification", "roc_auc", ("y",)),
        ("smiles,y", "{s},3", {}, "classification", "accuracy", ("y",)),
        ("smiles,y", "{s},3", {"task": "regression"}, "regression", "rmse", ("y",)),
        ("smiles,y", "{s},0.25", {"task": "regression", "metric": "mae"}, "regression", "mae", ("y",)),
        ("smiles,y", "{s},yes", {}, "classification", "accuracy", ("y",)),
        ("smiles,y", "{s},3", {"metric": "mae"}, "regression", "mae", ("y",)),
        ("smiles,y,z", "{s},1,0", {}, "multilabel", "roc_auc", ("y", "z")),
        ("smiles,y,z", "{s},1,0", {"task": "regression"}, "regression", "rmse", ("y", "z")),
        ("smiles,y,z", "{s},1,0", {"task": "multilabel", "metric": "average_precision"}, "multilabel", "average_precision", ("y", "z")),
        ("smiles,y,z", "{s},1,0.5", {}, "regression", "rmse", ("y", "z")),
        ("smiles,y,note", "{s},0.5,words {i}", {}, "regression", "rmse", ("y",)),
        ("smiles,note", "{s},words {i}", {}, "classification", "accuracy", None),
        ("smiles,y", "{s},{i}", {"targets": []}, "classification", "accuracy", None),
        ("smiles,y,mol_id,Unnamed: 0", "{s},0.5,{i},{i}", {}, "regression", "rmse", ("y",)),
        ("a,b", "{s},0.5", {"smiles": "a", "targets": "b"}, "regression", "rmse", ("b",)),
        ("smiles\ty", "{s}\t0.5", {}, "regression", "rmse", ("y",)),
        ("smiles,empty", "{s},", {}, "classification", "accuracy", None),
    ],
)
def test_the_task_is_found_from_the_values(
    header: str, row: str, options: dict[str, Any], task: str, metric: str, targets: Any, tmp_path: Path
) -> None:
    data = from_table(alkanes(tmp_path / "t.csv", header, row), **options)
    assert (data.task, data.metric, data.targets) == (task, metric, targets)
    assert data.num_graphs == 40
    assert bool(data.splits) == (targets is not None)


def test_two_classes_are_scored_by_roc_auc_and_words_are_classes_in_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [f"{'C' * (i % 20 + 1)}O,{('no', 'yes', '')[i % 3]},{(3, 1, 7)[i % 3]}" for i in range(30)]
    path = write(tmp_path / "t.csv", "smiles,word,number", *rows)
    with caplog.at_level(logging.INFO, "graphssl"):
        words = load(path, targets="word", split="stratified")
    assert "0 = 'no', 1 = 'yes'" in caplog.text
    assert (words.metric, words.y[:3].tolist(), words.num_classes) == ("roc_auc", [0, 1, -1], 2)
    assert words.classes == ("no", "yes")
    for split in words.splits:
        assert (words.y[split.train] == 1).sum() == (words.y[split.train] == 0).sum() == 8
    numbers = load(path, targets="number", split="random")
    assert (numbers.metric, numbers.y[:3].tolist(), numbers.num_classes) == ("accuracy", [1, 0, 2], 3)
    assert numbers.classes == ("1", "3", "7"), "whole numbers are numbered anew, and named as they stood"
    assert load(alkanes(tmp_path / "plain.csv", "smiles,y", "{s},1"), targets="y").classes is None
    assert len(numbers.splits) == 5
    assert load(path, targets="number", split="random", seed=1).split.hash != numbers.split.hash


def test_the_users_own_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ["train", "Training", "valid", "VAL", "validation", "test", "", "test"]
    smiles = ["CCO", "CC", "CCC", "CCCC", "C1CC", "CCCCC", "CCCN", "CN"]
    path = write(tmp_path / "t.csv", "smiles,y,split", *(f"{s},{i / 10},{w}" for i, (s, w) in enumerate(zip(smiles, words, strict=True))))
    split = load(path, split="split").split
    assert (split.name, split.train.tolist(), split.val.tolist(), split.test.tolist()) == ("split", [0, 1], [2, 3], [4, 6])
    with caplog.at_level(logging.WARNING, "graphssl"):
        assert load(path).splits == ()  # eight molecules are too few to divide
    assert "pass split='split'" in caplog.text


def test_default_split_is_by_scaffold_and_random_where_that_cannot_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mixed = write(tmp_path / "a.csv", "smiles,y", *(f"{'C' * (i + 1)},0.5" for i in range(20)))
    with pytest.raises(ValueError, match="20 molecules of 1 scaffolds, the largest with 20, leave train empty"):
        load(mixed, split="scaffold")
    with caplog.at_level(logging.WARNING, "graphssl"):
        data = load(mixed)
    assert data.split.name == "random-80-10-10-0"
    assert "the splits are random instead" in caplog.text
    rings = write(tmp_path / "b.csv", "smiles,y", *(f"C1{'C' * (i + 2)}1,{i / 2}" for i in range(20)))
    assert load(rings).split.name == "scaffold"
    assert load(rings).fingerprint == load(rings, split="scaffold").fingerprint


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("smiles,y\nCCO,1", {"smiles": "smile"}, "smiles: t.csv has no column 'smile', did you mean 'smiles'"),
        ("smiles,y\nCCO,1", {"targets": "yy"}, "targets: t.csv has no column 'yy'.* it has 'smiles', 'y'"),
        ("smiles,y\nCCO,1", {"split": "scafold"}, "split must be scaffold, random, stratified or a column of t.csv, got 'scafold'"),
        ("a,y\nCCO,1", {}, "smiles: t.csv has no column that is called so.*'a', 'y'"),
        ("smiles,y\nC1CC,1\nxx,2", {}, "none of the 2 SMILES could be read: row 0 'C1CC'"),
        ("smiles,y\nCCO,a\nCC,b\nC,c\nN,d\nO,e", {"targets": "y"}, "'y' must hold numbers; it is text in 5 rows, first 'a' in row 0"),
        ("smiles,y,z\nCCO,1,a\nCC,2,b", {"targets": ["y", "z"]}, "'z' must hold numbers; it is text"),
        ("smiles,y\nCCO,1\nCC,>10\nC,3", {"targets": "y"}, "'y' must hold numbers; it is text in 1 rows, first '>10' in row 1"),
        ("smiles,y\nCCO,inf\nCC,0.5", {}, "'y' is infinite in row 0"),
        ("smiles,y\nCCO,\nCC,", {"targets": "y"}, "'y' holds no value"),
        ("smiles,y\nCCO,1\nCC,0", {"targets": ["y", "y"]}, "named twice"),
        ("smiles,y\nCCO,1\nCC,0", {"targets": "smiles"}, "serves for something else"),
        ("smiles,y\nCCO,1\nCC,0", {"split": "y"}, "split: the column 'y' must hold train, valid or test, got '1' in row 0"),
        ("smiles,y\nCCO,1\nCC,0", {"invalid": "ignore"}, "invalid must be one of skip, refuse, relax, got 'ignore'"),
        ("smiles,y\nCCO,1,2\nCC,0", {}, "cannot be read as a table"),
        ("smiles,y,y\nCCO,1,2", {}, "'y' stands there twice"),
        ("smiles,y\n", {}, "no rows"),
        ("", {}, "no rows"),
        ("smiles,y\n" + "CCO,0.5\n" * 20, {"split": "stratified"}, "'stratified' is for classes, and the task is regression"),
    ],
)
def test_bad_tables_are_refused(content: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        load(path, **options)


def test_bad_tasks_and_files_are_refused(tmp_path: Path) -> None:
    path = alkanes(tmp_path / "t.csv", "smiles,y,z", "{s},0.5,1")
    for task, message in [
        ("classification", "for one target column, got 2"),
        ("multilabel", "row 0 holds another number"),
        ("clustering", "task must be one of classification, multilabel, regression, got 'clustering'"),
    ]:
        with pytest.raises(ValueError, match=message):
            from_table(path, task=task)  # type: ignore[arg-type]
    for options in ({"metric": "accuracy", "targets": "y"}, {"metric": "rmse", "targets": "z", "task": "classification"}):
        with pytest.raises(ValueError, match="does not fit the task"):
            from_table(path, **options)
    with pytest.raises(ValueError, match="not whole"):
        from_table(path, targets="y", task="classification")
    with pytest.raises(ValueError, match="needs a target column"):
        from_table(path, targets=[], task="regression")
    with pytest.raises(ValueError, match="there is no file"):
        load("nowhere.csv")
    with pytest.raises(ValueError, match="a table ends in"):
        from_table(write(tmp_path / "t.txt", "smiles", "CCO"))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "bad.csv").write_bytes(b"smiles,y\n\xff\xfe,1\n")
    for name in ("bad.parquet", "bad.csv"):
        with pytest.raises(ValueError, match=f"{name} cannot be read as a table"):
            load(tmp_path / name)
    np.savez(tmp_path / "g.npz", x=np.eye(2), edge_index=np.array([[0], [1]]))
    for other in ("karate", tmp_path / "g.npz", (torch.eye(2), torch.tensor([[0], [1]]))):
        with pytest.raises(ValueError, match="smiles, split: only a table of molecules"):
            load(other, smiles="a", split="random")


def test_a_column_of_numbers_with_some_text_is_not_dropped_silently(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [f"{'C' * (i + 1)},{i / 4},{'>10' if i in (3, 8) else i / 3}" for i in range(20)]
    path = write(tmp_path / "t.csv", "smiles,a,ic50", *rows)
    with caplog.at_level(logging.WARNING, "graphssl"):
        assert load(path, split="random").targets == ("a",)
    assert "'ic50' is no target: 2 of 20 values are no numbers, first '>10' in row 3" in caplog.text


def test_quoted_cells_marks_and_compression(tmp_path: Path) -> None:
    import gzip

    content = '\ufeffname,SMILES,y\n"a, b\nc",CCO,0.5\n\n"",  CC ,1.5\n'
    (tmp_path / "t.csv").write_text(content, encoding="utf-8")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(content.encode()))
    for name in ("t.csv", "t.csv.gz"):
        data = load(str(tmp_path / name))
        assert (data.name, data.ids, data.targets, data.y.tolist()) == ("t", ("CCO", "CC"), ("y",), [[0.5], [1.5]])


# ---------------------------------------------------------------------- the scaffold split


def nci(num: int) -> list[str]:
    lines = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().splitlines()[:num]
    found = [line.split()[0] for line in lines]
    with molecules.quiet():
        return [smiles for smiles in found if Chem.MolFromSmiles(smiles)]


def slow_scaffold_split(smiles: list[str], train: float, val: float, chirality: bool) -> tuple[list[int], list[int], list[int]]:
    """As the papers describe it, molecule by molecule, with rdkit's own function for the scaffold."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(smiles):
        groups[MurckoScaffold.MurckoScaffoldSmiles(mol=Chem.MolFromSmiles(text), includeChirality=chirality)].append(i)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    while groups:
        largest = max(groups, key=lambda key: (len(groups[key]), groups[key][0]))
        group = groups.pop(largest)
        if len(parts[0]) + len(group) > train * len(smiles):
            full = len(parts[0]) + len(parts[1]) + len(group) > (train + val) * len(smiles)
            parts[2 if full else 1].extend(group)
        else:
            parts[0].extend(group)
    return parts


@pytest.mark.parametrize(("train", "val", "chirality"), [(0.8, 0.1, False), (0.8, 0.1, True), (0.5, 0.25, False), (0.6, 0.0, False)])
def test_scaffold_split_is_the_one_described(train: float, val: float, chirality: bool) -> None:
    smiles = [*nci(400), "[H][H]", "*"]
    smiles += [f"C1CC{'C' * (i % 3)}[C@{'@' * (i % 2)}H]1C{'C' * i}" for i in range(12)]
    ours = scaffold_split(smiles, train=train, val=val, chirality=chirality)
    slow = slow_scaffold_split(smiles, train, val, chirality)
    assert [ours.train.tolist(), ours.val.tolist(), ours.test.tolist()] == [sorted(part) for part in slow]


def test_scaffold_split_divides_no_group_and_is_the_same_each_time() -> None:
    smiles = nci(500)
    split = scaffold_split(smiles)
    rows = torch.cat([split.train, split.val, split.test])
    assert rows.sort().values.tolist() == list(range(len(smiles)))
    number = torch.from_numpy(scaffold.scaffolds(smiles))
    owners = [set(number[part].tolist()) for part in (split.train, split.val, split.test)]
    assert not owners[0] & owners[1]
    assert not owners[0] & owners[2]
    assert not owners[1] & owners[2]
    assert len(split.train) <= 0.8 * len(smiles)
    assert len(split.train) + len(split.val) <= 0.9 * len(smiles)
    assert scaffold_split(smiles).hash == split.hash
    some = torch.arange(0, len(smiles), 2)
    part = scaffold_split(smiles, rows=some.flip(0))
    alone = scaffold_split(smiles[::2])
    assert torch.equal(part.train, some[alone.train])
    assert torch.equal(part.test, some[alone.test])


def test_a_split_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(ValueError, match=r"row 1 'C1CC' cannot be read"):
        scaffold_split(["CC", "C1CC"])
    with pytest.raises(ValueError, match="4 molecules of 1 scaffolds, the largest with 4, leave train empty"):
        scaffold_split(["CC", "C", "CCO", "CN"])
    with pytest.raises(ValueError, match="shares must satisfy"):
        scaffold_split(["CC"], train=0.9, val=0.2)


# ---------------------------------------------------------------------- fingerprints


def test_fingerprints_are_rdkits() -> None:
    from rdkit.Chem import rdFingerprintGenerator

    readable = [text for text in SMILES if text != "[H][H]"]
    ours = morgan_fingerprints([*readable, "CN(C)(C)(C)C"], radius=3, bits=512).to_dense()
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=3, fpSize=512)
    for row, text in zip(ours, readable, strict=False):
        assert np.array_equal(row.numpy(), generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(text)))
    assert ours[-1].sum() > 0


def test_fingerprints_of_what_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "graphssl"):
        rows = morgan_fingerprints(["CCO", "C1CC"], bits=64)
    assert rows.to_dense().sum(1).tolist() == [6.0, 0.0]
    assert "1 of 2 molecules have no fingerprint: row 1 'C1CC'" in caplog.text
    with pytest.raises(ValueError, match="none of the 3 can be read"):
        morgan_fingerprints([*BROKEN[::2], "x"])
    for options in ({"radius": -1}, {"bits": 0}):
        with pytest.raises(ValueError, match="radius must be 0 or more and bits 1 or more"):
            morgan_fingerprints(["CCO"], **options)


# ---------------------------------------------------------------------- sets by name


def test_the_embedded_set_of_measured_molecules() -> None:
    data = load("chembl-2321810")
    assert (data.num_graphs, data.task, data.metric, data.targets) == (1017, "regression", "rmse", ("activity",))
    assert not data.y.isnan().any()
    assert (round(float(data.y.min()), 2), round(float(data.y.max()), 2)) == (4.27, 9.22)
    assert data.ids is not None
    folder = Path(RDConfig.RDContribDir) / "FreeWilson" / "data"
    activity = dict(line.split(",") for line in (folder / "CHEMBL2321810_act.csv").read_text().splitlines()[1:])
    for i, line in enumerate((folder / "CHEMBL2321810.smi").read_text().splitlines()):
        smiles, name = line.split()
        assert data.ids[i] == smiles
        assert data.y[i, 0] == pytest.approx(float(activity[name]))


def test_the_embedded_set_to_pretrain_on() -> None:
    data = load("nci-5k")
    assert (data.num_graphs, data.num_classes, data.splits) == (4999, 0, ())


def raw(root: Path, name: str, header: str, *rows: str) -> Path:
    entry = DATASETS[name]
    (root / entry.folder / "raw").mkdir(parents=True)
    write(root / entry.folder / "raw" / entry.files[0][0], header, *rows)
    return root


def rings(row: str, num: int = 20) -> list[str]:
    return [row.format(s=f"C1{'C' * (i + 2)}1", i=i, bit=i % 2) for i in range(num)]


@pytest.mark.parametrize(
    ("name", "header", "row", "targets"),
    [
        ("bbbp", "num,name,p_np,smiles", '{i},"a, b",{bit},{s}', ("p_np",)),
        ("toxcast", "smiles,ACEA,TOX21", "{s},{bit}.0,", ("ACEA", "TOX21")),
        ("hiv", "smiles,activity,HIV_active", "{s},CI,{bit}", ("HIV_active",)),
        ("muv", "MUV-466,MUV-548,mol_id,smiles", ",{bit},CID{i},{s}", ("MUV-466", "MUV-548")),
        ("freesolv", "iupac,smiles,expt,calc", "x,{s},-{i}.5,1.0", ("expt",)),
        ("lipo", "CMPD_CHEMBLID,exp,smiles", "CHEMBL{i},-{i}.5,{s}", ("exp",)),
    ],
)
def test_moleculenet_files(name: str, header: str, row: str, targets: tuple[str, ...], tmp_path: Path) -> None:
    data = load(name, raw(tmp_path, name, header, *rings(row)))
    assert (data.targets, data.metric, data.num_graphs, data.split.name) == (targets, DATASETS[name].metric, 20, "scaffold")
    assert data.source
    expected = [-i - 0.5 for i in range(20)] if data.task == "regression" else [i % 2 for i in range(20)]
    column = data.y if data.y.dim() == 1 else data.y[:, -1 if name == "muv" else 0]
    assert column.tolist() == pytest.approx(expected)


def test_damaged_moleculenet_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dataset 'bbbp': .*BBBP\.csv is truncated or not what it should be: .*'p_np'"):
        load("bbbp", raw(tmp_path, "bbbp", "smiles,y", "CCO,1"))


# molecules, labels, sizes of the split; of what the published tables say, MoleculeNet's and OGB's
REAL = {
    "bace": (1513, 1, (1210, 151, 152)),
    "esol": (1128, 1, (902, 113, 113)),
    "freesolv": (642, 1, (513, 64, 65)),
}


@pytest.mark.parametrize("name", REAL)
def test_published_counts_of_moleculenet(name: str, data_root: Path) -> None:
    if not (data_root / DATASETS[name].folder / "raw").is_dir():
        pytest.skip(f"needs {DATASETS[name].folder}")
    data = load(name, data_root)
    labels = data.y.size(1) if data.y.dim() == 2 else 1
    assert (data.num_graphs, labels, tuple(map(len, (data.split.train, data.split.val, data.split.test)))) == REAL[name]
    other = data_root / "ogb" / f"ogbg_mol{name}"
    if other.is_dir():
        theirs: Dataset = load(f"ogbg-mol{name}", data_root)
        assert theirs.split.hash == data.split.hash
        assert torch.equal(theirs.y.nan_to_num(-9), data.y.nan_to_num(-9))
        assert torch.equal(theirs.graph.edge_index, data.graph.edge_index)
        assert theirs.ids == data.ids
