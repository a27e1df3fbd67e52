"""Fields of moments, such as years and hours, to and from microseconds since 1970.

A field is named by the letter of its directive: `G` and `V` are the year and the week of ISO 8601,
`q` is the quarter, `I` an hour of the 12-hour clock whose half is `p` or `P`, `f` are microseconds,
`z` is an offset in seconds, and `s` and `Q` are seconds and milliseconds since 1970.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from modalities.tabular.forms import persian_calendar

Ints = NDArray[np.int64]

SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND
LEAP_YEAR = 2000  # of dates without a year
TWO_DIGIT_YEAR_PIVOT = 69  # 69 is 1969, and 68 is 2068, as in POSIX
DATE_FIELDS = frozenset("YyGsQd")  # a moment without one of these is a time of day
_MIN_MICROS, _MAX_MICROS = -62_135_596_800 * SECOND, 253_402_300_799 * SECOND  # years 1 to 9999


def to_micros(
    fields: Mapping[str, Ints], count: int, *, is_persian: bool
) -> tuple[Ints, NDArray[np.bool_]]:
    """Return microseconds since 1970 or since midnight, and the mask of moments that exist.

    Both have the shape (count,), as the fields have. An offset is subtracted.
    """
    if "s" in fields or "Q" in fields:
        micros = fields["s"] * SECOND if "s" in fields else fields["Q"] * 1_000
        return micros, (micros >= _MIN_MICROS) & (micros <= _MAX_MICROS)
    has_date = bool(DATE_FIELDS & fields.keys())
    days, exists = np.zeros(count, np.int64), np.ones(count, bool)
    if has_date:
        days, exists = _to_days(fields, count, is_persian=is_persian)
    zero = np.zeros(count, np.int64)
    hours = fields.get("H", zero)
    if "I" in fields:
        exists &= (fields["I"] >= 1) & (fields["I"] <= 12)
        hours = fields["I"] % 12 + 12 * fields["p" if "p" in fields else "P"]
    minutes, seconds = fields.get("M", zero), fields.get("S", zero)
    is_next_midnight = (hours == 24) & (minutes == 0) & (seconds == 0) & has_date
    exists &= ((hours < 24) | is_next_midnight) & (minutes < 60) & (seconds < 60)
    seconds = 3600 * hours + 60 * minutes + seconds - fields.get("z", zero)
    return days * DAY + seconds * SECOND + fields.get("f", zero), exists


def _to_days(
    fields: Mapping[str, Ints], count: int, *, is_persian: bool
) -> tuple[Ints, NDArray[np.bool_]]:
    """Return days since 1970, and the mask of dates that exist."""
    if "G" in fields:
        return _iso_week_to_days(fields["G"], fields["V"])
    if "y" in fields:
        years = fields["y"] + np.where(fields["y"] < TWO_DIGIT_YEAR_PIVOT, 2000, 1900)
    else:
        years = fields.get("Y", np.full(count, LEAP_YEAR))
    one = np.ones(count, np.int64)
    month = fields.get("m", fields.get("b", fields.get("B", one)))
    month = 3 * fields["q"] - 2 if "q" in fields else month
    if is_persian:
        return persian_calendar.to_days(years, month, fields.get("d", one))
    exists = (years >= 1) & (month >= 1) & (month <= 12)
    months = (years - 1970) * 12 + month - 1
    days = months.astype("M8[M]").astype("M8[D]").astype(np.int64) + fields.get("d", one) - 1
    exists &= days.astype("M8[D]").astype("M8[M]").astype(np.int64) == months
    return days, exists


def _iso_week_to_days(years: Ints, weeks: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the Mondays of ISO weeks, in days since 1970, and the mask of weeks that exist."""
    january_4 = (years - 1970).astype("M8[Y]").astype("M8[D]").astype(np.int64) + 3
    first_monday = january_4 - (january_4 + 3) % 7
    days = first_monday + 7 * (weeks - 1)
    thursday_year = (days + 3).astype("M8[D]").astype("M8[Y]").astype(np.int64) + 1970
    return days, (weeks >= 1) & (years >= 1) & (thursday_year == years)


class CalendarFields:
    """Fields of local microseconds since 1970, each of shape (N,), as the microseconds."""

    def __init__(self, micros: Ints, *, has_hour_24: bool, is_persian: bool) -> None:
        self._days = np.floor_divide(micros, DAY)
        seconds = (micros % DAY) // SECOND
        if has_hour_24:  # the last microsecond of a day means its end
            seconds = np.where(micros % DAY == DAY - 1, 86_400, seconds)
        self.hour, self._minute, self._second = seconds // 3600, seconds // 60 % 60, seconds % 60
        if is_persian:
            self._year, self._month, self._day = persian_calendar.from_days(self._days)
            return
        months = self._days.astype("M8[D]").astype("M8[M]")
        first = months.astype("M8[D]").astype(np.int64)
        self._year, self._month = np.divmod(months.astype(np.int64), 12)
        self._year, self._month = self._year + 1970, self._month + 1
        self._day = self._days - first + 1

    def name_index(self, name: str) -> Ints:
        """Return the index of the weekday (`a`, `A`), Monday being 0, or of the month."""
        return (self._days + 3) % 7 if name in "aA" else self._month - 1

    def number(self, name: str) -> Ints:
        if name in "GV":
            thursdays = self._days - (self._days + 3) % 7 + 3
            years = thursdays.astype("M8[D]").astype("M8[Y]")
            first = years.astype("M8[D]").astype(np.int64)
            week = (thursdays - first) // 7 + 1
            return np.asarray(years.astype(np.int64) + 1970 if name == "G" else week)
        if name in "HI":
            return self.hour if name == "H" else (self.hour + 11) % 12 + 1
        if name in "MS":
            return self._minute if name == "M" else self._second
        year, month = self._year, self._month
        return {
            "d": self._day, "m": month, "q": (month + 2) // 3, "Y": year, "y": year % 100,
        }[name]  # fmt: skip
