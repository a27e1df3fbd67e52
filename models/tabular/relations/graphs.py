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


def without_implied(edges: set[Edge], rows: Mapping[str, int]) -> set[Edge]:
    """Return the edges without those that follow from others.

    `rows` has the rows in which each column has a value, as the bits of an integer. A column
    between two others does not keep these in order if it is missing in a row that has both.
    """
    above = group(edges)
    reached = {low: reachable(above, highs) for low, highs in above.items()}
    independent = set(edges)
    for low, high in edges:
        both = rows[low] & rows[high]
        between = {name for name in reached[low] if high in reached.get(name, ())}
        between = {name for name in between if not both & ~rows[name]}
        paths = {name: above[name] for name in between}
        if high in reachable(paths, between & {*above[low]}):
            independent.remove((low, high))
    return independent


def without_ends(edges: set[Edge], ends: Collection[str]) -> set[Edge]:
    """Return the edges without those to `ends` from columns that others bound from below.

    Durations follow what they begin with, rather than a date at their end that cannot move.
    """
    bounded = {high for _, high in edges}
    return {(low, high) for low, high in edges if high not in ends or low not in bounded}
