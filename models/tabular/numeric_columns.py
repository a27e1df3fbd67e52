"""Numbers and times as tokens, and back to the very digits that were learned from.

Few distinct values are exact_values. Otherwise values that are common alone are exact_values, and the rest falls
into bins of equal counts; a place inside a bin becomes a value by the quantile function of what was
seen there, so that spikes, gaps and precision come back. Where the place inside a bin depends on
other columns, a second step holds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Arrays, Floats, TokenLayout, Tokens
from models.tabular.schema import UnsupportedColumn

MAX_EXACT_VALUES = 128  # at most so many values are all exact_values
MIN_EXACT_VALUE_FRACTION = 0.01  # a value that is more common than this is an atom
BINS = 64  # of a number that takes one step
COARSE_BINS, FINE_BINS = 32, 16  # of a number that takes two
MIN_VALUES_PER_BIN, MIN_VALUES_PER_COARSE_BIN = (
    8,
    50,
)  # values in a bin, at least, of one that takes one step or two
MAX_QUANTILE_KNOTS = 8_192  # of a quantile function between which values are drawn
MAX_DISCRETE_SUPPORT = 65_536  # of a quantile function that knows no values but these
MAX_DECIMALS = 9
MAX_INTEGER_RANGE = 2**62  # of the differences of integers


@dataclass(frozen=True)
class Scale:
    """Values as plain numbers: integers and times as multiples of `unit` above `low`, all others as
    floats that are rounded to `decimals` on their way back (-1: to none)."""

    arrow: pa.DataType
    low: int = 0
    unit: int = 0  # 0: floats
    decimals: int = -1

    @classmethod
    def fit(cls, arrow: pa.DataType, values: NDArray[Any]) -> "Scale":
        if values.dtype == np.int64:
            low = int(values.min()) if len(values) else 0
            unit = int(np.gcd.reduce(values - low)) if len(values) else 1
            return cls(arrow, low, max(unit, 1))
        return cls(arrow, decimals=_decimals(values[np.isfinite(values)], arrow))

    def is_representable(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """(N,): whether they come back as they are."""
        if self.unit:
            return np.asarray((values - self.low) % self.unit == 0)
        return np.asarray((self.decimals < 0) | (np.round(values, self.decimals) == values))

    def to_scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        return (values - self.low) // self.unit if self.unit else values + 0.0  # no negative zero

    def from_scaled(self, plain: NDArray[Any], gone: NDArray[np.bool_]) -> pa.Array:
        if self.unit:
            storage = pa.array(plain * self.unit + self.low, mask=gone)
            if pa.types.is_integer(self.arrow):
                return storage.cast(self.arrow)
            if self.arrow.bit_width == 32:  # dates and times of 32 bits
                storage = storage.cast(pa.int32())
            return storage.cast(self.arrow)
        rounded = plain if self.decimals < 0 else np.round(plain, self.decimals)
        values = pa.array(rounded, pa.float64(), mask=gone)
        if pa.types.is_decimal(self.arrow):
            return values.cast(pa.decimal128(38, self.arrow.scale), safe=False).cast(self.arrow)
        return values.cast(self.arrow, safe=False)


def _decimals(values: Floats, arrow: pa.DataType) -> int:
    kind = arrow.to_pandas_dtype() if pa.types.is_floating(arrow) else np.float64
    for decimals in range(MAX_DECIMALS + 1):
        # The first ones decide for most columns.
        for part in (values[:100], values):
            if not np.array_equal(np.round(part, decimals).astype(kind), part.astype(kind)):
                break
        else:
            return decimals
    return -1


def numeric_values(name: str, values: pa.Array) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """(M,) int64 or float64 of what is not missing, and the (N,) mask of what is."""
    try:
        if not (pa.types.is_floating(values.type) or pa.types.is_decimal(values.type)):
            if values.type.bit_width == 32 and not pa.types.is_integer(values.type):
                values = values.cast(pa.int32())
            whole = values.cast(pa.int64())
            gone = whole.is_null().to_numpy(zero_copy_only=False)
            found = whole.drop_null().to_numpy()
            if len(found) and int(found.max()) - int(found.min()) > MAX_INTEGER_RANGE:
                return found.astype(np.float64), gone
            return found, gone
        floats = values.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, AttributeError, ValueError) as error:
        raise UnsupportedColumn(
            name, "holds values that are no numbers that can be learned"
        ) from error
    gone = floats.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    return floats.fill_null(0.0).to_numpy(zero_copy_only=False)[~gone], gone


@dataclass(frozen=True)
class Quantiles:
    """The inverse of the cumulative distribution of the values that are no exact_values.

    With `ends`, a step function: `values[i]` up to the rank `ends[i]`. Without, straight lines
    between `values`, which lie at equal distances of rank.
    """

    values: NDArray[Any]
    ends: Floats  # empty, or as long as values

    @classmethod
    def fit(cls, ordered: NDArray[Any]) -> "Quantiles":
        distinct, counts = np.unique(ordered, return_counts=True)
        if len(distinct) <= min(len(ordered) // 2, MAX_DISCRETE_SUPPORT):
            return cls(distinct, np.cumsum(counts) / len(ordered))
        if len(ordered) <= MAX_QUANTILE_KNOTS:
            return cls(ordered, np.empty(0))
        at = np.rint(np.linspace(0, len(ordered) - 1, MAX_QUANTILE_KNOTS)).astype(np.int64)
        return cls(ordered[at], np.empty(0))

    def ranks(self, x: NDArray[Any], rng: np.random.Generator | None) -> Floats:
        """In [0, 1). Equal values are spread over the ranks that they share, or lie in their
        middle."""
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
        place = ranks * (len(self.values) - 1)
        index = place.astype(np.int64)
        low, high = self.values[index], self.values[np.minimum(index + 1, len(self.values) - 1)]
        step = (place - index) * (high - low)
        return low + (np.rint(step).astype(np.int64) if low.dtype == np.int64 else step)


@dataclass(frozen=True)
class NumericColumn:
    """Integers, numbers and times."""

    name: str
    scale: Scale
    exact_values: NDArray[Any]  # the exact_values, in order
    quantiles: Quantiles
    layout: TokenLayout
    rank_midpoints: Floats  # the rank of each atom and group among all values

    @classmethod
    def fit(
        cls, name: str, arrow: pa.DataType, values: pa.Array, min_value_count: int = 0
    ) -> "NumericColumn":
        """With one step; `finer` gives it a second one. What is kept of the values are those that
        `min_value_count` rows have, and means of so many. Raises UnfitColumn when there is neither."""
        found, gone = numeric_values(name, values)
        scale = Scale.fit(arrow, found)
        if min_value_count and scale.unit:
            scale = replace(scale, low=scale.low % scale.unit)
        plain = scale.to_scaled(found)
        distinct, counts = np.unique(plain, return_counts=True)
        alone = np.ones(len(distinct), bool)
        if len(distinct) > max_exact_values(len(plain)):
            alone = (counts > max(MIN_EXACT_VALUE_FRACTION * len(plain), 2)) | ~np.isfinite(
                distinct
            )
        alone &= counts >= min_value_count
        rest = np.repeat(distinct[~alone], counts[~alone])
        if min_value_count and len(rest):
            rest = _blurred(rest[np.isfinite(rest)], min_value_count)
            if not len(rest) and not alone.any():
                raise UnsupportedColumn(name, f"has fewer than {min_value_count} values")
        groups = min(BINS, max(1, len(rest) // MIN_VALUES_PER_BIN)) if len(rest) else 0
        layout = TokenLayout(int(alone.sum()), groups, (), bool(gone.any()))
        column = cls(name, scale, distinct[alone], Quantiles.fit(rest), layout, np.empty(0))
        return replace(column, rank_midpoints=column._rank_midpoints(distinct, counts))

    def with_sub_bins(self, rows: int) -> "NumericColumn":
        """The same with a second step. `rows` are those that are no exact_values."""
        coarse = min(COARSE_BINS, max(1, rows // MIN_VALUES_PER_COARSE_BIN))
        fine = min(FINE_BINS, rows // (2 * coarse))
        if not self.layout.bins or fine < 2:
            return self
        layout = replace(self.layout, bins=coarse, sub_bins=(fine,))
        # Ranks of bins that are joined or split lie on the same curve.
        old = self.rank_midpoints[self.layout.exact_values :]
        at = (np.arange(coarse) + 0.5) / coarse * len(old) - 0.5
        groups = np.interp(at, np.arange(len(old)), old)
        middles = np.concatenate([self.rank_midpoints[: self.layout.exact_values], groups])
        return replace(self, layout=layout, rank_midpoints=middles)

    def _rank_midpoints(self, distinct: NDArray[Any], counts: NDArray[np.int64]) -> Floats:
        below = np.concatenate([[0], np.cumsum(counts)])
        middle = (below[:-1] + below[1:]) / 2 / max(below[-1], 1)
        groups = (np.arange(self.layout.bins) + 0.5) / max(self.layout.bins, 1)
        centres = self.quantiles.at(groups) if self.layout.bins else self.exact_values[:0]
        found = np.searchsorted(distinct, np.concatenate([self.exact_values, centres]))
        return middle[np.minimum(found, len(middle) - 1)] if len(middle) else np.empty(0)

    @property
    def needs_uniform(self) -> bool:
        return self.layout.bins > 0

    @property
    def positions(self) -> list[Floats]:
        nowhere = np.full(int(self.layout.missing), np.nan)
        further = [
            np.concatenate([[np.nan], (np.arange(size) + 0.5) / size])
            for size in self.layout.sub_bins
        ]
        return [np.concatenate([self.rank_midpoints, nowhere]), *further]

    def encode(self, values: pa.Array, rng: np.random.Generator | None) -> Tokens:
        found, gone = numeric_values(self.name, values)
        if self.scale.unit and found.dtype != np.int64:
            raise UnsupportedColumn(self.name, "holds other values than the model was made from")
        plain = self.scale.to_scaled(found.astype(np.int64 if self.scale.unit else np.float64))
        tokens = np.zeros((len(self.layout.step_sizes), len(gone)), np.int64)
        tokens[0] = self.layout.missing_token if self.layout.missing else 0
        tokens[:, ~gone] = self._tokens(plain, rng)
        return tokens

    def _tokens(self, plain: NDArray[Any], rng: np.random.Generator | None) -> Tokens:
        """Numbers that were never seen go to the nearest atom where there are only exact_values."""
        tokens = np.zeros((len(self.layout.step_sizes), len(plain)), np.int64)
        is_atom = np.zeros(len(plain), bool)
        if len(self.exact_values):
            index = np.minimum(
                np.searchsorted(self.exact_values, plain), len(self.exact_values) - 1
            )
            is_atom = self.exact_values[index] == plain
            tokens[0] = index
        if self.layout.bins:
            place = self.quantiles.ranks(plain[~is_atom], rng) * self.layout.bins
            tokens[0, ~is_atom] = self.layout.exact_values + place.astype(np.int64)
            for step, size in enumerate(self.layout.sub_bins, start=1):
                place = (place % 1.0) * size
                digit = np.minimum(place.astype(np.int64), size - 1)
                tokens[step, ~is_atom] = digit + 1
        return tokens

    def decode(self, tokens: Tokens, u: Floats) -> pa.Array:
        gone = tokens[0] >= self.layout.missing_token
        plain = np.zeros(tokens.shape[1], self.exact_values.dtype)
        atom = tokens[0] < self.layout.exact_values
        plain[atom] = self.exact_values[tokens[0, atom]]
        group = self.layout.is_bin(tokens[0])
        if group.any():
            place = u[group]
            for step, size in reversed(list(enumerate(self.layout.sub_bins, start=1))):
                place = (np.maximum(tokens[step, group] - 1, 0) + place) / size
            ranks = (tokens[0, group] - self.layout.exact_values + place) / self.layout.bins
            plain[group] = self.quantiles.at(np.minimum(ranks, 1 - 1e-9))
        return self.scale.from_scaled(plain, gone)

    def pack(self) -> tuple[dict[str, Any], Arrays]:
        scale = {
            "low": self.scale.low,
            "unit": self.scale.unit,
            "decimals": self.scale.decimals,
        }
        arrays = {
            "exact_values": self.exact_values.view(
                np.int64
            ),  # infinities are no numbers to a checkpoint
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


def _blurred(ordered: NDArray[Any], size: int) -> NDArray[Any]:
    """The mean of each block of at least `size` neighbours in place of them (microaggregation,
    Domingo-Ferrer & Mateo-Sanz 2002); nothing where there is not one block."""
    if len(ordered) < size:
        return ordered[:0]
    blocks = np.array_split(ordered, len(ordered) // size)
    means = np.array([block.mean() for block in blocks])
    means = np.rint(means) if ordered.dtype == np.int64 else means
    return np.repeat(means.astype(ordered.dtype), [len(block) for block in blocks])


def max_exact_values(values: int) -> int:
    """How many distinct numbers may all be exact_values: fewer where each would be seen a few times."""
    return min(MAX_EXACT_VALUES, max(16, values // 10))
