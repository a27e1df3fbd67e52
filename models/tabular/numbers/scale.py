"""Numbers and datetimes of a column as scaled numbers, and back."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.numbers.endings import Endings
from models.tabular.numbers.grid import (
    UsualDecimals,
    parts_of,
    round_to_digits,
    significant_digits,
)
from models.tabular.numbers.months import from_months, month_shift, to_months
from models.tabular.schema import UnsupportedColumn

MAX_DECIMALS = 9
MAX_INTEGER_RANGE = 2**62  # larger ranges are treated as floats
MAX_DECIMAL_MAGNITUDE = 2**52  # decimals up to this many of their last digits are exact as floats
MIN_USUAL_SHARE = 0.8  # of floats have no more than the usual decimals
DIGIT_PERIODS = (10, 100, 1_000)  # of the last digits
TIME_PERIODS = ((60, 1), (3_600, 60), (86_400, 3_600), (604_800, 3_600), (604_800, 86_400))
TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class Scale:
    """Conversion between column values and scaled numbers.

    Integers and times are multiples of `unit` above `low`. With `months`, dates are counted in
    months, so that a month or quarter stays one: they are `shift` ticks after the beginning of
    their month, or with a negative one, before that of the next month, such as its last day.
    Decimal numbers are integers of their last digit.
    Other floats are rounded to `decimals` on their way back (-1: not rounded). Most of the latter
    may have `usual_decimals`, such as coordinates of which `finer_share` were computed, or all are
    multiples of one of `parts`, such as minutes that were seconds. All numbers with decimals may
    have at most `digits` significant ones (0: any number). With `endings`, the multiples are
    stretched.
    """

    arrow: pa.DataType
    low: int = 0
    unit: int = 0  # 0: floats
    decimals: int = -1
    months: bool = False
    endings: Endings | None = None
    usual_decimals: int = -1
    finer_share: float = 0.0
    digits: int = 0
    shift: int = 0
    parts: int = 1

    @classmethod
    def fit(cls, arrow: pa.DataType, values: NDArray[Any], *, as_decimals: bool = True) -> Self:
        """Fit the scale of the present values. Without `as_decimals`, all floats stay floats."""
        if values.dtype == np.int64:
            shift = month_shift(values, arrow)
            values = values if shift is None else to_months(values - shift, arrow)
            low = int(values.min()) if len(values) else 0
            unit = int(np.gcd.reduce(values - low)) if len(values) else 1
            return cls(arrow, low, max(unit, 1), months=shift is not None, shift=shift or 0)
        decimals = _decimals(values[np.isfinite(values)], arrow)
        digits = np.abs(values) * 10.0 ** max(decimals, 0)
        if as_decimals and decimals < 0:
            return cls(arrow)._with_usual_decimals(values)
        if not as_decimals or not (digits < MAX_DECIMAL_MAGNITUDE).all():
            return cls(arrow, decimals=decimals)
        integers = np.rint(values * 10.0**decimals).astype(np.int64)
        low = int(integers.min()) if len(integers) else 0
        unit = int(np.gcd.reduce(integers - low)) if len(integers) else 1
        digits = significant_digits(values, decimals) if pa.types.is_float64(arrow) else 0
        return cls(arrow, low, max(unit, 1), decimals, digits=digits)

    def _with_usual_decimals(self, values: Floats) -> Self:
        parts = parts_of(values[np.isfinite(values)])
        if parts > 1:
            return replace(self, parts=parts)
        for decimals in range(MAX_DECIMALS + 1):
            finer_share = 1 - float(_has_decimals(values, decimals, self.arrow).mean())
            if finer_share <= 1 - MIN_USUAL_SHARE:
                return replace(self, usual_decimals=decimals, finer_share=finer_share)
        return self

    def with_finer_share(self, values: Floats) -> Self:
        """Return a copy with the share of (N,) new numbers that have more decimals than usual."""
        if not len(values):
            return self
        finer_share = 1 - float(_has_decimals(values, self.usual_decimals, self.arrow).mean())
        return replace(self, finer_share=finer_share)

    def with_endings(self, multiples: NDArray[Any], repeated: NDArray[Any]) -> Self:
        """Return a copy with the endings of (N,) multiples of `unit`, if these are not uniform.

        `repeated` are (M,) multiples that the copy must represent.
        """
        return replace(self, endings=Endings.fit(multiples, repeated, self._periods()))

    def _periods(self) -> Iterator[tuple[int, int, int]]:
        """Yield the (period, width, phase) of the endings to try, in multiples of `unit`."""
        if not self.unit or self.months:
            return
        if pa.types.is_integer(self.arrow) or self.is_decimal:
            periods = [(period, self.unit) for period in DIGIT_PERIODS]
        elif pa.types.is_date32(self.arrow):
            periods = [(7, 1)]
        elif pa.types.is_temporal(self.arrow) and not pa.types.is_duration(self.arrow):
            ticks = TICKS_PER_SECOND[getattr(self.arrow, "unit", "ms")]
            periods = [(period * ticks, width * ticks) for period, width in TIME_PERIODS]
        else:
            return
        for period, width in periods:
            if period % self.unit == 0 and width % self.unit == 0:
                yield period // self.unit, width // self.unit, self.low // self.unit

    @property
    def usual(self) -> UsualDecimals | None:
        """The decimals or parts of floats of the column, or None if they have no usual ones."""
        has_usual = self.usual_decimals >= 0 or self.parts > 1
        usual = UsualDecimals(self.usual_decimals, self.finer_share, self.parts)
        return usual if has_usual else None

    @property
    def is_decimal(self) -> bool:
        """Return True if numbers with decimals are scaled to integers."""
        return self.unit > 0 and self.decimals >= 0

    def is_representable(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return the (N,) mask of values that a round trip does not change."""
        if self.months:
            months = to_months(values - self.shift, self.arrow)
            is_month = from_months(months, self.arrow) + self.shift == values
            return np.asarray(is_month & ((months - self.low) % self.unit == 0))
        if self.is_decimal:
            digits = np.round(values, self.decimals)
            remainder = (self._to_integers(values) - self.low) % self.unit
            is_short = round_to_digits(values, self.digits) == values
            return np.asarray((digits == values) & (remainder == 0) & is_short)
        if self.unit:
            return np.asarray((values - self.low) % self.unit == 0)
        return np.asarray((self.decimals < 0) | (np.round(values, self.decimals) == values))

    def describe_gaps(self) -> str:
        """Return why a value between those of the column is not one, for a message."""
        if not self.unit or self.digits:
            return "has no value with as many digits in the training data"
        step = ""
        if self.is_decimal:
            step = f"{self.unit / 10**self.decimals:.{self.decimals}f}"
        elif pa.types.is_integer(self.arrow):
            step = str(self.unit)
        return (
            f"only has values in steps of {step}" if step else "is between the values it may have"
        )

    def neighbors(self, value: NDArray[Any]) -> pa.Array:
        """Return the values next to a (1,) value that is not representable, if there are some."""
        scaled = float(value[0]) * 10.0**self.decimals if self.is_decimal else float(value[0])
        if not self.unit or self.digits or math.isinf(scaled):
            return pa.array([], self.arrow)
        integer = math.floor(scaled) if self.is_decimal else int(value[0])
        if self.months:
            integer = int(to_months(value - self.shift, self.arrow)[0])
        below = (integer - self.low) // self.unit
        values = [self._value(multiple) for multiple in (below, below + 1)]
        return pa.concat_arrays([pa.array([], self.arrow), *(each for each in values if each)])

    def _value(self, multiple: int) -> pa.Array | None:
        """Return a value, or None if it is beyond the range of the type, or of dates."""
        plain = replace(self, endings=None)
        try:
            value = plain.from_scaled(np.array([multiple]), np.zeros(1, bool))
            value.to_pylist()  # Python has no dates beyond the year 9999
        except (pa.ArrowInvalid, OverflowError, ValueError):
            return None
        return value

    def to_scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        if not self.unit:
            return values.astype(np.float64) + 0.0  # -0.0 becomes 0.0
        if self.months:
            values = to_months(values.astype(np.int64) - self.shift, self.arrow)
        else:
            values = self._to_integers(values)
        multiples = (values - self.low) // self.unit
        return self.endings.to_slots(multiples) if self.endings is not None else multiples

    def _to_integers(self, values: NDArray[Any]) -> NDArray[np.int64]:
        if not self.is_decimal:
            return values.astype(np.int64)
        limit = float(MAX_DECIMAL_MAGNITUDE)  # values beyond it, such as infinity, are not in range
        digits = np.clip(values.astype(np.float64) * 10.0**self.decimals, -limit, limit)
        return np.rint(digits).astype(np.int64)

    def from_scaled(self, scaled: NDArray[Any], is_missing: NDArray[np.bool_]) -> pa.Array:
        if self.unit:
            multiples = self.endings.from_slots(scaled) if self.endings is not None else scaled
            integers = multiples * self.unit + self.low
            if self.is_decimal:
                floats = round_to_digits(integers / 10.0**self.decimals, self.digits)
                return self._from_floats(floats, is_missing)
            if self.months:
                integers = from_months(integers, self.arrow) + self.shift
            storage = pa.array(integers, mask=is_missing)
            if pa.types.is_integer(self.arrow):
                return storage.cast(self.arrow)
            if self.arrow.bit_width == 32:  # dates and times of 32 bits
                storage = storage.cast(pa.int32())
            return storage.cast(self.arrow)
        rounded = scaled if self.decimals < 0 else np.round(scaled, self.decimals)
        return self._from_floats(rounded, is_missing)

    def _from_floats(self, floats: Floats, is_missing: NDArray[np.bool_]) -> pa.Array:
        values = pa.array(floats, pa.float64(), mask=is_missing)
        if pa.types.is_decimal(self.arrow):
            return values.cast(pa.decimal128(38, self.arrow.scale), safe=False).cast(self.arrow)
        return values.cast(self.arrow, safe=False)

    def with_decimals(self, scaled: NDArray[Any]) -> NDArray[Any]:
        """Return new scaled numbers with as many decimals as those of the column have."""
        return scaled if self.usual is None else self.usual.apply(scaled)

    def to_json(self) -> dict[str, Any]:
        return {
            "low": self.low,
            "unit": self.unit,
            "decimals": self.decimals,
            "months": self.months,
            "endings": None if self.endings is None else self.endings.to_json(),
            "usual_decimals": self.usual_decimals,
            "finer_share": self.finer_share,
            "digits": self.digits,
            "shift": self.shift,
            "parts": self.parts,
        }

    @classmethod
    def from_json(cls, arrow: pa.DataType, values: Mapping[str, Any]) -> Self:
        endings = values["endings"]
        endings = None if endings is None else Endings.from_json(endings)
        return cls(arrow, **{**values, "endings": endings})


