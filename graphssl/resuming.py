"""What is kept of a run until it is whole: seeds that are done, and checkpoints of the one that is under way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from graphssl.checkpoint import load_checkpoint, save_checkpoint
from graphssl.distributed import shared, world
from graphssl.evaluation import Score
from graphssl.files import make_folder, remove_empty, waiting, write_durably
from graphssl.scoring import Seed
from graphssl.training import Training

IDENTITY = "identity.json"


class Work:
    """The folder ``.NAME.resume`` beside a run folder ``NAME``, in which an unfinished run waits to be gone on with.

    Of several processes the first alone reads and writes there; :meth:`opened`, :meth:`finished`, :meth:`save` and :meth:`restore` are for
    all of them, together.

    Args:
        out: the run folder to be.
        identity: what must be the same for a run to be gone on with, as plain values.
        every: seconds between checkpoints.
    """

    def __init__(self, out: Path, identity: dict[str, Any], every: float) -> None:
        self.folder, self.identity, self.every = waiting(out), identity, every
        self.last = time.monotonic()

    @contextmanager
    def opened(self, *, resume: bool, force: bool = False) -> Iterator[None]:
        """Hold the folder for this process; what it held before stays with ``resume`` and goes with ``force``.

        Raises:
            ValueError: another process holds it, an earlier run there is not this one, or one waits and neither was asked for.
        """
        if world().rank:
            yield
            return
        made = make_folder(self.folder)
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(f"out: another process is at work on this run ({self.folder}); name another folder") from error
        try:
            self._begin(resume, force)
            yield
        finally:
            if not self._kept():
                self.remove()
                remove_empty(made)
            lock.release()

    def _kept(self) -> list[Path]:
        """What there is to go on with."""
        return [*self.folder.glob("result-*"), *self.folder.glob("checkpoint-*")]

    def _begin(self, resume: bool, force: bool) -> None:
        path = self.folder / IDENTITY
        plain = json.loads(json.dumps(self.identity))
        if resume and path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            if (had := found.get("ranks", 1)) != (have := plain.get("ranks", 1)):
                raise ValueError(
                    f"resume: the unfinished run in {self.folder} had {had} process{'es' * (had > 1)}, and this one has {have}; go on with "
                    "as many (torchrun --nproc-per-node), or begin anew with --force alone"
                )
            if differs := [name for name in plain if found.get(name) != plain[name]]:
                raise ValueError(
                    f"resume: the unfinished run in {self.folder} is another one (it differs in {', '.join(differs)}); give the options it "
                    "had, or begin anew with --force alone"
                )
            return
        if self._kept() and not (resume or force):
            raise ValueError(f"out: an unfinished run waits in {self.folder}; --resume goes on with it, --force begins anew")
        for old in self.folder.iterdir():
            if old.name != "lock":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        write_durably(path, json.dumps(plain, indent=2).encode())

    def remembered(self, name: str, make: Callable[[], dict[str, Score]]) -> dict[str, Score]:
        """Scores that are made once: read from ``name.json``, or made and written there."""
        path = self.folder / f"{name}.json"
        if path.is_file():
            return {key: Score.from_dict(value) for key, value in json.loads(path.read_bytes()).items()}
        made = make()
        write_durably(path, json.dumps({key: score.to_dict() for key, score in made.items()}, allow_nan=False).encode())
        return made

    # ------------------------------------------------------------------ seeds

    def seed_folder(self, seed: int) -> Path:
        """Where a seed's encoder, embeddings and history go."""
        return self.folder / f"seed-{seed}"

    def finished(self, seed: int) -> Seed | None:
        """What a seed came to, where it is done."""
        path = self.folder / f"result-{seed}.json"
        return shared(seed_of(json.loads(path.read_bytes())) if not world().rank and path.is_file() else None)

    def finish(self, result: Seed) -> None:
        """Take down that a seed is done; its checkpoints go."""
        write_durably(self.folder / f"result-{result.seed}.json", json.dumps(record_of(result), allow_nan=False).encode())
        shutil.rmtree(self._checkpoints(result.seed), ignore_errors=True)

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self.last >= self.every

    def save(self, training: Training, result: Seed, more: dict[str, Any]) -> None:
        """Write a checkpoint of the seed that is under way."""
        tensors, record = training.state()
        if world().rank:
            return
        save_checkpoint(self._checkpoints(result.seed), tensors, {"training": record, "result": record_of(result), **more})
        self.last = time.monotonic()

    def restore(self, training: Training, seed: int) -> dict[str, Any] | None:
        """Set ``training`` to the newest checkpoint of the seed, and return what was saved with it; ``None`` where there is none."""
        found = shared(None if world().rank else load_checkpoint(self._checkpoints(seed)))
        if found is None:
            return None
        tensors, record = found
        training.restore(tensors, record.pop("training"))
        return record

    def put(self, seeds: list[int], target: Path) -> None:
        """The folders of the seeds into ``target``, without copying where the file system can."""
        for seed in seeds:
            shutil.copytree(self.seed_folder(seed), target / f"seed-{seed}", copy_function=_linked)

    def remove(self) -> None:
        """All of it goes: the run is whole."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _checkpoints(self, seed: int) -> Path:
        return self.folder / f"checkpoint-{seed}"


def record_of(result: Seed) -> dict[str, Any]:
    """A seed's result as plain values."""
    scores = {
        name: None if score is None else score.to_dict() for name, score in (("score", result.score), ("untrained", result.untrained))
    }
    return {**asdict(result), **scores}


def seed_of(record: dict[str, Any]) -> Seed:
    """A seed's result from plain values."""
    scores = {name: None if record[name] is None else Score.from_dict(record[name]) for name in ("score", "untrained")}
    return Seed(**{**record, **scores})


class Stopped(KeyboardInterrupt):
    """A signal asked the run to end, and it did so between two steps; ``code`` is the command's exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(number)  # without it no other process could read it
        self.number, self.code = number, 128 + number


@contextmanager
def signals_wait() -> Iterator[Callable[[], int | None]]:
    """Inside, SIGINT and SIGTERM wait until asked for; a second one strikes at once.

    Gives a function that says which signal came, or ``None``. In threads other than the main one signals are left as they are.
    """
    came: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        if came:
            raise Stopped(number)
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    kept = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: came[0] if came else None
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
