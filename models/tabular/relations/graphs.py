"""Graphs of columns: what follows from what, and what bounds what."""

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Edge = tuple[str, str]  # the first column is at most the second one


def reachable(following: Mapping[str, Iterable[str]], starts: Iterable[str]) -> set[str]:
    """Return the names in `starts`, those that follow them, and so on."""
    reached, pending = set(starts), list(starts)
    while pending:
        new = set(following.get(pending.pop(), ())) - reached
        reached |= new
        pending += new
    return reached


def group(edges: Iterable[Edge]) -> dict[str, list[str]]:
    """Return the second names of the edges by the first name."""
    following: dict[str, list[str]] = {}
    for first, second in edges:
        following.setdefault(first, []).append(second)
    return following


def without_implied(edges: set[Edge], missing: Mapping[str, Mask]) -> set[Edge]:
    """Return the edges without those that follow from others.

    `missing` has the (N,) masks of the rows in which columns have no value. A column between two
    others does not keep these in order if it is missing in a row that has both.
    """
    above = group(edges)
    reached = {low: reachable(above, highs) for low, highs in above.items()}
    independent = set(edges)
    for low, high in edges:
        between = {name for name in reached[low] if high in reached.get(name, ())}
        between = {name for name in between if not _lacks(missing, name, low, high)}
        paths = {name: above[name] if name in between else () for name in above}
        if high in reachable(paths, between & {*above[low]}):
            independent.remove((low, high))
    return independent


def _lacks(missing: Mapping[str, Mask], name: str, low: str, high: str) -> bool:
    """Return True if a column is missing in a row that has two others."""
    return bool((missing[name] & ~missing[low] & ~missing[high]).any())


def without_ends(edges: set[Edge], ends: Collection[str]) -> set[Edge]:
    """Return the edges without those to `ends` from columns that others bound from below.

    Durations follow what they begin with, rather than a date at their end that cannot move.
    """
    bounded = {high for _, high in edges}
    return {(low, high) for low, high in edges if high not in ends or low not in bounded}
