"""How far something long is, told on standard error."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

EVERY = 10.0  # seconds between lines where there is no terminal


class Stages:
    """What a conversion is at, on standard error: a bar on a terminal; a line for each stage, and every ten seconds, elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self.quiet = quiet
        self.console = Console(stderr=True)
        self.live = self.console.is_terminal and not quiet
        self.bar = Progress(console=self.console, refresh_per_second=4, disable=not self.live)
        self.tasks: dict[str, Any] = {}
        self.last = 0.0

    def __enter__(self) -> Stages:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def tell(self, what: str, done: int, total: int | None) -> None:
        """Show how far ``what`` is."""
        if self.quiet:
            return
        now = time.monotonic()
        if self.live:
            if what not in self.tasks:
                self.tasks[what] = self.bar.add_task(what, total=total)
            self.bar.update(self.tasks[what], completed=done)
        elif done and (done == total or now - self.last > EVERY):
            self.last = now
            text = f"{what} {done:,}" + (f"/{total:,}" if total is not None else "")
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)
