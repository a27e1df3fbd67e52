"""Formatting of column values as the text in which they were uploaded."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from modalities.tabular import datetimes
from modalities.tabular.schema import Column


def format_values(values: pa.Array, column: Column) -> pa.StringArray:
    """Return the values as text, null where missing.

    `values` must have the Arrow type of `column` (see `type_casting.ARROW_TYPES`).
    """
    if column.type == "integer":
        text = values.cast(pa.string())
        zeros = "." + "0" * column.decimals if column.decimals else ""
        return pc.binary_join_element_wise(text, zeros, "") if zeros else text
    if column.type == "number":
        return _numbers(values, column)
    if column.type == "boolean":
        false, true = boolean_texts(column)
        return pc.if_else(values, true, false)
    if column.type == "datetime":
        return datetimes.format_datetimes(values, column.format or "%Y-%m-%d", column.decimals)
    return values


def boolean_texts(column: Column) -> tuple[str, str]:
    """Return the words for false and for true."""
    false, _, true = (column.format or "false|true").partition("|")
    return false, true


def to_json_values(values: pa.Array, column: Column) -> list[Any]:
    """Return the values for JSON: numbers and booleans as such, other types as text."""
    if column.type == "number" and column.decimals is not None:
        return [None if v is None else round(v, column.decimals) for v in values.to_pylist()]
    if column.type == "datetime":
        return list(format_values(values, column).to_pylist())
    if column.type == "category" and column.format == "integer":
        return [None if v is None else int(v) for v in values.to_pylist()]
    return list(values.to_pylist())


def _numbers(values: pa.Array, column: Column) -> pa.StringArray:
    text = _fixed_point(values, column.decimals) if column.decimals is not None else None
    if text is None:
        text = pa.array([_number(value, column.decimals) for value in values.to_pylist()])
        text = text.cast(pa.string())
    return pc.replace_substring(text, ".", ",") if column.format == "," else text


def _fixed_point(values: pa.Array, decimals: int) -> pa.StringArray | None:
    """Format all values with `decimals` digits after the point, as Arrow decimals (fast).

    Return None if a number is too large or too small for that.
    """
    largest = pc.max(pc.abs(values)).as_py()
    if largest is not None and largest >= 1e15:
        return None
    text = values.cast(pa.decimal128(15 + decimals, decimals), safe=False).cast(pa.string())
    # Arrow writes tiny decimals as 1E-9.
    return None if pc.any(pc.match_substring(text, "E")).as_py() else text


def _number(value: float | None, decimals: int | None) -> str | None:
    if value is None:
        return None
    return repr(value) if decimals is None else f"{value:.{decimals}f}"
