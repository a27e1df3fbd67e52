"""Application of schema overrides, checked against the values of the table."""

import difflib
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from core.datasets.errors import MAX_ERRORS, printable
from core.errors import FieldError, ValidationFailed
from core.limits import Limits
from modalities.tabular import type_casting
from modalities.tabular.formatting import form_of_duration, form_of_moment, form_of_number
from modalities.tabular.forms.durations import DURATION_FORMATS
from modalities.tabular.forms.number_patterns import pattern_of
from modalities.tabular.schema import (
    COLUMN_TYPES,
    EXCLUDED_TYPES,
    IDENTIFIER_KINDS,
    Column,
    ColumnType,
    Schema,
)
from modalities.tabular.typed_parquet import TypedParquet
from modalities.tabular.upload.schema_overrides import ColumnOverride, SchemaOverrides
from modalities.tabular.upload.types.candidate_search import find_candidates
from modalities.tabular.upload.types.column_stats import SAMPLED_GROUPS, SAMPLED_TEXTS
from modalities.tabular.upload.types.identifier_kinds import kind_of_texts

# Formats that an error message suggests.
_EXAMPLES: dict[str, tuple[str, ...]] = {
    "integer": ("0", "#,##0", "$#,##0", "+0", "#,##0;(#,##0)"),
    "number": ("0.00", "0,00", "#,##0.00", "#.##0,00 €", "0.0%", "0.000e+00"),
    "datetime": ("%Y-%m-%d", "%-m/%-d/%Y", "%d.%m.%Y %H:%M", "%Y-%m", "%YQ%q", "%s"),
    "time": ("%H:%M", "%H:%M:%S", "%-I:%M %p"),
    "duration": DURATION_FORMATS,
    "id": IDENTIFIER_KINDS,
    "category": ("low|medium|high",),
}
MAX_TARGET_CLASSES = 20  # an integer target with at most this many values becomes a category


def apply_overrides(
    rows: TypedParquet, schema: Schema, overrides: SchemaOverrides, limits: Limits
) -> Schema:
    """Return `schema` with the overrides applied.

    Raises:
        ValidationFailed: Some overrides are not possible; each has its field error.
    """
    errors = _find_name_errors(schema, overrides)
    _raise_if_any(errors)
    target = overrides.target
    requested = {column.name: (i, column) for i, column in enumerate(overrides.columns)}
    columns = []
    for column in schema.columns:
        index, override = requested.get(column.name, (0, ColumnOverride(column.name)))
        if column.name in overrides.exclude_columns:
            override = replace(override, exclude=True)
        pointer = f"{overrides.pointer_prefix}/{overrides.columns_key}/{index}"
        try:
            columns.append(_apply_override(rows, column, override, pointer, limits))
        except _OverrideError as error:
            errors.append(error.field_error)
    _raise_if_any(errors)
    if len(requested) == len(columns):
        columns.sort(key=lambda column: requested[column.name][0])
    result = Schema(tuple(columns), target)
    if target is not None:
        override = requested.get(target, (0, ColumnOverride(target)))[1]
        result = _with_target(rows, result, overrides, explicit=override.type is not None)
    if not any(column.in_samples for column in result.columns):
        message = "No column is left for samples: all columns are excluded or free text."
        if len(result.columns) == 1:
            message += " The table has one column. If it has more, set `read.delimiter`."
        _raise_if_any(
            [
                FieldError(
                    f"{overrides.pointer_prefix}/{overrides.columns_key}",
                    "nothing_to_learn",
                    message,
                )
            ]
        )
    return result


class _OverrideError(Exception):
    def __init__(self, field_error: FieldError) -> None:
        super().__init__(field_error.message)
        self.field_error = field_error


def _raise_if_any(errors: Sequence[FieldError]) -> None:
    if errors:
        more = f" (First of {len(errors)} errors.)" if len(errors) > 1 else ""
        raise ValidationFailed(
            f"The schema is invalid. {errors[0].message}{more}",
            code="schema_invalid" if len({e.code for e in errors}) > 1 else errors[0].code,
            field_errors=errors[:MAX_ERRORS],
        )


def _find_name_errors(schema: Schema, overrides: SchemaOverrides) -> list[FieldError]:
    """Return errors for column names that do not exist or are listed twice."""
    named = [
        (f"{overrides.pointer_prefix}/{overrides.columns_key}/{i}/name", column.name)
        for i, column in enumerate(overrides.columns)
    ]
    duplicates = [
        FieldError(
            pointer,
            "duplicate_column",
            f"Column {printable(name)} is listed twice; remove one of the two.",
        )
        for i, (pointer, name) in enumerate(named)
        if name in [earlier for _, earlier in named[:i]]
    ]
    named += [
        (f"{overrides.pointer_prefix}/exclude_columns/{i}", name)
        for i, name in enumerate(overrides.exclude_columns)
    ]
    if overrides.target is not None:
        named.append((f"{overrides.pointer_prefix}/target", overrides.target))
    return duplicates + [
        _unknown_column(pointer, name, schema.names)
        for pointer, name in named
        if name not in schema.names
    ]


