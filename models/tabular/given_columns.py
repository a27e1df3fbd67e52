"""Given values of partial rows as Arrow columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute

from models.tabular.conditions import InvalidPartialRow, expected_value

_CAST_ERRORS = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


def given_column(field: pa.Field, rows: Sequence[Mapping[str, Any]]) -> pa.Array:
    """Return the values of a column, null where none is given.

    Raises:
        InvalidPartialRow: A value does not fit the column, or is not finite.
    """
    arrow = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    values = [row.get(field.name) for row in rows]
    try:
        column = pa.array(values).cast(arrow)
    except _CAST_ERRORS:
        for row_index, value in enumerate(values):
            try:
                pa.array([value]).cast(arrow)
            except _CAST_ERRORS as error:
                raise InvalidPartialRow(row_index, field.name, expected_value(arrow)) from error
        column = pa.concat_arrays([pa.array([value]).cast(arrow) for value in values])
    if pa.types.is_floating(arrow) and (infinite := pa.compute.is_inf(column)).true_count:
        raise InvalidPartialRow(infinite.index(True).as_py(), field.name, "must be finite")
    return column
