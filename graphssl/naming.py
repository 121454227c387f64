"""What is said of a name that nobody knows."""

from __future__ import annotations

from difflib import get_close_matches


def nearest(what: str, given: str, allowed: list[str]) -> ValueError:
    """The error for an unknown name: what was given, the nearest known name, all that is allowed."""
    close = get_close_matches(given.lower(), allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return ValueError(f"unknown {what} {given!r}{hint}; known: {', '.join(allowed)}")
