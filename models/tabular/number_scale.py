"""Numbers and datetimes of a column as scaled numbers, and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.schema import UnsupportedColumn

MAX_DECIMALS = 9
MAX_INTEGER_RANGE = 2**62  # larger ranges are treated as floats


@dataclass(frozen=True)
class Scale:
    """Conversion between column values and scaled numbers.

    Integers and times are multiples of `unit` above `low`; with `months`, timestamps are counted in
    months, so that a month or quarter stays one. Floats are rounded to `decimals` on their way back
    (-1: not rounded).
    """

    arrow: pa.DataType
    low: int = 0
    unit: int = 0  # 0: floats
    decimals: int = -1
    months: bool = False

    @classmethod
    def fit(cls, arrow: pa.DataType, values: NDArray[Any]) -> "Scale":
        if values.dtype == np.int64:
            months = len(values) > 0 and pa.types.is_timestamp(arrow) and _are_months(values, arrow)
            values = _to_months(values, arrow) if months else values
            low = int(values.min()) if len(values) else 0
            unit = int(np.gcd.reduce(values - low)) if len(values) else 1
            return cls(arrow, low, max(unit, 1), months=months)
        return cls(arrow, decimals=_decimals(values[np.isfinite(values)], arrow))

    def is_representable(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return the (N,) mask of values that a round trip does not change."""
        if self.months:
            months = _to_months(values, self.arrow)
            is_month = _from_months(months, self.arrow) == values
            return np.asarray(is_month & ((months - self.low) % self.unit == 0))
        if self.unit:
            return np.asarray((values - self.low) % self.unit == 0)
        return np.asarray((self.decimals < 0) | (np.round(values, self.decimals) == values))

    def to_scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        values = _to_months(values, self.arrow) if self.months else values
        return (values - self.low) // self.unit if self.unit else values + 0.0  # -0.0 becomes 0.0

    def from_scaled(self, scaled: NDArray[Any], is_missing: NDArray[np.bool_]) -> pa.Array:
        if self.unit:
            integers = scaled * self.unit + self.low
            integers = _from_months(integers, self.arrow) if self.months else integers
            storage = pa.array(integers, mask=is_missing)
            if pa.types.is_integer(self.arrow):
                return storage.cast(self.arrow)
            if self.arrow.bit_width == 32:  # dates and times of 32 bits
                storage = storage.cast(pa.int32())
            return storage.cast(self.arrow)
        rounded = scaled if self.decimals < 0 else np.round(scaled, self.decimals)
        values = pa.array(rounded, pa.float64(), mask=is_missing)
        if pa.types.is_decimal(self.arrow):
            return values.cast(pa.decimal128(38, self.arrow.scale), safe=False).cast(self.arrow)
        return values.cast(self.arrow, safe=False)


def _to_months(values: NDArray[np.int64], arrow: pa.DataType) -> NDArray[np.int64]:
    """Return timestamps as months since 1970."""
    times = values.astype(f"M8[{arrow.unit}]")
    return np.asarray(times.astype("M8[M]").astype(np.int64))


def _from_months(months: NDArray[np.int64], arrow: pa.DataType) -> NDArray[np.int64]:
    times = months.astype("M8[M]").astype(f"M8[{arrow.unit}]")
    return np.asarray(times.astype(np.int64))


def _are_months(values: NDArray[np.int64], arrow: pa.DataType) -> bool:
    """Return True if each timestamp is the beginning of a month."""
    return bool((_from_months(_to_months(values, arrow), arrow) == values).all())


def _decimals(values: Floats, arrow: pa.DataType) -> int:
    dtype = arrow.to_pandas_dtype() if pa.types.is_floating(arrow) else np.float64
    for decimals in range(MAX_DECIMALS + 1):
        # The first 100 values rule out most candidates cheaply.
        for part in (values[:100], values):
            if not np.array_equal(np.round(part, decimals).astype(dtype), part.astype(dtype)):
                break
        else:
            return decimals
    return -1


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
    return floats.fill_null(0.0).to_numpy(zero_copy_only=False)[~is_missing], is_missing
