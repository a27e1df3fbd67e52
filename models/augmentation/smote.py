"""Rows between rows: SMOTE (Chawla et al. 2002, 1106.1813), and SMOTE-NC where some columns are
names.

Row k of a label depends on (seed, label, k) and the real rows of the label alone. Shapes: `N` rows
of one label, `C` columns of numbers, `D` columns of names.
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
from models.tabular.schema import ColumnSchema

NEIGHBORS = 5  # as in the paper
MIN_ROWS = 2  # rows of a label, for one to have a neighbour
SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SmoteRows:
    """Rows, and of each the places of its real row and of the neighbour, and how far it lies from
    the one to the other."""

    rows: pa.Table
    real_indices: NDArray[np.int64]
    neighbor_indices: NDArray[np.int64]
    weights: Floats


class Smote:
    """The rows of one label, and which of them are near each other.

    Numbers are measured in their standard deviations, so that no column weighs by its unit. A name
    that differs counts one, the median of these deviations (SMOTE-NC); of names alone, rows are as
    far apart as they have names that differ.
    """

    def __init__(self, rows: pa.Table, schema: Sequence[ColumnSchema]) -> None:
        """At least LEAST rows. `schema`: the columns to make, none of them an id."""
        self._rows, self._schema = rows, list(schema)
        numbers = [c for c in schema if c.type in ("integer", "number", "datetime")]
        names = [c for c in schema if c.type in ("category", "boolean")]
        self._values = {c.name: _numbers(rows.column(c.name)) for c in numbers}
        self._codes = {c.name: _codes(rows.column(c.name)) for c in names}
        self._scaled = [_scaled(values) for values in self._values.values()]

    def generate(self, seed: int, label: int, indices: NDArray[np.int64]) -> SmoteRows:
        """A row for each number, some hundreds at a time."""
        chances = noise.uniforms(seed, indices, 3, RANDOM_STREAM + label)
        real = (chances[:, 0] * len(self._rows)).astype(np.int64)
        near = self._nearest(real)
        choice = (chances[:, 1] * near.shape[1]).astype(np.int64)
        neighbour, share = near[np.arange(len(real)), choice], chances[:, 2]
        made = {
            column.name: self._named(column, near)
            if column.name in self._codes
            else self._between(column, real, neighbour, share)
            for column in self._schema
        }
        return SmoteRows(pa.table(made), real, neighbour, share)

    def _nearest(self, looked: NDArray[np.int64]) -> NDArray[np.int64]:
        """(M,) places to (M, K) those of the nearest other rows, the nearest first."""
        far = np.zeros((len(looked), len(self._rows)), np.float32)
        for values in self._scaled:
            far += np.square(values[looked, None] - values)
        for codes in self._codes.values():
            far += codes[looked, None] != codes
        far[np.arange(len(looked)), looked] = np.inf
        k = min(NEIGHBORS, len(self._rows) - 1)
        return np.asarray(far.argsort(1, kind="stable")[:, :k], np.int64)

    def _named(self, column: ColumnSchema, near: NDArray[np.int64]) -> pa.Array:
        """The commonest name among the neighbours."""
        codes = self._codes[column.name]
        known, first = np.unique(codes, return_index=True)
        places = first[np.searchsorted(known, _commonest(codes[near]))]
        return self._rows.column(column.name).combine_chunks().take(pa.array(places))

    def _between(
        self,
        column: ColumnSchema,
        real: NDArray[np.int64],
        neighbour: NDArray[np.int64],
        share: Floats,
    ) -> pa.Array:
        arrow = self._rows.schema.field(column.name).type
        values = self._values[column.name]
        between = values[real] + share * (values[neighbour] - values[real])
        # With nothing at one end, a row keeps what it has itself.
        between = np.where(np.isnan(between), values[real], between)
        if column.type == "number":
            if column.decimals is not None:
                between = np.round(between, column.decimals)
            return pa.array(between, from_pandas=True).cast(arrow)
        unit = _unit(values) if column.type == "datetime" else 1
        missing = np.isnan(between)
        whole = unit * np.rint(np.where(missing, 0.0, between) / unit).astype(np.int64)
        return pa.array(whole, mask=missing).cast(arrow)


def _unit(moments: Floats) -> int:
    """Microseconds: of a day where all are days, or else of a second."""
    known = moments[~np.isnan(moments)]
    return DAY if not (known % DAY).any() else SECOND


def _numbers(values: pa.ChunkedArray) -> Floats:
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    found = values.cast(pa.float64(), safe=False).to_numpy()
    return np.asarray(found, np.float64)


def _codes(values: pa.ChunkedArray) -> NDArray[np.int64]:
    """(N,) a number for each name; missing is a name, too."""
    text = as_text(values.combine_chunks()).dictionary_encode(null_encoding="encode")
    return np.asarray(text.indices.to_numpy(zero_copy_only=False), np.int64)


def _scaled(values: Floats) -> NDArray[np.float32]:
    """Missing lies in the middle."""
    known = values[~np.isnan(values)]
    spread = float(known.std()) if len(known) else 0.0
    if not spread:
        return np.zeros(len(values), np.float32)
    found = (values - known.mean()) / spread
    return np.where(np.isnan(found), 0.0, found).astype(np.float32)


def _commonest(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(M, K) to (M,): of several that come as often, the one whose row is nearest."""
    votes = (codes[:, :, None] == codes[:, None, :]).sum(2)
    return np.asarray(codes[np.arange(len(codes)), votes.argmax(1)])


def provenance_of(
    batch: SmoteRows, row_indices: NDArray[np.int64], position: int
) -> dict[str, Any]:
    """The recipe of one row; `places` are those of the label's rows in the data set."""
    return {
        "real": int(row_indices[batch.real_indices[position]]),
        "neighbor": int(row_indices[batch.neighbor_indices[position]]),
        "weight": round(float(batch.weights[position]), 6),
    }
