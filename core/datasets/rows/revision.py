"""A schema with what a client wants of it, checked against the values."""

import difflib
from collections.abc import Sequence
from dataclasses import replace

from core.datasets.faults import MOST, shown
from core.datasets.rows import casting, moments
from core.datasets.rows.schema import DROPPED, TYPES, Column, Schema, Type
from core.datasets.rows.typed import TypedRows
from core.datasets.rows.wanted import Wanted, WantedColumn
from core.errors import Fault, Invalid
from core.settings import Limits

TARGET_VALUES = 20  # a target of no more whole numbers is a category


def revised(rows: TypedRows, schema: Schema, wanted: Wanted, limits: Limits) -> Schema:
    """`schema` with what is wanted. Raises Invalid, with a fault for each thing that cannot be."""
    faults = _unknown(schema, wanted)
    _raise(faults)
    target = wanted.target
    asked = {column.name: (i, column) for i, column in enumerate(wanted.columns)}
    columns = []
    for column in schema.columns:
        place, change = asked.get(column.name, (0, WantedColumn(column.name)))
        if column.name in wanted.drop:
            change = replace(change, drop=True)
        pointer = f"{wanted.base}/{wanted.key}/{place}"
        try:
            columns.append(_changed(rows, column, change, pointer, limits))
        except _Impossible as error:
            faults.append(error.fault)
    _raise(faults)
    if len(asked) == len(columns):
        columns.sort(key=lambda column: asked[column.name][0])
    found = Schema(tuple(columns), target)
    if target is not None:
        chosen = asked.get(target, (0, WantedColumn(target)))[1]
        found = _with_target(rows, found, wanted, explicit=chosen.type is not None)
    if not any(column.learned for column in found.columns):
        message = "no column is left to learn: all are dropped, ids or text"
        _raise([Fault(f"{wanted.base}/{wanted.key}", "nothing_to_learn", message)])
    return found


