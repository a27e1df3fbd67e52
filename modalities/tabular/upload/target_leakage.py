"""Detection of target leakage: columns that determine the target.

A simple predictor per column is fitted on every second row and tested on the other rows.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modalities.tabular.schema import Column, Schema
from modalities.tabular.typed_parquet import TypedParquet

MAX_ROWS = 20_000  # only the first rows are used
MIN_ACCURACY = 0.999  # on the held-out half
_MIN_ROWS = 50
_MAX_MAJORITY_FRACTION = 0.98  # above it, the majority label alone predicts the target too well
_BINS = 256
_MIN_CORRELATION = 0.99999

Codes = NDArray[np.int64]


def find_leaking_columns(rows: TypedParquet, schema: Schema) -> list[str]:
    """Return the names of the columns that predict the target, without excluded columns and ids."""
    if schema.target is None or rows.rows < _MIN_ROWS:
        return []
    target = schema[schema.target]
    others = tuple(c for c in schema.columns if c.learned and c.name != target.name)
    batch = rows.slice((target, *others), 0, MAX_ROWS)
    target_codes = _encode(batch.column(0))
    has_target = batch.column(0).is_valid().to_numpy(zero_copy_only=False)
    if has_target.sum() < _MIN_ROWS:
        return []
    if _majority_fraction(target_codes[has_target]) > _MAX_MAJORITY_FRACTION:
        return []
    return [
        column.name
        for i, column in enumerate(others, start=1)
        if _predicts_target(batch.column(i), batch.column(0), target, target_codes, has_target)
    ]


def _predicts_target(
    values: pa.Array,
    target_values: pa.Array,
    target: Column,
    target_codes: Codes,
    has_target: NDArray[np.bool_],
) -> bool:
    if _is_numeric(target_values) and _is_numeric(values) and target.type != "boolean":
        return _is_correlated(values, target_values)
    codes = target_codes[has_target]
    if _is_numeric(values):
        return _nearest_accuracy(_floats(values)[has_target], codes) > MIN_ACCURACY
    return _majority_accuracy(_encode(values)[has_target], codes) > MIN_ACCURACY


def _is_numeric(values: pa.Array) -> bool:
    return bool(pa.types.is_integer(values.type) or pa.types.is_floating(values.type))


def _is_correlated(a: pa.Array, b: pa.Array) -> bool:
    x, y = _floats(a), _floats(b)
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) < _MIN_ROWS or x.std() == 0 or y.std() == 0:
        return False
    return bool(abs(np.corrcoef(x / np.abs(x).max(), y / np.abs(y).max())[0, 1]) > _MIN_CORRELATION)


def _encode(values: pa.Array) -> Codes:
    """Return one code per value; missing values share one code.

    Numbers with more than _BINS different values are binned by quantile.
    """
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.int64())
    codes = values.dictionary_encode(null_encoding="encode")
    if _is_numeric(values) and len(codes.dictionary) > _BINS:
        numbers = _floats(values)
        present = np.isfinite(numbers)
        edges = np.unique(np.quantile(numbers[present], np.linspace(0, 1, _BINS)[1:-1]))
        return np.where(present, 1 + np.searchsorted(edges, numbers, side="right"), 0)
    indices: Codes = codes.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return indices


def _floats(values: pa.Array) -> NDArray[np.float64]:
    """Return the values as floats; NaN where missing."""
    floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(floats, np.float64)


def _nearest_accuracy(values: NDArray[np.float64], target_codes: Codes) -> float:
    """Return the accuracy of a 1-nearest-neighbor classifier on one number."""
    low = np.nanmin(values, initial=0.0) - 1
    values = np.where(np.isfinite(values), values, low)
    order = np.argsort(values[::2], kind="stable")
    train_values, train_codes = values[::2][order], target_codes[::2][order]
    test_values = values[1::2]
    above = np.clip(np.searchsorted(train_values, test_values), 1, len(train_values) - 1)
    is_below_nearer = test_values - train_values[above - 1] < train_values[above] - test_values
    predictions = train_codes[above - is_below_nearer]
    return float((predictions == target_codes[1::2]).mean())


def _majority_accuracy(values: Codes, target_codes: Codes) -> float:
    """Return the accuracy of predicting the most common target of each value.

    A value that the training half does not contain counts as wrong, so a column of unique names
    predicts nothing.
    """
    width = int(target_codes.max()) + 1
    train_pairs = values[::2] * width + target_codes[::2]
    pairs, counts = np.unique(train_pairs, return_counts=True)
    order = np.lexsort((counts, pairs // width))  # by value, then by count: the last pair is best
    is_last = np.append(np.diff((pairs // width)[order]) != 0, True)
    best = pairs[order][is_last]
    predicted = np.full(int(values.max()) + 1, -1)
    predicted[best // width] = best % width
    return float((predicted[values[1::2]] == target_codes[1::2]).mean())


def _majority_fraction(codes: Codes) -> float:
    return float(np.bincount(codes).max() / len(codes))
