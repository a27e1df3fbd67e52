"""Dates that are months: their first day, their last one, or the same day of each month."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ticks = NDArray[np.int64]  # of the unit of a column: days, seconds or fractions of them

MIN_MONTHS = 6  # different ones with the same day that is not their first one
MAX_DAYS = 27  # after the first one, that all months have


def to_months(ticks: Ticks, arrow: pa.DataType) -> Ticks:
    """Return dates as months since 1970."""
    return np.asarray(ticks.astype(f"M8[{_unit(arrow)}]").astype("M8[M]").astype(np.int64))


def from_months(months: Ticks, arrow: pa.DataType) -> Ticks:
    """Return the beginnings of months since 1970."""
    return np.asarray(months.astype("M8[M]").astype(f"M8[{_unit(arrow)}]").astype(np.int64))


def month_shift(ticks: Ticks, arrow: pa.DataType) -> int | None:
    """Return by how much all dates are after the beginning of their month.

    It is negative for dates before the beginning of the next month, such as the last day or second
    of each month, and None if the dates have different positions in their months.
    """
    if not len(ticks) or not (pa.types.is_timestamp(arrow) or pa.types.is_date32(arrow)):
        return None
    months = to_months(ticks, arrow)
    limit = np.timedelta64(MAX_DAYS + 1, "D").astype(f"m8[{_unit(arrow)}]").astype(np.int64)
    for later in (0, 1):
        shifts = ticks - from_months(months + later, arrow)
        if (shifts == shifts[0]).all() and shifts[0] < limit:
            has_months = shifts[0] == 0 or len(np.unique(months)) >= MIN_MONTHS
            return int(shifts[0]) if has_months else None
    return None


def _unit(arrow: pa.DataType) -> str:
    return "D" if pa.types.is_date32(arrow) else str(arrow.unit)
