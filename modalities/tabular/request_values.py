"""Values of requests, written as in samples, as plain values that a model compares with its own."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any

import pyarrow as pa

from modalities.tabular.formatting import boolean_texts, format_values
from modalities.tabular.forms.moment_formats import parse_format
from modalities.tabular.schema import ORDERED_TYPES, Column
from modalities.tabular.type_casting import parse_texts
from models.tabular.conditions.condition import InvalidValue

_ISO_FORMATS = {
    "datetime": ("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"),
    "time": ("%H:%M:%S.%f", "%H:%M:%S", "%H:%M"),
    "duration": ("[h]:mm:ss.f", "[h]:mm:ss", "PT"),
}

_EXAMPLES = {
    "datetime": pa.scalar(datetime(2024, 5, 31, 14, 30), pa.timestamp("us")),  # noqa: DTZ001
    "time": pa.scalar(time(14, 30), pa.time64("us")),
    "duration": pa.scalar(timedelta(hours=1, minutes=30), pa.duration("us")),
    "integer": pa.scalar(1234),
    "number": pa.scalar(1234.5),
}
_PLAIN_NUMBERS = ("integer", "number")  # if they have no format
_EXAMPLE = ", such as "  # before the examples of a message
_NEEDED_TYPES = ("must be a ", "must be an ")  # beginnings of messages on values of another type


def plain_conditions(columns: Sequence[Column], where: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions by column, with numbers, ISO times and microseconds as values."""
    by_name = {column.name: column for column in columns}
    return {
        name: _plain_spec(by_name[name], spec) if name in by_name else spec
        for name, spec in where.items()
    }


def plain_row(columns: Sequence[Column], row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a partial row with plain values."""
    by_name = {column.name: column for column in columns}
    return {
        name: plain_value(by_name[name], value) if name in by_name else value
        for name, value in row.items()
    }


def _plain_spec(column: Column, spec: Any) -> Any:
    if isinstance(spec, Mapping):
        return {operator: plain_value(column, value) for operator, value in spec.items()}
    if isinstance(spec, list | tuple):
        return [plain_value(column, value) for value in spec]
    return plain_value(column, spec)


def plain_value(column: Column, value: Any) -> Any:
    """Return a text in the form of the column, or in a plain form, as a number or an ISO time.

    Times of day and durations become microseconds. A number is a date or a time only if samples
    show it as one, and a text otherwise, which the model rejects. Other values are unchanged.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_date = column.type in _ISO_FORMATS
    if is_number and (is_date or (column.type in ("category", "id") and isinstance(value, int))):
        value = str(value)
    if column.type == "boolean" and isinstance(value, str):
        words = [word.casefold() for word in boolean_texts(column)]
        return words.index(value.casefold()) == 1 if value.casefold() in words else value
    if not isinstance(value, str) or column.type not in ORDERED_TYPES:
        return value
    forms = [
        column,
        *(Column("", column.type, format=f) for f in _ISO_FORMATS.get(column.type, ())),
    ]
    if not is_date:
        forms.append(Column("", column.type))
    for form in forms:
        parsed = parse_texts(_with_outer_blanks(value), form).drop_null()
        if len(parsed):
            return _to_json(parsed, column)
    return value


def _with_outer_blanks(text: str) -> pa.StringArray:
    """Return the text and the same without and with one outer blank, which forms may have."""
    inner = text.strip()
    return pa.array([text, inner, f"{inner} ", f" {inner}", f" {inner} "])


def describe_invalid(columns: Sequence[Column], error: InvalidValue) -> str:
    """Return the message on an invalid value, in which values have the form of the column."""
    column = next((each for each in columns if each.name == error.column), None)
    if error.alternatives is None or column is None:
        return with_example(columns, error.column, str(error))
    texts = format_values(error.alternatives.values, column).to_pylist()
    return error.reason + error.alternatives.describe([str(text).strip() for text in texts])


def with_example(columns: Sequence[Column], name: str, message: str) -> str:
    """Return a message on a value of another type, with an example of the column's own.

    It has the form of the column, as samples do. Other messages are unchanged, such as those on
    plain numbers.
    """
    column = next((each for each in columns if each.name == name), None)
    kind, separator, plain = message.partition(_EXAMPLE)
    if column is None or column.type not in _EXAMPLES or not kind.startswith(_NEEDED_TYPES):
        return message
    shown = format_values(pa.array([_EXAMPLES[column.type]]), column)[0].as_py().strip()
    if column.type in _PLAIN_NUMBERS:
        return f"{kind}{_EXAMPLE}{shown}" if column.format else message
    if not separator or shown in plain.split(" or "):
        return message
    return f"{kind}{_EXAMPLE}{shown}, or {plain}"


def _to_json(parsed: pa.Array, column: Column) -> Any:
    if column.type == "datetime":
        form = parse_format("%Y-%m-%dT%H:%M:%S.%f")
        assert form is not None  # noqa: S101 - a constant
        return form.write(parsed.cast(pa.int64()))[0].as_py()
    if column.type in ("time", "duration"):
        return parsed.cast(pa.int64())[0].as_py()
    return parsed[0].as_py()
