"""Candidates for the form of a text column, checked against all of its values."""

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modalities.tabular.upload.types.form_readers import (
    DurationReader,
    MomentReader,
    NumberReader,
    Reader,
)
from modalities.tabular.upload.types.rows_of_values import RowsOfValues
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
# Dates and midnights that programs write for a missing date, which no calendar has.
_NO_DATE = re.compile(
    r"0?0:00(?::00)?|0|0{1,4}([-/.])0{1,2}\1(?:0{1,2}|0{4})(?:[ T]00:00(?::00)?)?"
)
_CODE_WORD = re.compile(r"(?=.*\d)(?=.*[^\W\d_])[^\W_]+")  # such as 12A


@dataclass
class FormCandidate:
    """A reader, and the values of the column that it cannot read.

    Counts are rows. `odd_rows` and `odd_classes` are examples of the rows and of the kinds of
    characters of these values.
    """

    reader: Reader
    is_likely: bool = True  # False: not worth a warning if another form fits, too
    offsets: tuple[str, ...] = ()  # different ones; samples have the most common one
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

    def add(self, distinct: pa.StringArray, rows: RowsOfValues) -> None:
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
            is_infinite = ~fits & self.reader.find_non_finite(distinct)
            self.non_finite += rows.count(is_infinite)
            self.non_finite_rows = rows.examples(self.non_finite_rows, is_infinite)
            fits |= is_infinite
            self.has_codes |= self.reader.have_codes(distinct, ~fits)
        self._add_odd(distinct, rows, ~fits)

    def _add_odd(
        self, distinct: pa.StringArray, rows: RowsOfValues, is_odd: NDArray[np.bool_]
    ) -> None:
        """Count the texts that the reader cannot read, and keep examples of them."""
        self.odd += rows.count(is_odd)
        self.odd_rows = rows.examples(self.odd_rows, is_odd)
        odd_texts = distinct.filter(pa.array(is_odd))
        self.distinct_odd += len(odd_texts)
        if len(self.odd_words) <= MAX_DISTINCT_ODD:
            counts = rows.counts[is_odd].tolist()
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
        return word if is_common and (not is_value(word) or self._is_no_date(word)) else None

    def _is_no_date(self, word: str) -> bool:
        """Return True for a zero such as 0:00:00 among dates."""
        are_dates = isinstance(self.reader, MomentReader) and self.reader.forms[0].has_date
        return are_dates and _NO_DATE.fullmatch(word) is not None

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


def value_class(text: str) -> str:
    """Return the text with each digit as 9 and each letter as a or A, which identifies nobody."""
    shown = re.sub(r"\d", "9", text[:30])
    shown = re.sub(r"[^\W\d_]", lambda match: "A" if match[0].isupper() else "a", shown)
    return shown + ("…" if len(text) > 30 else "")
