"""Statistics of one column, accumulated batch by batch."""

from collections import Counter
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.datasets.data_quality import MAX_STORED_EXAMPLES
from modalities.tabular import type_casting
from modalities.tabular.upload.files.spool import ParquetSpool
from modalities.tabular.upload.types.form_candidates import FormCandidate
from modalities.tabular.upload.types.rows_of_values import RowsOfValues

MAX_DISTINCT = 50_000  # beyond it, exact counts would take too much memory
MAX_OVERFLOWED = 10_000  # values of a batch that are kept as examples, if it has more
MAX_PROSE_ROWS = 200_000  # that show the mean length of texts

SAMPLED_GROUPS, SAMPLED_TEXTS = 3, 200  # row groups, and texts of each, that suggest forms
MAX_SAMPLED_ROWS = 10_000  # of each row group
# A mark of thousands, which only a few of very many numbers may have.
_GROUPED = r"[0-9][,' ][0-9]{3}(?:\.[0-9]+)?[^0-9]*$|[0-9][.' ][0-9]{3},[0-9]+[^0-9]*$"
_MAX_GROUPED = 10


class ValueCounts:
    """Exact counts of each value, up to MAX_DISTINCT different values.

    After an overflow, `values` are examples.
    """

    def __init__(self) -> None:
        self.values: dict[Hashable, int] = {}
        self.overflowed = False
        self._largest_batch = 0  # different values
        self._has_duplicates = False

    def add(self, values: pa.Array) -> None:
        """Count the values of a batch; nulls are ignored."""
        if self.overflowed:
            return
        batch = pc.value_counts(values.drop_null())
        self.add_counts(batch.field("values"), batch.field("counts").to_numpy())

    def add_counts(self, distinct: pa.Array, counts: NDArray[np.int64]) -> None:
        """Count distinct values that occur `counts` times."""
        if self.overflowed:
            return
        totals = self.values
        self._largest_batch = max(self._largest_batch, len(distinct))
        self._has_duplicates |= bool((counts > 1).any())
        if self._largest_batch > MAX_DISTINCT:  # fast: columns of different values overflow soon
            self.overflowed = True
            distinct, counts = distinct.slice(0, MAX_OVERFLOWED), counts[:MAX_OVERFLOWED]
        for value, count in zip(distinct.to_pylist(), counts.tolist(), strict=True):
            total = totals.get(value, 0) + count
            totals[value] = total
            self._has_duplicates |= total > count
        self.overflowed |= len(totals) > MAX_DISTINCT

    def without(self, values: Collection[Hashable]) -> "ValueCounts":
        """Return the counts of the other values."""
        if not values:
            return self
        rest = ValueCounts()
        rest.values = {each: n for each, n in self.values.items() if each not in values}
        rest.overflowed, rest._largest_batch = self.overflowed, self._largest_batch - len(values)
        rest._has_duplicates = self._has_duplicates
        return rest

    @property
    def distinct(self) -> int:
        """The number of different values; a lower bound after an overflow."""
        return max(len(self.values), self._largest_batch)

    @property
    def all_unique(self) -> bool:
        """True if there are values and none occurred twice (before an overflow)."""
        return bool(self.values) and not self._has_duplicates


@dataclass
class ProseStats:
    """Lengths and spaces of texts, to tell free text from categories."""

    chars: int = 0
    spaces: int = 0
    count: int = 0

    def add(self, texts: pa.StringArray, counts: NDArray[np.int64]) -> None:
        self.count += int(counts.sum())
        self.chars += int(_numbers(pc.utf8_length(texts)) @ counts)
        self.spaces += int(_numbers(pc.count_substring(texts, " ")) @ counts)

    @property
    def mean_chars(self) -> float:
        return self.chars / max(1, self.count)

    @property
    def mean_spaces(self) -> float:
        return self.spaces / max(1, self.count)


