"""Suggestions for a name that does not exist."""

import difflib
from collections.abc import Iterable

MAX_COMPARED = 1_000  # names of a tenant
MAX_SUGGESTED = 3


def closest(name: str, names: Iterable[str]) -> list[str]:
    """Return the most similar names, which may differ in case."""
    by_lower = {each.lower(): each for each in names}
    close = difflib.get_close_matches(name.lower(), by_lower, MAX_SUGGESTED)
    return [by_lower[each] for each in close]


def did_you_mean(names: Iterable[str]) -> str:
    """Return a question with the names, or nothing without names."""
    choices = " or ".join(names)
    return f"Did you mean {choices}?" if choices else ""
