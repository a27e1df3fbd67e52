"""Columns of rows as arrays and as floats, and by how much rounding changes numbers."""

from typing import TypeAlias

import numpy as np
import pyarrow as pa

from models.tabular.categorical_columns import Floats

ROUNDING = 0.5 + 1e-6  # units of the last decimal
FLOAT_TOLERANCE = 1e-9  # of floats that are not rounded, relative to what they are computed from
Rows: TypeAlias = pa.Table | pa.RecordBatch


def rounding_tolerance(values: Floats, decimals: int, digits: int) -> Floats:
    """Return by how much (N,) computed values may differ from those that were rounded."""
    sizes = np.abs(values)
    if decimals < 0:
        return FLOAT_TOLERANCE * sizes
    if not digits:
        return np.full(len(values), ROUNDING * 10.0**-decimals)
    exponents = np.floor(np.log10(np.maximum(sizes, 10.0**-decimals)))
    return np.asarray(ROUNDING * 10.0 ** np.maximum(exponents + 1 - digits, -decimals))


def as_floats(values: pa.Array) -> Floats:
    """Return numbers, or dates and times in their unit, as floats; NaN where missing."""
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.int64() if values.type.bit_width == 64 else pa.int32())
    return np.asarray(
        values.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False),
        np.float64,
    )


def array(rows: Rows, name: str) -> pa.Array:
    column = rows.column(name)
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