def _decimals(values: Floats, arrow: pa.DataType) -> int:
    for decimals in range(MAX_DECIMALS + 1):
        # The first 100 values rule out most candidates cheaply.
        if all(_has_decimals(part, decimals, arrow).all() for part in (values[:100], values)):
            return decimals
    return -1


def _has_decimals(values: Floats, decimals: int, arrow: pa.DataType) -> NDArray[np.bool_]:
    """Return the (N,) mask of values of the type `arrow` with at most that many decimals."""
    dtype = arrow.to_pandas_dtype() if pa.types.is_floating(arrow) else np.float64
    return np.asarray(np.round(values, decimals).astype(dtype) == values.astype(dtype))


def numeric_values(name: str, values: pa.Array) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the M present values as int64 or float64, and the (N,) mask of missing ones.

    Raises UnsupportedColumn.
    """
    try:
        if not (pa.types.is_floating(values.type) or pa.types.is_decimal(values.type)):
            if values.type.bit_width == 32 and not pa.types.is_integer(values.type):
                values = values.cast(pa.int32())
            integers = values.cast(pa.int64())
            is_missing = integers.is_null().to_numpy(zero_copy_only=False)
            present = integers.drop_null().to_numpy()
            if len(present) and int(present.max()) - int(present.min()) > MAX_INTEGER_RANGE:
                return present.astype(np.float64), is_missing
            return present, is_missing
        floats = values.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, AttributeError, ValueError) as error:
        raise UnsupportedColumn(name, "some values cannot be converted to numbers") from error
    is_missing = floats.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    present = floats.fill_null(0.0).to_numpy(zero_copy_only=False)[~is_missing]
    if pa.types.is_decimal(values.type):  # pyarrow may miss the nearest float
        present = np.round(present, values.type.scale)
    return present, is_missing
