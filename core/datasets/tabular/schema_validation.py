"""A schema with what a client wants of it, checked against the values."""

import difflib
from collections.abc import Sequence
from dataclasses import replace

from core.datasets.errors import MAX_ERRORS, printable
from core.datasets.tabular import datetimes, type_casting
from core.datasets.tabular.schema import COLUMN_TYPES, EXCLUDED_TYPES, Column, ColumnType, Schema
from core.datasets.tabular.schema_overrides import ColumnOverride, SchemaOverrides
from core.datasets.tabular.typed_parquet import TypedParquet
from core.errors import FieldError, ValidationFailed
from core.settings import Limits

MAX_TARGET_CLASSES = 20  # a target of no more whole numbers is a category


def apply_overrides(
    rows: TypedParquet, schema: Schema, overrides: SchemaOverrides, limits: Limits
) -> Schema:
    """`schema` with what is wanted. Raises ValidationFailed, with a fault for each thing that cannot be."""
    faults = _unknown(schema, overrides)
    _raise(faults)
    target = overrides.target
    asked = {column.name: (i, column) for i, column in enumerate(overrides.columns)}
    columns = []
    for column in schema.columns:
        place, change = asked.get(column.name, (0, ColumnOverride(column.name)))
        if column.name in overrides.exclude_columns:
            change = replace(change, exclude=True)
        pointer = f"{overrides.pointer_prefix}/{overrides.columns_key}/{place}"
        try:
            columns.append(_changed(rows, column, change, pointer, limits))
        except _Impossible as error:
            faults.append(error.fault)
    _raise(faults)
    if len(asked) == len(columns):
        columns.sort(key=lambda column: asked[column.name][0])
    found = Schema(tuple(columns), target)
    if target is not None:
        chosen = asked.get(target, (0, ColumnOverride(target)))[1]
        found = _with_target(rows, found, overrides, explicit=chosen.type is not None)
    if not any(column.learned for column in found.columns):
        message = "no column is left to learn: all are dropped, ids or text"
        _raise(
            [
                FieldError(
                    f"{overrides.pointer_prefix}/{overrides.columns_key}",
                    "nothing_to_learn",
                    message,
                )
            ]
        )
    return found


class _Impossible(Exception):
    def __init__(self, fault: FieldError) -> None:
        super().__init__(fault.message)
        self.fault = fault


def _raise(faults: Sequence[FieldError]) -> None:
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise ValidationFailed(
            f"the schema cannot be so: {faults[0].message}{more}",
            code="schema_invalid" if len({f.code for f in faults}) > 1 else faults[0].code,
            field_errors=faults[:MAX_ERRORS],
        )


def _unknown(schema: Schema, wanted: SchemaOverrides) -> list[FieldError]:
    """Names that are no columns, or stand twice."""
    named = [
        (f"{wanted.pointer_prefix}/{wanted.columns_key}/{i}/name", column.name)
        for i, column in enumerate(wanted.columns)
    ]
    doubled = [
        FieldError(pointer, "duplicate_column", f"{printable(name)} stands twice")
        for i, (pointer, name) in enumerate(named)
        if name in [earlier for _, earlier in named[:i]]
    ]
    named += [
        (f"{wanted.pointer_prefix}/exclude_columns/{i}", name)
        for i, name in enumerate(wanted.exclude_columns)
    ]
    if wanted.target is not None:
        named.append((f"{wanted.pointer_prefix}/target", wanted.target))
    return doubled + [
        _unknown_column(pointer, name, schema.names)
        for pointer, name in named
        if name not in schema.names
    ]


def _unknown_column(pointer: str, name: str, names: list[str]) -> FieldError:
    near = difflib.get_close_matches(name, names, 3) or names[:MAX_ERRORS]
    message = f"there is no column {printable(name)}"
    return FieldError(pointer, "unknown_column", message, allowed=tuple(printable(n) for n in near))


def _changed(
    rows: TypedParquet, column: Column, change: ColumnOverride, pointer: str, limits: Limits
) -> Column:
    kind = change.type or column.type
    new = replace(column, exclude=column.exclude if change.exclude is None else change.exclude)
    if kind in EXCLUDED_TYPES:
        if change.exclude is False:
            message = (
                f"{printable(column.name)}: text cannot be learned; drop it or give another type"
            )
            raise _Impossible(FieldError(f"{pointer}/exclude", "free_text", message))
        new = replace(new, exclude=True)
    elif column.type in EXCLUDED_TYPES and change.exclude is None and change.type is not None:
        new = replace(new, exclude=False)
    new = _typed(rows, new, change, kind, pointer)
    if (new.type, new.format) != (column.type, column.format):
        new = _checked(rows, new, pointer, limits)
    if change.nullable is not None and change.nullable != new.nullable:
        if new.nullable:
            message = f"{printable(column.name)} has missing values"
            raise _Impossible(FieldError(f"{pointer}/nullable", "has_missing", message))
        new = replace(new, nullable=True)
    return new


