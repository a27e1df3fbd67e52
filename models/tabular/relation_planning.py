"""Choice of the columns that are coded, given the relations of a table."""

from collections.abc import Collection, Iterable, Sequence
from graphlib import TopologicalSorter

import numpy as np
import pyarrow as pa
import pyarrow.compute

from models.tabular.number_grid import NumberGrid
from models.tabular.relation_coding import BoundedColumn, DerivedColumn, RelationCoding
from models.tabular.relations import Relation, array

Edge = tuple[str, str]  # the first column is at most the second one


def plan_coding(
    relations: Sequence[Relation], table: pa.Table, fixed: Collection[str]
) -> RelationCoding:
    """Return the coding that keeps as many of the relations as possible.

    `table` has the training rows. The columns in `fixed` are not coded.
    """
    planner = _Planner(table, frozenset(fixed))
    for relation in relations:
        if relation.kind != "order":
            planner.derive(relation)
    orders = [relation for relation in relations if relation.kind == "order"]
    planner.bound({relation.columns: relation for relation in orders})  # type: ignore[misc]
    columns = {column.name: column for column in planner.columns}
    decoding_order = TopologicalSorter(planner.sources).static_order()
    return RelationCoding(
        tuple(columns[name] for name in decoding_order if name in columns),
        tuple(planner.kept),
    )


def independent_relations(relations: Sequence[Relation], table: pa.Table) -> list[Relation]:
    """Return the relations without those that follow from others."""
    return list(plan_coding(relations, table, ()).relations)


class _Planner:
    def __init__(self, table: pa.Table, fixed: frozenset[str]) -> None:
        self.table, self.fixed = table, fixed
        self.columns: list[DerivedColumn | BoundedColumn] = []
        self.kept: list[Relation] = []
        self.sources: dict[str, set[str]] = {}  # of each coded column

    def derive(self, relation: Relation) -> None:
        """Leave a column out that the others of `relation` determine, if one can be."""
        candidates = [relation.columns[-1]]
        if relation.kind == "sum":
            candidates += reversed(relation.columns[:-1])
        for name in candidates:
            sources = set(relation.columns) - {name}
            if name in self.fixed or name in self.sources:
                # A column that is coded already agrees with this relation, too.
                if name in self.sources:
                    return
                continue
            if any(self._depends(source, name) for source in sources):
                continue
            if relation.kind == "sum" and not self._is_exact(relation, name):
                continue
            self.columns.append(self._derived(relation, name))
            self.sources[name] = sources
            self.kept.append(relation)
            return

    def _is_exact(self, relation: Relation, name: str) -> bool:
        """Return True if no other column of a sum has more decimals than column `name`."""
        decimals = {
            column: NumberGrid.fit(array(self.table, column)).decimals
            for column in relation.columns
        }
        return name == relation.columns[-1] or decimals[name] == max(decimals.values())

    def _derived(self, relation: Relation, name: str) -> DerivedColumn:
        values = array(self.table, name)
        decimals = 0 if relation.kind == "lookup" else NumberGrid.fit(values).decimals
        column = DerivedColumn(name, relation, decimals, omitted=True)
        computed = column.decode(self.table, values.type)
        is_omitted = pa.compute.equal(computed.is_null(), values.is_null(nan_is_null=True))
        return DerivedColumn(name, relation, decimals, bool(pa.compute.all(is_omitted).as_py()))

    def bound(self, orders: dict[Edge, Relation]) -> None:
        """Code the columns that others bound."""
        derived = {column.name for column in self.columns}
        immovable = self.fixed | derived
        edges = {
            (low, high)
            for low, high in orders
            if not self._depends(low, high)
            and not self._depends(high, low)
            and not (low in immovable and high in immovable)
        }
        edges = _without_implied(edges)
        order = list(TopologicalSorter(_lower_neighbors(edges)).static_order())
        below_fixed = {x for x in order if x not in immovable and _reaches(edges, x, immovable)}
        above = [x for x in order if x not in immovable and x not in below_fixed]
        placed = set(immovable)
        for name in above:
            self._bound_column(name, edges, placed)
        # From the top down, so that each is measured from the column above it.
        for name in reversed([x for x in order if x in below_fixed]):
            self._bound_column(name, edges, placed)
        self.kept += [orders[edge] for edge in sorted(edges & self._enforced())]

    def _bound_column(self, name: str, edges: set[Edge], placed: set[str]) -> None:
        usable = {x for x in placed if not self._depends(x, name)}
        lower = tuple(sorted(low for low, high in edges if high == name and low in usable))
        upper = tuple(sorted(high for low, high in edges if low == name and high in usable))
        placed.add(name)
        if lower or upper:
            values = array(self.table, name)
            grid = NumberGrid.fit(values)
            numbers, is_missing = grid.to_grid(values)
            mean = float(np.rint(numbers[~is_missing].mean()))
            self.columns.append(BoundedColumn(name, lower, upper, grid.decimals, mean))
            self.sources[name] = {*lower, *upper}

    def _enforced(self) -> set[Edge]:
        bounded = [column for column in self.columns if isinstance(column, BoundedColumn)]
        return {(low, c.name) for c in bounded for low in c.lower} | {
            (c.name, high) for c in bounded for high in c.upper
        }

    def _depends(self, name: str, source: str) -> bool:
        """Return True if the decoding of column `name` needs column `source`."""
        return name == source or any(
            self._depends(other, source) for other in self.sources.get(name, ())
        )


def _lower_neighbors(edges: Iterable[Edge]) -> dict[str, list[str]]:
    neighbors: dict[str, list[str]] = {}
    for low, high in sorted(edges):
        neighbors.setdefault(high, []).append(low)
        neighbors.setdefault(low, [])
    return neighbors


def _reaches(edges: Collection[Edge], start: str, goals: Collection[str]) -> bool:
    above = [high for low, high in edges if low == start]
    return any(name in goals or _reaches(edges, name, goals) for name in above)


def _without_implied(edges: set[Edge]) -> set[Edge]:
    """Return the edges without those that follow from two others."""
    names = {name for edge in edges for name in edge}
    return {
        (low, high)
        for low, high in edges
        if not any(_path(edges, low, middle) and _path(edges, middle, high) for middle in names)
    }


def _path(edges: Collection[Edge], low: str, high: str) -> bool:
    return _reaches(edges, low, {high})
