"""Dates that are spread over columns: year, month and day, as numbers or as texts.

Months may be words, and years have two or four digits. Without a year, it is a leap year.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.calendar_names import LANGUAGES
from models.tabular.categorical_columns import Floats, as_text
from models.tabular.numbers.scale import TICKS_PER_SECOND
from models.tabular.relations.kinds import TIME_UNITS

_TYPES = (pa.date32(), pa.date64(), *map(pa.timestamp, ("s", "ms", "us", "ns")))
_ARROW_TYPES = {str(arrow): arrow for arrow in _TYPES}  # of datetimes without a time zone
ROLES = ("year", "month", "day")
LEAP_YEAR = 2000
FIRST_OF_PAST_CENTURY = 69  # of two digits, as POSIX reads them: 1969 to 2068
LIMITS = {"month": (1, 12), "day": (1, 31)}
CENTURY = 100
YEARS, TWO_DIGIT_YEARS = (1000, 2999), (0, CENTURY - 1)
MONTHS = {
    word.casefold().rstrip("."): month
    for language, names in LANGUAGES.items()
    if language != "fa"  # months of the Persian calendar
    for words in (names.months, names.short_months)
    for month, word in enumerate(words, 1)
}

MAX_TICKS, MAX_DAYS = 2**63 - 1, 2**31 - 1
AnyRows = TypeVar("AnyRows", pa.Table, pa.RecordBatch)


@dataclass(frozen=True)
class SpreadDate:
    """The columns over which a date is spread, and their roles; without these, it is a column.

    Its dates have the Arrow type of this `type_name`.
    """

    columns: tuple[str, ...]
    roles: tuple[str, ...]
    type_name: str = "date32[day]"

    @property
    def name(self) -> str:
        """Return the name of the column of its dates, which no table has."""
        return f"date({', '.join(self.columns)})"

    @property
    def arrow(self) -> pa.DataType:
        return _ARROW_TYPES[self.type_name]

    def parts(self, rows: pa.Table | pa.RecordBatch) -> list[pa.Array]:
        parts = (rows.column(name) for name in self.columns)
        return [p.combine_chunks() if isinstance(p, pa.ChunkedArray) else p for p in parts]

    def values(self, rows: pa.Table | pa.RecordBatch) -> pa.Array:
        """Return the dates, null where a part is missing, or beyond the dates of the type."""
        parts = self.parts(rows)
        if not self.roles:
            return parts[0]
        dates, last = spread_dates(parts, self.roles), MAX_TICKS // ticks_per_day(self.arrow)
        if last < MAX_DAYS:  # nanoseconds begin in 1677 and end in 2262
            is_within = np.abs(dates.cast(pa.int32()).fill_null(0).to_numpy()) <= last
            dates = pa.compute.if_else(pa.array(is_within), dates, None)
        return dates.cast(self.arrow)

    def pack(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        return cls(tuple(packed["columns"]), tuple(packed["roles"]), packed["type_name"])


def with_dates(rows: AnyRows, dates: Iterable[SpreadDate]) -> AnyRows:
    """Return rows that also have the columns of spread dates."""
    for date in dates:
        if date.name not in rows.schema.names:
            rows = rows.append_column(date.name, date.values(rows))
    return rows


def ticks_per_day(arrow: pa.DataType) -> int:
    """Return the length of a day in the unit of a type."""
    if pa.types.is_date32(arrow):
        return 1
    unit = "ms" if pa.types.is_date64(arrow) else arrow.unit
    return TIME_UNITS["days"] * TICKS_PER_SECOND[unit]


def spread_dates(parts: Sequence[pa.Array], roles: Sequence[str]) -> pa.Array:
    """Return the dates whose `roles` are in `parts`; null where one is missing or impossible."""
    days, is_date = _days(_numbers(parts, roles))
    return pa.array(days.astype(np.int32), pa.int32(), mask=~is_date).cast(pa.date32())


def may_be_dates(parts: Sequence[pa.Array], roles: Sequence[str]) -> NDArray[np.bool_]:
    """Return the (N,) mask of rows without an impossible date, such as 31 June.

    A row without a month or a day has none. Where the year is missing, it may be a leap year.
    """
    numbers = _numbers(parts, roles)
    if "year" in numbers:
        numbers["year"] = np.where(np.isnan(numbers["year"]), LEAP_YEAR, numbers["year"])
    is_missing = np.logical_or.reduce([np.isnan(each) for each in numbers.values()])
    return np.asarray(_days(numbers)[1] | is_missing)


def may_be_part(values: pa.Array, role: str) -> bool:
    """Return True if all present values are numbers or texts of a part of dates."""
    numbers = part_numbers(values, role)
    present = numbers[~np.isnan(numbers)]
    if len(present) < len(values) - values.null_count or not len(present):
        return False
    ranges = (YEARS, TWO_DIGIT_YEARS) if role == "year" else (LIMITS[role],)
    is_within = any(low <= present.min() and present.max() <= high for low, high in ranges)
    return is_within and np.array_equal(present, np.rint(present))


def _numbers(parts: Sequence[pa.Array], roles: Sequence[str]) -> dict[str, Floats]:
    return {role: part_numbers(each, role) for role, each in zip(roles, parts, strict=True)}


def part_numbers(values: pa.Array, role: str) -> Floats:
    """Return the (N,) numbers of a part of dates, NaN where it is missing or another text."""
    if not (pa.types.is_string(values.type) or pa.types.is_dictionary(values.type)):
        floats = values.cast(pa.float64(), safe=False).fill_null(np.nan)
        return np.asarray(floats.to_numpy(zero_copy_only=False), np.float64)
    texts = as_text(values).dictionary_encode()
    read = _month if role == "month" else _integer
    numbers = np.array([read(text) for text in texts.dictionary.to_pylist()] + [np.nan])
    return numbers[texts.indices.fill_null(-1).to_numpy(zero_copy_only=False)]


def _integer(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else np.nan


def _month(text: str) -> float:
    return float(MONTHS.get(text.casefold().rstrip("."), _integer(text)))


def _days(numbers: Mapping[str, Floats]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return (N,) days since 1970, and the mask of rows with a date."""
    size = len(numbers["day"])
    years = numbers.get("year", np.full(size, float(LEAP_YEAR)))
    century = np.where(years < FIRST_OF_PAST_CENTURY, 2000, 1900)
    years = np.where(years < CENTURY, years + century, years)
    months, days = numbers["month"], numbers["day"]
    is_date = (years <= YEARS[1]) & (months >= 1) & (months <= 12) & (days >= 1)
    y, m, d = (
        np.where(is_date, each, default).astype(np.int64)
        for each, default in ((years, LEAP_YEAR), (months, 1), (days, 1))
    )
    first = ((y - 1970) * 12 + m - 1).astype("M8[M]")
    first_day, next_month = first.astype("M8[D]"), (first + 1).astype("M8[D]")
    is_date &= d <= (next_month - first_day).astype(np.int64)
    return first_day.astype(np.int64) + d - 1, is_date
