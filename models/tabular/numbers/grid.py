"""Numbers, dates and times as integers, so that sums and differences of them are exact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats

MAX_DECIMALS = 9
SMALLEST_PLAIN, SMALL_DIGITS = 1e-4, 6  # of numbers that spreadsheets write without an exponent
MIN_DIGITS, MAX_DIGITS = 3, 12  # significant ones to which numbers may have been rounded
MAX_PLACES = 400  # decimals of any float
MIN_LACKING = 8  # decimals that numbers lack because they were rounded to significant digits
MAX_INTEGER = 2**63 - 1
MAX_ERROR, MAX_UNIT_ERROR = 1e-8, 1e-6  # of computed floats, relative and in the last decimal
# Numbers by which programs divide: thirds, weeks, months, hours, minutes and seconds of a day.
PARTS = (3, 6, 7, 9, 11, 12, 13, 24, 60, 1_440, 3_600, 86_400)
MAX_PARTS, MAX_PART_STEPS = 2**40, 2  # of the largest float; steps between floats of an error
MAX_EXACT = 2**52  # integers up to this, and halves between them, are exact as floats


def is_numeric(arrow: pa.DataType) -> bool:
    """Return True for the types that relations of numbers support."""
    return bool(
        (pa.types.is_integer(arrow) and not pa.types.is_uint64(arrow))
        or pa.types.is_floating(arrow)
        or pa.types.is_temporal(arrow)
    )


def exact_numbers(table: pa.Table, types: Mapping[str, str]) -> list[str]:
    """Return the numbers among the columns in `types` that floats hold exactly."""
    names = [name for name, type in types.items() if type in ("integer", "number")]
    return [
        name
        for name in names
        if is_numeric(table.schema.field(name).type) and are_exact(table.column(name))
    ]


def are_exact(values: pa.Array | pa.ChunkedArray) -> bool:
    """Return True if a column has no integers that floats, which relations compute, would change.

    These are codes of 64 bits rather than amounts.
    """
    if not pa.types.is_integer(values.type):
        return True
    ends = pa.compute.min_max(values).as_py().values()
    return all(end is None or abs(end) <= 2 * MAX_EXACT for end in ends)


@dataclass(frozen=True)
class NumberGrid:
    """The values of a column as multiples of 10**-decimals; -1 decimals: floats, not rounded."""

    arrow: pa.DataType
    decimals: int

    @classmethod
    def fit(cls, values: pa.Array) -> "NumberGrid":
        if not pa.types.is_floating(values.type):
            return cls(values.type, 0)
        present = values.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
        present = present[~np.isnan(present)]
        largest = float(np.abs(present).max(initial=0.0))
        for decimals in range(MAX_DECIMALS + 1):
            if not largest * 10.0**decimals < MAX_EXACT:
                break
            # The first 100 values rule out most candidates cheaply.
            if all(_has_decimals(part, decimals) for part in (present[:100], present)):
                return cls(values.type, decimals)
        return cls(values.type, -1)

    def to_grid(self, values: pa.Array) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return (N,) numbers, 0 where missing, and the (N,) mask of missing values."""
        if pa.types.is_floating(values.type):
            floats = values.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
            is_missing = np.isnan(floats)
            floats = np.where(is_missing, 0.0, floats)
            if self.decimals < 0:
                return floats, is_missing
            return np.rint(floats * 10.0**self.decimals).astype(np.int64), is_missing
        is_missing = values.is_null().to_numpy(zero_copy_only=False)
        if values.type.bit_width == 32 and not pa.types.is_integer(values.type):
            values = values.cast(pa.int32())
        return values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), is_missing

    def from_grid(self, numbers: NDArray[Any], is_missing: NDArray[np.bool_]) -> pa.Array:
        """Return the (N,) values; integers beyond those of the type are the nearest one."""
        if pa.types.is_floating(self.arrow):
            floats = numbers if self.decimals < 0 else numbers / 10.0**self.decimals
            return pa.array(floats, pa.float64(), mask=is_missing).cast(self.arrow)
        if pa.types.is_integer(self.arrow):
            ends = np.iinfo(self.arrow.to_pandas_dtype())
            numbers = np.clip(numbers, ends.min, min(ends.max, MAX_INTEGER))
            return pa.array(numbers, pa.int64(), mask=is_missing).cast(self.arrow)
        integers = pa.array(numbers, pa.int64(), mask=is_missing)
        return (integers.cast(pa.int32()) if self.arrow.bit_width == 32 else integers).cast(
            self.arrow
        )

    def from_floats(self, values: Floats, is_missing: NDArray[np.bool_]) -> pa.Array:
        """Return the values, rounded to the decimals of the column."""
        if self.decimals < 0:
            return self.from_grid(values, is_missing)
        # The addition settles ties of decimal numbers that floats represent from below.
        scaled = values * 10.0**self.decimals
        return self.from_grid(np.floor(scaled + 0.5 + 1e-9).astype(np.int64), is_missing)


