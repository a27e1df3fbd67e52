"""Statistics of one column, accumulated batch by batch."""

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modalities.tabular import datetimes, type_casting

MAX_DISTINCT = 50_000  # beyond it, exact counts would take too much memory
MAX_EXAMPLES = 5

# Digit strings that a numeric type would change: leading zeros (007) and card numbers.
_CODE = r"^[-+]?(?:0[0-9]+|[0-9]{19,})$"


class ValueCounts:
    """Exact counts of each value, up to MAX_DISTINCT different values."""

    def __init__(self) -> None:
        self.values: dict[Hashable, int] = {}
        self.overflowed = False
        self._has_duplicates = False

    def add(self, values: pa.Array) -> None:
        """Count the values of a batch; nulls are ignored."""
        if self.overflowed:
            return
        batch = pc.value_counts(values.drop_null())
        totals = self.values
        for value, count in zip(
            batch.field("values").to_pylist(), batch.field("counts").to_pylist(), strict=True
        ):
            total = totals.get(value, 0) + count
            totals[value] = total
            self._has_duplicates |= total > 1
        self.overflowed = len(totals) > MAX_DISTINCT

    @property
    def distinct(self) -> int:
        """The number of different values; a lower bound after an overflow."""
        return len(self.values)

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
    """Statistics of a text column whose type is not yet inferred.

    All counts are rows, except the two maximum numbers of decimals. A number may also be counted
    as an integer, a code, a number with a point and so on.
    """

    rows: int = 0
    missing: int = 0
    counts: ValueCounts = field(default_factory=ValueCounts)
    prose: ProseStats = field(default_factory=ProseStats)
    datetime_formats: datetimes.DatetimeFormats = field(default_factory=datetimes.DatetimeFormats)
    missing_markers: int = 0  # words for "missing", such as NA
    numbers: int = 0
    comma_numbers: int = 0  # numbers if the comma is the decimal mark
    point_numbers: int = 0  # numbers with a decimal point
    non_finite: int = 0
    codes: int = 0
    integers: int = 0
    exponents: int = 0
    decimals: int = 0
    comma_decimals: int = 0
    other_rows: list[int] = field(default_factory=list)  # examples; see `other`
    non_finite_rows: list[int] = field(default_factory=list)

    def add(self, texts: pa.StringArray) -> None:
        start, self.rows = self.rows, self.rows + len(texts)
        self.missing += texts.null_count
        encoded = texts.dictionary_encode()
        distinct = encoded.dictionary
        if not len(distinct):
            return
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
        self.counts.add(texts)
        self.prose.add(distinct, counts)
        is_marker = _bools(pc.is_in(distinct, value_set=type_casting.MISSING_MARKERS))
        is_number = _matches(distinct, type_casting.NUMBER_PATTERN)
        overflows = is_number & ~_is_finite(distinct, is_number)
        is_non_finite = _matches(distinct, type_casting.NON_FINITE_PATTERN) | overflows
        self._count(distinct, counts, is_marker, is_number & ~overflows, is_non_finite)
        is_other = ~(is_marker | is_number | is_non_finite)
        self.other_rows = _add_examples(self.other_rows, codes, is_other, start)
        self.non_finite_rows = _add_examples(self.non_finite_rows, codes, is_non_finite, start)
        self.datetime_formats.add(distinct.filter(pa.array(~is_marker)))

    def _count(
        self,
        distinct: pa.StringArray,
        counts: NDArray[np.int64],
        is_marker: NDArray[np.bool_],
        is_number: NDArray[np.bool_],
        is_non_finite: NDArray[np.bool_],
    ) -> None:
        def rows(mask: NDArray[np.bool_]) -> int:
            return int(counts[mask].sum())

        is_comma_number = _matches(distinct, type_casting.COMMA_NUMBER_PATTERN)
        self.missing_markers += rows(is_marker)
        self.numbers += rows(is_number)
        self.non_finite += rows(is_non_finite)
        self.comma_numbers += rows(is_comma_number)
        self.point_numbers += rows(_matches(distinct, r"[.]") & is_number)
        self.codes += rows(_matches(distinct, _CODE))
        self.integers += rows(_matches(distinct, type_casting.INTEGER_PATTERN))
        self.exponents += rows(_matches(distinct, r"[eE]") & is_number)
        numbers = distinct.filter(pa.array(is_number))
        self.decimals = max(self.decimals, _max_decimals(numbers, "."))
        comma_numbers = distinct.filter(pa.array(is_comma_number))
        self.comma_decimals = max(self.comma_decimals, _max_decimals(comma_numbers, ","))

    @property
    def valid(self) -> int:
        return self.rows - self.missing

    @property
    def other(self) -> int:
        """The number of rows that hold neither a number nor a word for "missing"."""
        return self.valid - self.missing_markers - self.numbers - self.non_finite


