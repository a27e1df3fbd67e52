"""Columns that give the target away: whoever knows the one knows the other.

Learned on one half of some rows, tried on the other.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.datasets.tabular.schema import Column, Schema
from core.datasets.tabular.typed_parquet import TypedParquet

MAX_ROWS = 20_000  # the first
MIN_ACCURACY = 0.999  # of the held-out half foretold
_ROWS_MIN = 50
_COMMON = 0.98  # a target that nearly always has one value is foretold without any column
_BINS = 256
_CORRELATED = 0.99999

Codes = NDArray[np.int64]


def find_leaking_columns(rows: TypedParquet, schema: Schema) -> list[str]:
    """The names of the columns that foretell the target. Dropped ones and ids are not asked."""
    if schema.target is None or rows.rows < _ROWS_MIN:
        return []
    target = schema[schema.target]
    others = tuple(c for c in schema.columns if c.learned and c.name != target.name)
    batch = rows.slice((target, *others), 0, MAX_ROWS)
    answers, known = _coded(batch.column(0)), batch.column(0).is_valid()
    keep = known.to_numpy(zero_copy_only=False)
    if keep.sum() < _ROWS_MIN or _share_of_most(answers[keep]) > _COMMON:
        return []
    return [
        column.name
        for i, column in enumerate(others, start=1)
        if _foretells(batch.column(i), batch.column(0), target, answers, keep)
    ]


def _foretells(
    values: pa.Array, wanted: pa.Array, target: Column, answers: Codes, keep: NDArray[np.bool_]
) -> bool:
    if _is_numeric(wanted) and _is_numeric(values) and target.type != "boolean":
        return _correlated(values, wanted)
    if _is_numeric(values):
        return _nearest_accuracy(_floats(values)[keep], answers[keep]) > MIN_ACCURACY
    return _accuracy(_coded(values)[keep], answers[keep]) > MIN_ACCURACY


def _is_numeric(values: pa.Array) -> bool:
    return bool(pa.types.is_integer(values.type) or pa.types.is_floating(values.type))


def _correlated(a: pa.Array, b: pa.Array) -> bool:
    x, y = _floats(a), _floats(b)
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if len(x) < _ROWS_MIN or x.std() == 0 or y.std() == 0:
        return False
    return bool(abs(np.corrcoef(x / np.abs(x).max(), y / np.abs(y).max())[0, 1]) > _CORRELATED)


def _coded(values: pa.Array) -> Codes:
    """By value; numbers with many values by quantile; missing is a value like others."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    codes = values.dictionary_encode(null_encoding="encode")
    if _is_numeric(values) and len(codes.dictionary) > _BINS:
        numbers = _floats(values)
        present = np.isfinite(numbers)
        edges = np.unique(np.quantile(numbers[present], np.linspace(0, 1, _BINS)[1:-1]))
        return np.where(present, 1 + np.searchsorted(edges, numbers, side="right"), 0)
    found: Codes = codes.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _floats(values: pa.Array) -> NDArray[np.float64]:
    """NaN where one is missing."""
    floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(floats, np.float64)


def _nearest_accuracy(values: NDArray[np.float64], answers: Codes) -> float:
    """Of the answer to the nearest number in every second row, tried on the others."""
    low = np.nanmin(values, initial=0.0) - 1
    values = np.where(np.isfinite(values), values, low)
    order = np.argsort(values[::2], kind="stable")
    known, told = values[::2][order], answers[::2][order]
    asked = values[1::2]
    above = np.clip(np.searchsorted(known, asked), 1, len(known) - 1)
    nearer_below = asked - known[above - 1] < known[above] - asked
    return float((told[above - nearer_below] == answers[1::2]).mean())


def _accuracy(values: Codes, answers: Codes) -> float:
    """Of each value's most common answer in every second row, tried on the others.

    A value that was not seen counts as wrong: names of single rows foretell nothing.
    """
    width = int(answers.max()) + 1
    seen = values[::2] * width + answers[::2]
    pairs, counts = np.unique(seen, return_counts=True)
    order = np.lexsort((counts, pairs // width))
    last = np.append(np.diff((pairs // width)[order]) != 0, True)
    best = pairs[order][last]
    table = np.full(int(values.max()) + 1, -1)
    table[best // width] = best % width
    return float((table[values[1::2]] == answers[1::2]).mean())


def _share_of_most(codes: Codes) -> float:
    return float(np.bincount(codes).max() / len(codes))
