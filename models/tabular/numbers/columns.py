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
from models.tabular.numbers.bin_edges import fit_bin_edges
from models.tabular.numbers.quantiles import Quantiles
from models.tabular.numbers.scale import Scale, numeric_values
from models.tabular.schema import UnsupportedColumn

MAX_EXACT_VALUES = 128  # columns with more distinct values have bins
MIN_EXACT_VALUE_FRACTION = 0.01  # a value more frequent than this is an exact value
BINS = 64  # of a column with one step
COARSE_BINS, FINE_BINS = 32, 16  # of a column with two steps
MIN_VALUES_PER_BIN = 8  # with one step
MIN_VALUES_PER_COARSE_BIN = 50  # with two steps


@dataclass(frozen=True)
class NumericColumn:
    """A column of integers, floats or datetimes."""

    name: str
    scale: Scale
    exact_values: NDArray[Any]  # ascending, scaled
    quantiles: Quantiles
    layout: TokenLayout
    bin_edges: Floats  # (bins + 1,) ranks among the values in bins
    rank_midpoints: Floats  # rank of each exact value and bin among all values

    @classmethod
    def fit(
        cls,
        name: str,
        arrow: pa.DataType,
        values: pa.Array,
        min_value_count: int = 0,
        labels: Tokens | None = None,
    ) -> "NumericColumn":
        """Fit a column with one step; `with_sub_bins` adds a second one.

        With `min_value_count`, only values that this many rows share are stored exactly; all others
        are stored as means of at least as many rows. Raises UnsupportedColumn if neither exists.
        """
        present, is_missing = numeric_values(name, values)
        scale = Scale.fit(arrow, present, as_decimals=not min_value_count)
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
        if scale.unit and not min_value_count and Quantiles.interpolates(binned):
            is_single = ~is_exact & (counts == 1)
            scale = scale.with_endings(distinct[is_single], distinct[~is_single])
            scaled, distinct = scale.to_scaled(present), np.unique(scale.to_scaled(present))
            binned = np.repeat(distinct[~is_exact], counts[~is_exact])
        if min_value_count and len(binned):
            binned = _microaggregate(binned[np.isfinite(binned)], min_value_count)
            if not len(binned) and not is_exact.any():
                raise UnsupportedColumn(name, f"fewer than {min_value_count} finite values")
        bins = min(BINS, max(1, len(binned) // MIN_VALUES_PER_BIN)) if len(binned) else 0
        layout = TokenLayout(int(is_exact.sum()), bins, (), bool(is_missing.any()))
        quantiles, unset = Quantiles.fit(binned), np.empty(0)
        if scale.usual_decimals >= 0:
            interpolated = quantiles.is_interpolated(quantiles.ranks(binned, None))
            scale = scale.with_finer_share(binned[interpolated])
        column = cls(name, scale, distinct[is_exact], quantiles, layout, unset, unset)
        return column._with_bins(layout, scaled, None if labels is None else labels[~is_missing])

    def with_sub_bins(self, values: pa.Array, labels: Tokens | None) -> "NumericColumn":
        """Return a copy with a second step, or the column itself if there are too few values."""
        present, is_missing = numeric_values(self.name, values)
        scaled = self.scale.to_scaled(present)
        rows = int((~np.isin(scaled, self.exact_values)).sum())
        coarse = min(COARSE_BINS, max(1, rows // MIN_VALUES_PER_COARSE_BIN))
        fine = min(FINE_BINS, rows // (2 * coarse))
        if not self.layout.bins or fine < 2:
            return self
        layout = replace(self.layout, bins=coarse, sub_bins=(fine,))
        return self._with_bins(layout, scaled, None if labels is None else labels[~is_missing])

    def _with_bins(
        self, layout: TokenLayout, scaled: NDArray[Any], labels: Tokens | None
    ) -> "NumericColumn":
        """Return a copy with bins for (N,) scaled values and the labels of their rows."""
        in_bins = ~np.isin(scaled, self.exact_values) & np.isfinite(scaled)
        distinct, index, counts = np.unique(scaled, return_inverse=True, return_counts=True)
        value_index = np.unique(index[in_bins], return_inverse=True)[1]
        edges = fit_bin_edges(value_index, None if labels is None else labels[in_bins], layout.bins)
        midpoints = _rank_midpoints(counts)
        centers = self.quantiles.at((edges[:-1] + edges[1:]) / 2)
        index = np.searchsorted(distinct, np.concatenate([self.exact_values, centers]))
        ranks = midpoints[np.minimum(index, len(midpoints) - 1)] if len(midpoints) else midpoints
        return replace(self, layout=layout, bin_edges=edges, rank_midpoints=ranks)

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

    @property
    def fine_positions(self) -> list[Floats | None]:
        if not self.layout.sub_bins:
            return []
        (size,) = self.layout.sub_bins
        inside = (np.arange(size) + 0.5) / size
        return [(self.bin_edges[:-1, None] + np.diff(self.bin_edges)[:, None] * inside).ravel()]

    def encode(self, values: pa.Array, rng: np.random.Generator | None) -> Tokens:
        present, is_missing = numeric_values(self.name, values)
        if self.scale.unit and not self.scale.is_decimal and present.dtype != np.int64:
            raise UnsupportedColumn(
                self.name, "has values that are not integers within the supported range"
            )
        scaled = self.scale.to_scaled(present)
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
            ranks = self.quantiles.ranks(scaled[~is_exact], rng)
            bins = np.searchsorted(self.bin_edges[1:-1], ranks, side="right")
            width = np.diff(self.bin_edges)[bins]
            position = (ranks - self.bin_edges[bins]) / np.where(width > 0, width, 1.0)
            tokens[0, ~is_exact] = self.layout.exact_values + bins
            for step, size in enumerate(self.layout.sub_bins, start=1):
                position = position % 1.0 * size
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
            bins = tokens[0, is_bin] - self.layout.exact_values
            ranks = self.bin_edges[bins] + position * np.diff(self.bin_edges)[bins]
            ranks = np.minimum(ranks, 1 - 1e-9)
            values = self.quantiles.at(ranks)
            if self.scale.usual is not None:
                interpolated = self.quantiles.is_interpolated(ranks)
                values = np.where(interpolated, self.scale.with_decimals(values), values)
            scaled[is_bin] = values
        return self.scale.from_scaled(scaled, is_missing)

    def pack(self) -> tuple[dict[str, Any], Arrays]:
        arrays = {
            # As bits: a checkpoint rejects infinities.
            "exact_values": self.exact_values.view(np.int64),
            "lows": self.quantiles.lows,
            "highs": self.quantiles.highs,
            "ends": self.quantiles.ends,
            "bin_edges": self.bin_edges,
            "rank_midpoints": self.rank_midpoints,
        }
        return {"kind": "number", "scale": self.scale.to_json()}, arrays

    @classmethod
    def unpack(
        cls, metadata: Mapping[str, Any], layout: TokenLayout, arrow: pa.DataType, arrays: Arrays
    ) -> "NumericColumn":
        scale = Scale.from_json(arrow, metadata["scale"])
        exact_values = arrays["exact_values"].view(np.int64 if scale.unit else np.float64)
        quantiles = Quantiles(arrays["lows"], arrays["highs"], arrays["ends"])
        return cls(
            metadata["name"],
            scale,
            exact_values,
            quantiles,
            layout,
            arrays["bin_edges"],
            arrays["rank_midpoints"],
        )


def _rank_midpoints(counts: NDArray[np.int64]) -> Floats:
    """Return the rank of the middle of each distinct value, given their counts in order."""
    below = np.concatenate([[0], np.cumsum(counts)])
    return np.asarray((below[:-1] + below[1:]) / 2 / max(below[-1], 1))


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
