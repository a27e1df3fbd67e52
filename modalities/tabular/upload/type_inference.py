"""Inference of a column's type from its statistics."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from modalities.tabular import type_casting
from modalities.tabular.formatting import form_of_number
from modalities.tabular.forms.durations import DEFAULT_FORMAT
from modalities.tabular.schema import Column, ColumnType
from modalities.tabular.upload.column_stats import (
    ProseStats,
    TextColumnStats,
    TypedColumnStats,
    ValueCounts,
)
from modalities.tabular.upload.form_candidates import FormCandidate, value_class
from modalities.tabular.upload.identifier_kinds import (
    MAX_EXAMINED,
    MIN_ID_ROWS,
    is_nearly_unique,
    is_personal,
    kind_of_texts,
)
from modalities.tabular.upload.ordered_categories import order_of
from modalities.tabular.upload.quantities import are_quantities, contain_numbers
from models.tabular.id_things import MAX_WORDS, have_few_shapes
from models.tabular.public_words import are_listed

MAX_DECIMALS = 15
MAX_LISTED = 1_000  # different texts; no public list is longer

_ID_NAME = re.compile(
    r"(?i:(^|[\W_])(id|uuid|guid|index|idx|rowid|row_?number|pk)$)|[a-z]I[dD]$|^$|^(?i:unnamed)\b"
)
# Names of unique numbers that end in `id`, such as geonameid, but are not words, such as humid.
_JOINED_ID_NAME = re.compile(
    r"(?i)[a-z]{2}id$(?<!aid|bid)(?<!grid|acid|void)(?<!fluid|covid|solid|humid|valid|rapid|lipid)"
    r"(?<!liquid|hybrid)(?<!thyroid)"
)
# Free text has on average more characters, or at least this many spaces.
_MIN_PROSE_CHARS = 40
_MIN_PROSE_SPACES = 3
_MIN_RARE = 0.8  # share of different texts that occur once, of prose among other texts
_MAX_TITLE_CHARS, _MAX_TITLE_SPACES = 60, 9  # of names of things, such as titles
_MAX_CATEGORY_DISTINCT = 0.5  # up to this fraction of different values, long texts are a category
# Unique numbers with such a name, and of several digits, identify rows, too.
_NUMBER_NAME = re.compile(
    r"(?i)(?:^|[\W_])(?:no|nr|num|number|nummer|key|ref|sku|ean|gtin|isbn|ssn|account|acct|"
    r"barcode|phone|tel|mobile|fax|zip4|license|matricule)$|(?-i:[a-z](?:No|Nr|Number|Key|Ref))$"
)
_MIN_NUMBER = 1_000
_MIN_FITTING = 0.7  # share of numbers or times in a column that would be an identifier as text
# Consecutive numbers with such a name say something about their row.
_RANK_NAME = re.compile(
    r"(?i)(?:^|[\W_])(?:rank|ranking|rang|position|pos|place|platz|overall|order|pick|seed|week|month|"
    r"day|hour|minute|second|age|year|step|lap|round|stage|level|score|points|temperature|time)$"
)
_MIN_CODE_DIGITS = 11
_EPOCH = (10**9, 2_100_000_000)  # plausible seconds since 1970
_JSON = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_MIN_JSON = 0.9  # share of the texts
_YEARS = range(1500, 2200)  # consecutive years are not row numbers


@dataclass
class InferredColumn:
    """A column, and counts and example rows of its exceptional values.

    `readers` are the columns that read the texts: if dates have several forms, there are several.
    `other_formats` are formats that fit all texts equally well.
    """

    column: Column
    readers: tuple[Column, ...] = ()
    missing_markers: int = 0
    marker_rows: list[int] = field(default_factory=list)
    odd: int = 0  # values that do not have the form of the column and become missing
    odd_rows: list[int] = field(default_factory=list)
    odd_classes: list[str] = field(default_factory=list)
    mixed: int = 0  # values that prevent a number or date column
    mixed_rows: list[int] = field(default_factory=list)
    mixed_form: str = ""  # of the other values
    non_finite: int = 0
    non_finite_rows: list[int] = field(default_factory=list)
    changed: int = 0  # times that are written otherwise, such as 24:00
    changed_rows: list[int] = field(default_factory=list)
    quantity_class: str = ""  # of texts that contain numbers, but are not read as numbers
    markers: Counter[str] = field(default_factory=Counter)  # words that are read as missing
    other_formats: tuple[str, ...] = ()
    offsets: tuple[str, ...] = ()  # time zone offsets that one column cannot keep


def infer_text(name: str, stats: TextColumnStats, *, categories_max: int) -> InferredColumn:
    """Infer the type of a text column."""
    distinct = stats.counts.distinct
    accepted = [
        candidate
        for candidate in stats.candidates
        if candidate.is_accepted or candidate.odd_word(distinct) is not None
    ]
    if accepted:
        # The sort is stable: of equally good candidates, the first is the most likely.
        best = min(accepted, key=lambda candidate: candidate.odd)
        if best.offsets:
            column = Column(name, "text", nullable=stats.missing > 0, exclude=True)
            return InferredColumn(column, offsets=best.offsets)
        equal = [candidate for candidate in accepted if candidate.odd == best.odd]
        return _infer_form(name, stats, best, equal)
    column = _infer_text_type(name, stats.counts, stats.prose, stats.valid, categories_max)
    column = replace(column, nullable=stats.missing > 0)
    texts = [str(value) for value in stats.counts.values]
    nearly = [
        candidate
        for candidate in stats.candidates
        if 2 * candidate.fitting >= stats.valid and not candidate.has_codes
    ]
    if not nearly:
        if column.type == "category" and not stats.counts.overflowed:
            column = replace(column, format=order_of(texts))
        quantities = column.format == "quantity" or (
            column.type == "category" and column.format is None and contain_numbers(texts)
        )
        example = value_class(texts[0]) if quantities else ""
        return InferredColumn(column, quantity_class=example)
    nearest = min(nearly, key=lambda candidate: candidate.odd)
    is_code = column.type == "id" and column.format in (None, "quantity")
    if is_code and nearest.fitting >= _MIN_FITTING * (nearest.fitting + nearest.odd):
        return _infer_form(name, stats, nearest, [nearest])
    form = nearest.reader.columns(name)[0]
    return InferredColumn(
        column,
        mixed=nearest.odd,
        mixed_rows=nearest.odd_rows,
        odd_classes=nearest.odd_classes,
        mixed_form=_shown_format(form),
    )


def _shown_format(column: Column) -> str:
    if column.type in ("integer", "number"):
        return form_of_number(column).pattern
    return column.format or ""


def _infer_form(
    name: str, stats: TextColumnStats, best: FormCandidate, equal: Sequence[FormCandidate]
) -> InferredColumn:
    """Return a number or time column with the form of `best`; `equal` forms fit as well."""
    readers = best.reader.columns(name)
    odd_word = best.odd_word(stats.counts.distinct)
    lost = stats.markers.total() + best.odd + best.non_finite
    column = replace(readers[0], nullable=stats.missing + lost > 0)
    formats = [
        _shown_format(each.reader.columns(name)[0])
        for each in equal
        if type(each.reader) is type(best.reader) and each.is_likely
    ]
    own_format = _shown_format(readers[0])
    is_plain_integer = column.type == "integer" and column.format is None and not lost
    if is_plain_integer and _are_row_numbers(name, stats.counts, stats.valid):
        arrow = None if column.decimals else "int64"
        column = Column(name, "id", column.nullable, arrow=arrow)
    return InferredColumn(
        column,
        readers=(column, *readers[1:]),
        missing_markers=stats.markers.total(),
        marker_rows=stats.marker_rows,
        markers=stats.markers + Counter({odd_word: best.odd} if odd_word else {}),
        odd=best.odd,
        odd_rows=best.odd_rows,
        odd_classes=best.odd_classes,
        changed=best.changed,
        changed_rows=best.changed_rows,
        non_finite=best.non_finite,
        non_finite_rows=best.non_finite_rows,
        other_formats=tuple(format for format in formats if format != own_format),
    )


def infer_typed(
    name: str, arrow_type: str, stats: TypedColumnStats, hint: Column
) -> InferredColumn:
    """Infer the type of a column of the Arrow type `arrow_type`; `hint` is the file's own type."""
    inferred = InferredColumn(
        hint, non_finite=stats.non_finite, non_finite_rows=stats.non_finite_rows
    )
    nullable = stats.missing + stats.non_finite > 0
    if arrow_type == "int64":
        is_id = _are_row_numbers(name, stats.counts, stats.valid)
        column = Column(name, "id", arrow="int64") if is_id else Column(name, "integer", decimals=0)
    elif arrow_type == "double":
        column = _infer_double(name, stats, hint)
    elif arrow_type == "bool":
        column = Column(name, "boolean", format="false|true")
    elif arrow_type.startswith("duration"):
        format = DEFAULT_FORMAT + (".f" if stats.decimals else "")
        column = Column(name, "duration", decimals=stats.decimals, format=format)
    else:
        fraction = ".%f" if stats.decimals else ""
        format = (hint.format or "").replace("%S", f"%S{fraction}")
        type_: ColumnType = "time" if arrow_type.startswith("time64") else "datetime"
        column = Column(name, type_, decimals=stats.decimals, format=format)
    inferred.column = replace(column, nullable=nullable)
    return inferred


