"""Dates, times and periods as text: reading and writing in the form of a column.

The language of the formats is that of `moment_formats`. A field is named by the last letter of its
directive, such as `d` for `%-d` (see `calendar_fields`).
"""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modalities.tabular.forms.calendar_fields import (
    DATE_FIELDS,
    DAY,
    SECOND,
    CalendarFields,
    Ints,
    to_micros,
)
from modalities.tabular.forms.digits import to_ascii, to_script
from modalities.tabular.forms.fixed_width import read_numbers
from models.tabular.calendar_names import LANGUAGES

Mask = NDArray[np.bool_]

PERSIAN = "fa"  # language of dates of the Persian calendar
_DIGITS = {"Y": 4, "G": 4, "y": 2, "V": 2, "q": 1}  # of numbers; others have one or two


@dataclass(frozen=True)
class MomentForm:
    """A parsed format: texts and directives in turn, beginning and ending with a text."""

    format: str
    language: str
    literals: tuple[str, ...]
    directives: tuple[str, ...]
    offset: int | None  # seconds, of a constant offset; None for local times and for %z
    zone: str = ""  # in which times with %z are written
    script: str = ""  # zero of the digits, if they are not ASCII

    @property
    def fields(self) -> frozenset[str]:
        """The letters of all directives."""
        return frozenset(directive[-1] for directive in self.directives)

    @property
    def order(self) -> tuple[str, ...]:
        """The order of day, month and year, such as ("d", "m", "y")."""
        names = dict.fromkeys("d", "d") | dict.fromkeys("mBb", "m") | dict.fromkeys("yY", "y")
        return tuple(names[d[-1]] for d in self.directives if d[-1] in names)

    @property
    def has_date(self) -> bool:
        return bool(self.fields & DATE_FIELDS)

    @property
    def has_time(self) -> bool:
        return bool(self.fields & set("HIsQ"))

    @property
    def has_zone(self) -> bool:
        return self.offset is not None or bool(self.fields & set("zsQ"))

    @cached_property
    def regex(self) -> str:
        """The regular expression of all texts, with a named group for each directive."""
        pieces = [re.escape(self.literals[0])]
        for i, directive in enumerate(self.directives):
            is_adjacent = (i > 0 and not self.literals[i]) or (
                i + 1 < len(self.directives) and not self.literals[i + 1]
            )
            field = f"(?P<{_group(i)}>{self._field_regex(directive, is_adjacent)})"
            if directive == "%f" and pieces[-1]:  # programs omit a fraction of zero
                field = f"(?:{pieces.pop()}{field})?"
            pieces += [field, re.escape(self.literals[i + 1])]
        return f"^{''.join(pieces)}$"

    def _field_regex(self, directive: str, is_adjacent: bool) -> str:
        name = directive[-1]
        if name in "BbAa":
            return f"(?i:{'|'.join(map(re.escape, _names(self.language, name)))})"
        if name in "pP":
            return r"(?i:[ap]\.m\.)" if "-" in directive else "(?i:[ap]m)"
        if name == "z":
            return "[+-][0-9]{2}:?[0-9]{2}|Z|UTC|GMT"
        if name == "f":
            return "[0-9]{1,9}"
        if name in "sQ":
            return "-?[0-9]{1,14}"
        if name == "o":
            return "(?i:st|nd|rd|th)"
        if "_" in directive:
            return " [0-9]|[0-9]{2}"
        exact = is_adjacent and "-" not in directive
        return f"[0-9]{{{_DIGITS.get(name) or ('2' if exact or name in 'MS' else '1,2')}}}"

    def parse(self, texts: pa.StringArray) -> pa.Int64Array:
        """Return microseconds since 1970, in UTC if there is a zone, or since midnight.

        Null for a text of another form and for moments that do not exist. Blanks around a text
        are ignored.
        """
        texts = to_ascii(texts, self.script) if self.script else texts
        micros = self._parse(texts)
        if micros.null_count and pc.any(pc.match_substring_regex(texts, r"^\s|\s$")).as_py():
            micros = pc.coalesce(micros, self._parse(pc.utf8_trim_whitespace(texts)))
        return micros

    def _parse(self, texts: pa.StringArray) -> pa.Int64Array:
        fields, fits = self._fixed_width_fields(texts) or self._matched_fields(texts)
        micros, exists = to_micros(fields, len(texts), is_persian=self.language == PERSIAN)
        return pa.array(micros - (self.offset or 0) * SECOND, mask=~(fits & exists))

    def _matched_fields(self, texts: pa.StringArray) -> tuple[dict[str, Ints], Mask]:
        """Return the fields, and the mask of texts that fit, by the regular expression."""
        parts = pc.extract_regex(texts, self.regex)
        fits = np.asarray(parts.is_valid().to_numpy(zero_copy_only=False), bool)
        fields = {
            directive[-1]: self._field(directive[-1], pc.struct_field(parts, _group(i)))
            for i, directive in enumerate(self.directives)
        }
        return fields, fits

    def _fixed_width_fields(self, texts: pa.StringArray) -> tuple[dict[str, Ints], Mask] | None:
        """Return the fields, and the mask of texts that fit, if all texts have the same width."""
        is_padded = not set("-_") & set("".join(self.directives))
        if not is_padded or not set("YGyVqmdHMSI") >= self.fields:
            return None
        widths = [_DIGITS.get(directive[-1], 2) for directive in self.directives]
        numbers = read_numbers(texts, self.literals, widths)
        if numbers is None:
            return None
        names = (directive[-1] for directive in self.directives)
        return dict(zip(names, numbers[0], strict=True)), numbers[1]

    def _field(self, name: str, texts: pa.StringArray) -> Ints:
        """Return the numbers of a field; zero where it is null."""
        if name in "BbAa":
            names = pa.array([each.lower() for each in _names(self.language, name)])
            return _ints(pc.add(pc.index_in(pc.utf8_lower(texts), value_set=names), 1))
        if name in "pP":
            return _ints(pc.starts_with(pc.utf8_lower(texts), "p"))
        if name == "o":
            return np.zeros(len(texts), np.int64)
        if name == "f":
            return _ints(
                pc.utf8_slice_codeunits(pc.utf8_rpad(texts, 6, "0"), 0, 6).cast(pa.int64())
            )
        if name == "z":
            digits = pc.replace_substring_regex(texts, "[-+:]|Z|UTC|GMT", "")
            hhmm = _ints(pc.if_else(pc.equal(digits, ""), "0", digits).cast(pa.int64()))
            sign = np.where(_ints(pc.starts_with(texts, "-")) > 0, -1, 1)
            return np.asarray(sign * (3600 * (hhmm // 100) + 60 * (hhmm % 100)))
        return _ints(pc.utf8_ltrim(texts, " ").cast(pa.int64()))

    def write(self, micros: pa.Int64Array, decimals: int | None = None) -> pa.StringArray:
        """Return the moments as text, with `decimals` digits (default 6) of a fraction."""
        values = np.asarray(micros.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
        offsets = self._offsets(values)
        local = values + offsets * SECOND
        if "%24H" in self.directives:
            resolution = SECOND if "S" in self.fields else 60 * SECOND
            local = np.where(local % DAY < resolution, local // DAY * DAY - 1, local)
        fields = CalendarFields(
            local, has_hour_24="%24H" in self.directives, is_persian=self.language == PERSIAN
        )
        pieces: list[pa.Array | str] = []
        for literal, directive in zip(self.literals, (*self.directives, ""), strict=True):
            pieces.append(literal)
            if directive:
                pieces.append(self._write_field(directive, fields, local, offsets, decimals))
        valid = pa.array([True]).take(pa.array(np.zeros(len(values), np.int64)))
        texts = pc.binary_join_element_wise(pc.if_else(valid, "", ""), *pieces, "")
        texts = to_script(texts, self.script) if self.script else texts
        return pc.if_else(micros.is_valid(), texts, pa.scalar(None, pa.string()))

    def _offsets(self, micros: Ints) -> Ints:
        """Return the offset of each moment in seconds."""
        if not self.zone:
            return np.full(len(micros), self.offset or 0)
        times = pa.array(micros).cast(pa.timestamp("us", self.zone))
        local = pc.local_timestamp(times).cast(pa.int64())
        return np.asarray((local.to_numpy() - micros) // SECOND)

    def _write_field(
        self,
        directive: str,
        fields: CalendarFields,
        local: Ints,
        offsets: Ints,
        decimals: int | None,
    ) -> pa.Array:
        """Return the texts of a directive, given the local microseconds and offsets in seconds."""
        name = directive[-1]
        if name in "BbAa":
            names = _names(self.language, name)
            names = tuple(each.upper() for each in names) if "^" in directive else names
            names = tuple(each.lower() for each in names) if "#" in directive else names
            names = tuple(each.capitalize() for each in names) if "~" in directive else names
            return pa.array(names).take(pa.array(fields.name_index(name)))
        if name == "z":
            minutes = np.abs(offsets) // 60
            mark = ":" if ":" in directive else ""
            signs = pa.array(["+", "-"]).take(pa.array((offsets < 0).astype(np.int64)))
            hours, rest = _padded(minutes // 60, 2), _padded(minutes % 60, 2)
            return pc.binary_join_element_wise(signs, hours, mark, rest, "")
        if name in "pP":
            texts = ("a.m.", "p.m.") if "-" in directive else ("am", "pm")
            texts = (texts[0].upper(), texts[1].upper()) if name == "p" else texts
            return pa.array(texts).take(pa.array(fields.hour // 12 % 2))
        if name == "f":
            digits = 6 if decimals is None else decimals
            return pc.utf8_slice_codeunits(_padded(local % SECOND, 6), 0, max(digits, 1))
        if name == "o":
            return _ordinal_endings(fields.number("d"))
        if name in "sQ":
            return pa.array(local // (SECOND if name == "s" else 1_000)).cast(pa.string())
        number = fields.number(name)
        if "_" in directive:
            return pc.utf8_lpad(_padded(number, 0), 2, " ")
        width = 0 if "-" in directive else _DIGITS.get(name, 2)
        return _padded(number, width)


@dataclass(frozen=True)
class PartialDateForm(MomentForm):
    """Dates of which the last parts may be unknown; `forms` begins with the most exact one.

    A date that is the first day of a year or month, or a time that is midnight, is written in the
    least exact form.
    """

    forms: tuple[MomentForm, ...] = ()

    def parse(self, texts: pa.StringArray) -> pa.Int64Array:
        return pc.coalesce(*(form.parse(texts) for form in self.forms))

    def write(self, micros: pa.Int64Array, decimals: int | None = None) -> pa.StringArray:
        written = self.forms[0].write(micros, decimals)
        exact = self.forms[0].parse(written)  # without the seconds that it does not have
        for form in self.forms[1:]:
            texts = form.write(micros, decimals)
            written = pc.if_else(pc.equal(form.parse(texts), exact), texts, written)
        return written


def _names(language: str, directive: str) -> tuple[str, ...]:
    names = LANGUAGES[language]
    return {
        "B": names.months, "b": names.short_months,
        "A": names.weekdays, "a": names.short_weekdays,
    }[directive]  # fmt: skip


def _ordinal_endings(days: Ints) -> pa.StringArray:
    endings = pa.array(["th", "st", "nd", "rd"])
    is_teen = (days >= 11) & (days <= 13)
    return endings.take(pa.array(np.where(is_teen | (days % 10 > 3), 0, days % 10)))


def _group(index: int) -> str:
    return f"f{index}"


def _ints(values: pa.Array) -> Ints:
    numbers = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, np.int64)


def _padded(numbers: Ints, width: int) -> pa.StringArray:
    texts = pa.array(numbers).cast(pa.string())
    return pc.utf8_lpad(texts, width, "0") if width > 1 else texts
