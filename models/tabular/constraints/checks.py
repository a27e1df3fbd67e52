"""Checks of constraints on rows."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.constraints.declarations import Constraint
from models.tabular.relations.rows import Rows, array, as_floats

MAX_DECIMALS = 9


def satisfies(constraint: Constraint, rows: Rows) -> NDArray[np.bool_]:
    """Return the (N,) mask of rows that satisfy `constraint`.

    Only `inequality` and `sum` can be checked row by row; the other kinds return all True. Missing
    values satisfy both.
    """
    mask = np.ones(len(rows), bool)
    if constraint.kind == "inequality":
        for low, high in pairwise(constraint.columns):
            ordered = pa.compute.less_equal(rows.column(low), rows.column(high))
            mask &= np.asarray(ordered.fill_null(True))
    if constraint.kind == "sum":
        assert constraint.total is not None  # noqa: S101 - `parse_constraints` requires it
        computed = as_floats(column_sum(constraint, rows))
        actual = as_floats(array(rows, constraint.total))
        magnitude = np.maximum(np.abs(computed), 1.0)
        mask &= ~(np.abs(computed - actual) > 1e-9 * magnitude)
    return mask


def column_sum(constraint: Constraint, rows: Rows) -> pa.Array:
    """Return the sum of the constraint's columns.

    Floats are rounded to MAX_DECIMALS, which removes the rounding errors of the addition.
    """
    total = array(rows, constraint.columns[0])
    for name in constraint.columns[1:]:
        total = pa.compute.add(total, array(rows, name))
    if not pa.types.is_floating(total.type):
        return total
    # np.round ends with a division, whose result is the float nearest to the decimal number.
    return pa.array(np.round(as_floats(total), MAX_DECIMALS), from_pandas=True)


def add_totals(
    rows: pa.RecordBatch, constraints: Sequence[Constraint], arrow: pa.Schema
) -> pa.RecordBatch:
    """Return the rows with the totals of `sum` constraints, in the column order of `arrow`."""
    columns = dict(zip(rows.schema.names, rows.columns, strict=True))
    for constraint in constraints:
        if constraint.total is not None:
            columns[constraint.total] = column_sum(constraint, rows).cast(
                arrow.field(constraint.total).type, safe=False
            )
    fields = [field for field in arrow if field.name in columns]
    return pa.RecordBatch.from_arrays(
        [columns[field.name] for field in fields], schema=pa.schema(fields)
    )