@dataclass
class TextColumnStats:
    """Statistics of a text column whose type is not yet inferred. All counts are rows."""

    candidates: list[FormCandidate] = field(default_factory=list)
    rows: int = 0
    missing: int = 0
    counts: ValueCounts = field(default_factory=ValueCounts)
    prose: ProseStats = field(default_factory=ProseStats)
    markers: Counter[str] = field(default_factory=Counter)  # words for "missing", such as NA
    marker_rows: list[int] = field(default_factory=list)

    def add(self, texts: pa.StringArray) -> None:
        start, self.rows = self.rows, self.rows + len(texts)
        self.missing += texts.null_count
        encoded = texts.dictionary_encode()
        distinct = encoded.dictionary
        if not len(distinct):
            return
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
        self.counts.add_counts(distinct, counts)
        if self.prose.count < MAX_PROSE_ROWS:
            self.prose.add(distinct, counts)
        if not self.candidates:
            return
        rows = RowsOfValues(codes, counts, start)
        is_marker = type_casting.MISSING_MARKERS.mask(distinct)
        if is_marker.any():
            words = distinct.filter(pa.array(is_marker)).to_pylist()
            self.markers.update(dict(zip(words, counts[is_marker].tolist(), strict=True)))
            self.marker_rows = rows.examples(self.marker_rows, is_marker)
            distinct, rows = distinct.filter(pa.array(~is_marker)), rows.select(~is_marker)
        for candidate in self.candidates:
            candidate.add(distinct, rows)

    @property
    def valid(self) -> int:
        return self.rows - self.missing


def sample_texts(spool: ParquetSpool, name: str) -> list[str]:
    """Return some different texts of a column, without words for "missing"."""
    sample: dict[str, None] = {}
    for values in spool.sample(name, SAMPLED_GROUPS):
        step = max(1, len(values) // MAX_SAMPLED_ROWS)
        rows = values.take(pa.array(np.arange(0, len(values), step)))
        texts = rows.cast(pa.string()).drop_null().unique()
        texts = texts.filter(pc.invert(type_casting.MISSING_MARKERS.contains(texts)))
        step = max(1, len(texts) // SAMPLED_TEXTS)
        sample |= dict.fromkeys(texts.take(pa.array(np.arange(0, len(texts), step))).to_pylist())
        if step > 1:
            marked = texts.filter(pc.match_substring_regex(texts, _GROUPED)).slice(0, _MAX_GROUPED)
            sample |= dict.fromkeys(marked.to_pylist())
    return list(sample)


@dataclass
class TypedColumnStats:
    """Statistics of a column whose type is given by the file."""

    rows: int = 0
    missing: int = 0
    counts: ValueCounts = field(default_factory=ValueCounts)
    non_finite: int = 0
    non_finite_rows: list[int] = field(default_factory=list)
    integers_only: bool = True
    decimals: int = 0  # of numbers (see `count_decimals`), or of the seconds of times

    def add(self, values: pa.Array) -> None:
        start, self.rows = self.rows, self.rows + len(values)
        self.missing += values.null_count
        self.counts.add(values)
        if values.type == pa.float64():
            self._add_floats(values, start)
        elif pa.types.is_temporal(values.type):
            micros = _numbers(values.drop_null().cast(pa.int64())) % 1_000_000
            if micros.any():
                self.decimals = max(self.decimals, 6 if (micros % 1_000).any() else 3)

    def _add_floats(self, values: pa.DoubleArray, start: int) -> None:
        numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
        finite = np.isfinite(numbers)
        self.non_finite += int((~finite).sum())
        rows = [start + int(i) + 1 for i in np.flatnonzero(~finite)[:MAX_STORED_EXAMPLES]]
        self.non_finite_rows = [*self.non_finite_rows, *rows][:MAX_STORED_EXAMPLES]
        numbers = numbers[finite]
        self.integers_only &= bool(
            (np.floor(numbers) == numbers).all() and (abs(numbers) < 2**53).all()
        )
        self.decimals = max(self.decimals, count_decimals(numbers))

    @property
    def valid(self) -> int:
        return self.rows - self.missing


def count_decimals(numbers: NDArray[np.float64]) -> int:
    """Return how many decimals reproduce all numbers exactly: 0 to 9, or 16 if 9 do not suffice."""
    for decimals in range(10):
        if (np.round(numbers, decimals) == numbers).all():
            return decimals
    return 16


def _numbers(values: pa.Array) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = values.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers
