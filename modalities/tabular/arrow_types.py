"""Arrow types of uploaded columns: their names, and conversion of values back to them."""

import re

import numpy as np
import pyarrow as pa

from modalities.tabular.formatting import form_of_moment, form_of_number, format_values
from modalities.tabular.schema import Column

_PARAMETERS = re.compile(r"(?P<name>timestamp|decimal\d+|dictionary)[\[(<](?P<rest>.*)[\])>]")


def parse_arrow_type(name: str) -> pa.DataType:
    """Return the type that `str` writes as `name`.

    Raises:
        ValueError: There is no such type.
    """
    match = _PARAMETERS.fullmatch(name)
    if match is None:
        return pa.type_for_alias(name)
    rest = match["rest"]
    if match["name"] == "timestamp":
        unit, _, zone = rest.partition(", tz=")
        return pa.timestamp(unit, zone or None)
    if match["name"] == "dictionary":
        parts = re.fullmatch(r"values=(.+), indices=(\w+), ordered=([01])", rest)
        if parts is None:
            raise ValueError(f"{name!r} is not an Arrow type")
        indices = pa.type_for_alias(parts[2])
        return pa.dictionary(indices, parse_arrow_type(parts[1]), parts[3] == "1")
    precision, _, scale = rest.partition(", ")
    types = {"32": pa.decimal32, "64": pa.decimal64, "128": pa.decimal128, "256": pa.decimal256}
    try:
        return types[match["name"].removeprefix("decimal")](int(precision), int(scale))
    except KeyError as error:
        raise ValueError(f"{name!r} is not an Arrow type") from error


def output_type(column: Column) -> pa.DataType | None:
    """Return the type of a column in Parquet and Arrow output; None for that of its values."""
    if column.arrow is not None:
        return parse_arrow_type(column.arrow)
    if column.type == "category" and column.format == "integer":
        return pa.int64()
    if column.type == "datetime" and form_of_moment(column).has_zone:
        return pa.timestamp("us", form_of_moment(column).zone or "UTC")
    return None


def to_output_type(values: pa.Array, column: Column) -> pa.Array:
    """Return the values in the Arrow type that was uploaded, with the decimals of the column."""
    target = output_type(column)
    if column.type == "number":
        values = _round(values, column)
    return values if target is None else _cast(values, column, target)


def _round(values: pa.Array, column: Column) -> pa.Array:
    form = form_of_number(column)
    if form.exponent or form.significant or form.scales:
        return form.parse(form.write(values))
    numbers = values.fill_null(0.0).to_numpy(zero_copy_only=False)
    is_missing = values.is_null().to_numpy(zero_copy_only=False)
    return pa.array(np.round(numbers, form.max_decimals), mask=is_missing)


def _cast(values: pa.Array, column: Column, target: pa.DataType) -> pa.Array:
    types = pa.types
    if types.is_dictionary(target):
        return _cast(values, column, target.value_type).dictionary_encode().cast(target)
    if types.is_null(target):
        return pa.nulls(len(values))
    is_text = (
        types.is_string(target) or types.is_large_string(target) or types.is_string_view(target)
    )
    if is_text or (types.is_integer(target) and column.type in {"datetime", "time", "duration"}):
        return format_values(values, column).cast(target)
    if types.is_date(target):
        return values.cast(pa.date32()).cast(target)
    if types.is_timestamp(target):
        return values.cast(pa.timestamp(target.unit), safe=False).cast(pa.int64()).cast(target)
    if types.is_decimal(target):
        wide = (
            pa.decimal256(70, target.scale)
            if types.is_decimal256(target)
            else pa.decimal128(38, target.scale)
        )
        if types.is_integer(values.type) or types.is_string(values.type):
            return values.cast(pa.string()).cast(wide).cast(target)
        return values.cast(wide, safe=False).cast(target)
    if types.is_uint64(target) and types.is_string(values.type):
        return _to_uint64(values)
    return values.cast(target, safe=False)


def _to_uint64(digits: pa.StringArray) -> pa.Array:
    """Return integers; new identifiers of twenty digits that are too large lose the first one."""
    numbers = [None if text is None else int(text) for text in digits.to_pylist()]
    return pa.array([n if n is None or n < 2**64 else n % 10**19 for n in numbers], pa.uint64())
