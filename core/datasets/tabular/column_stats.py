"""What the values of one column are like, gathered a batch at a time."""

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.datasets.tabular import datetimes, type_casting

MAX_DISTINCT = 50_000  # counted one by one
MAX_EXAMPLES = 5

_CODE = (
    r"^[-+]?(?:0[0-9]+|[0-9]{19,})$"  # digits that a number would not keep: 007, a card's number
)


class ValueCounts:
    """How often each value occurs, until there are too many values."""

    def __init__(self) -> None:
        self.values: dict[Hashable, int] = {}
        self.overflowed = False
        self._copies = False

    def add(self, values: pa.Array) -> None:
        """Nulls do not count."""
        if self.overflowed:
            return
        found = pc.value_counts(values.drop_null())
        counted = self.values
        for value, count in zip(
            found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True
        ):
            before = counted.get(value, 0)
            counted[value] = before + count
            self._copies |= before + count > 1
        self.overflowed = len(counted) > MAX_DISTINCT

    @property
    def distinct(self) -> int:
        """At least so many, when it is full."""
        return len(self.values)

    @property
    def all_unique(self) -> bool:
        """As far as was counted, no value came twice."""
        return bool(self.values) and not self._copies


@dataclass
class ProseStats:
    """Of texts: how they look as prose."""

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
    """Of texts that may stand for anything. All counts are of rows."""

    rows: int = 0
    missing: int = 0
    counts: ValueCounts = field(default_factory=ValueCounts)
    prose: ProseStats = field(default_factory=ProseStats)
    datetime_formats: datetimes.DatetimeFormats = field(default_factory=datetimes.DatetimeFormats)
    missing_markers: int = 0  # words for "missing"
    numbers: int = 0
    commas: int = 0  # numbers if the comma is the decimal mark
    points: int = 0  # numbers with a point
    non_finite: int = 0
    codes: int = 0
    whole: int = 0
    exponents: int = 0
    decimals: int = 0
    comma_decimals: int = 0
    other_rows: list[int] = field(default_factory=list)  # neither numbers nor missing
    non_finite_rows: list[int] = field(default_factory=list)

    def add(self, texts: pa.StringArray) -> None:
        start, self.rows = self.rows, self.rows + len(texts)
        self.missing += texts.null_count
        coded = texts.dictionary_encode()
        distinct = coded.dictionary
        if not len(distinct):
            return
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
        self.counts.add(texts)
        self.prose.add(distinct, counts)
        token = _bools(pc.is_in(distinct, value_set=type_casting.MISSING_MARKERS))
        number = _matches(distinct, type_casting.NUMBER_PATTERN)
        huge = number & ~_finite(distinct, number)
        infinite = _matches(distinct, type_casting.NON_FINITE_PATTERN) | huge
        self._count(distinct, counts, token, number & ~huge, infinite)
        self.other_rows = _rows(self.other_rows, codes, ~(token | number | infinite), start)
        self.non_finite_rows = _rows(self.non_finite_rows, codes, infinite, start)
        self.datetime_formats.add(distinct.filter(pa.array(~token)))

    def _count(
        self,
        distinct: pa.StringArray,
        counts: NDArray[np.int64],
        token: NDArray[np.bool_],
        number: NDArray[np.bool_],
        infinite: NDArray[np.bool_],
    ) -> None:
        def rows(mask: NDArray[np.bool_]) -> int:
            return int(counts[mask].sum())

        comma = _matches(distinct, type_casting.COMMA_NUMBER_PATTERN)
        self.missing_markers += rows(token)
        self.numbers += rows(number)
        self.non_finite += rows(infinite)
        self.commas += rows(comma)
        self.points += rows(_matches(distinct, r"[.]") & number)
        self.codes += rows(_matches(distinct, _CODE))
        self.whole += rows(_matches(distinct, type_casting.INTEGER_PATTERN))
        self.exponents += rows(_matches(distinct, r"[eE]") & number)
        self.decimals = max(self.decimals, _digits(distinct.filter(pa.array(number)), "."))
        self.comma_decimals = max(
            self.comma_decimals, _digits(distinct.filter(pa.array(comma)), ",")
        )

    @property
    def valid(self) -> int:
        return self.rows - self.missing

    @property
    def other(self) -> int:
        """Rows that hold neither a number nor a word for "missing"."""
        return self.valid - self.missing_markers - self.numbers - self.non_finite


@dataclass
class TypedColumnStats:
    """Of values that came with a type."""

    rows: int = 0
    missing: int = 0
    counts: ValueCounts = field(default_factory=ValueCounts)
    prose: ProseStats = field(default_factory=ProseStats)
    datetime_formats: datetimes.DatetimeFormats = field(default_factory=datetimes.DatetimeFormats)
    non_finite: int = 0
    non_finite_rows: list[int] = field(default_factory=list)
    whole: bool = True  # no number has a fraction
    decimals: int = 0  # of numbers, 16 when there is no end; of times, of a second

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
        self.whole &= bool((np.floor(numbers) == numbers).all() and (abs(numbers) < 2**53).all())
        self.decimals = max(self.decimals, count_decimals(numbers))

    @property
    def valid(self) -> int:
        return self.rows - self.missing


def count_decimals(numbers: NDArray[np.float64]) -> int:
    """The fewest digits after the point that give all numbers back; 16 when there are none."""
    for decimals in range(10):
        if (np.round(numbers, decimals) == numbers).all():
            return decimals
    return 16


def _rows(
    known: list[int], codes: NDArray[np.int64], mask: NDArray[np.bool_], start: int
) -> list[int]:
    """Counted from 1."""
    if len(known) >= MAX_EXAMPLES or not mask.any():
        return known
    places = np.flatnonzero(np.append(mask, False)[codes])
    return [*known, *(start + int(i) + 1 for i in places)][:MAX_EXAMPLES]


def _finite(texts: pa.StringArray, number: NDArray[np.bool_]) -> NDArray[np.bool_]:
    masked = pc.if_else(pa.array(number), texts, pa.scalar("0"))
    bare = pc.replace_substring_regex(masked, r"^\+", "")
    return _bools(pc.is_finite(bare.cast(pa.float64())))


def _digits(numbers: pa.StringArray, mark: str) -> int:
    found = pc.extract_regex(numbers, rf"[{mark}](?P<digits>[0-9]*)")
    lengths = pc.max(pc.utf8_length(pc.struct_field(found, "digits"))).as_py()
    return lengths or 0


def _matches(texts: pa.StringArray, pattern: str) -> NDArray[np.bool_]:
    return _bools(pc.match_substring_regex(texts, pattern))


def _bools(values: pa.BooleanArray) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return found


def _numbers(values: pa.Array) -> NDArray[np.int64]:
    found: NDArray[np.int64] = values.to_numpy(zero_copy_only=False).astype(np.int64)
    return found
