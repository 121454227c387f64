"""The README says what the project does: its tables are those of the records, its Python runs, its commands exist."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
sys.path.insert(0, str(ROOT))


def test_results_are_those_of_the_records() -> None:
    from benchmarks.report import readme

    assert readme(README) == README, "run python -m benchmarks.report --write"


def test_reproductions_are_those_of_the_records() -> None:
    from benchmarks.reproductions import README as PLACE
    from benchmarks.reproductions import RECORDS, readme
    from graphssl.recipes.targets import targets

    text = PLACE.read_text(encoding="utf-8")
    assert readme(text) == text, "run python -m benchmarks.reproductions --write"
    assert {path.stem for path in RECORDS.glob("*.json")} <= {target.name for target in targets()}
    for path in RECORDS.glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert record["published"]
        assert record["environment"]["git"]
        assert len(record["values"]) == len(record["seeds"])


def test_each_record_says_how_it_was_obtained() -> None:
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "benchmarks" / "results").glob("*.json"))]
    for record in (r for r in records if "protocol" in r):
        wanted = {"split_hash", "seeds", "untrained", "raw_features", "epochs", "recipe", "environment", "wall_seconds", "peak_rss_mb"}
        assert wanted <= set(record)
        assert record["environment"]["git"]
        assert len(record["values"]) == len(record["seeds"]) == record["n_seeds"]
        assert all(len(values) == record["n_splits"] for values in record["values"])


def test_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.S)
    assert code is not None
    program = code[1].replace('"cora"', '"karate"').replace("epochs=300", "epochs=2").replace("[512, 256]", "[8, 4]")
    program = program.replace("runs/dgi-cora-1", "runs/dgi-karate-1")
    from graphssl.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["train", "dgi", "karate", "--epochs", "2", "--channels", "4", "--quiet"]) == 0
    exec(compile(program, "README.md", "exec"), {})


def test_commands_of_the_readme_are_the_ones_that_ci_runs() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    command = "pip install -c constraints.txt -e '.[dev]' && pytest"
    assert README.splitlines().count(command) == 1
    assert "README.md" in ci
    assert "pip install -c constraints.txt -e . && graphssl train bgrl digits" in README


@pytest.mark.parametrize("line", re.findall(r"^graphssl (.*?)(?:\s+#.*)?$", README, re.M))
def test_commands_of_the_readme_parse(line: str) -> None:
    from graphssl.cli import main

    words = line.split()
    if words[0] in ("show", "list"):
        assert main(words) == 0
        return
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