def _unknown_column(pointer: str, name: str, names: list[str]) -> FieldError:
    similar = difflib.get_close_matches(name, names, 3) or names[:MAX_ERRORS]
    message = f"There is no column {printable(name)}."
    allowed = tuple(printable(name) for name in similar)
    return FieldError(pointer, "unknown_column", message, allowed=allowed)


def _apply_override(
    rows: TypedParquet, column: Column, override: ColumnOverride, pointer: str, limits: Limits
) -> Column:
    override = _with_identifier_choice(rows, column, override)
    new_type = override.type or column.type
    exclude = column.exclude if override.exclude is None else override.exclude
    new = replace(column, exclude=exclude)
    if new_type in EXCLUDED_TYPES:
        if override.exclude is False:
            message = (
                f"Column {printable(column.name)} is free text, which cannot be learned; exclude "
                "it, or set another `type`."
            )
            raise _OverrideError(FieldError(f"{pointer}/exclude", "free_text", message))
        new = replace(new, exclude=True)
    elif column.type in EXCLUDED_TYPES and override.exclude is None and override.type is not None:
        new = replace(new, exclude=False)
    new = _with_type(rows, new, override, new_type, pointer)
    if (new.type, new.format) != (column.type, column.format):
        new = _check_values(rows, new, pointer, limits)
    if override.nullable is not None and override.nullable != new.nullable:
        if new.nullable:
            message = (
                f"Column {printable(column.name)} has missing values, so `nullable` cannot be "
                "false."
            )
            raise _OverrideError(FieldError(f"{pointer}/nullable", "has_missing", message))
        new = replace(new, nullable=True)
    return new if override.missing is None else replace(new, missing=override.missing)


def _with_identifier_choice(
    rows: TypedParquet, column: Column, override: ColumnOverride
) -> ColumnOverride:
    """Return the override with the type that follows from `identifier`."""
    if override.identifier is None:
        return override
    if override.identifier == "drop":
        return replace(override, exclude=True)
    if override.identifier == "regenerate":
        return replace(override, type="id", exclude=False)
    is_integer = rows.spool.schema.field(column.name).type == pa.int64()
    return replace(override, type="integer" if is_integer else "category", exclude=False)


def _with_type(
    rows: TypedParquet, column: Column, override: ColumnOverride, new_type: ColumnType, pointer: str
) -> Column:
    """Return the column with its new type, format and decimals."""
    stored = rows.stored_columns[column.name]
    if new_type != column.type:
        template = stored if stored.type == new_type else Column(column.name, new_type)
        column = replace(column, type=new_type, decimals=template.decimals, format=template.format)
        if template is not stored:
            column = _infer_format(rows, column)
    if override.format is not None and override.format != column.format:
        _check_format(column, override.format, pointer)
        column = replace(column, format=override.format)
        if new_type in ("integer", "number"):
            form = form_of_number(column)
            varying = form.significant or form.exponent or form.scales
            column = replace(column, decimals=None if varying else form.max_decimals)
    if override.decimals is not None and override.decimals != column.decimals:
        if new_type != "number":
            message = (
                f"Column {printable(column.name)} has the type {new_type}; `decimals` applies to "
                "the type number only."
            )
            raise _OverrideError(FieldError(f"{pointer}/decimals", "not_allowed", message))
        format = column.format and pattern_of(
            form_of_number(column).with_decimals(override.decimals)
        )
        column = replace(column, decimals=override.decimals, format=format)
    return column


def _infer_format(rows: TypedParquet, column: Column) -> Column:
    """Return the column with the format and decimals that its values suggest for its new type."""
    stored = rows.stored_columns[column.name]
    if column.type == "integer":
        return replace(column, decimals=0)
    if column.type == "number":
        is_integer = stored.type == "integer"
        return replace(
            column,
            decimals=stored.decimals if is_integer else None,
            format=stored.format if is_integer else None,
        )
    if column.type == "category" and stored.type in {"integer", "id"}:
        field = rows.spool.schema.field(column.name)
        is_integer = field.type == pa.int64() and not stored.decimals
        return replace(column, format="integer" if is_integer else None)
    text = replace(column, type="category", format=None)
    if column.type == "id":
        return replace(column, format=kind_of_texts(column.name, _sample_texts(rows, text)))
    if column.type == "boolean":
        words: set[str] = set()
        for values in rows.column(text):
            words |= set(values.unique().drop_null().to_pylist())
            if len(words) > 2:
                break
        return replace(column, format=type_casting.boolean_format(words))
    if column.type in ("datetime", "time", "duration"):
        sample = _sample_texts(rows, text)
        readers = (each.reader.columns(column.name)[0] for each in find_candidates("", sample))
        found = next((each for each in readers if each.type == column.type), column)
        return replace(column, format=found.format, decimals=found.decimals)
    return column


