"""Random streams of our own: reproducible draws that leave the caller's generators as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class RandomStream:
    """A stretch of torch's random numbers that can be entered, left, saved and gone on with.

    Inside ``with stream.running():`` torch's global generators give this stream's numbers; outside, the caller's go on untouched.

    Example:
        >>> stream = RandomStream(0)
        >>> with stream.running():
        ...     a = torch.rand(2)
        >>> with seeded(0):
        ...     b = torch.rand(2)
        >>> torch.equal(a, b)
        True
    """

    def __init__(self, seed: int, device: torch.device | None = None) -> None:
        self.device = device if device is not None and device.type == "cuda" else None
        with self._kept():
            torch.manual_seed(seed)
            self._read()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Draw from this stream."""
        with self._kept():
            torch.set_rng_state(self.state["cpu"])
            if self.device is not None:
                torch.cuda.set_rng_state(self.state["cuda"], self.device)
            try:
                yield
            finally:
                self._read()

    def _read(self) -> None:
        self.state: dict[str, Tensor] = {"cpu": torch.get_rng_state()}
        if self.device is not None:
            self.state["cuda"] = torch.cuda.get_rng_state(self.device)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        cpu = torch.get_rng_state()
        cuda = None if self.device is None else torch.cuda.get_rng_state(self.device)
        try:
            yield
        finally:
            torch.set_rng_state(cpu)
            if cuda is not None and self.device is not None:
                torch.cuda.set_rng_state(cuda, self.device)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers from ``seed`` inside, the caller's untouched outside."""
    with RandomStream(seed).running():
        yield
