"""Suggestions for a name that does not exist."""

import difflib
from collections.abc import Iterable
from heapq import nlargest

MAX_COMPARED = 200  # names of a tenant, the newest ones
MAX_ALIGNED = 4  # of them: aligning two names of 128 characters takes up to 3 ms
MAX_SUGGESTED = 3


def closest(name: str, names: Iterable[str]) -> list[str]:
    """Return the most similar names, which may differ in case."""
    by_lower = {each.lower(): each for each in names}
    pairs = _letter_pairs(name.lower())

    def similarity(other: str) -> float:
        others = _letter_pairs(other)
        return len(pairs & others) / (len(pairs) + len(others))

    candidates = nlargest(MAX_ALIGNED, by_lower, similarity)
    close = difflib.get_close_matches(name.lower(), candidates, MAX_SUGGESTED)
    return [by_lower[each] for each in close]


def did_you_mean(names: Iterable[str]) -> str:
    """Return a question with the names, or nothing without names."""
    choices = " or ".join(names)
    return f"Did you mean {choices}?" if choices else ""


def _letter_pairs(name: str) -> set[str]:
    return {first + second for first, second in zip(f" {name}", f"{name} ", strict=True)}
