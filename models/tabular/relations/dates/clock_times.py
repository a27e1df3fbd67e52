"""Search for times of day that follow from another one and how long something lasts."""

from collections.abc import Iterator, Sequence
from itertools import permutations, product

import numpy as np

from models.tabular.numbers.scale import TICKS_PER_SECOND
from models.tabular.relations.kinds import TIME_UNITS
from models.tabular.relations.relation import Relation
from models.tabular.relations.screened_numbers import (
    MAX_EQUATION_COLUMNS,
    MIN_DISTINCT_VALUES,
    MIN_EVIDENCE_BITS,
    MIN_ROWS,
    ScreenedNumber,
    evidence_bits,
)

UNITS = ("hours", "minutes", "seconds")  # of numbers
MIN_EXACT = 0.8  # share of the rows with exact times of day


def find_clock_times(
    moments: Sequence[ScreenedNumber], durations: Sequence[ScreenedNumber]
) -> Iterator[Relation]:
    """Yield the times of day at which something ends that lasts until then from another one.

    It may end on the next day, and how long it lasts may be written as a time of day. Of times with
    fractions that were rounded to seconds, a few differ by one second.
    """
    times = [number for number in moments if number.is_time_of_day][:MAX_EQUATION_COLUMNS]
    for start, end in permutations(times, 2):
        ticks = TICKS_PER_SECOND[start.type.unit]
        day = float(TIME_UNITS["days"] * ticks)
        for lasted in (*times, *durations):
            names = (start.name, lasted.name, end.name)
            if len(set(names)) < len(names) or len({n.type.unit for n in (start, lasted, end)}) > 1:
                continue
            difference = np.abs((start.values + lasted.values) % day - end.values)
            difference = np.minimum(difference, day - difference)
            present = end.values[np.isfinite(difference)].astype(np.int64)
            unit = float(np.gcd.reduce(present)) if len(present) >= MIN_ROWS else 0.0
            unit = min(unit, float(ticks))  # other than seconds, times are not rounded alone
            if (difference > unit).any() or (difference == 0).sum() < MIN_EXACT * len(present):
                continue
            if evidence_bits(present) >= MIN_EVIDENCE_BITS and end.distinct >= MIN_DISTINCT_VALUES:
                offset = unit if np.nanmax(difference) > 0 else 0.0
                yield Relation("clock_time", names, day, offset)


def find_later_times(
    moments: Sequence[ScreenedNumber], numbers: Sequence[ScreenedNumber]
) -> Iterator[Relation]:
    """Yield the times of day at which something ends that lasts a number of a unit of time.

    In some rows it ends on the next day; where it never does, the relation is `elapsed`. The number
    may be rounded, such as 7.33 hours, by less than the times are.
    """
    times = [number for number in moments if number.is_time_of_day][:MAX_EQUATION_COLUMNS]
    for start, end in permutations(times, 2):
        present = end.values[np.isfinite(start.values + end.values)].astype(np.int64)
        if start.type != end.type or len(present) < MIN_ROWS or end.distinct < MIN_DISTINCT_VALUES:
            continue
        if not (start.values > end.values).any():
            continue
        day = float(TIME_UNITS["days"] * TICKS_PER_SECOND[start.type.unit])
        unit = float(np.gcd.reduce(present))
        for lasted, part in product(numbers, UNITS):
            names = (start.name, lasted.name, end.name)
            relation = Relation("clock_time", names, day, unit, part)
            computed = relation.clock_times(start.values, lasted.values)
            both = np.isfinite(computed - end.values)
            is_wrong = both & (computed != end.values)
            if is_wrong.any() or both.sum() < MIN_ROWS:
                continue
            if evidence_bits(end.values[both]) >= MIN_EVIDENCE_BITS:
                yield relation
