"""Search for dates that are relative to another one: some days later, or close to it.

A booking leaves its nights after the arrival, in all rows or unless it is canceled. A date may be
spread over columns: then it is compared like one that is a column.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.grid import is_numeric
from models.tabular.relations.dates.calendar import find_spread_dates
from models.tabular.relations.dates.columns import MARKED_DAYS, gap_ends
from models.tabular.relations.dates.spread_dates import SpreadDate, ticks_per_day, with_dates
from models.tabular.relations.held_out_bits import held_out_bits, sampled_rows
from models.tabular.relations.near.codings import MIN_ROWS
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats
from models.tabular.relations.screened_numbers import MIN_NONZERO_ROWS, ScreenedNumber, agrees

EQUATIONS = ("elapsed", "date_sum", "linear")  # that determine the distance of two dates
MAX_DATES = 6  # that are compared with each other
MAX_NUMBERS, MAX_TERMS = 16, 3  # columns of days that are tried, and of a sum
MAX_DAYS = 10_000  # in a column of days
MAX_SHIFTED_DAYS = 2  # between a time and the date in another time zone
FIRST_ROWS = 200  # rule out most sums
MIN_TERM_SHARE = 0.02  # of the rows, in which a number of days is not 0
MIN_EXACT_SHARE = 0.3  # of the rows have exactly the sum
MIN_FIRST_SHARE = 0.2  # of the first ones
MIN_COMPLETE_SHARE = 0.99  # of the rows with both dates have the days
MIN_OTHER_SHARE = 0.9  # of the rows with a date have the one from which it is a distance
MIN_GAP_GAIN_BITS = 1.0  # per held-out value, of a distance over the date
MIN_SUM_GAIN_BITS = 0.2  # per held-out value, of a mark where the sum holds over the distance


def comparable_dates(
    table: pa.Table, types: Mapping[str, str], dates: Sequence[SpreadDate]
) -> tuple[SpreadDate, ...]:
    """Return those of `dates` that can be compared with others, in the type of datetime columns.

    They have a year and are not the same as an earlier one, or as the day of a datetime column.
    """
    columns = [array(table, name) for name in _datetimes(table, types)]
    type_name = str(columns[0].type) if columns else "date32[day]"
    days = [pa.compute.floor_temporal(column, unit="day") for column in columns]
    result = []
    for date in dates:
        typed = SpreadDate(date.columns, date.roles, type_name)
        if "year" not in date.roles or typed.name in table.column_names:
            continue
        values = typed.values(table)
        if not any(_is_same(values, other) for other in days):
            days.append(values)
            result.append(typed)
    return tuple(result)


def _is_same(dates: pa.Array, other: pa.Array) -> bool:
    """Return True if no row has two different dates."""
    if dates.type != other.type:
        return False
    equal = pa.compute.equal(dates, other)
    return equal.null_count < len(equal) and bool(pa.compute.all(equal).as_py())


def without_shifted_parts(
    relations: Sequence[Relation], table: pa.Table, dates: Sequence[SpreadDate]
) -> list[Relation]:
    """Return the relations without those by which a datetime gives parts of a date that is near.

    A time in UTC differs by hours from the local date in other columns. It is learned as this
    distance, which depends on the local hour. `table` has columns of the `dates`.
    """
    kept = []
    for relation in relations:
        near = (date for date in dates if relation.last in date.columns)
        is_table = relation.kind in ("step", "lookup") and not relation.part
        if not is_table or not any(_is_shifted(table, relation.columns[0], date) for date in near):
            kept.append(relation)
    return kept


def _is_shifted(table: pa.Table, name: str, date: SpreadDate) -> bool:
    """Return True if a datetime differs from a date over columns by at most MAX_SHIFTED_DAYS."""
    if table.schema.field(name).type != date.arrow:
        return False
    shift = np.abs(as_floats(array(table, name)) - as_floats(array(table, date.name)))
    return bool(np.nanmax(shift, initial=0.0) <= MAX_SHIFTED_DAYS * ticks_per_day(date.arrow))


def find_date_sums(
    dates: Sequence[ScreenedNumber],
    numbers: Sequence[ScreenedNumber],
    excluded: Collection[frozenset[str]],
) -> Iterator[Relation]:
    """Yield dates that are the sum of another one and of one to three numbers of days, in all rows.

    Sets of columns in `excluded` have an equation.
    """
    plain = [n for n in numbers if n.is_plain and n.decimals == 0]
    plain = [n for n in plain if (np.abs(n.values) > 0).sum() >= MIN_NONZERO_ROWS]
    days = {n.name: n.values for n in plain if are_days(n.values)}
    moments = [date for date in dates if date.is_datetime and _has_no_zone(date.type)]
    for start, end in permutations(moments[:MAX_DATES], 2):
        if start.type != end.type:
            continue
        day = ticks_per_day(start.type)
        distances = (end.values - start.values) / day
        if not are_days(distances):
            continue
        total = ScreenedNumber.of(pa.table({end.name: distances}), end.name)
        for names, computed in _sums(days):
            columns = (start.name, *names, end.name)
            if agrees(computed, total) and frozenset(columns) not in excluded:
                yield Relation("date_sum", columns, float(day))
                break


def find_near_dates(
    table: pa.Table,
    types: Mapping[str, str],
    relations: Sequence[Relation],
    excluded: Collection[str],
) -> list[Relation]:
    """Return distances of dates that save bits on held-out rows, the one that saves most first.

    They may often be a sum of numbers of days. Two dates in order are learned as a distance
    without this, and equations determine it: `relations` are also those that are switched off. The
    columns in `excluded` are not coded.
    """
    rows, is_fitted = sampled_rows(len(table))
    if len(rows) < MIN_ROWS:
        return []
    spread = comparable_dates(table, types, find_spread_dates(table, types))
    sample = with_dates(table.select(list(types)).take(pa.array(rows)), spread)
    numbers = [name for name, type in types.items() if type in ("integer", "number")]
    numbers = [name for name in numbers if is_numeric(sample.schema.field(name).type)]
    days = {name: as_floats(array(sample, name)) for name in numbers}
    days = {name: values for name, values in days.items() if are_days(values)}
    days = {n: v for n, v in days.items() if (np.abs(v) > 0).mean() >= MIN_TERM_SHARE}
    moments = [*_datetimes(table, types), *(date.name for date in spread)][:MAX_DATES]
    ordered = {frozenset(each.columns) for each in relations if each.kind == "order"}
    equations = [set(each.columns) for each in relations if each.kind in EQUATIONS]
    gains: dict[Relation, float] = {}
    for pair in combinations(moments, 2):
        arrow, other = (sample.schema.field(name).type for name in pair)
        if arrow != other or any(equation.issuperset(pair) for equation in equations):
            continue
        dates = tuple(date for date in spread if date.name in pair)
        plain = Relation("near_date", pair, float(ticks_per_day(arrow)), spread=dates)
        coded = next((name for name in gap_ends(plain) if name not in excluded), None)
        if coded is not None:
            plain = replace(plain, columns=(*(name for name in pair if name != coded), coded))
            gain, relation = _best_relation(
                plain, coded, sample, days, is_fitted, frozenset(pair) in ordered
            )
            if relation is not None:
                gains[relation] = gain
    return sorted(gains, key=gains.__getitem__, reverse=True)


def _best_relation(
    plain: Relation,
    coded: str,
    sample: pa.Table,
    days: Mapping[str, Floats],
    is_fitted: NDArray[np.bool_],
    is_ordered: bool,
) -> tuple[float, Relation | None]:
    """Return the bits that the date `coded` saves as a distance, and the relation that saves most.

    None if a distance does not save enough of them, or, of dates in order, no sum does.
    """
    first, last = plain.columns
    dates = {name: as_floats(array(sample, name)) for name in plain.columns}
    distances = dates[last] - dates[first]
    step = _step_of(dates[coded])
    count = np.isfinite(distances).sum()
    if count < max(MIN_ROWS, MIN_OTHER_SHARE * np.isfinite(dates[coded]).sum()):
        return 0.0, None
    # The distance from a date with a time of day would have one, too.
    if not 0 < step <= _step_of(distances):
        return 0.0, None
    unit = np.full(len(distances), step)
    own = np.where(np.isfinite(distances), dates[coded], np.nan)
    date_bits, bits = (
        float(np.nanmean(held_out_bits(values, is_fitted, unit))) for values in (own, distances)
    )
    best, least = (None if is_ordered else plain), bits - MIN_SUM_GAIN_BITS
    for start, end, sign in ((first, last, 1), (last, first, -1)):
        in_days = sign * distances / plain.factor
        if not are_days(in_days):
            continue
        for names, computed in _sums(days):
            is_exact = computed == in_days
            if not (is_exact & (in_days != 0))[:FIRST_ROWS].mean() >= MIN_FIRST_SHARE:
                continue
            present = np.isfinite(in_days)
            is_complete = np.isfinite(computed)[present].mean() >= MIN_COMPLETE_SHARE
            if not is_complete or is_exact[present].mean() < MIN_EXACT_SHARE:
                continue
            marked = np.where(is_exact, MARKED_DAYS * plain.factor, distances)
            marked_bits = float(np.nanmean(held_out_bits(marked, is_fitted, unit)))
            if marked_bits < least:
                least, columns = marked_bits, (start, *names, end)
                best = replace(plain, kind="near_date_sum", columns=columns)
    gain = date_bits - min(least, bits)
    return gain, best if gain >= MIN_GAP_GAIN_BITS else None


def _sums(days: Mapping[str, Floats]) -> Iterator[tuple[tuple[str, ...], Floats]]:
    """Yield the names and the (N,) sums of one to MAX_TERMS numbers of days."""
    for size in range(1, MAX_TERMS + 1):
        for names in combinations(list(days)[:MAX_NUMBERS], size):
            yield names, np.asarray(np.sum([days[name] for name in names], axis=0))


def _datetimes(table: pa.Table, types: Mapping[str, str]) -> list[str]:
    """Return the names of the datetime columns without a time zone."""
    names = (name for name, type in types.items() if type == "datetime")
    return [name for name in names if _has_no_zone(table.schema.field(name).type)]


def _has_no_zone(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_date(arrow) or (pa.types.is_timestamp(arrow) and arrow.tz is None))


def are_days(values: Floats) -> bool:
    """Return True for whole numbers that may count days."""
    present = values[np.isfinite(values)]
    return (
        len(present) > 0
        and bool((np.abs(present) <= MAX_DAYS).all())
        and np.array_equal(present, np.rint(present))
    )


def _step_of(dates: Floats) -> int:
    """Return the greatest common divisor of the differences between dates."""
    ticks = dates[np.isfinite(dates)].astype(np.int64)
    return int(np.gcd.reduce(ticks - ticks[0])) if len(ticks) else 0