def _infer_double(name: str, stats: TypedColumnStats, hint: Column) -> Column:
    if stats.valid == stats.non_finite:
        return Column(name, "number", decimals=0)
    if stats.integers_only and hint.decimals is None:
        return Column(name, "integer", decimals=1)  # formatted as floats are: 129.0
    decimals = stats.decimals if hint.decimals is None else hint.decimals
    return Column(name, "number", decimals=decimals if decimals <= MAX_DECIMALS else None)


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
    distinct = valid if counts.overflowed and counts.all_unique else counts.distinct
    identifier = _infer_identifier(name, counts, distinct, valid, prose)
    is_kind = identifier is not None and identifier.format is not None
    is_rare = is_nearly_unique(distinct, valid) or distinct > categories_max
    is_rare = is_rare or (is_prose and distinct >= MIN_ID_ROWS)
    if not is_kind and is_rare and _are_json(counts):
        return Column(name, "text", exclude=True)
    if not is_kind and is_rare and are_quantities([str(value) for value in counts.values]):
        return Column(name, "id", format="quantity")
    if identifier is not None:
        return identifier
    if is_prose and valid >= MIN_ID_ROWS and distinct > _MAX_CATEGORY_DISTINCT * valid:
        return Column(name, "text", exclude=True)
    if _has_rare_prose(counts):
        return Column(name, "text", exclude=True)
    if counts.overflowed or counts.distinct > categories_max:
        return Column(name, "text" if is_prose else "id", exclude=is_prose)
    if _ID_NAME.search(name) and counts.all_unique:
        return Column(name, "id")
    return Column(name, "category")


