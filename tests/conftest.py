"""What all tests share: one thread, a cache of their own, and the folder of real data where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache folder stays untouched: everything goes to a folder of this session."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHSSL_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data that ``GRAPHSSL_DATA`` names; without it the test is skipped."""
    root = os.environ.get("GRAPHSSL_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("needs GRAPHSSL_DATA: a folder of raw files, one subfolder a family")
    return Path(root)
