"""Formatting of column values as the text in which they were uploaded."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from modalities.tabular.forms import durations
from modalities.tabular.forms.moment_formats import parse_format
from modalities.tabular.forms.moments import MomentForm
from modalities.tabular.forms.number_digits import ALL_DIGITS, ALL_DIGITS_TRIMMED
from modalities.tabular.forms.number_patterns import number_form
from modalities.tabular.forms.numbers import NumberForm
from modalities.tabular.schema import INTEGER_TYPES, Column


def format_values(values: pa.Array, column: Column) -> pa.StringArray:
    """Return the values as text, null where missing.

    `values` must have the Arrow type of `column` (see `type_casting.arrow_type`).

    Raises:
        ValueError: The format of the column does not fit its type.
    """
    if column.type in ("integer", "number"):
        return form_of_number(column).write(values)
    if column.type == "boolean":
        false, true = boolean_texts(column)
        return pc.if_else(values, true, false)
    if column.type in ("datetime", "time"):
        return form_of_moment(column).write(values.cast(pa.int64()), column.decimals)
    if column.type == "duration":
        return form_of_duration(column).write(values.cast(pa.int64()), column.decimals)
    return values.cast(pa.string())


def form_of_number(column: Column) -> NumberForm:
    """Return the form of an integer or number column; raise ValueError if it has none."""
    decimals = column.decimals or 0 if column.type == "integer" else column.decimals
    return number_form(column.format, decimals)


def form_of_moment(column: Column) -> MomentForm:
    """Return the form of a datetime or time column; raise ValueError if it has none."""
    default = "%Y-%m-%d" if column.type == "datetime" else "%H:%M:%S"
    form = parse_format(column.format or default)
    if form is None or form.has_date != (column.type == "datetime"):
        raise ValueError(f"{column.format!r} is not a format of the type {column.type}")
    return form


def form_of_duration(column: Column) -> durations.DurationForm:
    """Return the form of a duration column; raise ValueError if it has none."""
    form = durations.parse_duration_format(column.format or durations.DEFAULT_FORMAT)
    if form is None:
        raise ValueError(f"{column.format!r} is not a format of the type duration")
    return form


def boolean_texts(column: Column) -> tuple[str, str]:
    """Return the words for false and for true."""
    false, _, true = (column.format or "false|true").partition("|")
    return false, true


def to_json_values(values: pa.Array, column: Column) -> list[Any]:
    """Return the values for JSON.

    Numbers are numbers if their form is one in JSON; otherwise they are texts in their form, as
    dates and times are.
    """
    if column.type in ("integer", "number"):
        return _numbers(values, column)
    texts = format_values(values, column) if column.type in _TEXT_TYPES else values
    is_integer = column.arrow in INTEGER_TYPES and column.type in _TEXT_TYPES
    is_integer |= column.type in ("category", "id") and column.arrow == "uint64"
    if is_integer or (column.type == "category" and column.format == "integer"):
        return [None if text is None else int(text) for text in texts.to_pylist()]
    return list(texts.to_pylist())


_TEXT_TYPES = ("datetime", "time", "duration")


def _numbers(values: pa.Array, column: Column) -> list[Any]:
    form = form_of_number(column)
    if not form.is_plain or column.arrow == "string":
        return list(form.write(values).to_pylist())
    if pa.types.is_integer(values.type):
        return list(values.to_pylist())
    if form.exponent or form.significant not in (0, ALL_DIGITS, ALL_DIGITS_TRIMMED):
        return [None if text is None else float(text) for text in form.write(values).to_pylist()]
    if form.significant:
        return list(values.to_pylist())
    return [None if v is None else round(v, form.max_decimals) for v in values.to_pylist()]
