"""Dates as weeks, whose days of the week are another column.

Other columns depend on the day of the week more than on the date, from which it is hard to learn.
So the day of the week is learned, and the date becomes its week and time of day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

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


@dataclass(frozen=True)
class WeekColumn:
    """A column of dates as days that count weeks, with the same time of day.

    `relation` says which value of the column of weekdays each day of the week has.
    """

    name: str
    relation: Relation

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.relation.last,)

    def coded_type(self, arrow: pa.DataType) -> pa.DataType:
        return arrow

    def encode(self, rows: Rows, arrow: pa.DataType) -> pa.Array:
        ticks, is_missing = NumberGrid(arrow, 0).to_grid(array(rows, self.name))
        return NumberGrid(arrow, 0).from_grid(_to_weeks(ticks, ticks_per_day(arrow)), is_missing)

    def decode(self, coded: Rows, arrow: pa.DataType) -> pa.Array:
        values = array(coded, self.name)
        ticks, is_missing = NumberGrid(arrow, 0).to_grid(values)
        weekdays, has_weekday = self._days_of_week(array(coded, self.relation.last))
        day = ticks_per_day(arrow)
        weeks, time = np.divmod(ticks, day)
        dates = (weeks * DAYS_PER_WEEK - MONDAY + weekdays) * day + time
        return NumberGrid(arrow, 0).from_grid(dates, is_missing | ~has_weekday)

    def _days_of_week(self, values: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return (N,) days since Monday, 0 where there is none, and the mask of rows with one."""
        if self.relation.kind == "lookup":
            index = pa.compute.index_in(as_text(values), pa.array(self.relation.values))
            values = pa.array([int(key) for key in self.relation.keys]).take(index)
        days = values.cast(pa.int64())
        has_day = days.is_valid().to_numpy(zero_copy_only=False)
        return days.fill_null(0).to_numpy(zero_copy_only=False), has_day

    def relax(self, condition: Condition) -> Condition:
        """Return a condition on coded dates that those with a date of `condition` satisfy."""
        limits = list(condition.bounds)
        if condition.values is not None:
            if condition.values.null_count == len(condition.values):
                return condition  # a week is missing where its date is
            ends = pa.compute.min_max(condition.values)
            limits += [("gte", ends["min"]), ("lte", ends["max"])]
        bounds = []
        for operator, value in limits:
            if value.is_valid:
                day = ticks_per_day(value.type)
                first = _to_weeks(NumberGrid(value.type, 0).to_grid(pa.array([value]))[0], day)
                is_low = operator in ("gte", "gt")
                first = first // day * day + (0 if is_low else day - 1)
                end = NumberGrid(value.type, 0).from_grid(first, np.zeros(1, bool))[0]
                bounds.append(("gte" if is_low else "lte", end))
        return Condition(condition.column, None, tuple(bounds))

    def pack(self) -> dict[str, Any]:
        return {"name": self.name, "weeks_of": self.relation.pack()}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        return cls(packed["name"], Relation.unpack(packed["weeks_of"]))


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


def _to_weeks(ticks: NDArray[np.int64], day: int) -> NDArray[np.int64]:
    days, time = np.divmod(ticks, day)
    return np.asarray((days + MONDAY) // DAYS_PER_WEEK * day + time)
