"""Graphs of columns: what follows from what, and what bounds what."""

from collections.abc import Collection, Iterable, Mapping

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


def without_implied(edges: set[Edge]) -> set[Edge]:
    """Return the edges without those that follow from two others."""
    above = group(edges)
    reached = {low: reachable(above, highs) for low, highs in above.items()}
    return {
        (low, high)
        for low, high in edges
        if not any(high in reached.get(middle, ()) for middle in reached[low])
    }


def without_ends(edges: set[Edge], ends: Collection[str]) -> set[Edge]:
    """Return the edges without those to `ends` from columns that others bound from below.

    Durations follow what they begin with, rather than a date at their end that cannot move.
    """
    bounded = {high for _, high in edges}
    return {(low, high) for low, high in edges if high not in ends or low not in bounded}