def _sample_texts(rows: TypedParquet, text: Column) -> list[str]:
    sample: list[str] = []
    for values in rows.column(text):
        sample += values.unique().drop_null().slice(0, SAMPLED_TEXTS).to_pylist()
        if len(sample) >= SAMPLED_GROUPS * SAMPLED_TEXTS:
            break
    return sample


def _check_format(column: Column, format: str, pointer: str) -> None:
    new = replace(column, format=format)
    try:
        if column.type in ("integer", "number"):
            form = form_of_number(new)
            if column.type == "number" or not (form.max_decimals or form.exponent):
                return
        elif column.type in ("datetime", "time"):
            form_of_moment(new)
            return
        elif column.type == "duration":
            form_of_duration(new)
            return
        elif (
            (column.type == "category" and len(set(format.split("|"))) > 1)
            or (column.type == "boolean" and format.count("|") == 1)
            or (column.type == "id" and format in IDENTIFIER_KINDS)
        ):
            return
    except ValueError:
        pass
    message = (
        f"The `format` of column {printable(column.name)} is not supported for the type "
        f"{column.type}."
    )
    raise _OverrideError(
        FieldError(
            f"{pointer}/format", "format_unknown", message, allowed=_EXAMPLES.get(column.type)
        )
    )


def _check_values(rows: TypedParquet, column: Column, pointer: str, limits: Limits) -> Column:
    """Return the column, nullable if a value is missing.

    Raises:
        _OverrideError: A value does not fit the type, or a category has too many values.
    """
    start, failures, missing, first_row, distinct = 0, 0, 0, 0, set[str]()
    stored = rows.stored_columns[column.name]
    for values in rows.spool.column(column.name):
        converted = type_casting.cast(values, stored, column)
        failed = type_casting.cast_failures(values, converted)
        missing += converted.null_count
        if not first_row and failed.any():
            first_row = start + int(failed.argmax()) + 1
        failures += int(failed.sum())
        start += len(values)
        if column.type == "category" and len(distinct) <= limits.categories_max:
            distinct |= set(converted.unique().drop_null().to_pylist())
    if column.type == "category" and "|" in (column.format or ""):
        _check_order(column, distinct, pointer)
    if failures:
        message = (
            f"Column {printable(column.name)} has {failures:,} values that do not fit the type "
            f"{column.type}; the first is in row {first_row:,}."
        )
        allowed = tuple(each for each in COLUMN_TYPES if each != column.type)
        error = FieldError(f"{pointer}/type", "type_mismatch", message, allowed=allowed)
        raise _OverrideError(error)
    if len(distinct) > limits.categories_max:
        message = (
            f"Column {printable(column.name)} has too many different values for a category; the "
            f"limit is {limits.categories_max:,}."
        )
        raise _OverrideError(FieldError(f"{pointer}/type", "too_many_categories", message))
    return replace(column, nullable=missing > 0)


def _check_order(column: Column, values: set[str], pointer: str) -> None:
    """Raise _OverrideError if the order of a category lacks a value of the column."""
    lacking = sorted(values - set(str(column.format).split("|")))
    if lacking:
        message = (
            f"The order in `format` of column {printable(column.name)} lacks {len(lacking):,} of "
            "its values. List all values in ascending order, separated by |."
        )
        allowed = tuple(printable(value) for value in lacking[:MAX_ERRORS])
        raise _OverrideError(FieldError(f"{pointer}/format", "format_unknown", message, allowed))


def _with_target(
    rows: TypedParquet, schema: Schema, overrides: SchemaOverrides, *, explicit: bool
) -> Schema:
    """Check the target. An integer target with few values becomes a category.

    `explicit`: the client sets the type of the target, which then stays unchanged.
    """
    assert schema.target is not None  # noqa: S101 - the caller checks it
    target, pointer = schema[schema.target], f"{overrides.pointer_prefix}/target"
    if not target.learned:
        reason = "excluded" if target.exclude else "an identifier, which is not learned"
        message = f"The target {printable(target.name)} is {reason}; set another target or type."
        _raise_if_any([FieldError(pointer, "target_not_learned", message)])
    if target.type == "integer" and not explicit:
        as_category = _infer_format(rows, replace(target, type="category", decimals=None))
        values: set[str] = set()
        for batch in rows.column(as_category):
            values |= set(batch.unique().drop_null().to_pylist())
            if len(values) > MAX_TARGET_CLASSES:
                return schema
        columns = tuple(as_category if c.name == target.name else c for c in schema.columns)
        return Schema(columns, schema.target)
    return schema
