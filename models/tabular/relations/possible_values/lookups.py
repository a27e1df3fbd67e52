"""Narrowing by relations that are tables: lookups, steps, intervals, and parts of days."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from models.tabular.categorical_columns import Floats, as_text, from_text
from models.tabular.numbers.grid import NumberGrid
from models.tabular.relations.dates.parts import DATE_PARTS
from models.tabular.relations.dates.spread_dates import ticks_per_day
from models.tabular.relations.possible_values.values import PossibleValues
from models.tabular.relations.relation import MISSING, SEPARATOR, Relation
from models.tabular.relations.rows import as_floats

MAX_PERIODS = 5_000  # of which the parts are compared
PERIODS_PER_DAY = {**dict.fromkeys(DATE_PARTS, 1), "hour": 24, "minute": 24 * 60}


def has_few_periods(possible: PossibleValues, relation: Relation) -> bool:
    """Return True if a relation determines a part of few days, hours or minutes.

    Those of time zones with other offsets than full days are not compared.
    """
    source = relation.columns[0]
    if relation.roles or relation.part not in PERIODS_PER_DAY or source not in possible.low:
        return False
    arrow = possible.arrow.field(source).type
    if pa.types.is_duration(arrow) or not pa.types.is_temporal(arrow):
        return False
    if pa.types.is_timestamp(arrow) and arrow.tz not in (None, "UTC"):
        return False
    span = possible.high[source].max() - possible.low[source].min()
    return bool(span <= MAX_PERIODS * _period(arrow, relation))


def _period(arrow: pa.DataType, relation: Relation) -> int:
    """Return the ticks for which a part of a date or time stays the same."""
    return ticks_per_day(arrow) // PERIODS_PER_DAY[relation.part]


def narrow_by_pairs(possible: PossibleValues, relation: Relation) -> PossibleValues:
    """Narrow a source and its values: each value or interval of the source has one of them."""
    if relation.columns[0] in possible.low:
        return _narrow_by_intervals(possible, relation)
    if relation.kind == "lookup" and not relation.part:
        return _narrow_by_texts(possible, relation)
    return possible


def _narrow_by_intervals(possible: PossibleValues, relation: Relation) -> PossibleValues:
    """Narrow a source of numbers and its values."""
    source, last = relation.columns
    low, high, values = _intervals(possible, relation)
    has_key = (low <= possible.high[source][:, None]) & (high >= possible.low[source][:, None])
    pair = has_key & (possible.allowed(last, values) | ~possible.present[last][:, None])
    is_used = possible.present[last] & pair.any(1)
    lowest = np.where(pair, low, np.inf).min(1, initial=np.inf)
    highest = np.where(pair, high, -np.inf).max(1, initial=-np.inf)
    possible = possible.with_values(last, values, pair, possible.present[source])
    return possible.with_range(
        source, np.where(is_used, lowest, -np.inf), np.where(is_used, highest, np.inf)
    )


def _narrow_by_texts(possible: PossibleValues, relation: Relation) -> PossibleValues:
    """Narrow a source of texts and its values. Texts that are not keys have several of these."""
    source, last = relation.columns
    texts, mask = possible.texts[source]
    is_key = pa.compute.is_in(texts, value_set=pa.array(relation.keys, pa.string()))
    is_free = ~is_key.to_numpy(zero_copy_only=False)
    has_value = possible.allowed(last, relation.values) | ~possible.present[last][:, None]
    pair = possible.allowed(source, relation.keys) & has_value
    is_used = possible.present[source] & ~(mask & is_free).any(1)
    return possible.with_values(last, relation.values, pair, is_used).with_values(
        source, relation.keys, pair, possible.present[last], also=mask & is_free
    )


def narrow_by_triples(possible: PossibleValues, relation: Relation) -> PossibleValues:
    """Narrow two columns and the values that each of their pairs has: samples have no others.

    Where one of the columns may have no value, the others stay as they are.
    """
    pairs = [key.split(SEPARATOR) for key in relation.keys]
    columns = [[None if t == MISSING else t for t in own] for own in zip(*pairs, strict=True)]
    columns.append(list(relation.values))
    triples = list(zip(relation.columns, columns, strict=True))
    is_possible = np.logical_and.reduce([possible.allowed(*each) for each in triples])
    is_used = np.logical_and.reduce([possible.present[name] for name in relation.columns])
    for name, texts in triples:
        possible = possible.with_values(name, texts, is_possible, is_used)
    return possible


def _intervals(
    possible: PossibleValues, relation: Relation
) -> tuple[Floats, Floats, Sequence[Any]]:
    """Return the ends (P,) of the intervals of a source with the P values of a relation.

    A number that is not a key of a lookup has the value of the nearest one. Dates and times have
    one interval for each day, hour or minute.
    """
    if relation.part:
        return _periods(possible, relation)
    if relation.kind != "lookup":
        ends = np.concatenate([[-np.inf], np.array(relation.keys, float), [np.inf]])
        return ends[:-1], np.nextafter(ends[1:], -np.inf), relation.values
    present = [i for i, key in enumerate(relation.keys) if key is not None]
    arrow = possible.arrow.field(relation.columns[0]).type
    keys = as_floats(from_text(pa.array([relation.keys[i] for i in present], pa.string()), arrow))
    order = np.argsort(keys)
    middles = (keys[order][1:] + keys[order][:-1]) / 2
    ends = np.concatenate([[-np.inf], middles, [np.inf]])
    return ends[:-1], ends[1:], [relation.values[present[i]] for i in order]


def _periods(possible: PossibleValues, relation: Relation) -> tuple[Floats, Floats, Sequence[Any]]:
    """Return the days, hours or minutes of a source, each with its part or the value of this."""
    source, last = relation.columns
    arrow = possible.arrow.field(source).type
    ticks = _period(arrow, relation)
    first, end = possible.low[source].min() // ticks, possible.high[source].max() // ticks
    starts = np.arange(first, end + 1) * ticks
    times = NumberGrid(arrow, 0).from_floats(starts, np.zeros(len(starts), bool))
    rows = pa.RecordBatch.from_pydict({source: times})
    values = relation.look_up(rows) if relation.kind == "lookup" else relation.source(rows)
    if last in possible.low and relation.kind != "lookup":
        return starts, starts + ticks - 1, as_floats(values).tolist()
    return starts, starts + ticks - 1, as_text(values).to_pylist()
