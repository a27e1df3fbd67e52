"""Candidates for the form of a text column, checked against all of its values."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.datasets.data_quality import MAX_STORED_EXAMPLES
from modalities.tabular import type_casting
from modalities.tabular.forms.durations import (
    MAX_FRACTION_DIGITS,
    DurationForm,
    count_fraction_digits,
    has_units,
    infer_duration_form,
)
from modalities.tabular.forms.moment_formats import parse_format
from modalities.tabular.forms.moment_inference import infer_moments
from modalities.tabular.forms.moments import MomentForm, PartialDateForm
from modalities.tabular.forms.number_digits import find_exponents
from modalities.tabular.forms.number_inference import has_only_thousands, infer_number_forms
from modalities.tabular.forms.number_patterns import number_form, pattern_of
from modalities.tabular.forms.number_texts import NumberTexts
from modalities.tabular.forms.numbers import NumberForm
from modalities.tabular.forms.time_inference import InferredMoment
from modalities.tabular.schema import Column, ColumnType
from modalities.tabular.upload.types.value_kinds import is_value

MAX_EXAMPLES = 5  # of kinds of values
MAX_ODD_FRACTION = 0.01  # of the values that a number or date column may lose
MIN_ROWS_WITH_ODD_VALUE = 20  # with fewer rows, no value may be lost
MAX_DISTINCT_ODD = 100
# Different words among the numbers of a large table, and their share.
MIN_DISTINCT_NUMBERS = 100
MAX_ODD_WORDS, MAX_ODD_WORD_FRACTION, MIN_ROWS_WITH_ODD_WORDS = 3, 0.1, 1_000
# Different words, such as >54000 and pos, among the many different numbers of a smaller table.
MAX_ODD_TEXTS, MIN_ROWS_WITH_ODD_TEXTS = 10, 100
# Many different numbers, and one word in up to this share of the rows, such as T or <0.5.
MAX_WORD_FRACTION, MIN_WORD_ROWS, MIN_NUMBERS = 0.7, 5, 25
_MIN_FRACTION = 0.3  # candidates that fit fewer rows are dropped early
_MAX_MIXED_FORMS = 3  # of the dates of a column

# Digit strings that a numeric type would change: leading zeros (007) and card numbers.
_CODE = r"^[-+]?(?:0[0-9]+|[0-9]{19,})$"
_POINTED_CODE = r"^0[0-9]+\.[0-9]+$"  # such as 01.10; one among many numbers may be a typing error
_CODE_WORD = re.compile(r"(?=.*\d)(?=.*[^\W\d_])[^\W_]+")  # such as 12A
_MIN_POINTED_CODES = 0.02  # share of the different texts of a batch

# Seconds and milliseconds since 1970 of the years 2001 to 2036, in columns that are named so.
_EPOCH_NAME = re.compile(
    r"(?i)(^|_)(ts|timestamp|epoch|unix_?time|time|datetime)($|_)|_at$|Timestamp$|At$"
)
_EPOCH_SECONDS = r"(?:1\d|20)\d{8}"
_EPOCH_MILLISECONDS = r"(?:1\d|20)\d{11}"


_CLOCK = re.compile(r".*:|-?P")  # in durations


class Reader(Protocol):
    """A form, or several, that reads the texts of a column."""

    def fits(self, texts: pa.StringArray) -> NDArray[np.bool_]:
        """Return the mask of distinct texts that can be read."""

    def columns(self, name: str) -> list[Column]:
        """Return the column and, if there are several forms, those that read its other texts."""


@dataclass
class FormCandidate:
    """A reader, and the values of the column that it cannot read.

    Counts are rows. `odd_rows` and `odd_classes` are examples of the rows and of the kinds of
    characters of these values.
    """

    reader: Reader
    is_likely: bool = True  # False: not worth a warning if another form fits, too
    offsets: tuple[str, ...] = ()  # different time zone offsets, which the form cannot keep
    fitting: int = 0
    odd: int = 0
    odd_rows: list[int] = field(default_factory=list)
    odd_classes: list[str] = field(default_factory=list)
    distinct_odd: int = 0
    distinct_fitting: int = 0  # of the batch that has the most
    odd_words: Counter[str] = field(default_factory=Counter)  # up to MAX_DISTINCT_ODD
    has_codes: bool = False
    non_finite: int = 0
    non_finite_rows: list[int] = field(default_factory=list)
    changed: int = 0  # times that are written otherwise, such as 24:00
    changed_rows: list[int] = field(default_factory=list)

    def add(self, distinct: pa.StringArray, rows: "RowsOfValues") -> None:
        """Check the distinct texts of a batch, which `rows` locates."""
        if self.fitting + self.odd and self.fitting < _MIN_FRACTION * (self.fitting + self.odd):
            self.odd += rows.count(np.ones(len(distinct), bool))
            return
        fits = self.reader.fits(distinct)
        self.distinct_fitting = max(self.distinct_fitting, int(fits.sum()))
        self.fitting += rows.count(fits)
        if isinstance(self.reader, MomentReader | DurationReader):
            is_changed = fits & self.reader.changes(distinct)
            self.changed += rows.count(is_changed)
            self.changed_rows = rows.examples(self.changed_rows, is_changed)
        if fits.all():
            return
        if isinstance(self.reader, NumberReader):
            is_infinite = ~fits & _is_non_finite(distinct)
            self.non_finite += rows.count(is_infinite)
            self.non_finite_rows = rows.examples(self.non_finite_rows, is_infinite)
            fits |= is_infinite
            self.has_codes |= bool((~fits & _matches(distinct, _CODE)).any())
            pointed = ~fits & _matches(distinct, _POINTED_CODE)
            self.has_codes |= bool(pointed.mean() > _MIN_POINTED_CODES)
        self.odd += rows.count(~fits)
        self.odd_rows = rows.examples(self.odd_rows, ~fits)
        odd_texts = distinct.filter(pa.array(~fits))
        self.distinct_odd += len(odd_texts)
        if len(self.odd_words) <= MAX_DISTINCT_ODD:
            counts = rows.counts[~fits].tolist()
            words = odd_texts.slice(0, MAX_DISTINCT_ODD).to_pylist()
            self.odd_words.update(dict(zip(words, counts, strict=False)))
        classes = [value_class(text) for text in odd_texts.slice(0, MAX_EXAMPLES).to_pylist()]
        self.odd_classes = list(dict.fromkeys([*self.odd_classes, *classes]))[:MAX_EXAMPLES]

    def odd_word(self, distinct: int) -> str | None:
        """Return the one word that is used instead of some of `distinct` different values."""
        total, words = self.fitting + self.odd, self.odd_words
        if len(words) != 1 or distinct <= MIN_NUMBERS or self.has_codes:
            return None
        word = next(iter(words))
        is_common = MIN_WORD_ROWS <= self.odd <= MAX_WORD_FRACTION * total
        return word if is_common and not is_value(word) else None

    @property
    def is_accepted(self) -> bool:
        """Return True if so few values are odd that they can be treated as missing."""
        total = self.fitting + self.odd
        allowed = max(int(total >= MIN_ROWS_WITH_ODD_VALUE), int(MAX_ODD_FRACTION * total))
        is_exact = self.odd == 0 and not self.has_codes
        is_tolerable = self.odd <= allowed and self.distinct_odd <= MAX_DISTINCT_ODD
        is_tolerable |= self._are_odd_words(total) or self._are_odd_texts(total)
        return self.fitting > 0 and not self.has_codes and (is_exact or is_tolerable)

    def _are_odd_words(self, total: int) -> bool:
        """Return True if a few words such as REP and DEM are among very many numbers."""
        are_few = 0 < self.distinct_odd == len(self.odd_words) <= MAX_ODD_WORDS
        are_few = are_few and self.distinct_fitting > MIN_DISTINCT_NUMBERS
        are_rare = total >= MIN_ROWS_WITH_ODD_WORDS and self.odd <= MAX_ODD_WORD_FRACTION * total
        return are_few and are_rare and all(map(str.isalpha, self.odd_words))

    def _are_odd_texts(self, total: int) -> bool:
        """Return True if a few texts, none of which is a value or a code, are among numbers."""
        are_few = 0 < self.distinct_odd == len(self.odd_words) <= MAX_ODD_TEXTS
        are_few = are_few and self.distinct_fitting > MIN_NUMBERS
        are_rare = total >= MIN_ROWS_WITH_ODD_TEXTS and self.odd <= MAX_ODD_WORD_FRACTION * total
        are_texts = not any(is_value(word) or _CODE_WORD.fullmatch(word) for word in self.odd_words)
        return are_few and are_rare and are_texts and isinstance(self.reader, NumberReader)


@dataclass(frozen=True)
class RowsOfValues:
    """The rows of the distinct values of a batch; `codes` (N,) index them, -1 is none of them."""

    codes: NDArray[np.int64]
    counts: NDArray[np.int64]
    first_row: int  # index of the batch's first row

    def count(self, mask: NDArray[np.bool_]) -> int:
        return int(self.counts[mask].sum())

    def examples(self, examples: list[int], mask: NDArray[np.bool_]) -> list[int]:
        """Append the one-based numbers of the rows whose value is in `mask`."""
        if len(examples) >= MAX_STORED_EXAMPLES or not mask.any():
            return examples
        # The appended False is what the code -1 selects.
        indices = np.flatnonzero(np.append(mask, False)[self.codes])[:MAX_STORED_EXAMPLES]
        return [*examples, *(self.first_row + int(i) + 1 for i in indices)][:MAX_STORED_EXAMPLES]

    def select(self, mask: NDArray[np.bool_]) -> "RowsOfValues":
        """Return the rows of the values in `mask` only."""
        index = np.append(np.where(mask, np.cumsum(mask) - 1, -1), -1)
        return RowsOfValues(index[self.codes], self.counts[mask], self.first_row)


@dataclass
class NumberReader:
    form: NumberForm
    texts: NumberTexts
    marked: int = 0  # different texts with the thousands mark
    unmarked: int = 0  # texts that lack it

    def fits(self, texts: pa.StringArray) -> NDArray[np.bool_]:
        bodies, _ = self.form.bodies(texts)
        fits = bodies.is_valid()
        if self.form.exponent or (
            self.form.is_plain and pc.any(find_exponents(bodies)).as_py()
        ):  # such as 1e999
            fits = pc.is_finite(bodies.cast(pa.float64())).fill_null(False)
        mask = np.asarray(fits.to_numpy(zero_copy_only=False), bool)
        if self.form.thousands:
            has_mark = pc.match_substring(texts, self.form.thousands)
            self.marked += int((mask & has_mark.to_numpy(zero_copy_only=False)).sum())
            self.unmarked += int((mask & _matches(texts, "[0-9]{4}")).sum())
        self.texts.add(bodies if mask.all() else bodies.filter(fits))
        return mask

    def columns(self, name: str) -> list[Column]:
        """Return the column; where most texts lack the mark, also the one that reads the others."""
        form = self.texts.complete()
        if self.unmarked > self.marked:
            plain = replace(form, thousands="")
            return [self._column(name, plain), self._column(name, form)]
        return [self._column(name, form)]

    def _column(self, name: str, form: NumberForm) -> Column:
        is_whole = self.texts.integers_only and not form.scales
        if is_whole and not form.exponent and not form.significant:
            format = None if form == number_form(None, form.max_decimals) else pattern_of(form)
            return Column(name, "integer", decimals=form.max_decimals, format=format)
        has_scale = form.significant or form.exponent or form.scales
        decimals = None if has_scale else form.max_decimals
        format = None if form == number_form(None, decimals) else pattern_of(form)
        return Column(name, "number", decimals=decimals, format=format)


@dataclass
class MomentReader:
    """Dates or times in one form, or dates in several of which the first is the most common."""

    forms: tuple[MomentForm, ...]
    decimals: int = 0

    def fits(self, texts: pa.StringArray) -> NDArray[np.bool_]:
        micros = self.forms[0].parse(texts)
        for form in self.forms[1:]:
            micros = pc.coalesce(micros, form.parse(texts))
        if self.forms[0].zone:  # an offset that the zone does not have would be changed
            same = pc.equal(self.forms[0].write(micros, self.decimals), texts)
            return np.asarray(same.fill_null(False).to_numpy(zero_copy_only=False), bool)
        return np.asarray(micros.is_valid().to_numpy(zero_copy_only=False), bool)

    def changes(self, texts: pa.StringArray) -> NDArray[np.bool_]:
        """Return the mask of texts that are read, but written otherwise."""
        if isinstance(self.forms[0], PartialDateForm):
            written = self.forms[0].write(self.forms[0].parse(texts))
            shorter = pc.less(pc.utf8_length(written), pc.utf8_length(texts)).fill_null(False)
            return np.asarray(shorter.to_numpy(zero_copy_only=False), bool)
        changed = _has_nanoseconds(texts) if self.decimals == MAX_FRACTION_DIGITS else None
        if any("H" in form.fields and "%24H" not in form.directives for form in self.forms):
            is_24 = _matches(texts, "(?:^|[^0-9:])24:00")
            changed = is_24 if changed is None else changed | is_24
        return np.zeros(len(texts), bool) if changed is None else changed

    def columns(self, name: str) -> list[Column]:
        type_: ColumnType = "datetime" if self.forms[0].has_date else "time"
        decimals = self.decimals if "f" in self.forms[0].fields else 0
        return [Column(name, type_, decimals=decimals, format=form.format) for form in self.forms]


@dataclass
class DurationReader:
    form: DurationForm
    decimals: int

    def fits(self, texts: pa.StringArray) -> NDArray[np.bool_]:
        return np.asarray(self.form.parse(texts).is_valid().to_numpy(zero_copy_only=False), bool)

    def changes(self, texts: pa.StringArray) -> NDArray[np.bool_]:
        """Return the mask of texts with digits beyond microseconds."""
        if self.decimals == MAX_FRACTION_DIGITS:
            return _has_nanoseconds(texts)
        return np.zeros(len(texts), bool)

    def columns(self, name: str) -> list[Column]:
        return [Column(name, "duration", decimals=self.decimals, format=self.form.format)]


def find_candidates(
    name: str,
    sample: Sequence[str],
    *,
    decimal_comma: bool = False,
    stated_marks: bool = False,
    typed_text: bool = False,
) -> list[FormCandidate]:
    """Return the forms that some texts of a column suggest, the most likely first.

    With `decimal_comma`, the comma is the more likely decimal mark, or certainly with
    `stated_marks`. With `typed_text`, the file says that plain numbers are text.
    """
    stripped = list(dict.fromkeys(text.strip() for text in sample))
    candidates = _epoch_candidates(name, sample) or _moment_candidates(sample)
    candidates = candidates or _moment_candidates(stripped)
    readers = [each.reader for each in candidates]
    is_date = any(isinstance(each, MomentReader) and each.forms[0].has_date for each in readers)
    if not is_date or candidates[0].offsets:
        duration = infer_duration_form(list(sample)) if _may_be_durations(sample) else None
        if duration is not None:
            reader = DurationReader(duration, count_fraction_digits(list(sample)))
            candidates.append(FormCandidate(reader))
    is_preferred = decimal_comma and (stated_marks or not has_only_thousands(sample))
    forms = infer_number_forms(sample, decimal_comma=is_preferred)
    if stated_marks:
        forms.sort(key=lambda form: form.decimal != ("," if decimal_comma else "."))
    for i, form in enumerate(forms):
        # Where the comma separates fields, it hardly is the decimal mark, too.
        is_other = decimal_comma or (forms[0].decimal, form.decimal) == (",", ".")
        is_likely = i == 0 or (is_other and form.zero == forms[0].zero)
        if not (typed_text and form.is_plain):
            numbers = NumberReader(form, NumberTexts(form))
            candidates.append(FormCandidate(numbers, is_likely=is_likely))
    return candidates


def _epoch_candidates(name: str, sample: Sequence[str]) -> list[FormCandidate]:
    """Return the form of seconds or milliseconds since 1970, if the name says that they are."""
    if not _EPOCH_NAME.search(name):
        return []
    for format, pattern in (("%s", _EPOCH_SECONDS), ("%Q", _EPOCH_MILLISECONDS)):
        form = parse_format(format)
        if form is not None and sample and all(re.fullmatch(pattern, text) for text in sample):
            return [FormCandidate(MomentReader((form,)))]
    return []


def _moment_candidates(sample: Sequence[str]) -> list[FormCandidate]:
    digits = count_fraction_digits(list(sample))
    moments = infer_moments(sample)
    if not moments:
        return []
    candidates = [
        FormCandidate(MomentReader((m.form,), digits), offsets=m.offsets) for m in moments
    ]
    # Dates of another form show the order of those that fit several: 07-05-2011, 3/30/2015.
    mixed = [forms for m in moments if len(forms := _mixed_forms(sample, m)) > 1]
    in_one_order = (forms for forms in mixed if len({form.order for form in forms}) == 1)
    forms = next(in_one_order, mixed[0] if mixed else ())
    return [FormCandidate(MomentReader(forms, digits))] if forms else candidates


def _mixed_forms(sample: Sequence[str], first: InferredMoment) -> tuple[MomentForm, ...]:
    """Return forms that together fit the dates of a column with several forms."""
    forms, rest = [first.form], list(sample)
    while rest and len(forms) <= _MAX_MIXED_FORMS and first.form.has_date:
        unread = forms[-1].parse(pa.array(rest)).is_null().to_pylist()
        rest = [text for text, is_unread in zip(rest, unread, strict=True) if is_unread]
        more = infer_moments(rest) if len(rest) > MAX_ODD_FRACTION * len(sample) else []
        if not (more and more[0].form.has_date and more[0].form.has_zone == first.form.has_zone):
            break
        same_order = (m.form for m in more if m.form.order == first.form.order)
        second = next(same_order, more[0].form)
        if "y" in first.form.fields | second.fields and (
            "y" in first.form.fields & second.fields or first.form.order != second.order
        ):  # too little to tell forms apart
            break
        forms.append(second)
    forms.sort(key=lambda form: not form.has_time)  # midnight can be written as a time only
    return tuple(forms[:_MAX_MIXED_FORMS])


def _may_be_durations(sample: Sequence[str]) -> bool:
    return any(_CLOCK.match(text) for text in sample[:MAX_EXAMPLES]) or has_units(sample)


def value_class(text: str) -> str:
    """Return the text with each digit as 9 and each letter as a or A, which identifies nobody."""
    shown = re.sub(r"\d", "9", text[:30])
    shown = re.sub(r"[^\W\d_]", lambda match: "A" if match[0].isupper() else "a", shown)
    return shown + ("…" if len(text) > 30 else "")


def _has_nanoseconds(texts: pa.StringArray) -> NDArray[np.bool_]:
    return _matches(texts, rf"[.,][0-9]{{{MAX_FRACTION_DIGITS}}}[0-9]*[1-9]")


def _is_non_finite(texts: pa.StringArray) -> NDArray[np.bool_]:
    """Return the mask of infinite numbers, written as a word or as a number such as 1e999."""
    is_number = _matches(texts, type_casting.NUMBER_PATTERN)
    masked = pc.replace_substring_regex(pc.if_else(pa.array(is_number), texts, "0"), r"^\+", "")
    overflows = ~np.asarray(pc.is_finite(masked.cast(pa.float64())).to_numpy(zero_copy_only=False))
    return overflows | _matches(texts, type_casting.NON_FINITE_PATTERN)


def _matches(texts: pa.StringArray, pattern: str) -> NDArray[np.bool_]:
    return np.asarray(pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False), bool)
