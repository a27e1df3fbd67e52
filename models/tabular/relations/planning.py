"""Choice of the columns that are coded, given the relations of a table."""

from collections.abc import Collection, Mapping, Sequence
from graphlib import TopologicalSorter
from itertools import permutations

import numpy as np
import pyarrow as pa
import pyarrow.compute

from models.tabular.numbers.columns import max_exact_values
from models.tabular.numbers.grid import NumberGrid, rounded_decimals
from models.tabular.relations.bounds import place_bounded
from models.tabular.relations.coded_columns import (
    CodedColumn,
    DerivedColumn,
    RemainderColumn,
)
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.dates.calendar_columns import CalendarColumn, may_be_weeks
from models.tabular.relations.dates.columns import (
    DateGapColumn,
    PartColumn,
    SpreadColumn,
    gap_ends,
)
from models.tabular.relations.dates.planning import dates_of, plan_dates, without_orders_of_years
from models.tabular.relations.dates.spread_dates import with_dates
from models.tabular.relations.entropy import added_bits, entropy
from models.tabular.relations.graphs import (
    Edge,
    group,
    reachable,
    without_ends,
    without_implied,
)
from models.tabular.relations.kinds import DATE_SUMS, GIVES_TEXT, NOT_DETERMINING, SUMS
from models.tabular.relations.marked_columns import MarkedColumn
from models.tabular.relations.near.close_columns import CloseColumn
from models.tabular.relations.near.columns import NearColumn
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats

MAX_ADDED_BITS = 0.1  # per value, by coding a column by its bounds or by a sum
ALL_DECIMALS = 99  # of floats that are not rounded
FOLLOWING_ROWS = 500  # of columns in another order show whether a relation follows from others


def plan_coding(
    relations: Sequence[Relation],
    table: pa.Table,
    fixed: Collection[str],
    near: Sequence[NearColumn | CloseColumn] = (),
    with_exceptions: Sequence[Relation] = (),
    *,
    has_masks: bool = True,
) -> RelationCoding:
    """Return the coding that keeps as many of the relations as possible.

    `table` has the training rows. The columns in `fixed` are not coded. No relation codes those in
    `near`, and none bounds them or their bases. The last columns of those `with_exceptions` are
    coded by these where no exact relation codes them; orders bound them. Without masks, sampling
    does not restrict tokens to those that agree.
    """
    every = [*relations, *with_exceptions]
    spread, table = plan_dates(every, table, fixed), with_dates(table, dates_of(every))
    planner = _Planner(table, frozenset(fixed), spread, has_masks=has_masks)
    planner.linear = {frozenset(each.columns) for each in relations if each.kind == "linear"}
    orders = [relation for relation in every if relation.kind == "order"]
    planner.orders = {frozenset(order.columns) for order in orders}
    determining = [each for each in relations if each.kind not in NOT_DETERMINING]
    for relation in determining:
        if relation.kind != "decimals":
            planner.derive(relation)
    for relation in with_exceptions:
        if relation.kind == "order":
            continue
        if relation.has_exceptions:
            planner.leave_rest(relation)
        else:  # a rare term completes it
            planner.derive(relation)
    for relation in determining:  # of numbers that are learned
        if relation.kind == "decimals":
            planner.derive(relation)
    distances = {column.date.name for column in spread if isinstance(column, PartColumn)}
    planner.bound(without_orders_of_years(orders, distances), near)
    planner.check([each for each in relations if each.kind in ("distinct", "date_bound")])
    dates = (relation for relation in relations if relation.kind == "valid_date")
    planner.check([relation for relation in dates if not planner.is_implied(relation)])
    return RelationCoding(planner.in_decoding_order(), tuple(planner.kept), tuple(planner.checked))


def independent_relations(relations: Sequence[Relation], table: pa.Table) -> list[Relation]:
    """Return the relations without those that follow from others."""
    return list(plan_coding(relations, table, ()).relations)


