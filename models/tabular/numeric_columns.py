"""Numeric columns (integers, floats, datetimes) as tokens, and back to the original values.

If a column has few distinct values, each one is an exact value with its own token. Otherwise only
frequent values are exact, and all others fall into bins with equal counts. The quantile function of
the training values maps a position within a bin to a value, so that spikes, gaps and precision are
reproduced. If the position within a bin depends on other columns, a second step holds its sub-bin.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Arrays, Floats, TokenLayout, Tokens
from models.tabular.schema import UnsupportedColumn

MAX_EXACT_VALUES = 128  # columns with more distinct values have bins
MIN_EXACT_VALUE_FRACTION = 0.01  # a value more frequent than this is an exact value
BINS = 64  # of a column with one step
COARSE_BINS, FINE_BINS = 32, 16  # of a column with two steps
MIN_VALUES_PER_BIN = 8  # with one step
MIN_VALUES_PER_COARSE_BIN = 50  # with two steps
MAX_QUANTILE_KNOTS = 8_192  # of a linearly interpolated quantile function
MAX_DISCRETE_SUPPORT = 65_536  # of a quantile function that returns training values only
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


@dataclass(frozen=True)
class Quantiles:
    """The quantile function (inverse cumulative distribution) of the values in bins.

    With `ends` it is a step function: `values[i]` up to the rank `ends[i]`. Otherwise it is linear
    between `values`, which are at equal distances of rank.
    """

    values: NDArray[Any]
    ends: Floats  # (len(values),) or empty

    @classmethod
    def fit(cls, ordered: NDArray[Any]) -> "Quantiles":
        distinct, counts = np.unique(ordered, return_counts=True)
        if len(distinct) <= min(len(ordered) // 2, MAX_DISCRETE_SUPPORT):
            return cls(distinct, np.cumsum(counts) / len(ordered))
        if len(ordered) <= MAX_QUANTILE_KNOTS:
            return cls(ordered, np.empty(0))
        index = np.rint(np.linspace(0, len(ordered) - 1, MAX_QUANTILE_KNOTS)).astype(np.int64)
        return cls(ordered[index], np.empty(0))

    def ranks(self, x: NDArray[Any], rng: np.random.Generator | None) -> Floats:
        """Return the ranks of values, in [0, 1).

        A value that occurs several times covers an interval of ranks: `rng` draws one of them, or
        without it, the middle is returned.
        """
        left = np.searchsorted(self.values, x, side="left")
        right = np.searchsorted(self.values, x, side="right")
        if len(self.ends):
            edges = np.concatenate([[0.0], self.ends])
            low, high = edges[left], edges[np.maximum(right, np.minimum(left + 1, len(self.ends)))]
        else:
            last = max(len(self.values) - 1, 1)
            before = np.clip(left - 1, 0, len(self.values) - 1)
            after = np.clip(left, 0, len(self.values) - 1)
            gap = (self.values[after] - self.values[before]).astype(np.float64)
            above = (x - self.values[before]).astype(np.float64)
            between = before + np.clip(above / np.where(gap > 0, gap, 1.0), 0.0, 1.0)
            tied = right > left
            low = np.where(tied, np.maximum(left - 0.5, 0), between) / last
            high = np.where(tied, np.minimum(right - 0.5, last), between) / last
        spread = rng.random(len(x)) if rng is not None else 0.5
        return np.clip(low + spread * (high - low), 0.0, 1 - 1e-9)

    def at(self, ranks: Floats) -> NDArray[Any]:
        if len(self.ends):
            index = np.searchsorted(self.ends, ranks, side="right")
            return self.values[np.minimum(index, len(self.values) - 1)]
        position = ranks * (len(self.values) - 1)
        index = position.astype(np.int64)
        low, high = self.values[index], self.values[np.minimum(index + 1, len(self.values) - 1)]
        offset = (position - index) * (high - low)
        return low + (np.rint(offset).astype(np.int64) if low.dtype == np.int64 else offset)


@dataclass(frozen=True)
class NumericColumn:
    """A column of integers, floats or datetimes."""

    name: str
    scale: Scale
    exact_values: NDArray[Any]  # ascending, scaled
    quantiles: Quantiles
    layout: TokenLayout
    rank_midpoints: Floats  # rank of each exact value and bin among all values

    @classmethod
    def fit(
        cls, name: str, arrow: pa.DataType, values: pa.Array, min_value_count: int = 0
    ) -> "NumericColumn":
        """Fit a column with one step; `with_sub_bins` adds a second one.

        With `min_value_count`, only values that this many rows share are stored exactly; all others
        are stored as means of at least as many rows. Raises UnsupportedColumn if neither exists.
        """
        present, is_missing = numeric_values(name, values)
        scale = Scale.fit(arrow, present)
        if min_value_count and scale.unit:
            scale = replace(scale, low=scale.low % scale.unit)
        scaled = scale.to_scaled(present)
        distinct, counts = np.unique(scaled, return_counts=True)
        is_exact = np.ones(len(distinct), bool)
        if len(distinct) > max_exact_values(len(scaled)):
            is_exact = (counts > max(MIN_EXACT_VALUE_FRACTION * len(scaled), 2)) | ~np.isfinite(
                distinct
            )
        is_exact &= counts >= min_value_count
        binned = np.repeat(distinct[~is_exact], counts[~is_exact])
        if min_value_count and len(binned):
            binned = _microaggregate(binned[np.isfinite(binned)], min_value_count)
            if not len(binned) and not is_exact.any():
                raise UnsupportedColumn(name, f"fewer than {min_value_count} finite values")
        bins = min(BINS, max(1, len(binned) // MIN_VALUES_PER_BIN)) if len(binned) else 0
        layout = TokenLayout(int(is_exact.sum()), bins, (), bool(is_missing.any()))
        column = cls(name, scale, distinct[is_exact], Quantiles.fit(binned), layout, np.empty(0))
        return replace(column, rank_midpoints=column._rank_midpoints(distinct, counts))

    def with_sub_bins(self, rows: int) -> "NumericColumn":
        """Return a copy with a second step, given the number of rows with a value in a bin."""
        coarse = min(COARSE_BINS, max(1, rows // MIN_VALUES_PER_COARSE_BIN))
        fine = min(FINE_BINS, rows // (2 * coarse))
        if not self.layout.bins or fine < 2:
            return self
        layout = replace(self.layout, bins=coarse, sub_bins=(fine,))
        # The rank midpoints of the new bins are interpolated from those of the old ones.
        old = self.rank_midpoints[self.layout.exact_values :]
        position = (np.arange(coarse) + 0.5) / coarse * len(old) - 0.5
        bin_midpoints = np.interp(position, np.arange(len(old)), old)
        rank_midpoints = np.concatenate(
            [self.rank_midpoints[: self.layout.exact_values], bin_midpoints]
        )
        return replace(self, layout=layout, rank_midpoints=rank_midpoints)

    def _rank_midpoints(self, distinct: NDArray[Any], counts: NDArray[np.int64]) -> Floats:
        below = np.concatenate([[0], np.cumsum(counts)])
        midpoints = (below[:-1] + below[1:]) / 2 / max(below[-1], 1)
        bin_midpoints = (np.arange(self.layout.bins) + 0.5) / max(self.layout.bins, 1)
        centers = self.quantiles.at(bin_midpoints) if self.layout.bins else self.exact_values[:0]
        index = np.searchsorted(distinct, np.concatenate([self.exact_values, centers]))
        return midpoints[np.minimum(index, len(midpoints) - 1)] if len(midpoints) else np.empty(0)

    @property
    def needs_uniform(self) -> bool:
        return self.layout.bins > 0

    @property
    def positions(self) -> list[Floats]:
        no_position = np.full(int(self.layout.missing), np.nan)
        sub_bin_positions = [
            np.concatenate([[np.nan], (np.arange(size) + 0.5) / size])
            for size in self.layout.sub_bins
        ]
        return [np.concatenate([self.rank_midpoints, no_position]), *sub_bin_positions]

    def encode(self, values: pa.Array, rng: np.random.Generator | None) -> Tokens:
        present, is_missing = numeric_values(self.name, values)
        if self.scale.unit and present.dtype != np.int64:
            raise UnsupportedColumn(
                self.name, "has values that are not integers within the supported range"
            )
        scaled = self.scale.to_scaled(present.astype(np.int64 if self.scale.unit else np.float64))
        tokens = np.zeros((len(self.layout.step_sizes), len(is_missing)), np.int64)
        tokens[0] = self.layout.missing_token if self.layout.missing else 0
        tokens[:, ~is_missing] = self._tokens(scaled, rng)
        return tokens

    def _tokens(self, scaled: NDArray[Any], rng: np.random.Generator | None) -> Tokens:
        """Return the (S, N) tokens of scaled values.

        Without bins, a value that is not exact becomes the next larger exact one, or the last one.
        """
        tokens = np.zeros((len(self.layout.step_sizes), len(scaled)), np.int64)
        is_exact = np.zeros(len(scaled), bool)
        if len(self.exact_values):
            index = np.minimum(
                np.searchsorted(self.exact_values, scaled), len(self.exact_values) - 1
            )
            is_exact = self.exact_values[index] == scaled
            tokens[0] = index
        if self.layout.bins:
            position = self.quantiles.ranks(scaled[~is_exact], rng) * self.layout.bins
            tokens[0, ~is_exact] = self.layout.exact_values + position.astype(np.int64)
            for step, size in enumerate(self.layout.sub_bins, start=1):
                position = (position % 1.0) * size
                sub_bin = np.minimum(position.astype(np.int64), size - 1)
                tokens[step, ~is_exact] = sub_bin + 1
        return tokens

    def decode(self, tokens: Tokens, u: Floats) -> pa.Array:
        is_missing = tokens[0] >= self.layout.missing_token
        scaled = np.zeros(tokens.shape[1], self.exact_values.dtype)
        is_exact = tokens[0] < self.layout.exact_values
        scaled[is_exact] = self.exact_values[tokens[0, is_exact]]
        is_bin = self.layout.is_bin(tokens[0])
        if is_bin.any():
            position = u[is_bin]
            for step, size in reversed(list(enumerate(self.layout.sub_bins, start=1))):
                position = (np.maximum(tokens[step, is_bin] - 1, 0) + position) / size
            ranks = (tokens[0, is_bin] - self.layout.exact_values + position) / self.layout.bins
            scaled[is_bin] = self.quantiles.at(np.minimum(ranks, 1 - 1e-9))
        return self.scale.from_scaled(scaled, is_missing)

    def pack(self) -> tuple[dict[str, Any], Arrays]:
        scale = {
            "low": self.scale.low,
            "unit": self.scale.unit,
            "decimals": self.scale.decimals,
            "months": self.scale.months,
        }
        arrays = {
            # As bits: a checkpoint rejects infinities.
            "exact_values": self.exact_values.view(np.int64),
            "quantiles": self.quantiles.values,
            "ends": self.quantiles.ends,
            "rank_midpoints": self.rank_midpoints,
        }
        return {"kind": "number", "scale": scale}, arrays

    @classmethod
    def unpack(
        cls, metadata: Mapping[str, Any], layout: TokenLayout, arrow: pa.DataType, arrays: Arrays
    ) -> "NumericColumn":
        scale = Scale(arrow, **metadata["scale"])
        exact_values = arrays["exact_values"].view(np.int64 if scale.unit else np.float64)
        quantiles = Quantiles(arrays["quantiles"], arrays["ends"])
        return cls(
            metadata["name"], scale, exact_values, quantiles, layout, arrays["rank_midpoints"]
        )


def _microaggregate(ordered: NDArray[Any], size: int) -> NDArray[Any]:
    """Replace each block of at least `size` sorted values by its mean.

    Microaggregation (Domingo-Ferrer & Mateo-Sanz 2002). Returns nothing if there are fewer values
    than `size`.
    """
    if len(ordered) < size:
        return ordered[:0]
    blocks = np.array_split(ordered, len(ordered) // size)
    means = np.array([block.mean() for block in blocks])
    means = np.rint(means) if ordered.dtype == np.int64 else means
    return np.repeat(means.astype(ordered.dtype), [len(block) for block in blocks])


def max_exact_values(values: int) -> int:
    """Return the number of distinct values up to which all of them are exact values.

    The limit is lower for few rows, where each exact value would occur only a few times.
    """
    return min(MAX_EXACT_VALUES, max(16, values // 10))
