"""Dates of the Persian calendar (Solar Hijri), as days since 1970.

The rule of leap years is that of 33-year cycles, which agrees with the astronomical calendar in the
years 1178 to 1633 (1799 to 2255 of the Gregorian calendar).
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

FIRST_YEAR, LAST_YEAR = 1178, 1633
_YEARS = np.arange(FIRST_YEAR, LAST_YEAR + 2)
_IS_LEAP = (25 * _YEARS + 11) % 33 < 8
_LONG_MONTHS, _LONG, _SHORT = 6, 31, 30  # the first six months have 31 days
_NOWRUZ_1400 = int(np.datetime64("2021-03-21", "D").astype(np.int64))


def _first_days() -> Ints:
    """Return the first day of each year, in days since 1970."""
    lengths = 365 + _IS_LEAP.astype(np.int64)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return np.asarray(first - first[1400 - FIRST_YEAR] + _NOWRUZ_1400)


_FIRST_DAYS = _first_days()


def to_days(years: Ints, months: Ints, days: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return days since 1970, and the mask of dates that exist."""
    in_range = (years >= FIRST_YEAR) & (years <= LAST_YEAR)
    exists = in_range & (months >= 1) & (months <= 12) & (days >= 1)
    index = np.where(in_range, years - FIRST_YEAR, 0)
    before = np.where(
        months <= _LONG_MONTHS, _LONG * (months - 1), _SHORT * (months - 1) + _LONG_MONTHS
    )
    length = np.where(months <= _LONG_MONTHS, _LONG, _SHORT) - ((months == 12) & ~_IS_LEAP[index])
    return _FIRST_DAYS[index] + before + days - 1, exists & (days <= length)


def from_days(days: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the years, months and days of the month of days since 1970."""
    index = np.clip(np.searchsorted(_FIRST_DAYS, days, side="right") - 1, 0, len(_YEARS) - 2)
    day_of_year = np.clip(days - _FIRST_DAYS[index], 0, 365)
    in_short = day_of_year - _LONG_MONTHS * _LONG
    is_long = in_short < 0
    months = np.where(is_long, day_of_year // _LONG, _LONG_MONTHS + in_short // _SHORT) + 1
    day = np.where(is_long, day_of_year % _LONG, in_short % _SHORT) + 1
    return _YEARS[index], months, day