class _Impossible(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def _raise(faults: Sequence[Fault]) -> None:
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise Invalid(
            f"the schema cannot be so: {faults[0].message}{more}",
            code="schema_invalid" if len({f.code for f in faults}) > 1 else faults[0].code,
            faults=faults[:MOST],
        )


def _unknown(schema: Schema, wanted: Wanted) -> list[Fault]:
    """Names that are no columns, or stand twice."""
    named = [
        (f"{wanted.base}/{wanted.key}/{i}/name", column.name)
        for i, column in enumerate(wanted.columns)
    ]
    doubled = [
        Fault(pointer, "duplicate_column", f"{shown(name)} stands twice")
        for i, (pointer, name) in enumerate(named)
        if name in [earlier for _, earlier in named[:i]]
    ]
    named += [(f"{wanted.base}/drop/{i}", name) for i, name in enumerate(wanted.drop)]
    if wanted.target is not None:
        named.append((f"{wanted.base}/target", wanted.target))
    return doubled + [
        _unknown_column(pointer, name, schema.names)
        for pointer, name in named
        if name not in schema.names
    ]


def _unknown_column(pointer: str, name: str, names: list[str]) -> Fault:
    near = difflib.get_close_matches(name, names, 3) or names[:MOST]
    message = f"there is no column {shown(name)}"
    return Fault(pointer, "unknown_column", message, allowed=tuple(shown(n) for n in near))


def _changed(
    rows: TypedRows, column: Column, change: WantedColumn, pointer: str, limits: Limits
) -> Column:
    kind = change.type or column.type
    new = replace(column, drop=column.drop if change.drop is None else change.drop)
    if kind in DROPPED:
        if change.drop is False:
            message = f"{shown(column.name)}: text cannot be learned; drop it or give another type"
            raise _Impossible(Fault(f"{pointer}/drop", "free_text", message))
        new = replace(new, drop=True)
    elif column.type in DROPPED and change.drop is None and change.type is not None:
        new = replace(new, drop=False)
    new = _typed(rows, new, change, kind, pointer)
    if (new.type, new.format) != (column.type, column.format):
        new = _checked(rows, new, pointer, limits)
    if change.nullable is not None and change.nullable != new.nullable:
        if new.nullable:
            message = f"{shown(column.name)} has missing values"
            raise _Impossible(Fault(f"{pointer}/nullable", "has_missing", message))
        new = replace(new, nullable=True)
    return new


def _typed(
    rows: TypedRows, column: Column, change: WantedColumn, kind: Type, pointer: str
) -> Column:
    """The type, and the format and decimals that go with it."""
    stored = rows.stored[column.name]
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
            message = f"{shown(column.name)}: only numbers are given decimals"
            raise _Impossible(Fault(f"{pointer}/decimals", "not_allowed", message))
        column = replace(column, decimals=change.decimals)
    return column


def _guessed(rows: TypedRows, column: Column) -> Column:
    """How a column of another type is written, as far as its values tell."""
    stored = rows.stored[column.name]
    if column.type == "integer":
        return replace(column, decimals=0)
    if column.type == "number":
        return replace(column, decimals=stored.decimals if stored.type == "integer" else None)
    if column.type == "category" and stored.type in {"integer", "id"}:
        numbers = rows.spool.schema.field(column.name).type == casting.ARROW["integer"]
        plain = numbers and not stored.decimals
        return replace(column, format="integer" if plain else None)
    text = replace(column, type="category", format=None)
    if column.type == "boolean":
        words: set[str] = set()
        for values in rows.column(text):
            words |= set(values.unique().drop_null().to_pylist())
            if len(words) > 2:
                break
        return replace(column, format=casting.pair_of(words))
    if column.type == "datetime":
        evidence = moments.Evidence()
        for values in rows.column(text):
            evidence.add(values.unique().drop_null())
        formats = evidence.formats
        return replace(column, format=formats[0] if formats else None, decimals=evidence.decimals)
    return column


def _check_format(column: Column, format: str, pointer: str) -> None:
    if column.type == "datetime" and moments.parts_of(format):
        return
    if column.type == "number" and format in {",", "."}:
        return
    if column.type == "boolean" and format.count("|") == 1:
        return
    message = f"{shown(column.name)}: this is no format for a column of type {column.type}"
    allowed = moments.DATES if column.type == "datetime" else None
    raise _Impossible(Fault(f"{pointer}/format", "format_unknown", message, allowed=allowed))


def _checked(rows: TypedRows, column: Column, pointer: str, limits: Limits) -> Column:
    """The column, nullable if a value is missing. Raises when a value does not fit the type."""
    start, lost, missing, first, distinct = 0, 0, 0, 0, set[str]()
    stored = rows.stored[column.name]
    for values in rows.spool.column(column.name):
        found = casting.cast(values, stored, column)
        failed = casting.failures(values, found)
        missing += found.null_count
        if not first and failed.any():
            first = start + int(failed.argmax()) + 1
        lost += int(failed.sum())
        start += len(values)
        if column.type == "category" and len(distinct) <= limits.categories_max:
            distinct |= set(found.unique().drop_null().to_pylist())
    if lost:
        where = f"the first in row {first:,}"
        message = f"{shown(column.name)}: {lost:,} values are no {column.type}, {where}"
        allowed = tuple(kind for kind in TYPES if kind != column.type)
        raise _Impossible(Fault(f"{pointer}/type", "type_impossible", message, allowed=allowed))
    if len(distinct) > limits.categories_max:
        message = (
            f"{shown(column.name)} has more than {limits.categories_max:,} different values, too "
            "many for a category"
        )
        raise _Impossible(Fault(f"{pointer}/type", "too_many_categories", message))
    return replace(column, nullable=missing > 0)


def _with_target(rows: TypedRows, schema: Schema, wanted: Wanted, *, explicit: bool) -> Schema:
    assert schema.target is not None  # noqa: S101 - asked for where there is one
    target, pointer = schema[schema.target], f"{wanted.base}/target"
    if not target.learned:
        state = "dropped" if target.drop else "an id, which is not learned"
        message = f"the target {shown(target.name)} is {state}"
        _raise([Fault(pointer, "target_not_learned", message)])
    if target.type == "integer" and not explicit:
        as_category = _guessed(rows, replace(target, type="category", decimals=None))
        values: set[str] = set()
        for part in rows.column(as_category):
            values |= set(part.unique().drop_null().to_pylist())
            if len(values) > TARGET_VALUES:
                return schema
        columns = tuple(as_category if c.name == target.name else c for c in schema.columns)
        return Schema(columns, schema.target)
    return schema
