"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from graphssl.files import MARK, check_free, folder_written, write_array, written


class Stop(BaseException):
    """Like Ctrl-C: no Exception."""


def fail(path: Path, error: type[BaseException]) -> None:
    """Write half of something, then fail."""
    path.write_text("half")
    raise error


def names(folder: Path) -> list[str]:
    """All that is below a folder, hidden or not."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def earlier_run(path: Path) -> Path:
    """A folder that counts as a run."""
    path.mkdir(parents=True)
    (path / MARK).write_text("old")
    (path / "more").mkdir()
    (path / "more" / "data").write_text("old")
    return path


# ---------------------------------------------------------------------- files


def test_a_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "z.npy"
    target.write_text("old")
    with written(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
        assert part.parent == tmp_path, "another file system could not be renamed from"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["z.npy"]


@pytest.mark.parametrize("error", [OSError, Stop])
@pytest.mark.parametrize("old", ["old", None])
def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path, error: type[BaseException], old: str | None) -> None:
    target = tmp_path / "z.npy"
    if old:
        target.write_text(old)
    with pytest.raises(error), written(target) as part:
        fail(part, error)
    assert names(tmp_path) == (["z.npy"] if old else [])
    assert not old or target.read_text() == old


def test_a_file_is_readable_by_others(tmp_path: Path) -> None:
    with written(tmp_path / "a") as part:
        part.write_text("")
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.arange(12.0).reshape(3, 4).T,
        np.arange(20)[::2],
        np.zeros((0, 5), dtype=np.float32),
    ],
    ids=["plain", "turned", "strided", "empty"],
)
def test_arrays_are_numpys(tmp_path: Path, array: np.ndarray) -> None:
    write_array(tmp_path / "a.npy", array)
    back = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert np.array_equal(back, array)


# ---------------------------------------------------------------------- folders


def test_a_folder_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "run"
    with folder_written(target) as part:
        (part / "file").write_text("new")
        assert not target.exists()
        assert part.parent == target.parent
    assert names(tmp_path) == ["a", "a/b", "a/b/run", "a/b/run/file"]


@pytest.mark.parametrize("error", [ValueError, Stop])
def test_a_folder_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "there").mkdir()
    for target in (tmp_path / "run", tmp_path / "there" / "run", tmp_path / "new" / "newer" / "run"):
        with pytest.raises(error), folder_written(target) as part:
            fail(part / "file", error)
    assert names(tmp_path) == ["there"]


def test_parents_that_others_began_to_use_stay(tmp_path: Path) -> None:
    with pytest.raises(OSError), folder_written(tmp_path / "new" / "run"):  # noqa: PT011 - ours, without words
        fail(tmp_path / "new" / "other", OSError)
    assert names(tmp_path) == ["new", "new/other"]


def test_force_keeps_the_old_folder_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = earlier_run(tmp_path / "run")
    with folder_written(target, force=True) as part:
        (part / MARK).write_text("new")
        assert (target / MARK).read_text() == "old"
        assert (target / "more" / "data").read_text() == "old"
    assert (target / MARK).read_text() == "new"
    assert names(tmp_path) == ["run", f"run/{MARK}"]


@pytest.mark.parametrize("error", [OSError, Stop])
def test_force_keeps_the_old_folder_when_the_new_one_fails(tmp_path: Path, error: type[BaseException]) -> None:
    target = earlier_run(tmp_path / "run")
    with pytest.raises(error), folder_written(target, force=True) as part:
        fail(part / MARK, error)
    assert (target / MARK).read_text() == "old"
    assert names(tmp_path) == ["run", "run/more", "run/more/data", f"run/{MARK}"]


def test_the_old_folder_comes_back_when_the_last_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = earlier_run(tmp_path / "run")
    move = os.replace

    def broken(source: Path, to: Path) -> None:
        if str(source).endswith(".part"):
            raise PermissionError("no")
        move(source, to)

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(PermissionError), folder_written(target, force=True) as part:
        (part / MARK).write_text("new")
    assert (target / MARK).read_text() == "old"
    assert names(tmp_path) == ["run", "run/more", "run/more/data", f"run/{MARK}"]


def test_what_exists_is_refused(tmp_path: Path) -> None:
    run, empty, other, file = earlier_run(tmp_path / "run"), tmp_path / "empty", tmp_path / "other", tmp_path / "file"
    empty.mkdir()
    other.mkdir()
    (other / "x").write_text("")
    file.write_text("")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    before = names(tmp_path)
    for path in (run, empty, other, file, link):
        with pytest.raises(ValueError, match="exists already; name another folder, or give --force"):
            check_free(path)
        with pytest.raises(ValueError, match="exists already"), folder_written(path):
            pytest.fail("the block ran")
    for path in (other, file, link):
        with pytest.raises(ValueError, match="is not a run folder, and --force replaces nothing else"):
            check_free(path, force=True)
        with pytest.raises(ValueError, match="not a run folder"), folder_written(path, force=True):
            pytest.fail("the block ran")
    for path in (run, empty, tmp_path / "new"):
        check_free(path, force=True)
    assert names(tmp_path) == before


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file" / "run", tmp_path / "file" / "a" / "run"):
        with pytest.raises(ValueError, match="out: cannot make a folder at"), folder_written(path):
            pytest.fail("the block ran")
    assert names(tmp_path) == ["file"]


def test_a_relative_path_is_taken_from_where_one_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with folder_written(Path("run")) as part:
        os.chdir(tmp_path / "elsewhere")
        (part / "file").write_text("")
    assert names(tmp_path) == ["elsewhere", "run", "run/file"]
