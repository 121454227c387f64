"""Names that are imported when they are first used, so that the command's tables and help need no torch (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, names: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that finds its submodules, and public names in them, given as ``{submodule: names}``."""
    home = {name: module for module, owned in names.items() for name in owned}

    def find(name: str) -> Any:
        if name in names and name not in home:
            return import_module(f"{package}.{name}")
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{home[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return find
