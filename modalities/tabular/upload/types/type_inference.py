"""Inference of a column's type from its statistics."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from modalities.tabular.formatting import form_of_number
from modalities.tabular.forms.durations import DEFAULT_FORMAT
from modalities.tabular.forms.number_patterns import pattern_of
from modalities.tabular.schema import Column, ColumnType
from modalities.tabular.type_casting import MISSING_MARKERS
from modalities.tabular.upload.types.code_columns import (
    are_code_numbers,
    has_code_name,
    may_have_points,
)
from modalities.tabular.upload.types.column_stats import TextColumnStats, TypedColumnStats
from modalities.tabular.upload.types.form_candidates import FormCandidate, value_class
from modalities.tabular.upload.types.form_readers import NumberReader
from modalities.tabular.upload.types.identifier_kinds import PHONE_NAME
from modalities.tabular.upload.types.integer_identifiers import (
    NUMBER_NAME,
    are_row_numbers,
    code_column,
    integers,
)
from modalities.tabular.upload.types.ordered_categories import order_of
from modalities.tabular.upload.types.quantities import contain_numbers
from modalities.tabular.upload.types.text_types import are_rare_notes, infer_text_type

MAX_DECIMALS = 15
MIN_PHONE_DIGITS = 8
MIN_ODD_CODES = 5  # different ones among the numbers of things
_NUMBER_LIST = re.compile(r"\d+(?:,\d+){2,}|\+?\d{7,}(?: ?[|;,/] ?\+?\d{7,})+")
_ALPHANUMERIC = re.compile(r"(?=[^\W_]*\d)(?=[^\W_]*[^\W\d_])[^\W_]+")
_HAS_DIGIT = re.compile(r"\d")
_MARKERS = frozenset(MISSING_MARKERS.words.to_pylist())
# Words for missing values that may be values in columns of categories.
_OTHER_MARKERS = frozenset(
    ["not available", "not applicable", "not provided", "not specified", "unspecified", "unknown"]
)
_MIN_MARKER_REPEATS = 3  # times the mean of a column of identifiers
_MIN_MIXED = 3  # different numbers or dates in a column of other values; fewer are categories
_MIN_FITTING = 0.7  # share of numbers or times in a column that would be an identifier as text


@dataclass
class InferredColumn:
    """A column, and counts and example rows of its exceptional values.

    `readers` are the columns that read the texts: if dates have several forms, there are several.
    `other_formats` are formats that fit all texts equally well.
    """

    column: Column
    readers: tuple[Column, ...] = ()
    codes: Column | None = None  # the numbers as which the texts of a category of codes are read
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
    null_words: tuple[str, ...] = ()  # of these, those of identifiers, which no form refuses
    merged: Counter[str] = field(default_factory=Counter)  # texts that differ in outer blanks only
    other_formats: tuple[str, ...] = ()
    order_from: str = ""  # column whose dates show which of the formats it is
    offsets: tuple[str, ...] = ()  # different ones, of which samples have the most common one
    names_rows: bool = False  # each row has another entry of a public list
    are_codes: bool = False  # numbers and codes that are no words, and not consecutive


def infer_text(
    name: str, stats: TextColumnStats, *, categories_max: int, others: Sequence[str] = ()
) -> InferredColumn:
    """Infer the type of a text column; `others` are the names of all columns.

    It is a number or a time if nearly all texts have such a form, and else a category, text or
    identifier; texts that would be an identifier are a number or a time if most have such a form.
    """
    candidates = [each for each in stats.candidates if not _are_texts(name, each, others)]
    accepted = [
        each
        for each in candidates
        if each.is_accepted or each.odd_word(stats.counts.distinct) is not None
    ]
    if accepted:
        # The sort is stable: of equally good candidates, the first is the most likely.
        best = min(accepted, key=lambda each: each.odd)
        equal = [each for each in accepted if each.odd == best.odd]
        return _infer_form(name, stats, best, equal, categories_max, others)
    column = infer_text_type(name, stats.counts, stats.prose, stats.valid, categories_max, others)
    if column.type == "category" and are_rare_notes(
        stats.counts.distinct, stats.prose, stats.valid, stats.missing
    ):
        column = Column(name, "text", exclude=True)
    column = replace(column, nullable=stats.missing > 0)
    nearest = min(_near_forms(candidates, stats), key=lambda each: each.odd, default=None)
    if nearest is None:
        return _infer_words(column, stats)
    is_code = column.type == "id" and column.format in (None, "quantity")
    if is_code and nearest.fitting >= _MIN_FITTING * (nearest.fitting + nearest.odd):
        return _infer_form(name, stats, nearest, [nearest], categories_max, others)
    return InferredColumn(
        column,
        mixed=nearest.odd,
        mixed_rows=nearest.odd_rows,
        odd_classes=nearest.odd_classes,
        mixed_form=_shown_format(nearest.reader.columns(name)[0]),
    )


def _near_forms(
    candidates: Sequence[FormCandidate], stats: TextColumnStats
) -> Iterator[FormCandidate]:
    """Yield the forms that at least half of the texts have."""
    for candidate in candidates:
        is_common = 2 * candidate.fitting >= stats.valid
        if is_common and candidate.distinct_fitting >= _MIN_MIXED and not candidate.has_codes:
            yield candidate


def _infer_words(column: Column, stats: TextColumnStats) -> InferredColumn:
    """Return a column of texts of which few are numbers or times."""
    texts = [str(value) for value in stats.counts.values]
    if column.type == "category" and not stats.counts.overflowed:
        column = replace(column, format=order_of(texts))
    is_quantity = column.format == "quantity"
    if column.type == "id" and not is_quantity:
        return _without_markers(column, stats)
    is_plain = column.type == "category" and column.format is None
    if is_quantity or (is_plain and contain_numbers(texts)):
        return InferredColumn(column, quantity_class=value_class(texts[0]))
    return InferredColumn(column)


def _without_markers(column: Column, stats: TextColumnStats) -> InferredColumn:
    """Return a column of identifiers; a word such as NA that repeats more than they is missing."""
    counts = stats.counts
    if counts.overflowed:
        return InferredColumn(column)
    least = _MIN_MARKER_REPEATS * stats.valid / max(1, counts.distinct)
    markers = Counter(
        {str(word): n for word, n in counts.values.items() if n > least and _is_marker(str(word))}
    )
    return InferredColumn(
        replace(column, nullable=column.nullable or bool(markers)),
        missing_markers=markers.total(),
        markers=markers,
        null_words=tuple(markers),
    )


def _is_marker(word: str) -> bool:
    return word in _MARKERS or word.casefold() in _OTHER_MARKERS


def _shown_format(column: Column) -> str:
    if column.type in ("integer", "number"):
        return pattern_of(form_of_number(column))
    return column.format or ""


def _are_texts(name: str, candidate: FormCandidate, others: Sequence[str]) -> bool:
    """Return True for texts such as codes and phone numbers that only look like numbers."""
    is_code = has_code_name(name, others) and _is_number_of_texts(name, candidate)
    return is_code or _are_numbered_texts(name, candidate)


def _is_number_of_texts(name: str, candidate: FormCandidate) -> bool:
    """Return True if not all texts are whole numbers: codes such as `1.10` and `12A` are texts."""
    if not isinstance(candidate.reader, NumberReader):
        return False
    form = candidate.reader.form
    is_whole = candidate.reader.texts.integers_only and not form.scales and form.is_plain
    is_pointed = not is_whole and (may_have_points(name) or bool(form.exponent))
    return is_pointed or bool(candidate.odd or candidate.has_codes)


def _are_numbered_texts(name: str, candidate: FormCandidate) -> bool:
    """Return True for phone numbers such as +4930901820, for numbers such as 12A, and for lists."""
    if not isinstance(candidate.reader, NumberReader):
        return False
    form, texts = candidate.reader.form, candidate.reader.texts
    if form.decimal == "," and any(map(_NUMBER_LIST.fullmatch, candidate.odd_words)):
        return True
    if PHONE_NAME.search(name) and any(map(_NUMBER_LIST.fullmatch, candidate.odd_words)):
        return True
    is_long = texts.integers_only and texts.min_length >= MIN_PHONE_DIGITS
    if form.positive == ("+", "") and is_long:
        return True
    codes = [word for word in candidate.odd_words if _ALPHANUMERIC.fullmatch(word)]
    return NUMBER_NAME.search(name) is not None and len(codes) >= MIN_ODD_CODES


def _infer_form(
    name: str,
    stats: TextColumnStats,
    best: FormCandidate,
    equal: Sequence[FormCandidate],
    categories_max: int,
    others: Sequence[str],
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
    codes = None
    are_known = len(best.odd_words) == best.distinct_odd  # texts that become missing
    is_exact = not best.non_finite and len(readers) == 1 and (are_known or not best.odd)
    if column.type == "integer" and column.format is None and is_exact:
        lost_words = stats.markers + best.odd_words
        counts = stats.counts.without(lost_words)
        valid = stats.valid - lost_words.total()
        keeps_words = column.decimals and lost_words
        if not keeps_words and are_row_numbers(name, counts, valid, others):
            if any(map(_HAS_DIGIT.search, best.odd_words)):  # identifiers of another form
                return InferredColumn(Column(name, "id", nullable=stats.missing > 0))
            arrow = None if column.decimals else "int64"
            column = Column(name, "id", column.nullable, arrow=arrow)
        elif are_code_numbers(name, integers(counts), valid, others):
            column = code_column(column, counts, valid, categories_max)
            codes = None if column.arrow else readers[0]
    return InferredColumn(
        column,
        codes=codes,
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
        offsets=best.offsets,
    )


def infer_typed(
    name: str,
    arrow_type: str,
    stats: TypedColumnStats,
    hint: Column,
    *,
    categories_max: int,
    others: Sequence[str] = (),
) -> InferredColumn:
    """Infer the type of a column of the Arrow type `arrow_type`; `hint` is the file's own type."""
    inferred = InferredColumn(
        hint, non_finite=stats.non_finite, non_finite_rows=stats.non_finite_rows
    )
    nullable = stats.missing + stats.non_finite > 0
    if arrow_type == "int64":
        column = Column(name, "integer", decimals=0)
        if are_row_numbers(name, stats.counts, stats.valid, others):
            column = Column(name, "id", arrow="int64")
        elif are_code_numbers(name, integers(stats.counts), stats.valid, others):
            column = code_column(column, stats.counts, stats.valid, categories_max)
    elif arrow_type == "double":
        column = _infer_double(name, stats, hint)
        is_whole = column.type == "integer" and not stats.non_finite and hint.arrow
        if is_whole and are_code_numbers(name, integers(stats.counts), stats.valid, others):
            inferred.codes = column
            column = code_column(column, stats.counts, stats.valid, categories_max)
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
