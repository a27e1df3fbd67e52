"""From the evidence of a column to its type, and to what there is to say about it."""

import re
from dataclasses import dataclass, field, replace

from core.datasets.tabular import type_casting
from core.datasets.tabular.column_stats import (
    ProseStats,
    TextColumnStats,
    TypedColumnStats,
    ValueCounts,
)
from core.datasets.tabular.schema import Column

MIN_ID_ROWS = 20  # rows; fewer that are all different may be so by chance
MAX_DECIMALS = 15

_ID_NAME = re.compile(
    r"(?i:(^|[\W_])(id|uuid|guid|index|idx|rowid|row_?number|pk)$)|[a-z]I[dD]$|^$|^(?i:unnamed)\b"
)
_PROSE_CHARS = 40
_PROSE_BLANKS = 3
_WORDS_REPEAT = 0.5  # below this share of different values, long texts are a category


@dataclass
class InferredColumn:
    """A column, and what in its values was not as the rest."""

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
    """Of a column of a text file."""
    column = _number(name, stats, decimal_comma) or _moment(name, stats)
    if column is not None:
        lost = stats.missing_markers + (stats.non_finite if column.type != "datetime" else 0)
        column = replace(column, nullable=stats.missing + lost > 0)
        if column.type == "integer" and not lost and _numbered(name, stats.counts, stats.valid):
            column = Column(name, "id", column.nullable)
        formats = stats.datetime_formats.formats if column.type == "datetime" else []
        return InferredColumn(
            column,
            missing_markers=stats.missing_markers,
            non_finite=stats.non_finite if column.type in {"integer", "number"} else 0,
            non_finite_rows=stats.non_finite_rows,
            ambiguous_date_format=len(formats) > 1,
        )
    column = _words(name, stats.counts, stats.prose, stats.valid, categories_max)
    column = replace(column, nullable=stats.missing > 0)
    mixed = stats.other if 2 * stats.numbers >= stats.valid and not stats.codes else 0
    return InferredColumn(column, mixed=mixed, mixed_rows=stats.other_rows if mixed else [])


def infer_typed(
    name: str, arrow_type: str, stats: TypedColumnStats, hint: Column, *, categories_max: int
) -> InferredColumn:
    """Of a column that came with a type; `arrow_type` is its name, `hint` what the file said of it."""
    finding = InferredColumn(
        hint, non_finite=stats.non_finite, non_finite_rows=stats.non_finite_rows
    )
    nullable = stats.missing + stats.non_finite > 0
    if arrow_type == "string":
        column = _moment(name, stats) or _words(
            name, stats.counts, stats.prose, stats.valid, categories_max
        )
        finding.ambiguous_date_format = (
            column.type == "datetime" and len(stats.datetime_formats.formats) > 1
        )
    elif arrow_type == "int64":
        numbered = _numbered(name, stats.counts, stats.valid)
        column = Column(name, "id") if numbered else Column(name, "integer", decimals=0)
    elif arrow_type == "double":
        column = _double(name, stats, hint)
    elif arrow_type == "bool":
        column = Column(name, "boolean", format="false|true")
    else:
        fraction = ".%f" if stats.decimals else ""
        form = (hint.format or "").replace("%S", f"%S{fraction}")
        column = Column(name, "datetime", decimals=stats.decimals, format=form)
    finding.column = replace(column, nullable=nullable)
    return finding


def _double(name: str, seen: TypedColumnStats, hint: Column) -> Column:
    if seen.valid == seen.non_finite:
        return Column(name, "number", decimals=0)
    if seen.whole and hint.decimals is None:
        return Column(name, "integer", decimals=1)  # written as 129.0
    decimals = seen.decimals if hint.decimals is None else hint.decimals
    return Column(name, "number", decimals=decimals if decimals <= MAX_DECIMALS else None)


def _number(name: str, seen: TextColumnStats, decimal_comma: bool) -> Column | None:
    plain = seen.valid - seen.missing_markers - seen.non_finite
    if plain <= 0 or seen.codes:
        return None
    if seen.numbers == plain:
        if seen.whole == plain:
            return Column(name, "integer", decimals=seen.decimals)
        free = seen.exponents > 0 or seen.decimals > MAX_DECIMALS
        return Column(name, "number", decimals=None if free else seen.decimals)
    if decimal_comma and seen.commas == plain and not seen.points:
        return Column(name, "number", decimals=min(seen.comma_decimals, MAX_DECIMALS), format=",")
    return None


def _moment(name: str, seen: TextColumnStats | TypedColumnStats) -> Column | None:
    formats = seen.datetime_formats.formats
    if not formats:
        return None
    return Column(name, "datetime", decimals=seen.datetime_formats.decimals, format=formats[0])


def _words(
    name: str, counts: ValueCounts, words: ProseStats, valid: int, categories_max: int
) -> Column:
    if not valid:
        return Column(name, "category", nullable=True)
    spelled = {str(value) for value in counts.values} if counts.distinct <= 2 else set()
    pair = type_casting.boolean_format(spelled)
    if pair is not None and pair.casefold() == "false|true":
        return Column(name, "boolean", format=pair)
    prose = words.mean_chars > _PROSE_CHARS or words.mean_spaces >= _PROSE_BLANKS
    share = 1.0 if counts.overflowed and counts.all_unique else counts.distinct / valid
    if valid >= MIN_ID_ROWS and counts.all_unique and not prose:
        return Column(name, "id")
    if prose and valid >= MIN_ID_ROWS and share > _WORDS_REPEAT:
        return Column(name, "text", exclude=True)
    if counts.overflowed or counts.distinct > categories_max:
        return Column(name, "text", exclude=True)
    if _ID_NAME.search(name) and counts.all_unique:
        return Column(name, "id")
    return Column(name, "category")


def _numbered(name: str, counts: ValueCounts, valid: int) -> bool:
    """Whole numbers that only tell rows apart."""
    if not counts.all_unique or valid < 2:
        return False
    if _ID_NAME.search(name):
        return True
    numbers = [int(str(value).partition(".")[0]) for value in counts.values]
    return valid >= MIN_ID_ROWS and max(numbers) - min(numbers) + 1 == len(numbers)
