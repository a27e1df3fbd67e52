"""Datetimes as days or weeks, with the time of day or the day of the week in a separate column.

Other columns depend on the time of day and the day of the week more than on the date, from which
both are hard to learn. So they are learned separately, and the datetime becomes its day or its
week. The day of the week may also be another column of the table.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import as_text
from models.tabular.conditions.condition import Condition
from models.tabular.numbers.grid import NumberGrid
from models.tabular.relations.dates.spread_dates import ticks_per_day
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import Rows, array

MONDAY = 3  # days from the first Monday before 1970 to 1 January 1970
DAYS_PER_WEEK = 7
Part = Literal["day_of_week", "time"]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CalendarColumn:
    """A column of datetimes without some of their `parts`, which only coded rows have as columns.

    Without the day of the week, a datetime is a day that counts weeks; without the time, it is
    midnight. `weekdays` says which value of another column of the table each day of the week has,
    if there is one; then the day of the week is not among the parts.
    """

    name: str
    parts: tuple[Part, ...] = ()
    weekdays: Relation | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        return () if self.weekdays is None else (self.weekdays.last,)

    @property
    def part_names(self) -> dict[str, Part]:
        """Return the parts by the names of their columns."""
        return {part_name(part, self.name): part for part in self.parts}

    @property
    def counts_weeks(self) -> bool:
        return self.weekdays is not None or "day_of_week" in self.parts

    def without(self, names: Collection[str]) -> Self:
        """Return a copy without the parts of these names."""
        parts = (part for name, part in self.part_names.items() if name not in names)
        return replace(self, parts=tuple(parts))

    def coded_type(self, arrow: pa.DataType) -> pa.DataType:
        return arrow

    def encode(self, rows: Rows, arrow: pa.DataType) -> pa.Array:
        ticks, is_missing = NumberGrid(arrow, 0).to_grid(array(rows, self.name))
        coded = self._without_parts(ticks, ticks_per_day(arrow))
        return NumberGrid(arrow, 0).from_grid(coded, is_missing)

    def encode_parts(self, rows: Rows) -> dict[str, pa.Array]:
        """Return the columns of the parts by name."""
        values = array(rows, self.name)
        ticks, is_missing = NumberGrid(values.type, 0).to_grid(values)
        return {
            name: NumberGrid(part_type(part, values.type), 0).from_grid(
                part_of(part, ticks, values.type), is_missing
            )
            for name, part in self.part_names.items()
        }

    def decode(self, coded: Rows, arrow: pa.DataType) -> pa.Array:
        ticks, is_missing = NumberGrid(arrow, 0).to_grid(array(coded, self.name))
        day = ticks_per_day(arrow)
        dates, time = np.divmod(ticks, day)
        for name, part in self.part_names.items():
            values = array(coded, name)
            numbers, has_none = NumberGrid(values.type, 0).to_grid(values)
            is_missing = is_missing | has_none
            if part == "time":
                time = numbers
            else:
                dates = dates * DAYS_PER_WEEK - MONDAY + numbers
        if self.weekdays is not None:
            numbers, has_day = _days_of_week(self.weekdays, array(coded, self.weekdays.last))
            is_missing = is_missing | ~has_day
            dates = dates * DAYS_PER_WEEK - MONDAY + numbers
        return NumberGrid(arrow, 0).from_grid(dates * day + time, is_missing)

    def relax(self, condition: Condition) -> list[Condition]:
        """Return conditions on coded columns that those with a datetime of `condition` satisfy.

        Those on the parts are left out if a range is on several days.
        """
        if condition.values is None:
            return self._relax_bounds(condition)
        rows = pa.RecordBatch.from_pydict({self.name: condition.values})
        coded = {self.name: self.encode(rows, condition.values.type), **self.encode_parts(rows)}
        return [Condition(name, values) for name, values in coded.items()]

    def _relax_bounds(self, condition: Condition) -> list[Condition]:
        bounds, ends = [], []
        for operator, value in condition.bounds:
            if value.is_valid:
                grid, day = NumberGrid(value.type, 0), ticks_per_day(value.type)
                ticks = grid.to_grid(pa.array([value]))[0]
                is_low = operator in ("gte", "gt")
                ends.append(("gte" if is_low else "lte", ticks, value.type))
                first = self._without_parts(ticks, day) // day * day + (0 if is_low else day - 1)
                bounds.append((ends[-1][0], grid.from_grid(first, np.zeros(1, bool))[0]))
        days = {int(ticks[0] // ticks_per_day(arrow)) for _, ticks, arrow in ends}
        is_one_day = len(days) == 1 and {operator for operator, *_ in ends} == {"gte", "lte"}
        on_parts = [
            Condition(
                name,
                None,
                tuple((operator, _part_value(part, *end)) for operator, *end in ends),
            )
            for name, part in (self.part_names if is_one_day else {}).items()
        ]
        return [Condition(condition.column, None, tuple(bounds)), *on_parts]

    def _without_parts(self, ticks: Ints, day: int) -> Ints:
        dates, time = np.divmod(ticks, day)
        if self.counts_weeks:
            dates = (dates + MONDAY) // DAYS_PER_WEEK
        return np.asarray(dates * day + (0 if "time" in self.parts else time))

    def pack(self) -> dict[str, Any]:
        packed: dict[str, Any] = {"name": self.name}
        if self.parts:
            packed["learned_parts"] = list(self.parts)
        if self.weekdays is not None:
            packed["weeks_of"] = self.weekdays.pack()
        return packed

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        weekdays = Relation.unpack(packed["weeks_of"]) if "weeks_of" in packed else None
        return cls(packed["name"], tuple(packed.get("learned_parts", ())), weekdays)


def part_name(part: Part, name: str) -> str:
    """Return the name of the coded column of a part, which also identifies it in a table."""
    return f"{part}({name})"


def part_type(part: Part, arrow: pa.DataType) -> pa.DataType:
    """Return the type of the coded column of a part of datetimes of the type `arrow`."""
    if part == "day_of_week":
        return pa.int64()
    return pa.time32(arrow.unit) if arrow.unit in ("s", "ms") else pa.time64(arrow.unit)


def part_of(part: Part, ticks: Ints, arrow: pa.DataType) -> Ints:
    """Return (N,) days since Monday, or times of day in ticks."""
    dates, time = np.divmod(ticks, ticks_per_day(arrow))
    return time if part == "time" else np.asarray((dates + MONDAY) % DAYS_PER_WEEK)


def _part_value(part: Part, ticks: Ints, arrow: pa.DataType) -> pa.Scalar:
    """Return a part of one datetime (1,)."""
    grid = NumberGrid(part_type(part, arrow), 0)
    return grid.from_grid(part_of(part, ticks, arrow), np.zeros(1, bool))[0]


def may_be_weeks(relation: Relation, table: pa.Table) -> bool:
    """Return True if a date follows from its week and the last column, in all rows."""
    dates, weekdays = array(table, relation.columns[0]), array(table, relation.last)
    has_zone = pa.types.is_timestamp(dates.type) and dates.type.tz is not None
    return (
        relation.part == "day_of_week"
        and not relation.roles
        and not (has_zone or dates.null_count or weekdays.null_count)
        and len(set(relation.values)) == len(relation.keys)
    )


def _days_of_week(weekdays: Relation, values: pa.Array) -> tuple[Ints, NDArray[np.bool_]]:
    """Return (N,) days since Monday, 0 where there is none, and the mask of rows with one."""
    if weekdays.kind == "lookup":
        index = pa.compute.index_in(as_text(values), pa.array(weekdays.values))
        values = pa.array([int(key) for key in weekdays.keys]).take(index)
    days = values.cast(pa.int64())
    has_day = days.is_valid().to_numpy(zero_copy_only=False)
    return days.fill_null(0).to_numpy(zero_copy_only=False), has_day