def _are_json(counts: ValueCounts) -> bool:
    """Return True for lists and objects, of which no new ones are composed."""
    texts = [str(value) for value in counts.values]
    return sum(_JSON.fullmatch(text) is not None for text in texts) >= _MIN_JSON * len(texts)


def _has_rare_prose(counts: ValueCounts) -> bool:
    """Return True if most of the different texts are long and occur once."""
    if counts.distinct < MIN_ID_ROWS:
        return False
    rare = [str(value) for value, count in counts.values.items() if count == 1]
    chars = sum(map(len, rare)) / max(1, len(rare))
    return len(rare) > _MIN_RARE * len(counts.values) and chars > _MIN_PROSE_CHARS


def _infer_identifier(
    name: str, counts: ValueCounts, distinct: int, valid: int, prose: ProseStats
) -> Column | None:
    """Return the column of texts that identify rows or people."""
    is_short = prose.mean_chars <= _MAX_TITLE_CHARS and prose.mean_spaces <= _MAX_TITLE_SPACES
    nearly_unique = is_nearly_unique(distinct, valid)
    if not nearly_unique and not is_personal("person", distinct, valid):
        return None
    texts = [str(value) for value in counts.values]
    if are_listed(texts[:MAX_LISTED]):
        return None
    kind = kind_of_texts(name, texts)
    if is_personal(kind, distinct, valid) or (nearly_unique and kind is not None):
        return Column(name, "id", format=kind)
    if not nearly_unique or not (is_short or _are_composed(prose, texts)):
        return None
    return Column(name, "id")


def _are_composed(prose: ProseStats, texts: Sequence[str]) -> bool:
    """Return True for long titles that a program composes, such as `A at B on 2 May (17)`."""
    return prose.mean_spaces <= MAX_WORDS and have_few_shapes(texts[:MAX_EXAMINED])


def _are_row_numbers(name: str, counts: ValueCounts, valid: int) -> bool:
    """Return True for integers that are named like an id, or are unique and consecutive."""
    if _ID_NAME.search(name) and is_nearly_unique(counts.distinct, valid):
        return True
    if not counts.all_unique or valid < 2:
        return False
    if _ID_NAME.search(name):
        return True
    numbers = [int(str(value).partition(".")[0]) for value in counts.values]
    if min(numbers) in _YEARS and max(numbers) in _YEARS:
        return False
    if _RANK_NAME.search(name):
        return False
    if valid >= MIN_ID_ROWS and _JOINED_ID_NAME.search(name):
        return True
    if valid >= MIN_ID_ROWS and _NUMBER_NAME.search(name) and min(numbers) >= _MIN_NUMBER:
        return True
    if valid >= MIN_ID_ROWS and _are_long_codes(numbers):
        return True
    return valid >= MIN_ID_ROWS and max(numbers) - min(numbers) + 1 == len(numbers)


def _are_long_codes(numbers: Sequence[int]) -> bool:
    """Return True for numbers of the same many digits, such as those of cards, but not of times."""
    low, high = min(numbers), max(numbers)
    is_time = any(low >= unit * _EPOCH[0] and high < unit * _EPOCH[1] for unit in (10**3, 10**6))
    return low >= 10 ** (_MIN_CODE_DIGITS - 1) and len(str(low)) == len(str(high)) and not is_time