class _Planner:
    def __init__(
        self,
        table: pa.Table,
        fixed: frozenset[str],
        dates: Sequence[SpreadColumn | PartColumn],
        *,
        has_masks: bool,
    ) -> None:
        self.table, self.fixed, self.has_masks = table, fixed, has_masks
        self.columns: list[CodedColumn] = [*dates]
        self.kept: list[Relation] = []
        self.checked: list[Relation] = []  # of the kept ones, those that coding does not enforce
        self.sources = {column.name: set(column.sources) for column in dates}
        self.spread = {column.name for column in dates if isinstance(column, SpreadColumn)}
        self.orders: set[frozenset[str]] = set()
        self.linear: set[frozenset[str]] = set()  # of which one is a linear function of the other
        self.learned: set[str] = set()  # columns of a date whose tokens sampling restricts
        self.near_edges: set[Edge] = set()  # from the terms of near sums to their totals

    def derive(self, relation: Relation) -> None:
        """Leave a column out that the others of `relation` determine, if one can be."""
        if relation.kind in DATE_SUMS:
            if not self.is_implied(relation):
                self.leave_rest(relation)
            return
        if self._is_learned(relation):
            self.check([relation])
            self.learned.update(relation.columns)
            return
        if self._has_weeks(relation):
            date = relation.columns[0]
            self.columns.append(CalendarColumn(date, weekdays=relation))
            self.sources[date] = {relation.last}
            self.kept.append(relation)
            return
        last = self.table.schema.field(relation.last)
        is_sum_of_flags = relation.kind == "sum" and pa.types.is_boolean(last.type)
        candidates = relation.columns if relation.kind in SUMS else (relation.last,)
        if relation.kind == "offset":
            candidates = relation.columns[1:]
        free = [name for name in candidates if self._may_follow(name, relation)]
        # Rows that were learned mostly satisfy it, other than an equation between numbers.
        may_be_checked = relation.kind in ("step", "date_part", *GIVES_TEXT)
        is_checked = may_be_checked and relation.last in self.fixed
        # First, because many columns that determine each other have very many relations.
        if not (free or is_sum_of_flags or is_checked):
            return
        if self.is_implied(relation):
            return
        if is_sum_of_flags or not free:
            self.check([relation])  # a sum of flags may be no flag
            return
        name = next((name for name in self._by_preference(relation) if name in free), None)
        if name is None:
            return
        self.columns.append(self._derived(relation, name))
        self.sources[name] = set(relation.columns) - {name}
        self.kept.append(relation)

    def _is_learned(self, relation: Relation) -> bool:
        """Return True for a day of the week whose date is spread over columns of few values.

        Other columns depend on it more than on the date, from which it is hard to learn. Sampling
        restricts the tokens of these columns to those that agree.
        """
        if relation.part != "day_of_week" or not relation.roles or not self.has_masks:
            return False
        limit = max_exact_values(len(self.table))
        distinct = (array(self.table, name).unique() for name in relation.columns)
        return not self.sources.keys() & relation.columns and all(
            len(values) <= limit for values in distinct
        )

    def _has_weeks(self, relation: Relation) -> bool:
        """Return True if a date is learned as its week and the day of the week.

        Of two dates in order, the second one is learned as the distance from the first one.
        """
        date, is_coded = relation.columns[0], self.sources.keys() & relation.columns
        weeks = (column.name for column in self.columns if isinstance(column, CalendarColumn))
        return (
            relation.part == "day_of_week"
            and not is_coded
            and date not in self.fixed
            and not any(frozenset((date, other)) in self.orders for other in {*weeks, *self.spread})
            and may_be_weeks(relation, self.table)
        )

    def leave_rest(self, relation: Relation) -> None:
        """Code a column relative to a relation with exceptions, if no other relation codes it.

        It is what a sum leaves, a date as the distance from another one, or a mark where the
        relation holds.
        """
        if relation.kind == "near_date" and self._is_between_ordered(relation):
            return
        candidates = gap_ends(relation) if relation.kind in DATE_SUMS else [relation.last]
        name = next((name for name in candidates if self._may_follow(name, relation)), None)
        if name is None:
            return
        self.columns.append(self._derived(relation, name))
        self.sources[name] = set(relation.columns) - {name}
        self.near_edges |= {(term, relation.last) for term in relation.columns[:-1]}
        if not relation.has_exceptions:
            self.kept.append(relation)

    def _is_between_ordered(self, relation: Relation) -> bool:
        """Return True if a date is in order with one that is coded relative to the other date.

        Its distance from the former keeps the order, and both are close to the latter.
        """
        coded = self.fixed.union(self.sources)
        return any(
            name not in pair
            and other in pair
            and not pair <= coded
            and self._are_linked(name, *(pair - {other}))
            for name, other in permutations((relation.columns[0], relation.last))
            for pair in self.orders
        )

    def _by_preference(self, relation: Relation) -> list[str]:
        """Return the columns that may be left out, the preferred one first.

        Of a sum, these are the last column and the terms with the most decimals; others would not
        be exact. The errors of small terms are small relative to the largest one.
        """
        *terms, last = relation.columns
        if relation.kind not in SUMS:
            return [last, *terms[1:]] if relation.kind == "offset" else [last]
        terms.sort(key=self._mean_size, reverse=True)
        finest = max(map(self._decimals, relation.columns))
        exact = [name for name in terms if self._decimals(name) == finest]
        candidates = [*exact, last] if finest > self._decimals(last) else [last, *exact]
        # What follows from other columns loses its frequent values, such as a limit.
        bits = {name: entropy(array(self.table, name)) for name in relation.columns}
        enough = max(bits.values()) - MAX_ADDED_BITS

        def cost(name: str) -> tuple[int, float]:
            others = set(relation.columns) - {name}  # such as amounts and fees, but not the rest
            return -sum(pair <= others for pair in self.linear), max(0.0, enough - bits[name])

        return sorted(candidates, key=cost)

    def _may_follow(self, name: str, relation: Relation) -> bool:
        """Return True if column `name` may be left out, without a cycle of columns."""
        sources = set(relation.columns) - {name}
        is_free = name not in self.fixed.union(self.sources, self.learned)
        return is_free and not any(self._depends(source, name) for source in sources)

    def _mean_size(self, name: str) -> float:
        return float(np.nanmean(np.abs(as_floats(array(self.table, name)))))

    def _decimals(self, name: str) -> int:
        decimals = NumberGrid.fit(array(self.table, name)).decimals
        return decimals if decimals >= 0 else ALL_DECIMALS

    def is_implied(self, relation: Relation) -> bool:
        """Return True if the relation follows from those by which its columns are coded."""
        return bool(self.sources.keys() & relation.columns) and self._follows(relation)

    def _follows(self, relation: Relation) -> bool:
        """Return True if the coded columns satisfy `relation` even in rows that do not exist."""
        # Others neither change the columns of the relation nor depend on each other's rows.
        needed = reachable(self.sources, relation.columns)
        coding = RelationCoding(tuple(c for c in self.in_decoding_order() if c.name in needed))
        names = [name for name in self.table.column_names if name in needed]
        sample = self.table.select(names).slice(0, FOLLOWING_ROWS)
        rng = np.random.default_rng(0)
        coded = coding.encode(sample).combine_chunks()
        mixed = [column.take(pa.array(rng.permutation(len(coded)))) for column in coded.columns]
        batch = pa.table(mixed, schema=coded.schema).combine_chunks().to_batches()[0]
        return bool(relation.holds(coding.decode(batch, sample.schema)).all())

    def in_decoding_order(self) -> tuple[CodedColumn, ...]:
        columns = {column.name: column for column in self.columns}
        # Sorted, because the order of a set differs between processes.
        sources = {name: sorted(names) for name, names in self.sources.items()}
        order = TopologicalSorter(sources).static_order()
        return tuple(columns[name] for name in order if name in columns)

    def _derived(
        self, relation: Relation, name: str
    ) -> DerivedColumn | RemainderColumn | DateGapColumn | MarkedColumn:
        if relation.kind in DATE_SUMS:
            return DateGapColumn.fit(name, relation, self.table)
        if relation.exceptions:
            return MarkedColumn.fit(relation, self.table)
        values = array(self.table, name)
        decimals = 0 if relation.kind in GIVES_TEXT else rounded_decimals(values)
        if relation.is_learned:
            return DerivedColumn(name, relation, decimals, omitted=False, learned=True)
        if relation.kind in ("rounded_sum", "near_sum"):
            return RemainderColumn(name, relation, decimals)
        column = DerivedColumn(name, relation, decimals, omitted=True)
        computed = column.decode(self.table, values.type)
        is_omitted = pa.compute.equal(computed.is_null(), values.is_null(nan_is_null=True))
        return DerivedColumn(name, relation, decimals, bool(pa.compute.all(is_omitted).as_py()))

    def bound(
        self, relations: Sequence[Relation], near: Sequence[NearColumn | CloseColumn]
    ) -> None:
        """Code the columns that others bound, unless that loses their frequent values.

        Columns in `near` are coded by these, and their orders are checked.
        """
        orders: dict[Edge, Relation] = {}
        for order in sorted(relations, key=lambda order: order.exceptions):
            low, high = order.columns
            # Where columns have no values in the same rows, orders with exceptions may be a cycle.
            if not (order.exceptions and low in reachable(group(orders), [high])):
                orders[low, high] = order
        derived = {column.name for column in self.columns}
        bases = {name for c in near for name in (c.name, *c.sources)}
        immovable = self.fixed | self.learned | derived | bases
        independent = {edge for edge in orders if not self._are_linked(*edge)}
        self.columns += near
        self.sources |= {column.name: set(column.sources) for column in near}
        edges = {edge for edge in independent if not immovable.issuperset(edge)}
        # The distance of numbers from a bound that is none in a few rows may be harder to learn.
        edges -= {edge for edge in edges if orders[edge].exceptions and not self._is_temporal(edge)}
        gaps = {column.name for column in self.columns if isinstance(column, DateGapColumn)}
        edges = without_ends(self._without_implied(edges, orders), self.spread | gaps)
        upward, downward = (
            place_bounded(edges, immovable, self.sources, self.table, upward=up)
            for up in (True, False)
        )
        # Ties go upward: durations and remainders usually follow what they begin with.
        chosen = min((upward, downward), key=lambda columns: added_bits(columns, self.table))
        # A value that many rows have, such as zero, has another distance from the bound in each.
        chosen = [column for column in chosen if added_bits([column], self.table) <= MAX_ADDED_BITS]
        self.columns += chosen
        self.sources |= {column.name: set(column.sources) for column in chosen}
        enforced = {(low, c.name) for c in chosen for low in c.lower}
        enforced |= {(c.name, high) for c in chosen for high in c.upper}
        self.kept += [orders[edge] for edge in sorted(edges & enforced)]
        others = (
            self._without_implied(independent, orders) - enforced | self.near_edges & orders.keys()
        )
        # A column between two others does not ensure that these are in order.
        outer = {(low, high) for c in chosen for low in c.lower for high in c.upper}
        others |= outer & orders.keys()
        dependent = self._without_implied(set(orders), orders) - independent
        others |= {edge for edge in dependent if not self._follows(orders[edge])}
        self.check([orders[edge] for edge in sorted(others)])

    def _without_implied(self, edges: set[Edge], orders: Mapping[Edge, Relation]) -> set[Edge]:
        """Return the edges without those that follow; exact orders do not from inexact ones."""
        names = {name for edge in edges for name in edge}
        rows = {name: self._rows_with(name) for name in names}
        exact = {edge for edge in edges if not orders[edge].exceptions}
        return without_implied(exact, rows) | (without_implied(edges, rows) - exact)

    def _rows_with(self, name: str) -> int:
        """Return the rows in which a column has a value, as the bits of an integer."""
        has_value = ~np.isnan(as_floats(array(self.table, name)))
        return int.from_bytes(np.packbits(has_value).tobytes())

    def _is_temporal(self, edge: Edge) -> bool:
        return bool(pa.types.is_temporal(self.table.schema.field(edge[0]).type))

    def check(self, relations: Sequence[Relation]) -> None:
        """Keep relations by generating rows again that break them."""
        self.kept += relations
        self.checked += relations

    def _depends(self, name: str, source: str) -> bool:
        """Return True if the decoding of column `name` needs column `source`."""
        return source in reachable(self.sources, [name])

    def _are_linked(self, a: str, b: str) -> bool:
        """Return True if one of two columns is decoded by the other one."""
        return self._depends(a, b) or self._depends(b, a)
