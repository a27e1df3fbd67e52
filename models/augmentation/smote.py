"""Interpolation between rows: SMOTE, and SMOTE-NC for mixed columns.

Chawla et al. 2002, 1106.1813. Row k of a label depends on (seed, label, k) and the real rows of the
label alone. Shapes: N rows of one label, M generated rows, K neighbors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models import noise
from models.augmentation.transforms import RANDOM_STREAM
from models.tabular.categorical_columns import as_text
from models.tabular.schema import ORDERED_TYPES, ColumnSchema

NEIGHBORS = 5  # as in the paper
MIN_ROWS = 2  # of a label: a row needs a neighbor
SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SmoteRows:
    """Generated rows, and their provenance.

    Each row interpolates between a real row and one of its neighbors: row = real + weight *
    (neighbor - real).
    """

    rows: pa.Table
    real_indices: NDArray[np.int64]
    neighbor_indices: NDArray[np.int64]
    weights: Floats


class Smote:
    """The rows of one label, and their neighborhoods.

    Numbers are scaled to unit standard deviation, so that their units do not matter. In the squared
    distance, a differing category counts 1: the squared median standard deviation of the numeric
    columns, as in SMOTE-NC. Without numbers, the distance is the number of differing categories.
    """

    def __init__(self, rows: pa.Table, schema: Sequence[ColumnSchema]) -> None:
        """Prepare at least MIN_ROWS rows.

        `schema` lists the columns to generate, without identifiers.
        """
        self._rows, self._schema = rows, list(schema)
        numeric_columns = [column for column in schema if column.type in ORDERED_TYPES]
        categorical_columns = [
            column for column in schema if column.type in ("category", "boolean")
        ]
        self._values = {
            column.name: _to_floats(rows.column(column.name)) for column in numeric_columns
        }
        self._codes = {
            column.name: _codes(rows.column(column.name)) for column in categorical_columns
        }
        self._scaled = [_standardize(values) for values in self._values.values()]

    def generate(self, seed: int, label: int, indices: NDArray[np.int64]) -> SmoteRows:
        """Generate one row for each of M indices. Memory grows with M * N."""
        u = noise.uniforms(seed, indices, 3, RANDOM_STREAM + label)
        real = (u[:, 0] * len(self._rows)).astype(np.int64)
        neighbors = self._nearest(real)
        choice = (u[:, 1] * neighbors.shape[1]).astype(np.int64)
        neighbor, weight = neighbors[np.arange(len(real)), choice], u[:, 2]
        columns = {
            column.name: self._vote(column, neighbors)
            if column.name in self._codes
            else self._interpolate(column, real, neighbor, weight)
            for column in self._schema
        }
        return SmoteRows(pa.table(columns), real, neighbor, weight)

    def _nearest(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Map (M,) indices to the (M, K) indices of the nearest other rows, nearest first."""
        distances = np.zeros((len(indices), len(self._rows)), np.float32)
        for values in self._scaled:
            distances += np.square(values[indices, None] - values)
        for codes in self._codes.values():
            distances += codes[indices, None] != codes
        distances[np.arange(len(indices)), indices] = np.inf
        k = min(NEIGHBORS, len(self._rows) - 1)
        return np.asarray(distances.argsort(1, kind="stable")[:, :k], np.int64)

    def _vote(self, column: ColumnSchema, neighbors: NDArray[np.int64]) -> pa.Array:
        """Return the most frequent category among the neighbors."""
        codes = self._codes[column.name]
        distinct, first_row = np.unique(codes, return_index=True)
        row_indices = first_row[np.searchsorted(distinct, _most_frequent(codes[neighbors]))]
        return self._rows.column(column.name).combine_chunks().take(pa.array(row_indices))

    def _interpolate(
        self,
        column: ColumnSchema,
        real: NDArray[np.int64],
        neighbor: NDArray[np.int64],
        weight: Floats,
    ) -> pa.Array:
        arrow = self._rows.schema.field(column.name).type
        values = self._values[column.name]
        interpolated = values[real] + weight * (values[neighbor] - values[real])
        # If the neighbor's value is missing, the real row's value is used.
        interpolated = np.where(np.isnan(interpolated), values[real], interpolated)
        if column.type == "number":
            if column.decimals is not None:
                interpolated = np.round(interpolated, column.decimals)
            return pa.array(interpolated, from_pandas=True).cast(arrow)
        unit = 1 if column.type == "integer" else _unit(values)
        is_missing = np.isnan(interpolated)
        integers = unit * np.rint(np.where(is_missing, 0.0, interpolated) / unit).astype(np.int64)
        return pa.array(integers, mask=is_missing).cast(arrow)


def _unit(times: Floats) -> int:
    """Return the resolution in microseconds: a day if all values are days, otherwise a second."""
    present = times[~np.isnan(times)]
    return DAY if not (present % DAY).any() else SECOND


def _to_floats(values: pa.ChunkedArray) -> Floats:
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.int64())
    floats = values.cast(pa.float64(), safe=False).to_numpy()
    return np.asarray(floats, np.float64)


def _codes(values: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return (N,) category codes; missing is a category, too."""
    text = as_text(values.combine_chunks()).dictionary_encode(null_encoding="encode")
    return np.asarray(text.indices.to_numpy(zero_copy_only=False), np.int64)


def _standardize(values: Floats) -> NDArray[np.float32]:
    """Return standardized values; missing values become the mean."""
    present = values[~np.isnan(values)]
    deviation = float(present.std()) if len(present) else 0.0
    if not deviation:
        return np.zeros(len(values), np.float32)
    standardized = (values - present.mean()) / deviation
    return np.where(np.isnan(standardized), 0.0, standardized).astype(np.float32)


def _most_frequent(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map (M, K) codes to the (M,) most frequent one; ties go to the nearest neighbor."""
    votes = (codes[:, :, None] == codes[:, None, :]).sum(2)
    return np.asarray(codes[np.arange(len(codes)), votes.argmax(1)])


def provenance_of(
    batch: SmoteRows, row_indices: NDArray[np.int64], position: int
) -> dict[str, Any]:
    """Return the provenance of one row of `batch`.

    `row_indices` are the dataset indices of the label's rows.
    """
    return {
        "real": int(row_indices[batch.real_indices[position]]),
        "neighbor": int(row_indices[batch.neighbor_indices[position]]),
        "weight": round(float(batch.weights[position]), 6),
    }
