"""What the values of each column are like, in figures; one column in memory at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.datasets.tabular.column_stats import ValueCounts
from core.datasets.tabular.formatting import boolean_texts, to_json_values
from core.datasets.tabular.schema import Column

HISTOGRAM_BINS = 20
MAX_TOP_VALUES = 20
_TOP_NUMBERS = 50  # numbers with no more values are also counted by value


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
        found: dict[str, Any] = {
            "name": column.name,
            "type": column.type,
            "exclude": column.exclude,
            "count": self.count,
            "missing": self.missing,
            "distinct": self.distinct,
        }
        if self.distinct is None:
            found["min_distinct"] = self.counts.distinct
        if self._shows_values:
            found["top"] = self.top()
        return found | self.statistics

    @property
    def _shows_values(self) -> bool:
        if self.column.type in {"category", "boolean"}:
            return True
        few = self.distinct is not None and self.distinct <= _TOP_NUMBERS
        return self.column.type in {"integer", "number"} and few

    def top(self, limit: int = MAX_TOP_VALUES) -> list[dict[str, Any]]:
        """The most common values first."""
        ranked = sorted(self.counts.values.items(), key=lambda pair: (-pair[1], str(pair[0])))
        return [{"value": value, "count": count} for value, count in ranked[:limit]]

    def labels(self) -> list[dict[str, Any]]:
        """Every value by its spelling; whole numbers in their order, else by name."""
        false, true = boolean_texts(self.column)
        named = {
            (true if value else false) if self.column.type == "boolean" else str(value): count
            for value, count in self.counts.values.items()
        }
        ordered = sorted(named, key=lambda name: _label_order(name))
        return [{"name": name, "count": named[name], "test_count": 0} for name in ordered]


def _label_order(name: str) -> tuple[int, int, str]:
    digits = name.removeprefix("-")
    whole = digits.isascii() and digits.isdigit() and len(digits) < 300
    return (0, int(name), name) if whole else (1, 0, name)


def profile_column(column: Column, chunks: Iterable[pa.Array]) -> ColumnProfile:
    counts, rows, missing = ValueCounts(), 0, 0
    numbers: list[NDArray[Any]] = []
    for values in chunks:
        rows += len(values)
        missing += values.null_count
        counts.add(values)
        if column.type in {"integer", "number", "datetime"}:
            numbers.append(_numbers(values))
    figures: dict[str, Any] = {}
    if numbers and rows > missing:
        whole = np.concatenate(numbers)
        figures = _times(whole, column) if column.type == "datetime" else _figures(whole, column)
    return ColumnProfile(column, rows, missing, counts, figures)


def _numbers(values: pa.Array) -> NDArray[Any]:
    present = values.drop_null()
    if pa.types.is_timestamp(present.type):
        present = present.cast(pa.int64())
    found: NDArray[Any] = present.to_numpy(zero_copy_only=False)
    return found


def _figures(numbers: NDArray[Any], column: Column) -> dict[str, Any]:
    def shown(value: Any) -> int | float:
        return int(value) if column.type == "integer" else float(value)

    floats = numbers.astype(np.float64)
    scale = float(np.abs(floats).max()) or 1.0  # sums of the largest numbers are infinite
    floats /= scale
    counts, edges = _histogram(floats)
    quartiles = np.quantile(floats, (0.25, 0.5, 0.75))
    return {
        "min": shown(numbers.min()),
        "max": shown(numbers.max()),
        "mean": _short(scale * floats.mean()),
        "std": _short(scale * floats.std()),
        "quartiles": [_short(scale * quartile) for quartile in quartiles],
        "histogram": {"edges": [_short(scale * edge) for edge in edges], "counts": counts.tolist()},
    }


def _times(micros: NDArray[np.int64], column: Column) -> dict[str, Any]:
    counts, edges = _histogram(micros.astype(np.float64))
    low, high = to_json_values(
        pa.array([micros.min(), micros.max()]).cast(pa.timestamp("us")), column
    )
    return {
        "min": low,
        "max": high,
        "histogram": {"edges": [_iso(edge) for edge in edges], "counts": counts.tolist()},
    }


def _iso(micros: float) -> str:
    moment = np.datetime64(int(micros), "us").astype("datetime64[s]")
    return str(moment)


def _histogram(numbers: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    low, high = float(numbers.min()), float(numbers.max())
    bins = HISTOGRAM_BINS if high > low else 1
    edges = np.linspace(low, high, bins + 1)
    places = np.searchsorted(edges, numbers, side="right") - 1
    return np.bincount(np.clip(places, 0, bins - 1), minlength=bins), edges


def _short(value: Any) -> float:
    """Six significant digits are enough to look at."""
    return float(f"{float(value):.6g}")
