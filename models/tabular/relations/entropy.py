"""Entropy of columns, by which codings are compared."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from models.tabular.relations.coded_columns import BoundedColumn
from models.tabular.relations.rows import array


def added_bits(columns: Sequence[BoundedColumn], table: pa.Table) -> float:
    """Return by how much the entropy of columns grows when they are coded.

    Coding a column of round values, such as full hours, would lose them.
    """
    bits = 0.0
    for column in columns:
        values = array(table, column.name)
        bits += entropy(column.encode(table, values.type)) - entropy(values)
    return round(bits, 2)


def entropy(values: pa.Array) -> float:
    """Return the empirical entropy in bits."""
    counts = values.value_counts().field("counts").to_numpy(zero_copy_only=False)
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())
