"""Inference of a column's type from its statistics."""

import re
from dataclasses import dataclass, field, replace

from modalities.tabular import type_casting
from modalities.tabular.schema import Column
from modalities.tabular.upload.column_stats import (
    ProseStats,
    TextColumnStats,
    TypedColumnStats,
    ValueCounts,
)

MIN_ID_ROWS = 20  # fewer values may all be different by coincidence
MAX_DECIMALS = 15

_ID_NAME = re.compile(
    r"(?i:(^|[\W_])(id|uuid|guid|index|idx|rowid|row_?number|pk)$)|[a-z]I[dD]$|^$|^(?i:unnamed)\b"
)
# Free text has on average more characters, or at least this many spaces.
_MIN_PROSE_CHARS = 40
_MIN_PROSE_SPACES = 3
_MAX_CATEGORY_DISTINCT = 0.5  # up to this fraction of different values, long texts are a category


@dataclass
class InferredColumn:
    """A column, and counts and example rows of its exceptional values."""

    column: Column
    missing_markers: int = 0
    mixed: int = 0
    mixed_rows: list[int] = field(default_factory=list)
    non_finite: int = 0
    non_finite_rows: list[int] = field(default_factory=list)
    ambiguous_date_format: bool = False


def infer_text(
    name: str, stats: TextColumnStats, *, decimal_comma: bool, categories_max: int
) -> InferredColumn:
    """Infer the type of an untyped text column."""
    column = _infer_number(name, stats, decimal_comma) or _infer_datetime(name, stats)
    if column is not None:
        non_finite = stats.non_finite if column.type != "datetime" else 0
        read_as_missing = stats.missing_markers + non_finite
        column = replace(column, nullable=stats.missing + read_as_missing > 0)
        is_integer = column.type == "integer" and not read_as_missing
        if is_integer and _are_row_numbers(name, stats.counts, stats.valid):
            column = Column(name, "id", column.nullable)
        formats = stats.datetime_formats.formats if column.type == "datetime" else []
        return InferredColumn(
            column,
            missing_markers=stats.missing_markers,
            non_finite=stats.non_finite if column.type in {"integer", "number"} else 0,
            non_finite_rows=stats.non_finite_rows,
            ambiguous_date_format=len(formats) > 1,
        )
    column = _infer_text_type(name, stats.counts, stats.prose, stats.valid, categories_max)
    column = replace(column, nullable=stats.missing > 0)
    mixed = stats.other if 2 * stats.numbers >= stats.valid and not stats.codes else 0
    return InferredColumn(column, mixed=mixed, mixed_rows=stats.other_rows if mixed else [])


def infer_typed(
    name: str, arrow_type: str, stats: TypedColumnStats, hint: Column, *, categories_max: int
) -> InferredColumn:
    """Infer the type of a column of the Arrow type `arrow_type`; `hint` is the file's own type."""
    inferred = InferredColumn(
        hint, non_finite=stats.non_finite, non_finite_rows=stats.non_finite_rows
    )
    nullable = stats.missing + stats.non_finite > 0
    if arrow_type == "string":
        column = _infer_datetime(name, stats) or _infer_text_type(
            name, stats.counts, stats.prose, stats.valid, categories_max
        )
        inferred.ambiguous_date_format = (
            column.type == "datetime" and len(stats.datetime_formats.formats) > 1
        )
    elif arrow_type == "int64":
        is_id = _are_row_numbers(name, stats.counts, stats.valid)
        column = Column(name, "id") if is_id else Column(name, "integer", decimals=0)
    elif arrow_type == "double":
        column = _infer_double(name, stats, hint)
    elif arrow_type == "bool":
        column = Column(name, "boolean", format="false|true")
    else:
        fraction = ".%f" if stats.decimals else ""
        format = (hint.format or "").replace("%S", f"%S{fraction}")
        column = Column(name, "datetime", decimals=stats.decimals, format=format)
    inferred.column = replace(column, nullable=nullable)
    return inferred


def _infer_double(name: str, stats: TypedColumnStats, hint: Column) -> Column:
    if stats.valid == stats.non_finite:
        return Column(name, "number", decimals=0)
    if stats.integers_only and hint.decimals is None:
        return Column(name, "integer", decimals=1)  # formatted as floats are: 129.0
    decimals = stats.decimals if hint.decimals is None else hint.decimals
    return Column(name, "number", decimals=decimals if decimals <= MAX_DECIMALS else None)


def _infer_number(name: str, stats: TextColumnStats, decimal_comma: bool) -> Column | None:
    present = stats.valid - stats.missing_markers - stats.non_finite
    if present <= 0 or stats.codes:
        return None
    if stats.numbers == present:
        if stats.integers == present:
            return Column(name, "integer", decimals=stats.decimals)
        varying = stats.exponents > 0 or stats.decimals > MAX_DECIMALS
        return Column(name, "number", decimals=None if varying else stats.decimals)
    if decimal_comma and stats.comma_numbers == present and not stats.point_numbers:
        return Column(name, "number", decimals=min(stats.comma_decimals, MAX_DECIMALS), format=",")
    return None


def _infer_datetime(name: str, stats: TextColumnStats | TypedColumnStats) -> Column | None:
    formats = stats.datetime_formats.formats
    if not formats:
        return None
    return Column(name, "datetime", decimals=stats.datetime_formats.decimals, format=formats[0])


def _infer_text_type(
    name: str, counts: ValueCounts, prose: ProseStats, valid: int, categories_max: int
) -> Column:
    """Return a boolean, category, id or free-text column."""
    if not valid:
        return Column(name, "category", nullable=True)
    words = {str(value) for value in counts.values} if counts.distinct <= 2 else set()
    pair = type_casting.boolean_format(words)
    if pair is not None and pair.casefold() == "false|true":
        return Column(name, "boolean", format=pair)
    is_prose = prose.mean_chars > _MIN_PROSE_CHARS or prose.mean_spaces >= _MIN_PROSE_SPACES
    distinct = 1.0 if counts.overflowed and counts.all_unique else counts.distinct / valid
    if valid >= MIN_ID_ROWS and counts.all_unique and not is_prose:
        return Column(name, "id")
    if is_prose and valid >= MIN_ID_ROWS and distinct > _MAX_CATEGORY_DISTINCT:
        return Column(name, "text", exclude=True)
    if counts.overflowed or counts.distinct > categories_max:
        return Column(name, "text", exclude=True)
    if _ID_NAME.search(name) and counts.all_unique:
        return Column(name, "id")
    return Column(name, "category")


def _are_row_numbers(name: str, counts: ValueCounts, valid: int) -> bool:
    """Return True for unique integers that are named like an id or are consecutive."""
    if not counts.all_unique or valid < 2:
        return False
    if _ID_NAME.search(name):
        return True
    numbers = [int(str(value).partition(".")[0]) for value in counts.values]
    return valid >= MIN_ID_ROWS and max(numbers) - min(numbers) + 1 == len(numbers)
