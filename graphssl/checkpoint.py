"""Checkpoints: the state of a run on disk, whole or not at all, two generations of it, every byte accounted for."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from graphssl.files import write_durably

FORMAT = 1
KEPT = 2  # generations

logger = logging.getLogger(__name__)


def save_checkpoint(folder: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> Path:
    """Write one more generation into ``folder``, and take away all but the newest two.

    A generation is ``N.safetensors`` and then ``N.json``, which holds the record and the SHA-256 of the first and of itself; each is
    written beside its place, brought to the disk and renamed. No pickle.

    Args:
        folder: made where it is not there.
        tensors: by name.
        record: plain values.

    Returns:
        The file ``N.json``.

    Example:
        >>> import torch
        >>> from tempfile import mkdtemp
        >>> folder = Path(mkdtemp())
        >>> _ = save_checkpoint(folder, {"w": torch.ones(2)}, {"step": 1})
        >>> tensors, record = load_checkpoint(folder)
        >>> tensors["w"], record
        (tensor([1., 1.]), {'step': 1})
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = max(_generations(folder), default=0) + 1
    content = save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})
    write_durably(folder / f"{number}.safetensors", content)
    body = {"format": FORMAT, "record": record, "tensors": hashlib.sha256(content).hexdigest()}
    path = folder / f"{number}.json"
    write_durably(path, json.dumps({**body, "digest": _digest(body)}, allow_nan=False).encode())
    for old in sorted(_generations(folder))[:-KEPT]:
        for end in ("json", "safetensors"):
            (folder / f"{old}.{end}").unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest generation that is whole: tensors by name, and the record; ``None`` where there is no checkpoint.

    One that is damaged is passed over with a warning.

    Raises:
        ValueError: there are checkpoints, and all are damaged.
    """
    numbers = sorted(_generations(folder), reverse=True)
    for number in numbers:
        try:
            return _read(folder, number)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            logger.warning("checkpoint %s is damaged and passed over: %s", folder / f"{number}.json", error)
    if numbers:
        raise ValueError(f"resume: all checkpoints in {folder} are damaged; begin anew without it")
    return None


def _generations(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("*.json") if path.stem.isdecimal()]


def _read(folder: Path, number: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    body = json.loads((folder / f"{number}.json").read_bytes())
    told = body.pop("digest")
    if told != _digest(body):
        raise ValueError("its record is not what was written")
    if body["format"] != FORMAT:
        raise ValueError(f"it has format {body['format']}, and this version of graphssl reads {FORMAT}")
    content = (folder / f"{number}.safetensors").read_bytes()
    if hashlib.sha256(content).hexdigest() != body["tensors"]:
        raise ValueError("its tensors are not what was written")
    return load(content), body["record"]


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