def _typed(
    rows: TypedParquet, column: Column, change: ColumnOverride, kind: ColumnType, pointer: str
) -> Column:
    """The type, and the format and decimals that go with it."""
    stored = rows.stored_columns[column.name]
    if kind != column.type:
        known = stored if stored.type == kind else Column(column.name, kind)
        column = replace(column, type=kind, decimals=known.decimals, format=known.format)
        if known is not stored:
            column = _guessed(rows, column)
    if change.format is not None and change.format != column.format:
        _check_format(column, change.format, pointer)
        column = replace(column, format=change.format)
    if change.decimals is not None and change.decimals != column.decimals:
        if kind != "number":
            message = f"{printable(column.name)}: only numbers are given decimals"
            raise _Impossible(FieldError(f"{pointer}/decimals", "not_allowed", message))
        column = replace(column, decimals=change.decimals)
    return column


def _guessed(rows: TypedParquet, column: Column) -> Column:
    """How a column of another type is written, as far as its values tell."""
    stored = rows.stored_columns[column.name]
    if column.type == "integer":
        return replace(column, decimals=0)
    if column.type == "number":
        return replace(column, decimals=stored.decimals if stored.type == "integer" else None)
    if column.type == "category" and stored.type in {"integer", "id"}:
        numbers = rows.spool.schema.field(column.name).type == type_casting.ARROW_TYPES["integer"]
        plain = numbers and not stored.decimals
        return replace(column, format="integer" if plain else None)
    text = replace(column, type="category", format=None)
    if column.type == "boolean":
        words: set[str] = set()
        for values in rows.column(text):
            words |= set(values.unique().drop_null().to_pylist())
            if len(words) > 2:
                break
        return replace(column, format=type_casting.boolean_format(words))
    if column.type == "datetime":
        evidence = datetimes.DatetimeFormats()
        for values in rows.column(text):
            evidence.add(values.unique().drop_null())
        formats = evidence.formats
        return replace(column, format=formats[0] if formats else None, decimals=evidence.decimals)
    return column


def _check_format(column: Column, format: str, pointer: str) -> None:
    if column.type == "datetime" and datetimes.parse_format(format):
        return
    if column.type == "number" and format in {",", "."}:
        return
    if column.type == "boolean" and format.count("|") == 1:
        return
    message = f"{printable(column.name)}: this is no format for a column of type {column.type}"
    allowed = datetimes.DATE_FORMATS if column.type == "datetime" else None
    raise _Impossible(FieldError(f"{pointer}/format", "format_unknown", message, allowed=allowed))


def _checked(rows: TypedParquet, column: Column, pointer: str, limits: Limits) -> Column:
    """The column, nullable if a value is missing. Raises when a value does not fit the type."""
    start, lost, missing, first, distinct = 0, 0, 0, 0, set[str]()
    stored = rows.stored_columns[column.name]
    for values in rows.spool.column(column.name):
        found = type_casting.cast(values, stored, column)
        failed = type_casting.cast_failures(values, found)
        missing += found.null_count
        if not first and failed.any():
            first = start + int(failed.argmax()) + 1
        lost += int(failed.sum())
        start += len(values)
        if column.type == "category" and len(distinct) <= limits.categories_max:
            distinct |= set(found.unique().drop_null().to_pylist())
    if lost:
        where = f"the first in row {first:,}"
        message = f"{printable(column.name)}: {lost:,} values are no {column.type}, {where}"
        allowed = tuple(kind for kind in COLUMN_TYPES if kind != column.type)
        raise _Impossible(FieldError(f"{pointer}/type", "type_mismatch", message, allowed=allowed))
    if len(distinct) > limits.categories_max:
        message = (
            f"{printable(column.name)} has more than {limits.categories_max:,} different values, too "
            "many for a category"
        )
        raise _Impossible(FieldError(f"{pointer}/type", "too_many_categories", message))
    return replace(column, nullable=missing > 0)


def _with_target(
    rows: TypedParquet, schema: Schema, wanted: SchemaOverrides, *, explicit: bool
) -> Schema:
    assert schema.target is not None  # noqa: S101 - asked for where there is one
    target, pointer = schema[schema.target], f"{wanted.pointer_prefix}/target"
    if not target.learned:
        state = "dropped" if target.exclude else "an id, which is not learned"
        message = f"the target {printable(target.name)} is {state}"
        _raise([FieldError(pointer, "target_not_learned", message)])
    if target.type == "integer" and not explicit:
        as_category = _guessed(rows, replace(target, type="category", decimals=None))
        values: set[str] = set()
        for part in rows.column(as_category):
            values |= set(part.unique().drop_null().to_pylist())
            if len(values) > MAX_TARGET_CLASSES:
                return schema
        columns = tuple(as_category if c.name == target.name else c for c in schema.columns)
        return Schema(columns, schema.target)
    return schema
