"""Columns of dates that are coded relative to another date, which may be spread over columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import as_text, from_text
from models.tabular.numbers.grid import NumberGrid
from models.tabular.relations.dates.parts import date_part
from models.tabular.relations.dates.spread_dates import (
    CENTURY,
    LIMITS,
    SpreadDate,
    part_numbers,
    with_dates,
)
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import Rows, array, as_floats

Ints = NDArray[np.int64]
MARKED_DAYS = -100_000  # fewer than any distance that may be a sum of numbers of days


@dataclass(frozen=True)
class PartColumn:
    """A part of a date that is learned as one column: `date`, which only coded rows have.

    `texts` are those of the months or days from the first one on, None where no row has one, unless
    they are numbers. A year may have `two_digits`.
    """

    name: str
    date: SpreadDate
    texts: tuple[str | None, ...] = ()
    two_digits: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.date.name,)

    def coded_type(self, _: pa.DataType) -> None:
        """Return None: the column is left out."""

    def encode(self, rows: Rows, _: pa.DataType) -> pa.Array:
        return array(rows, self.name)

    def decode(self, coded: Rows, arrow: pa.DataType) -> pa.Array:
        return self.of(array(coded, self.date.name), arrow)

    def of(self, dates: pa.Array, arrow: pa.DataType) -> pa.Array:
        """Return this part of (N,) dates."""
        role = self.date.roles[self.date.columns.index(self.name)]
        numbers = date_part(dates, "two_digit_year" if self.two_digits else role)
        texts = numbers.cast(pa.string())
        if self.texts:
            index = pa.compute.subtract(numbers.cast(pa.int64()), 1)
            texts = pa.array(self.texts, pa.string()).take(index)
        return from_text(texts, arrow)

    def pack(self) -> dict[str, Any]:
        return {
            "part_of": self.date.pack(),
            "name": self.name,
            "texts": list(self.texts),
            "two_digits": self.two_digits,
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        date = SpreadDate.unpack(packed["part_of"])
        return cls(packed["name"], date, tuple(packed["texts"]), packed["two_digits"])


@dataclass(frozen=True)
class SpreadColumn:
    """A date that is spread over columns, which decoding computes for the columns relative to it.

    Neither the table nor the coded rows have it. Its `parts` say how its columns are written.
    """

    parts: tuple[PartColumn, ...]

    @property
    def date(self) -> SpreadDate:
        return self.parts[0].date

    @property
    def name(self) -> str:
        return self.date.name

    @property
    def sources(self) -> tuple[str, ...]:
        return self.date.columns

    def coded_type(self, _: pa.DataType) -> None:
        """Return None: the column is left out."""

    def encode(self, rows: Rows, _: pa.DataType) -> pa.Array:
        return self.date.values(rows)

    def decode(self, coded: Rows, _: pa.DataType) -> pa.Array:
        return self.date.values(coded)

    def pack(self) -> dict[str, Any]:
        return {"spread_over": [part.pack() for part in self.parts]}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        return cls(tuple(map(PartColumn.unpack, packed["spread_over"])))


def part_columns(date: SpreadDate, table: pa.Table) -> tuple[PartColumn, ...]:
    """Return the columns of a date as parts of it, with the texts that the rows have."""
    columns = []
    for name, role, values in zip(date.columns, date.roles, date.parts(table), strict=True):
        numbers = part_numbers(values, role)
        present = np.flatnonzero(~np.isnan(numbers))
        texts: tuple[str | None, ...] = ()
        if role in LIMITS and not pa.types.is_integer(values.type):
            written = as_text(values.take(pa.array(present))).to_pylist()
            text_of = dict(zip(numbers[present].astype(int).tolist(), written, strict=True))
            texts = tuple(text_of.get(number) for number in range(1, LIMITS[role][1] + 1))
        two_digits = role == "year" and bool(numbers[present].max() < CENTURY)
        columns.append(PartColumn(name, date, texts, two_digits))
    return tuple(columns)


def may_follow(columns: Sequence[PartColumn], table: pa.Table) -> bool:
    """Return True if the parts of a date follow from it in all rows, and in new ones."""
    date = columns[0].date
    computed = (column.of(date.values(table), pa.string()) for column in columns)
    return all(
        None not in column.texts and values.equals(as_text(part))
        for column, values, part in zip(columns, computed, date.parts(table), strict=True)
    )


@dataclass(frozen=True)
class DateGapColumn:
    """A date as its distance from another one, with a mark where it is a sum of numbers of days.

    It is the first or the last column of `relation`. Where the other date is missing, it is
    `default`. Distances and `default` are in the unit of the dates.
    """

    name: str
    relation: Relation
    default: int

    @property
    def mark(self) -> int:
        """Return what codes the distance by the relation, if that is a sum."""
        return MARKED_DAYS * int(self.relation.factor)

    @property
    def may_be_sum(self) -> bool:
        return self.relation.kind != "near_date"

    @property
    def other(self) -> str:
        first, *_, last = self.relation.columns
        return first if self.name == last else last

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(name for name in self.relation.columns if name != self.name)

    def coded_type(self, _: pa.DataType) -> pa.DataType:
        return pa.int64()

    def encode(self, rows: Rows, _: pa.DataType) -> pa.Array:
        rows = with_dates(rows, self.relation.spread)
        values = array(rows, self.name)
        dates, is_missing = NumberGrid(values.type, 0).to_grid(values)
        distances = dates - self._others(rows)
        if self.may_be_sum:
            days, is_known = self._days(rows)
            distances = np.where(is_known & (distances == days), self.mark, distances)
        return pa.array(distances, pa.int64(), mask=is_missing)

    def decode(self, coded: Rows, arrow: pa.DataType) -> pa.Array:
        distances, is_missing = self.distances(coded)
        return NumberGrid(arrow, 0).from_grid(self._others(coded) + distances, is_missing)

    def distances(self, coded: Rows) -> tuple[Ints, NDArray[np.bool_]]:
        """Return the (N,) distances from the other date, and the mask of missing ones."""
        distances, is_missing = NumberGrid(pa.int64(), 0).to_grid(array(coded, self.name))
        if self.may_be_sum:
            days, is_known = self._days(coded)
            is_sum = distances == self.mark
            if self.relation.kind == "date_sum":
                is_sum |= is_known
            distances = np.where(is_sum, days, distances)
        return distances, is_missing

    def _others(self, rows: Rows) -> Ints:
        values = array(rows, self.other)
        dates, is_missing = NumberGrid(values.type, 0).to_grid(values)
        return np.where(is_missing, self.default, dates)

    def _days(self, rows: Rows) -> tuple[Ints, NDArray[np.bool_]]:
        """Return the (N,) distances by the relation, 0 where a number is missing, and a mask."""
        numbers = [as_floats(array(rows, name)) for name in self.relation.columns[1:-1]]
        days = np.sum(numbers, axis=0) * self.relation.factor
        is_known = np.isfinite(days)
        sign = 1 if self.name == self.relation.last else -1
        return (sign * np.where(is_known, days, 0)).astype(np.int64), is_known

    def pack(self) -> dict[str, Any]:
        return {
            "gap_of": self.relation.pack(),
            "name": self.name,
            "default": self.default,
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        relation = Relation.unpack(packed["gap_of"])
        return cls(packed["name"], relation, packed["default"])

    @classmethod
    def fit(cls, name: str, relation: Relation, table: pa.Table) -> Self:
        """Return the coding of a column. The table also has the dates of the relation."""
        first, *_, last = relation.columns
        others = array(table, first if name == last else last)
        dates, is_missing = NumberGrid(others.type, 0).to_grid(others)
        day = int(relation.factor)
        return cls(name, relation, int(dates[~is_missing].mean()) // day * day)


def gap_ends(relation: Relation) -> list[str]:
    """Return the dates of a relation, the preferred one to be coded first.

    The parts of a date that is spread over columns are rather learned one by one, so that sampling
    can begin with each of them.
    """
    spread = {date.name for date in relation.spread}
    return sorted((relation.last, relation.columns[0]), key=lambda name: name in spread)
