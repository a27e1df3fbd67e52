"""Readers of a text column: a form, or several, and the columns that the texts make with it."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modalities.tabular import type_casting
from modalities.tabular.forms.durations import MAX_FRACTION_DIGITS, DurationForm
from modalities.tabular.forms.moments import MomentForm, PartialDateForm
from modalities.tabular.forms.number_digits import find_exponents
from modalities.tabular.forms.number_patterns import number_form, pattern_of
from modalities.tabular.forms.number_texts import NumberTexts
from modalities.tabular.forms.numbers import NumberForm
from modalities.tabular.schema import Column, ColumnType

# Digit strings that a numeric type would change: leading zeros (007) and card numbers.
_CODE = r"^[-+]?(?:0[0-9]+|[0-9]{19,})$"
_POINTED_CODE = r"^0[0-9]+\.[0-9]+$"  # such as 01.10; one among many numbers may be a typing error
_MIN_POINTED_CODES = 0.02  # share of the different texts of a batch


class Reader(Protocol):
    """A form, or several, that reads the texts of a column."""

    def fits(self, texts: pa.StringArray) -> NDArray[np.bool_]:
        """Return the mask of distinct texts that can be read."""

    def columns(self, name: str) -> list[Column]:
        """Return the column and, if there are several forms, those that read its other texts."""


@dataclass
class NumberReader:
    """Numbers in one form, which `texts` completes with the decimals of all texts."""

    form: NumberForm
    texts: NumberTexts
    marked: int = 0  # different texts of a batch with the thousands mark, summed over batches
    unmarked: int = 0  # those that lack it

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

    def find_non_finite(self, texts: pa.StringArray) -> NDArray[np.bool_]:
        """Return the mask of infinite numbers, written as a word or as a number such as 1e999."""
        is_number = _matches(texts, type_casting.NUMBER_PATTERN)
        masked = pc.replace_substring_regex(pc.if_else(pa.array(is_number), texts, "0"), r"^\+", "")
        is_finite = pc.is_finite(masked.cast(pa.float64())).to_numpy(zero_copy_only=False)
        return ~np.asarray(is_finite) | _matches(texts, type_casting.NON_FINITE_PATTERN)

    def have_codes(self, texts: pa.StringArray, is_odd: NDArray[np.bool_]) -> bool:
        """Return True if digit strings that a number would change are among the odd texts."""
        is_pointed = is_odd & _matches(texts, _POINTED_CODE)
        has_codes = bool((is_odd & _matches(texts, _CODE)).any())
        return has_codes or bool(is_pointed.mean() > _MIN_POINTED_CODES)

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
        is_changed = _find_nanoseconds(texts, self.decimals)
        if any("H" in form.fields and "%24H" not in form.directives for form in self.forms):
            is_changed |= _matches(texts, "(?:^|[^0-9:])24:00")
        return is_changed

    def columns(self, name: str) -> list[Column]:
        type_: ColumnType = "datetime" if self.forms[0].has_date else "time"
        decimals = self.decimals if "f" in self.forms[0].fields else 0
        return [Column(name, type_, decimals=decimals, format=form.format) for form in self.forms]


@dataclass
class DurationReader:
    """Durations in one form with `decimals` digits of a fraction of a second."""

    form: DurationForm
    decimals: int

    def fits(self, texts: pa.StringArray) -> NDArray[np.bool_]:
        return np.asarray(self.form.parse(texts).is_valid().to_numpy(zero_copy_only=False), bool)

    def changes(self, texts: pa.StringArray) -> NDArray[np.bool_]:
        """Return the mask of texts that are read, but written otherwise."""
        return _find_nanoseconds(texts, self.decimals)

    def columns(self, name: str) -> list[Column]:
        return [Column(name, "duration", decimals=self.decimals, format=self.form.format)]


def _find_nanoseconds(texts: pa.StringArray, decimals: int) -> NDArray[np.bool_]:
    """Return the mask of texts with digits beyond microseconds, in a form of `decimals` digits."""
    if decimals < MAX_FRACTION_DIGITS:
        return np.zeros(len(texts), bool)
    return _matches(texts, rf"[.,][0-9]{{{MAX_FRACTION_DIGITS}}}[0-9]*[1-9]")


def _matches(texts: pa.StringArray, pattern: str) -> NDArray[np.bool_]:
    return np.asarray(pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False), bool)
