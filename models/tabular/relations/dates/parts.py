"""Parts of dates and times by the rules of the calendar.

Weeks have several conventions: `iso_week` and `iso_year` (ISO 8601), `us_week` (epidemiological
weeks, from Sunday), `week_U` and `week_W` (as `strftime` counts from the first Sunday or Monday),
`weeknum` and `weeknum_2` (as spreadsheets count from 1 January, with weeks from Sunday or Monday),
and `week_of_year` (seven days each, from 1 January). Of a datetime without an offset,
`unix_seconds` and `unix_milliseconds` count from 1970 in its own time zone.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

Ints = NDArray[np.int64]

FIRST_DAYS = (
    "first_of_year",
    "first_of_quarter",
    "first_of_month",
    "first_of_week",
    "first_of_sunday_week",
)
WEEKS = ("iso_week", "us_week", "week_U", "week_W", "weeknum", "weeknum_2", "week_of_year")
DATE_PARTS = (
    *("year", "quarter", "month", "day", "day_of_week", "date"),
    *("iso_year", "two_digit_year", "day_of_year", *WEEKS, *FIRST_DAYS),
)
TIME_PARTS = ("hour", "minute", "second")
UNIX_TIMES = {"unix_seconds": "s", "unix_milliseconds": "ms"}  # since 1970
CLOCK_PARTS = (*TIME_PARTS, "time", *UNIX_TIMES)


def available_parts(arrow: pa.DataType, parts: Sequence[str] | None = None) -> list[str]:
    """Return those of `parts`, by default of all, that datetimes or times of a type have."""
    parts = (*DATE_PARTS, *CLOCK_PARTS) if parts is None else parts
    if pa.types.is_time(arrow):
        return [part for part in parts if part in TIME_PARTS]
    return [part for part in parts if part in DATE_PARTS or not pa.types.is_date(arrow)]


def part_type(part: str, source: pa.DataType) -> pa.DataType:
    """Return the type of a part of datetimes of the type `source`."""
    if part == "time":
        return pa.time64("us")
    return source if part == "date" or part in FIRST_DAYS else pa.int64()


def date_part(values: pa.Array, part: str) -> pa.Array:
    """Return a part of datetimes: integers, datetimes, or times."""
    if part == "date":
        return pa.compute.floor_temporal(values, unit="day")
    if part == "time":
        return values.cast(pa.time64("us"), safe=False)  # without nanoseconds
    if part in UNIX_TIMES:
        return values.cast(pa.timestamp(UNIX_TIMES[part], values.type.tz), safe=False).cast("int64")
    if part in FIRST_DAYS:
        unit = part.removeprefix("first_of_").removeprefix("sunday_")
        from_monday = "sunday" not in part
        first = pa.compute.floor_temporal(values, unit=unit, week_starts_monday=from_monday)
        return first.cast(values.type)
    if part == "two_digit_year":
        return _modulo_100(pa.compute.year(values))
    if part in _COUNTED_WEEKS:
        day, weekday = (
            getattr(pa.compute, name)(values).fill_null(0).to_numpy(zero_copy_only=False)
            for name in ("day_of_year", "day_of_week")
        )
        week = _COUNTED_WEEKS[part](day.astype(np.int64) - 1, weekday.astype(np.int64))
        return pa.array(week, mask=values.is_null().to_numpy(zero_copy_only=False))
    return getattr(pa.compute, part)(values)


def _modulo_100(years: pa.Array) -> pa.Array:
    mask = years.is_null().to_numpy(zero_copy_only=False)
    return pa.array(years.fill_null(0).to_numpy(zero_copy_only=False) % 100, mask=mask)


# The arguments are days since 1 January and days since Monday.
_COUNTED_WEEKS: dict[str, Callable[[Ints, Ints], Ints]] = {
    "week_U": lambda day, weekday: (day + 7 - (weekday + 1) % 7) // 7,
    "week_W": lambda day, weekday: (day + 7 - weekday) // 7,
    "weeknum": lambda day, weekday: (day + 6 - (weekday + 1) % 7) // 7 + 1,
    "weeknum_2": lambda day, weekday: (day + 6 - weekday) // 7 + 1,
    "week_of_year": lambda day, _: day // 7 + 1,
}