@dataclass
class TypedColumnStats:
    """Statistics of a column whose type is given by the file."""

    rows: int = 0
    missing: int = 0
    counts: ValueCounts = field(default_factory=ValueCounts)
    prose: ProseStats = field(default_factory=ProseStats)
    datetime_formats: datetimes.DatetimeFormats = field(default_factory=datetimes.DatetimeFormats)
    non_finite: int = 0
    non_finite_rows: list[int] = field(default_factory=list)
    integers_only: bool = True
    decimals: int = 0  # of numbers (see `count_decimals`), or of the seconds of times

    def add(self, values: pa.Array) -> None:
        start, self.rows = self.rows, self.rows + len(values)
        self.missing += values.null_count
        self.counts.add(values)
        if values.type == pa.string():
            distinct = pc.unique(values.drop_null())
            self.prose.add(distinct, np.ones(len(distinct), np.int64))
            self.datetime_formats.add(distinct)
        elif values.type == pa.float64():
            self._add_floats(values, start)
        elif values.type == pa.timestamp("us"):
            micros = _numbers(values.drop_null().cast(pa.int64())) % 1_000_000
            if micros.any():
                self.decimals = max(self.decimals, 6 if (micros % 1_000).any() else 3)

    def _add_floats(self, values: pa.DoubleArray, start: int) -> None:
        numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
        finite = np.isfinite(numbers)
        self.non_finite += int((~finite).sum())
        rows = [start + int(i) + 1 for i in np.flatnonzero(~finite)[:MAX_EXAMPLES]]
        self.non_finite_rows = [*self.non_finite_rows, *rows][:MAX_EXAMPLES]
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


def _add_examples(
    examples: list[int], codes: NDArray[np.int64], mask: NDArray[np.bool_], start: int
) -> list[int]:
    """Append the one-based numbers of the rows whose value is in `mask`, up to MAX_EXAMPLES.

    `codes` index the batch's distinct values, over which `mask` is defined; -1 is a missing value.
    """
    if len(examples) >= MAX_EXAMPLES or not mask.any():
        return examples
    # The appended False is what the code -1 selects.
    indices = np.flatnonzero(np.append(mask, False)[codes])
    return [*examples, *(start + int(i) + 1 for i in indices)][:MAX_EXAMPLES]


def _is_finite(texts: pa.StringArray, is_number: NDArray[np.bool_]) -> NDArray[np.bool_]:
    masked = pc.if_else(pa.array(is_number), texts, pa.scalar("0"))
    unsigned = pc.replace_substring_regex(masked, r"^\+", "")
    return _bools(pc.is_finite(unsigned.cast(pa.float64())))


def _max_decimals(numbers: pa.StringArray, mark: str) -> int:
    matches = pc.extract_regex(numbers, rf"[{mark}](?P<digits>[0-9]*)")
    longest = pc.max(pc.utf8_length(pc.struct_field(matches, "digits"))).as_py()
    return longest or 0


def _matches(texts: pa.StringArray, pattern: str) -> NDArray[np.bool_]:
    return _bools(pc.match_substring_regex(texts, pattern))


def _bools(values: pa.BooleanArray) -> NDArray[np.bool_]:
    bools: NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return bools


def _numbers(values: pa.Array) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = values.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers
