"""From the evidence of a column to its type, and to what there is to say about it."""

import re
from dataclasses import dataclass, field, replace

from core.datasets.rows import casting
from core.datasets.rows.evidence import Counts, TextEvidence, TypedEvidence, Words
from core.datasets.rows.schema import Column

IDS_FROM = 20  # rows; fewer that are all different may be so by chance
DECIMALS_MAX = 15

_ID_NAME = re.compile(
    r"(?i:(^|[\W_])(id|uuid|guid|index|idx|rowid|row_?number|pk)$)|[a-z]I[dD]$|^$|^(?i:unnamed)\b"
)
_PROSE_CHARS = 40
_PROSE_BLANKS = 3
_WORDS_REPEAT = 0.5  # below this share of different values, long texts are a category


@dataclass
class Finding:
    """A column, and what in its values was not as the rest."""

    column: Column
    tokens: int = 0
    mixed: int = 0
    mixed_rows: list[int] = field(default_factory=list)
    non_finite: int = 0
    non_finite_rows: list[int] = field(default_factory=list)
    day_or_month: bool = False


def infer_text(
    name: str, seen: TextEvidence, *, decimal_comma: bool, categories_max: int
) -> Finding:
    """Of a column of a text file."""
    column = _number(name, seen, decimal_comma) or _moment(name, seen)
    if column is not None:
        lost = seen.tokens + (seen.non_finite if column.type != "datetime" else 0)
        column = replace(column, nullable=seen.missing + lost > 0)
        if column.type == "integer" and not lost and _numbered(name, seen.counts, seen.valid):
            column = Column(name, "id", column.nullable)
        formats = seen.times.formats if column.type == "datetime" else []
        return Finding(
            column,
            tokens=seen.tokens,
            non_finite=seen.non_finite if column.type in {"integer", "number"} else 0,
            non_finite_rows=seen.non_finite_rows,
            day_or_month=len(formats) > 1,
        )
    column = _words(name, seen.counts, seen.words, seen.valid, categories_max)
    column = replace(column, nullable=seen.missing > 0)
    mixed = seen.odd if 2 * seen.numbers >= seen.valid and not seen.codes else 0
    return Finding(column, mixed=mixed, mixed_rows=seen.odd_rows if mixed else [])


def infer_typed(
    name: str, arrow: str, seen: TypedEvidence, hint: Column, *, categories_max: int
) -> Finding:
    """Of a column that came with a type; `arrow` is its name, `hint` what the file said of it."""
    finding = Finding(hint, non_finite=seen.non_finite, non_finite_rows=seen.non_finite_rows)
    nullable = seen.missing + seen.non_finite > 0
    if arrow == "string":
        column = _moment(name, seen) or _words(
            name, seen.counts, seen.words, seen.valid, categories_max
        )
        finding.day_or_month = column.type == "datetime" and len(seen.times.formats) > 1
    elif arrow == "int64":
        numbered = _numbered(name, seen.counts, seen.valid)
        column = Column(name, "id") if numbered else Column(name, "integer", decimals=0)
    elif arrow == "double":
        column = _double(name, seen, hint)
    elif arrow == "bool":
        column = Column(name, "boolean", format="false|true")
    else:
        fraction = ".%f" if seen.decimals else ""
        form = (hint.format or "").replace("%S", f"%S{fraction}")
        column = Column(name, "datetime", decimals=seen.decimals, format=form)
    finding.column = replace(column, nullable=nullable)
    return finding


def _double(name: str, seen: TypedEvidence, hint: Column) -> Column:
    if seen.valid == seen.non_finite:
        return Column(name, "number", decimals=0)
    if seen.whole and hint.decimals is None:
        return Column(name, "integer", decimals=1)  # written as 129.0
    decimals = seen.decimals if hint.decimals is None else hint.decimals
    return Column(name, "number", decimals=decimals if decimals <= DECIMALS_MAX else None)


def _number(name: str, seen: TextEvidence, decimal_comma: bool) -> Column | None:
    plain = seen.valid - seen.tokens - seen.non_finite
    if plain <= 0 or seen.codes:
        return None
    if seen.numbers == plain:
        if seen.whole == plain:
            return Column(name, "integer", decimals=seen.decimals)
        free = seen.exponents > 0 or seen.decimals > DECIMALS_MAX
        return Column(name, "number", decimals=None if free else seen.decimals)
    if decimal_comma and seen.commas == plain and not seen.points:
        return Column(name, "number", decimals=min(seen.comma_decimals, DECIMALS_MAX), format=",")
    return None


def _moment(name: str, seen: TextEvidence | TypedEvidence) -> Column | None:
    formats = seen.times.formats
    if not formats:
        return None
    return Column(name, "datetime", decimals=seen.times.decimals, format=formats[0])


def _words(name: str, counts: Counts, words: Words, valid: int, categories_max: int) -> Column:
    if not valid:
        return Column(name, "category", nullable=True)
    spelled = {str(value) for value in counts.values} if counts.distinct <= 2 else set()
    pair = casting.pair_of(spelled)
    if pair is not None and pair.casefold() == "false|true":
        return Column(name, "boolean", format=pair)
    prose = words.mean_chars > _PROSE_CHARS or words.mean_blanks >= _PROSE_BLANKS
    share = 1.0 if counts.full and counts.unique else counts.distinct / valid
    if valid >= IDS_FROM and counts.unique and not prose:
        return Column(name, "id")
    if prose and valid >= IDS_FROM and share > _WORDS_REPEAT:
        return Column(name, "text", drop=True)
    if counts.full or counts.distinct > categories_max:
        return Column(name, "text", drop=True)
    if _ID_NAME.search(name) and counts.unique:
        return Column(name, "id")
    return Column(name, "category")


def _numbered(name: str, counts: Counts, valid: int) -> bool:
    """Whole numbers that only tell rows apart."""
    if not counts.unique or valid < 2:
        return False
    if _ID_NAME.search(name):
        return True
    numbers = [int(str(value).partition(".")[0]) for value in counts.values]
    return valid >= IDS_FROM and max(numbers) - min(numbers) + 1 == len(numbers)