def _has_decimals(values: Floats, decimals: int) -> bool:
    """Return True if floats are rounded to `decimals`, but for errors such as 10.299999999."""
    errors = np.abs(np.rint(values * 10.0**decimals) / 10.0**decimals - values)
    limit = np.minimum(MAX_ERROR * np.abs(values), MAX_UNIT_ERROR * 10.0**-decimals)
    return bool((errors <= limit).all())


def rounded_decimals(values: pa.Array) -> int:
    """Return the decimals to which all numbers were rounded at least; -1 if they were not.

    Those of spreadsheets have up to 9 decimals, and below 0.0001 up to 6 significant digits, such
    as 0.076869319 and 7.50175E-05.
    """
    decimals = NumberGrid.fit(values).decimals
    if decimals >= 0:
        return decimals
    present = values.drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
    if not np.abs(present).max(initial=0.0) < MAX_EXACT / 10.0**MAX_DECIMALS:
        return -1  # also for infinite numbers
    is_small = np.abs(present) < SMALLEST_PLAIN
    small = present[is_small]
    fits = _has_decimals(present[~is_small], MAX_DECIMALS) and bool(
        np.isclose(round_to_digits(small, SMALL_DIGITS), small, rtol=MAX_ERROR, atol=0).all()
    )
    return MAX_DECIMALS if fits else -1


@dataclass(frozen=True)
class UsualDecimals:
    """Decimals that most floats of a column have, and the share of those that have more.

    With several `parts`, all floats are multiples of one part instead, such as minutes of which
    each is a number of seconds, divided by 60.
    """

    decimals: int
    finer_share: float
    parts: int = 1

    def apply(self, values: Floats) -> Floats:
        """Return new (N,) floats, of which as many as in the column have more decimals."""
        if self.parts > 1:
            return np.rint(values * self.parts) / self.parts
        # The digits that rounding removes are random.
        removed = np.modf(np.abs(values) * 10.0 ** (self.decimals + 1))[0]
        return np.where(removed < self.finer_share, values, np.round(values, self.decimals))

    def to_json(self) -> list[float]:
        parts = [self.parts] if self.parts > 1 else []
        return [self.decimals, self.finer_share, *parts]

    @classmethod
    def from_json(cls, values: Sequence[float]) -> Self:
        decimals, finer_share, *parts = values
        return cls(int(decimals), finer_share, *map(int, parts))


def parts_of(values: Floats) -> int:
    """Return of how many parts of 1 all (N,) floats are multiples; 1 if there is no such number.

    They are sums divided by 3, hours in minutes, years in months, and the like.
    """
    largest = float(np.abs(values).max(initial=0.0))
    for parts in PARTS:
        if largest * parts < MAX_PARTS and all(
            _are_multiples(some, parts) for some in (values[:100], values)
        ):
            return parts
    return 1


def _are_multiples(values: Floats, parts: int) -> bool:
    errors = np.abs(np.rint(values * parts) / parts - values)
    return bool((errors <= MAX_PART_STEPS * np.spacing(np.abs(values))).all())


def significant_digits(values: Floats, decimals: int) -> int:
    """Return how many significant digits all numbers have at most, or 0 if decimals limit them.

    The numbers have as many `decimals`. If they were rounded to significant digits, large ones have
    fewer decimals than small ones.
    """
    whole = np.floor(np.log10(np.maximum(np.abs(values), 10.0**-decimals))) + 1
    for digits in range(MIN_DIGITS, MAX_DIGITS + 1):
        if np.maximum(whole + decimals - digits, 0).sum() < MIN_LACKING:
            return 0
        if all((round_to_digits(part, digits) == part).all() for part in (values[:100], values)):
            return digits if _lacks_decimals(np.unique(values), decimals, digits) else 0
    return 0


def _lacks_decimals(values: Floats, decimals: int, digits: int) -> bool:
    """Return True if distinct values beyond `digits` would have decimals if they were as others.

    A few fractions among whole numbers, such as a minimum of 1438.3, are no sign of rounding.
    """
    whole = np.floor(np.log10(np.maximum(np.abs(values), 10.0**-decimals))) + 1
    lacking = np.maximum(whole + decimals - digits, 0)
    fine = values[lacking == 0] * 10.0 ** (decimals - 1)
    share = float((np.abs(fine - np.rint(fine)) > 0.01).mean()) if len(fine) else 1.0
    return bool(share * lacking.sum() >= MIN_LACKING)


def round_to_digits(values: Floats, digits: int, decimals: int = MAX_PLACES) -> Floats:
    """Round (N,) numbers to significant digits; 0 digits: do not round.

    Numbers that would keep at least as many `decimals` stay as they are: they must not be rounded
    twice.
    """
    if not digits:
        return values
    exponents = np.floor(np.log10(np.where(values == 0, 1.0, np.abs(values)))).astype(np.int64)
    # Powers of ten are exact only if they are not fractions.
    places = digits - 1 - exponents
    up, down = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)
    return np.where(places < decimals, np.rint(values * up / down) / up * down, values)
