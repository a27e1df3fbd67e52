"""Changes to rows whose given values follow from values that are not given."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.numbers.columns import NumericColumn
from models.tabular.numbers.grid import NumberGrid
from models.tabular.relations.coded_columns import (
    BoundedColumn,
    CodedColumn,
    DerivedColumn,
    RemainderColumn,
)
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.dates.calendar_columns import CalendarColumn
from models.tabular.relations.dates.columns import DateGapColumn, PartColumn, SpreadColumn
from models.tabular.relations.dates.solving import solve_gap
from models.tabular.relations.dates.spread_dates import with_dates
from models.tabular.relations.marked_columns import MarkedColumn
from models.tabular.relations.near.close_columns import CloseColumn
from models.tabular.relations.near.columns import NearColumn
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats

# Attempts in which one of several values that agree is only sampled. The nearest number with a few
# decimals is as good, but the nearest float would be an odd one, such as a date of 2010.4600001.
SAMPLED_ATTEMPTS, SAMPLED_FLOAT_ATTEMPTS = 8, 64
EDGE = 1e-6  # by which numbers stay inside the interval of those that are rounded to the same one


def solve_sources(
    coding: RelationCoding,
    coded: pa.RecordBatch,
    rows: pa.RecordBatch,
    given: Mapping[str, NDArray[np.bool_]],
    numbers: Mapping[str, NumericColumn],
    attempts: NDArray[np.int64] | float,
) -> pa.RecordBatch:
    """Return `coded` with the sources of given coded columns changed to agree with them.

    `rows` are the decoded rows with the given values. Where these do not agree yet, the last source
    that is not given is changed, or the columns from which it follows. Of the learned `numbers`,
    those of few values are changed after the others. If several values of a source agree, one
    should be sampled: it is changed only in later `attempts` (N,), counted from 0.
    """
    solver = _Solver(coding, coded, rows, given, numbers)
    for column in reversed(coding.columns):
        solver.solve(column, attempts)
    return solver.coded_rows()


class _Solver:
    """Changes to decoded rows, and to the coded ones `coded` from which they follow."""

    def __init__(
        self,
        coding: RelationCoding,
        coded: pa.RecordBatch,
        rows: pa.RecordBatch,
        given: Mapping[str, NDArray[np.bool_]],
        numbers: Mapping[str, NumericColumn],
    ) -> None:
        self._coded, self._given, self._numbers = coded, given, numbers
        self._rows = with_dates(rows, coding.dates.values())
        self._arrays = dict(zip(coded.schema.names, coded.columns, strict=True))
        self._nothing = np.zeros(len(coded), bool)
        self._solved = {column.name: self._nothing for column in coding.columns}
        self._computed: dict[str, NDArray[np.bool_]] = {}  # from an equation

    def coded_rows(self) -> pa.RecordBatch:
        arrays = [self._arrays[name] for name in self._coded.schema.names]
        return pa.RecordBatch.from_arrays(arrays, schema=self._coded.schema)

    def solve(self, column: CodedColumn, attempts: NDArray[np.int64] | float) -> None:
        """Change sources of a column where it is given, or is the source of a solved column."""
        is_solved = self._solved[column.name]
        if isinstance(column, SpreadColumn):
            self._change_parts(column, is_solved)
            return
        # A column that is coded relative to others may have any value.
        is_relative = not isinstance(column, DerivedColumn)
        if is_relative and is_solved.any() and column.name in self._arrays:
            self._encode(column, is_solved)
            return
        if isinstance(
            column, NearColumn | CloseColumn | CalendarColumn | PartColumn | MarkedColumn
        ):
            return
        is_open = is_solved | self._is_given(column.name)
        last_first = tuple(reversed(column.sources))
        # Coded sources follow from the others, so these are changed first. A price is changed
        # before a quantity, of which few values give a total.
        sources = sorted(last_first, key=lambda name: (name in self._solved, self._is_coarse(name)))
        if isinstance(column, DateGapColumn):
            sources = list(column.sources)  # the other date first
        elif isinstance(column, BoundedColumn):
            is_open &= ~self._follow_bounds(column, is_open)
        else:
            is_open &= ~column.relation.holds(_without_rest(column, self._coded, self._rows))
        for name in sources:
            is_changed = is_open & ~self._is_given(name)
            if name not in self._rows.schema.names or not is_changed.any():
                continue
            if (solution := _solve(column, name, self._coded, self._rows, self._numbers)) is None:
                continue
            values, first_attempts = solution
            is_changed &= attempts >= first_attempts
            is_changed = self._change(name, values, is_changed)
            is_open &= ~is_changed
            if isinstance(column, DerivedColumn):
                self._computed[name] = self._computed.get(name, self._nothing) | is_changed

    def _change_parts(self, column: SpreadColumn, mask: NDArray[np.bool_]) -> None:
        """Change the columns over which a date is spread to it, in the rows of the mask."""
        for part in column.parts if mask.any() else ():
            dates = array(self._rows, column.name)
            values = part.of(dates, self._rows.schema.field(part.name).type)
            self._change(part.name, values, mask & ~self._is_given(part.name))

    def _follow_bounds(
        self, column: BoundedColumn, is_open: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Change distances from bounds that equations give. Return the mask of them."""
        follows = [self._computed.get(name, self._nothing) for name in column.sources]
        is_fixed = np.asarray(is_open & np.logical_or.reduce(follows))
        if is_fixed.any():
            self._encode(column, is_fixed)
        return is_fixed

    def _encode(self, column: CodedColumn, mask: NDArray[np.bool_]) -> None:
        """Change a coded column to what it is in the rows of the mask."""
        exact = column.encode(self._rows, self._rows.schema.field(column.name).type)
        coded = self._arrays[column.name]
        self._arrays[column.name] = pa.compute.if_else(pa.array(mask), exact, coded)
        if isinstance(column, CalendarColumn):
            for name, part in column.encode_parts(self._rows).items():
                self._arrays[name] = pa.compute.if_else(pa.array(mask), part, self._arrays[name])

    def _is_coarse(self, name: str) -> bool:
        return name in self._numbers and not self._numbers[name].layout.bins

    def _is_given(self, name: str) -> NDArray[np.bool_]:
        return self._given.get(name, self._nothing)

    def _change(
        self, name: str, values: pa.Array, is_changed: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Change a column to the (N,) values of the mask. Return the mask of those that exist."""
        is_changed = is_changed & values.is_valid().to_numpy(zero_copy_only=False)
        index, mask = self._rows.schema.get_field_index(name), pa.array(is_changed)
        changed = pa.compute.if_else(mask, values, self._rows.column(index))
        self._rows = self._rows.set_column(index, self._rows.schema.field(index), changed)
        if name in self._solved:
            self._solved[name] = self._solved[name] | is_changed
        else:
            self._arrays[name] = pa.compute.if_else(mask, values, self._arrays[name])
        return is_changed


def follow_dates(
    coding: RelationCoding, rows: pa.RecordBatch, given: Mapping[str, NDArray[np.bool_]]
) -> pa.RecordBatch:
    """Return rows whose days of the week fit dates that are spread over columns.

    Where a date is given that no training row has, the sampled day is that of another one.
    """
    for relation in coding.checked:
        if not relation.roles or relation.kind == "valid_date":
            continue
        index = rows.schema.get_field_index(relation.last)
        field, values = rows.schema.field(index), rows.column(index)
        computed = DerivedColumn(relation.last, relation, 0, omitted=False).decode(rows, field.type)
        is_given = pa.array(given.get(relation.last, np.zeros(len(rows), bool)))
        rows = rows.set_column(index, field, pa.compute.if_else(is_given, values, computed))
    return rows


def _solve(
    column: DerivedColumn | RemainderColumn | BoundedColumn | DateGapColumn,
    name: str,
    coded: pa.RecordBatch,
    rows: pa.RecordBatch,
    numbers: Mapping[str, NumericColumn],
) -> tuple[pa.Array, NDArray[np.int64]] | None:
    """Return the values of source `name` that agree with `column` in `rows`, if they follow.

    Of several values that agree because the column is rounded, the one next to that in `rows`. Also
    return the (N,) attempts from which on they may be used.
    """
    at_once = np.zeros(len(rows), np.int64)
    if isinstance(column, DateGapColumn):
        return solve_gap(column, name, coded, rows), at_once
    arrow = rows.schema.field(name).type
    if isinstance(column, BoundedColumn):
        values = array(rows, column.name)
        if len(column.sources) > 1 or arrow != values.type:
            return None
        grid = NumberGrid(arrow, column.decimals)
        bounded, is_missing = grid.to_grid(values)
        distances = array(coded, column.name)
        distance, no_distance = NumberGrid(distances.type, min(column.decimals, 0)).to_grid(
            distances
        )
        bound = bounded + np.abs(distance) if column.upper else bounded - np.abs(distance)
        return grid.from_grid(bound, is_missing | no_distance), at_once
    relation = column.relation
    if not relation.can_solve(name):
        return None
    digits = numbers[name].scale.decimals if name in numbers else column.decimals
    digits = digits if pa.types.is_floating(arrow) else 0
    unit = 10.0**-digits if digits >= 0 else 0.0
    exact = _without_rest(column, coded, rows)
    ends = [relation.solve(_shifted(exact, relation, side), name) for side in (-0.5, 0.5)]
    is_missing = ~(np.isfinite(ends[0]) & np.isfinite(ends[1]))
    low, high = np.where(is_missing, 0.0, np.sort(ends, axis=0))
    if unit:  # multiples of it, if there are some between the ends
        inner = np.ceil(low / unit - EDGE) * unit, np.floor(high / unit + EDGE) * unit
        has_inner = inner[0] <= inner[1] + unit * EDGE
        low, high = np.where(has_inner, inner, (low + high) / 2)
    nearest = np.clip(np.nan_to_num(as_floats(array(rows, name))), low, high)
    sampled_attempts = SAMPLED_ATTEMPTS if unit else SAMPLED_FLOAT_ATTEMPTS
    first_attempts = np.where(high - low <= EDGE * unit, at_once, sampled_attempts)
    return NumberGrid(arrow, digits).from_floats(nearest, is_missing), first_attempts


def _without_rest(
    column: DerivedColumn | RemainderColumn, coded: pa.RecordBatch, rows: pa.RecordBatch
) -> pa.RecordBatch:
    """Return rows whose last number is smaller by what a near sum leaves, if the column is one."""
    if column.relation.kind != "near_sum":
        return rows
    index = rows.schema.get_field_index(column.name)
    rest = np.nan_to_num(as_floats(array(coded, column.name))) / 10.0**column.decimals
    exact = np.round(as_floats(rows.column(index)) - rest, column.decimals)
    return rows.set_column(index, column.name, pa.array(exact, pa.float64()))


def _shifted(rows: pa.RecordBatch, relation: Relation, units: float) -> pa.RecordBatch:
    """Return rows whose last number of the relation is larger by some units of its last decimal.

    Numbers that are not rounded are as they are, and so are times: full minutes stay such.
    """
    if relation.decimals < 0 or relation.digits or relation.kind in ("clock_time", "elapsed"):
        return rows
    index = rows.schema.get_field_index(relation.last)
    margin = units * (1 - EDGE) * 10.0**-relation.decimals
    shifted = pa.array(as_floats(rows.column(index)) + margin, pa.float64())
    return rows.set_column(index, relation.last, shifted)
