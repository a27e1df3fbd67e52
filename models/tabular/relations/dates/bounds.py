"""Dates that are bounded by another date and a number of days.

A booking is not canceled before its first day, `lead_time` days before the arrival.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import permutations

import numpy as np

from models.tabular.categorical_columns import Floats
from models.tabular.relations.dates.gaps import MAX_DATES, MAX_NUMBERS, are_days
from models.tabular.relations.dates.spread_dates import ticks_per_day
from models.tabular.relations.lookups.discrete import MIN_EXPECTED_VIOLATIONS
from models.tabular.relations.relation import Relation
from models.tabular.relations.screened_numbers import MIN_NONZERO_ROWS, ScreenedNumber

MAX_EXPECTED_SHARE = 0.5  # of violations by chance; samples that break it are generated again


def find_date_bounds(
    dates: Sequence[ScreenedNumber],
    numbers: Sequence[ScreenedNumber],
    excluded: Collection[frozenset[str]],
) -> Iterator[Relation]:
    """Yield the bounds of a date by another one and a number of days, in all rows.

    The days of other rows would break them often. Sets of columns in `excluded` have an equation.
    """
    plain = [n for n in numbers if n.is_plain and n.decimals == 0 and are_days(n.values)]
    days = [n for n in plain if (np.abs(n.values) > 0).sum() >= MIN_NONZERO_ROWS][:MAX_NUMBERS]
    moments = [date for date in dates if date.is_datetime][:MAX_DATES]
    for start, end in permutations(moments, 2):
        if start.type != end.type or getattr(start.type, "tz", None) is not None:
            continue
        ticks = ticks_per_day(start.type)
        for number in days:
            if any({start.name, end.name, number.name} >= names for names in excluded):
                continue
            for sign in (1, -1):
                low = start.values + sign * ticks * number.values
                if _is_bound(low, start.values, number.values * ticks * sign, end.values):
                    columns = (start.name, number.name, end.name)
                    yield Relation("date_bound", columns, float(ticks), signs=(1, sign))


def _is_bound(low: Floats, start: Floats, added: Floats, high: Floats) -> bool:
    """Return True if (N,) `low` is at most `high`, but often not with the days of other rows."""
    present = np.isfinite(low) & np.isfinite(high)
    if (low[present] > high[present]).any() or not (low[present] < high[present]).any():
        return False
    shuffled = np.random.default_rng(0).permutation(added[present])
    violations = int((start[present] + shuffled > high[present]).sum())
    return MIN_EXPECTED_VIOLATIONS < violations <= MAX_EXPECTED_SHARE * present.sum()
