"""Choice of the datetimes whose time of day or day of the week is learned in a separate column.

Naps and nights begin at other hours, and shops sell more on Saturdays. A network hardly learns this
from the bins of a datetime, which are days to months wide. So a part is learned separately if it
depends on another column, or one part on the other, in rows that were held out.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats, as_text
from models.tabular.numbers.columns import max_exact_values
from models.tabular.numbers.grid import NumberGrid, is_numeric
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.dates.calendar_columns import CalendarColumn, Part, part_of
from models.tabular.relations.dates.spread_dates import ticks_per_day
from models.tabular.relations.held_out_bits import held_out_bits, sampled_rows
from models.tabular.relations.rows import array, as_floats

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]

MIN_ROWS = 100
MIN_DAYS: Mapping[Part, int] = {"time": 3, "day_of_week": 21}  # of the middle 90 % of the datetimes
MIN_GAIN_BITS, MIN_GAIN_SIGMA = 0.02, 3.0  # per held-out row, and in standard errors
TIME_CELLS, NUMBER_CELLS, TEXT_CELLS = 16, 8, 32
FOLDS = 3
PRIOR_ROWS = 8.0  # by which the shares within a cell are drawn to those of all rows


def find_parts(
    coding: RelationCoding, table: pa.Table, types: Mapping[str, str], fixed: Collection[str]
) -> list[CalendarColumn]:
    """Return the columns of datetimes with parts that are learned separately.

    Those in `fixed` have none, nor have those that `coding` codes, but for weeks: of these, the
    time may be learned. `types` are those of the columns by name, and `table` has the training
    rows.
    """
    weeks = {c.name: c for c in coding.columns if isinstance(c, CalendarColumn)}
    keys = {
        name
        for relation in coding.relations
        if relation.kind == "lookup" and not relation.part
        for name in relation.columns
    }
    excluded = (coding.names - weeks.keys()) | keys | set(fixed)
    names = [
        name
        for name, type in types.items()
        if type == "datetime" and name not in excluded and _has_days(table.schema.field(name).type)
    ]
    rows, is_fitted = sampled_rows(len(table))
    if not names or len(rows) < MIN_ROWS:
        return []
    sample = table.take(pa.array(rows))
    coded = coding.encode(sample)
    codes = {name: _codes(array(coded, name), is_fitted) for name in coded.column_names}
    columns = []
    for name in names:
        column = weeks.get(name, CalendarColumn(name))
        parts = _parts(column, array(sample, name), codes, len(table), is_fitted)
        with_names = replace(column, parts=parts).without(table.column_names)  # those are taken
        if with_names.parts:
            columns.append(with_names)
    return columns


def with_parts(coding: RelationCoding, columns: Collection[CalendarColumn]) -> RelationCoding:
    """Return a copy with columns of datetimes that have parts, instead of those of their names."""
    replaced = {column.name: column for column in columns if column.parts}
    kept = [replaced.pop(column.name, column) for column in coding.columns]
    return replace(coding, columns=(*replaced.values(), *kept))


def _has_days(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_date32(arrow) or pa.types.is_timestamp(arrow))


def _parts(
    column: CalendarColumn,
    values: pa.Array,
    codes: Mapping[str, Codes],
    num_rows: int,
    is_fitted: Mask,
) -> tuple[Part, ...]:
    """Return the parts of (N,) datetimes to learn, given the (N,) codes of coded columns.

    Rows without a datetime say nothing: both of its parts are missing there.
    """
    ticks, is_missing = NumberGrid(values.type, 0).to_grid(values)
    ticks, is_fitted = ticks[~is_missing], is_fitted[~is_missing]
    if len(ticks) < MIN_ROWS:
        return ()
    day = ticks_per_day(values.type)
    low, high = np.quantile(ticks, [0.05, 0.95])
    # Each of a few dates has a token, and with other days of the week they would be new ones.
    has_many_dates = len(np.unique(ticks // day)) > max_exact_values(num_rows)
    gains: dict[Part, float] = {}
    cells: dict[Part, Codes] = {}
    for part, min_days in MIN_DAYS.items():
        numbers = part_of(part, ticks, values.type)
        is_weekday = part == "day_of_week"
        is_known = is_weekday and (column.weekdays is not None or not has_many_dates)
        is_constant = len(np.unique(numbers)) == 1
        if is_known or is_constant or high - low < min_days * day:
            continue
        cells[part] = _number_codes(numbers.astype(np.float64), is_fitted, TIME_CELLS)
        others = [
            each[~is_missing]
            for name, each in codes.items()
            if name != column.name or not is_weekday
        ]
        gains[part] = max((_gain(cells[part], other) for other in others), default=0.0)
    if len(cells) == len(MIN_DAYS) and (mutual := _gain(cells["time"], cells["day_of_week"])):
        gains = dict.fromkeys(cells, mutual)
    parts = tuple(part for part, gain in gains.items() if gain)
    rows = pa.RecordBatch.from_pydict({column.name: values.drop_null()})
    before, after = (
        _bits([each.encode(rows, values.type), *each.encode_parts(rows).values()], is_fitted)
        for each in (replace(column, parts=()), replace(column, parts=parts))
    )
    return parts if after - before < max(gains.values(), default=0.0) else ()


def _gain(cells: Codes, other: Codes) -> float:
    """Return how many bits fewer cells (N,) have given another column; 0 if by chance.

    The bits of each third of the rows are those under a model of the others.
    """
    shape = int(other.max()) + 1, int(cells.max()) + 1
    pairs, fold = other * shape[1] + cells, np.arange(len(cells)) % FOLDS
    counts = [
        np.bincount(pairs[fold == i], minlength=shape[0] * shape[1]).reshape(shape)
        for i in range(FOLDS)
    ]
    saved = np.empty(len(cells))
    for i in range(FOLDS):
        others = sum(counts) - counts[i]
        shares = (others.sum(0) + 0.5) / (others.sum() + 0.5 * shape[1])
        given = (others + PRIOR_ROWS * shares) / (others.sum(1, keepdims=True) + PRIOR_ROWS)
        saved[fold == i] = np.log2(given / shares)[other[fold == i], cells[fold == i]]
    mean, error = float(saved.mean()), float(saved.std()) / np.sqrt(len(saved))
    return mean if mean > max(MIN_GAIN_BITS, MIN_GAIN_SIGMA * error) else 0.0


def _codes(values: pa.Array, is_fitted: Mask) -> Codes:
    """Return the (N,) cells of the values of a column: the frequent texts, or equal counts."""
    if is_numeric(values.type):
        return _number_codes(as_floats(values), is_fitted, NUMBER_CELLS)
    texts = as_text(values).fill_null("")
    counts = texts.filter(pa.array(is_fitted)).value_counts().to_pylist()
    counts.sort(key=lambda each: (-each["counts"], each["values"]))
    frequent = pa.array([each["values"] for each in counts[: TEXT_CELLS - 1]], pa.string())
    index = pa.compute.index_in(texts, frequent).fill_null(len(frequent))
    return np.asarray(index.to_numpy(zero_copy_only=False), np.int64)


def _number_codes(numbers: Floats, is_fitted: Mask, count: int) -> Codes:
    """Return the (N,) cells of numbers, of about equal counts; missing ones have their own."""
    fitted = numbers[is_fitted & np.isfinite(numbers)]
    if not len(fitted):
        return np.zeros(len(numbers), np.int64)
    edges = np.unique(np.quantile(fitted, np.linspace(0, 1, count + 1)[1:-1], method="lower"))
    cells = np.searchsorted(edges, np.nan_to_num(numbers), side="right") + 1
    return np.where(np.isfinite(numbers), cells, 0)


def _bits(columns: Sequence[pa.Array], is_fitted: Mask) -> float:
    """Return the bits of a held-out row of independent (N,) columns."""
    bits = 0.0
    for values in columns:
        numbers = as_floats(values)
        present = numbers[np.isfinite(numbers)].astype(np.int64)
        step = max(int(np.gcd.reduce(present - present[0])), 1)
        bits += float(np.nanmean(held_out_bits(numbers, is_fitted, np.full(len(numbers), step))))
    return bits
