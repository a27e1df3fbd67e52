"""Statistical profile of each column; only one column is in memory at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modalities.tabular.formatting import boolean_texts, format_values, to_json_values
from modalities.tabular.schema import ORDERED_TYPES, Column
from modalities.tabular.type_casting import arrow_type
from modalities.tabular.upload.types.column_stats import ValueCounts

HISTOGRAM_BINS = 20
MAX_TOP_VALUES = 20
_MAX_TOP_NUMBERS = 50  # numeric columns with more different values have no `top`
_ISO_FORMATS = {"datetime": "%Y-%m-%dT%H:%M:%S", "time": "%H:%M:%S", "duration": "[h]:mm:ss"}


@dataclass(frozen=True)
class ColumnProfile:
    column: Column
    count: int
    missing: int
    counts: ValueCounts
    statistics: dict[str, Any]

    @property
    def distinct(self) -> int | None:
        return None if self.counts.overflowed else self.counts.distinct

    def to_dict(self) -> dict[str, Any]:
        column = self.column
        fields: dict[str, Any] = {
            "name": column.name,
            "type": column.type,
            "exclude": column.exclude,
            "count": self.count,
            "missing": self.missing,
            "distinct": self.distinct,
        }
        if self.distinct is None:
            fields["min_distinct"] = self.counts.distinct
        if self._shows_values:
            fields["top"] = self.top()
        return fields | self.statistics

    @property
    def _shows_values(self) -> bool:
        if self.column.type in {"category", "boolean"}:
            return True
        has_few_values = self.distinct is not None and self.distinct <= _MAX_TOP_NUMBERS
        return self.column.type in {"integer", "number"} and has_few_values

    def top(self, limit: int = MAX_TOP_VALUES) -> list[dict[str, Any]]:
        """Return the most common values, most common first."""
        ranked = sorted(self.counts.values.items(), key=lambda pair: (-pair[1], str(pair[0])))
        return [{"value": value, "count": count} for value, count in ranked[:limit]]

    def labels(self) -> list[dict[str, Any]]:
        """Return every value as a label; integers in numeric order, then the others by name."""
        false, true = boolean_texts(self.column)
        counts = {
            (true if value else false) if self.column.type == "boolean" else str(value): count
            for value, count in self.counts.values.items()
        }
        ordered = sorted(counts, key=_label_order)
        return [{"name": name, "count": counts[name], "test_count": 0} for name in ordered]


def _label_order(name: str) -> tuple[int, int, str]:
    digits = name.removeprefix("-")
    is_integer = digits.isascii() and digits.isdigit() and len(digits) < 300
    return (0, int(name), name) if is_integer else (1, 0, name)


def profile_column(column: Column, chunks: Iterable[pa.Array]) -> ColumnProfile:
    counts, rows, missing = ValueCounts(), 0, 0
    numbers: list[NDArray[Any]] = []
    for values in chunks:
        rows += len(values)
        missing += values.null_count
        counts.add(values)
        if column.type in ORDERED_TYPES:
            numbers.append(_numbers(values))
    statistics: dict[str, Any] = {}
    if numbers and rows > missing:
        is_number = column.type in ("integer", "number")
        describe = _describe_numbers if is_number else _describe_times
        statistics = describe(np.concatenate(numbers), column)
    return ColumnProfile(column, rows, missing, counts, statistics)


def _numbers(values: pa.Array) -> NDArray[Any]:
    present = values.drop_null()
    if pa.types.is_temporal(present.type):
        present = present.cast(pa.int64())
    numbers: NDArray[Any] = present.to_numpy(zero_copy_only=False)
    return numbers


def _describe_numbers(numbers: NDArray[Any], column: Column) -> dict[str, Any]:
    def typed(value: Any) -> int | float:
        return int(value) if column.type == "integer" else float(value)

    floats = numbers.astype(np.float64)
    scale = float(np.abs(floats).max()) or 1.0  # sums of unscaled numbers may overflow
    floats /= scale
    counts, edges = _histogram(floats)
    quartiles = np.quantile(floats, (0.25, 0.5, 0.75))
    return {
        "min": typed(numbers.min()),
        "max": typed(numbers.max()),
        "mean": _round(scale * floats.mean()),
        "std": _round(scale * floats.std()),
        "quartiles": [_round(scale * quartile) for quartile in quartiles],
        "histogram": {"edges": [_round(scale * edge) for edge in edges], "counts": counts.tolist()},
    }


def _describe_times(micros: NDArray[np.int64], column: Column) -> dict[str, Any]:
    counts, edges = _histogram(micros.astype(np.float64))
    arrow = arrow_type(column)
    low, high = to_json_values(pa.array([micros.min(), micros.max()]).cast(arrow), column)
    texts = pa.array(edges.astype(np.int64) // 1_000_000 * 1_000_000)
    iso = Column("", column.type, format=_ISO_FORMATS[column.type])
    return {
        "min": low,
        "max": high,
        "histogram": {
            "edges": format_values(texts.cast(arrow), iso).to_pylist(),
            "counts": counts.tolist(),
        },
    }


def _histogram(numbers: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    low, high = float(numbers.min()), float(numbers.max())
    bins = HISTOGRAM_BINS if high > low else 1
    edges = np.linspace(low, high, bins + 1)
    indices = np.searchsorted(edges, numbers, side="right") - 1
    return np.bincount(np.clip(indices, 0, bins - 1), minlength=bins), edges


def _round(value: Any) -> float:
    """Round to six significant digits."""
    return float(f"{float(value):.6g}")
