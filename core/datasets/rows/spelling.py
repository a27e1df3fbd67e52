"""The values of a column as the text in which they came."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from core.datasets.rows import moments
from core.datasets.rows.schema import Column


def spelled(values: pa.Array, column: Column) -> pa.StringArray:
    """`values` are of the Arrow type that `column` has. Missing values stay null."""
    if column.type == "integer":
        text = values.cast(pa.string())
        zeros = "." + "0" * column.decimals if column.decimals else ""
        return pc.binary_join_element_wise(text, zeros, "") if zeros else text
    if column.type == "number":
        return pa.array([_number(value, column) for value in values.to_pylist()], pa.string())
    if column.type == "boolean":
        false, true = spellings(column)
        return pc.if_else(values, true, false)
    if column.type == "datetime":
        return moments.written(values, column.format or "%Y-%m-%d", column.decimals)
    return values


def spellings(column: Column) -> tuple[str, str]:
    """Of false and of true."""
    false, _, true = (column.format or "false|true").partition("|")
    return false, true


def plain(values: pa.Array, column: Column) -> list[Any]:
    """For JSON: numbers and booleans as such, all else as text."""
    if column.type == "number" and column.decimals is not None:
        return [None if v is None else round(v, column.decimals) for v in values.to_pylist()]
    if column.type == "datetime":
        return list(spelled(values, column).to_pylist())
    if column.type == "category" and column.format == "integer":
        return [None if v is None else int(v) for v in values.to_pylist()]
    return list(values.to_pylist())


def _number(value: float | None, column: Column) -> str | None:
    if value is None:
        return None
    text = repr(value) if column.decimals is None else f"{value:.{column.decimals}f}"
    return text.replace(".", ",") if column.format == "," else text
