"""Placement of the columns that others bound, each as its distance from these."""

from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter

import pyarrow as pa

from models.tabular.relations.coded_columns import BoundedColumn
from models.tabular.relations.graphs import Edge, group, reachable


def place_bounded(
    edges: set[Edge],
    immovable: Collection[str],
    sources: Mapping[str, set[str]],
    table: pa.Table,
    *,
    upward: bool,
) -> list[BoundedColumn]:
    """Return the bounded columns, each measured from columns that are placed before it.

    The lowest columns stay, or the highest ones if `upward` is False. Columns that an immovable one
    bounds from the other side are placed last, starting next to it. `sources` are those of the
    columns that are coded already, and `table` has the training rows.
    """
    directed = edges if upward else {(high, low) for low, high in edges}
    # Sorted, because the order of a set differs between processes.
    before = group((high, low) for low, high in sorted(directed))
    order = list(TopologicalSorter(before).static_order())
    movable = [name for name in order if name not in immovable]
    before_fixed = reachable(before, immovable)
    sequence = [name for name in movable if name not in before_fixed]
    sequence += [name for name in reversed(movable) if name in before_fixed]
    sources, placed, columns = dict(sources), set(immovable), []
    for name in sequence:
        usable = {other for other in placed if name not in reachable(sources, [other])}
        lower = tuple(sorted(a for a, b in edges if b == name and a in usable))
        upper = tuple(sorted(b for a, b in edges if a == name and b in usable))
        placed.add(name)
        if lower or upper:
            columns.append(BoundedColumn.fit(name, lower, upper, table))
            sources[name] = {*lower, *upper}
    return columns
