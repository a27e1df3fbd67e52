"""Dates, times and periods as text: reading and writing in the form of a column.

A format is a strftime pattern, such as `%-m/%-d/%Y %-I:%M %p`, with these directives beyond those
of Python: `%-d` is not padded, `%_d` is padded with a blank, `%o` is the ending of an English
ordinal such as 2nd, `%q` is the quarter, `%:z` an offset such as +01:00, `%P` is am or pm, `%-P`
a.m. or p.m., `%^b` a name in capitals, `%#b` in small letters, `%~b` with a capital, `%s` and `%Q`
are seconds and milliseconds since 1970, and `%24H` is an hour that writes midnight as 24:00 of the
day before. Dates without a year are those of the leap year 2000. `[de]` in front sets the language
of names, and `[fa]` the Persian calendar, too. A constant offset in the format, such as
`%H:%M+01:00`, is that of all times; after `%:z` or `%z`, a zone such as `[Europe/Berlin]` sets the
offset of each time. In `%Y-%m-%d|%Y-%m|%Y`, days and months may be unknown: the first day of a year
is written as the year. A zero of another script in brackets, before all else, means its digits.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from zoneinfo import available_timezones

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modalities.tabular.forms import persian_calendar
from modalities.tabular.forms.digits import to_ascii, to_script
from models.tabular.calendar_names import LANGUAGES

Ints = NDArray[np.int64]

SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND
LEAP_YEAR = 2000  # of dates without a year
PERSIAN = "fa"  # language of dates of the Persian calendar
TWO_DIGIT_YEAR_PIVOT = 69  # 69 is 1969, and 68 is 2068, as in POSIX

_DIRECTIVE = re.compile(r"%(?:24H|-[mdHIypP]|_d|[\^#~][bBaA]|:z|[YymdoBbAaHIMSfpPzqGVsQ])")
_LANGUAGE = re.compile(r"\[([a-z]{2}2?)\]")
_SCRIPT = re.compile(r"\[([^\W0-9a-zA-Z])\]")
_ZONE = re.compile(r"(?<=z)\[([A-Za-z]+/[A-Za-z_/]+)\]$")
_OFFSET = re.compile(r"(?<![0-9-])([+-])([0-9]{2})(?::?([0-9]{2}))?$")
_GMT_OFFSET = re.compile(r"(?:GMT|UTC)([+-])([0-9]{1,2})(?::?([0-9]{2}))?$")
_DIGITS = {"Y": "4", "G": "4", "y": "2", "V": "2", "q": "1"}
_MIN_MICROS, _MAX_MICROS = -62_135_596_800 * SECOND, 253_402_300_799 * SECOND  # years 1 to 9999


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
        return frozenset(directive[-1] for directive in self.directives)

    @property
    def order(self) -> tuple[str, ...]:
        """The order of day, month and year, such as ("d", "m", "y")."""
        names = dict.fromkeys("d", "d") | dict.fromkeys("mBb", "m") | dict.fromkeys("yY", "y")
        return tuple(names[d[-1]] for d in self.directives if d[-1] in names)

    @property
    def has_date(self) -> bool:
        return bool(self.fields & set("YyGsQd"))

    @property
    def has_time(self) -> bool:
        return bool(self.fields & set("HIsQ"))

    @property
    def has_zone(self) -> bool:
        return self.offset is not None or bool(self.fields & set("zsQ"))

    @cached_property
    def regex(self) -> str:
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
            return "[+-][0-9]{2}:?[0-9]{2}|Z"
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
        fields = self._fixed_width_fields(texts)
        if fields is None:
            parts = pc.extract_regex(texts, self.regex)
            fits = np.asarray(parts.is_valid().to_numpy(zero_copy_only=False), bool)
            fields = {
                directive[-1]: self._field(directive[-1], pc.struct_field(parts, _group(i)))
                for i, directive in enumerate(self.directives)
            }
        else:
            fits = fields.pop("fits") > 0
        micros, exists = self._combine(fields, len(texts))
        return pa.array(micros, mask=~(fits & exists))

    def _fixed_width_fields(self, texts: pa.StringArray) -> dict[str, Ints] | None:
        """Read texts of one length as an array of bytes, which is fast; None if not possible."""
        widths = [int(_DIGITS.get(d[-1], "2")) for d in self.directives]
        directives = "".join(self.directives)
        padded = set("YGyVqmdHMSI") >= self.fields and not set("-_") & set(directives)
        if not padded or len(texts) == 0 or texts.null_count:
            return None
        width = sum(widths) + sum(map(len, self.literals))
        if (
            not "".join(self.literals).isascii()
            or not pc.all(pc.equal(pc.binary_length(texts), width)).as_py()
        ):
            return None
        start = int(np.frombuffer(texts.buffers()[1], np.int32)[texts.offset])
        data = np.frombuffer(texts.buffers()[2], np.uint8)[start : start + width * len(texts)]
        table = data.reshape(len(texts), width)
        fits, fields, at = np.ones(len(texts), bool), {}, 0
        for i, literal in enumerate(self.literals):
            for character in literal.encode():
                fits &= table[:, at] == character
                at += 1
            if i < len(widths):
                value = np.zeros(len(texts), np.int64)
                for _ in range(widths[i]):
                    digit = table[:, at] - 48  # wraps around for characters before "0"
                    fits &= digit < 10
                    value = value * 10 + digit
                    at += 1
                fields[self.directives[i][-1]] = value
        fields["fits"] = fits.astype(np.int64)
        return fields

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
            digits = pc.replace_substring_regex(texts, "[-+:]", "")
            hhmm = _ints(pc.if_else(pc.equal(digits, "Z"), "0", digits).cast(pa.int64()))
            sign = np.where(_ints(pc.starts_with(texts, "-")) > 0, -1, 1)
            return np.asarray(sign * (3600 * (hhmm // 100) + 60 * (hhmm % 100)))
        return _ints(pc.utf8_ltrim(texts, " ").cast(pa.int64()))

    def _combine(self, fields: Mapping[str, Ints], count: int) -> tuple[Ints, NDArray[np.bool_]]:
        """Return microseconds, and the mask of those that exist."""
        if "s" in fields or "Q" in fields:
            micros = fields["s"] * SECOND if "s" in fields else fields["Q"] * 1_000
            return micros, (micros >= _MIN_MICROS) & (micros <= _MAX_MICROS)
        days, exists = self._days(fields, count)
        zero = np.zeros(count, np.int64)
        hours = fields.get("H", zero)
        if "I" in fields:
            exists &= (fields["I"] >= 1) & (fields["I"] <= 12)
            hours = fields["I"] % 12 + 12 * fields["p" if "p" in fields else "P"]
        minutes, seconds = fields.get("M", zero), fields.get("S", zero)
        is_next_midnight = (hours == 24) & (minutes == 0) & (seconds == 0) & self.has_date
        exists &= ((hours < 24) | is_next_midnight) & (minutes < 60) & (seconds < 60)
        seconds = 3600 * hours + 60 * minutes + seconds - fields.get("z", zero) - (self.offset or 0)
        return days * DAY + seconds * SECOND + fields.get("f", zero), exists

    def _days(self, fields: Mapping[str, Ints], count: int) -> tuple[Ints, NDArray[np.bool_]]:
        if "G" in fields:
            return _iso_week_days(fields["G"], fields["V"])
        if not self.has_date:
            return np.zeros(count, np.int64), np.ones(count, bool)
        if "y" in fields:
            years = fields["y"] + np.where(fields["y"] < TWO_DIGIT_YEAR_PIVOT, 2000, 1900)
        else:
            years = fields.get("Y", np.full(count, LEAP_YEAR))
        one = np.ones(count, np.int64)
        month = fields.get("m", fields.get("b", fields.get("B", one)))
        month = 3 * fields["q"] - 2 if "q" in fields else month
        if self.language == PERSIAN:
            return persian_calendar.to_days(years, month, fields.get("d", one))
        exists = (years >= 1) & (month >= 1) & (month <= 12)
        months = (years - 1970) * 12 + month - 1
        days = months.astype("M8[M]").astype("M8[D]").astype(np.int64) + fields.get("d", one) - 1
        exists &= days.astype("M8[D]").astype("M8[M]").astype(np.int64) == months
        return days, exists

    def write(self, micros: pa.Int64Array, decimals: int | None = None) -> pa.StringArray:
        """Return the moments as text, with `decimals` digits (default 6) of a fraction."""
        values = np.asarray(micros.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
        offsets = self._offsets(values)
        local = values + offsets * SECOND
        if "%24H" in self.directives:
            resolution = SECOND if "S" in self.fields else 60 * SECOND
            local = np.where(local % DAY < resolution, local // DAY * DAY - 1, local)
        components = _Components(
            local, has_hour_24="%24H" in self.directives, is_persian=self.language == PERSIAN
        )
        pieces: list[pa.Array | str] = []
        for literal, directive in zip(self.literals, (*self.directives, ""), strict=True):
            pieces.append(literal)
            if directive:
                pieces.append(self._write_field(directive, components, local, offsets, decimals))
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
        components: "_Components",
        local: Ints,
        offsets: Ints,
        decimals: int | None,
    ) -> pa.Array | str:
        name = directive[-1]
        if name in "BbAa":
            names = _names(self.language, name)
            names = tuple(each.upper() for each in names) if "^" in directive else names
            names = tuple(each.lower() for each in names) if "#" in directive else names
            names = tuple(each.capitalize() for each in names) if "~" in directive else names
            return pa.array(names).take(pa.array(components.name_index(name)))
        if name == "z":
            minutes = np.abs(offsets) // 60
            mark = ":" if ":" in directive else ""
            signs = pa.array(["+", "-"]).take(pa.array((offsets < 0).astype(np.int64)))
            hours, rest = _padded(minutes // 60, 2), _padded(minutes % 60, 2)
            return pc.binary_join_element_wise(signs, hours, mark, rest, "")
        if name in "pP":
            texts = ("a.m.", "p.m.") if "-" in directive else ("am", "pm")
            texts = (texts[0].upper(), texts[1].upper()) if name == "p" else texts
            return pa.array(texts).take(pa.array(components.hour // 12 % 2))
        if name == "f":
            digits = 6 if decimals is None else decimals
            return pc.utf8_slice_codeunits(_padded(local % SECOND, 6), 0, max(digits, 1))
        if name == "o":
            return _ordinal_endings(components.number("d"))
        if name in "sQ":
            return pa.array(local // (SECOND if name == "s" else 1_000)).cast(pa.string())
        number = components.number(name)
        if "_" in directive:
            return pc.utf8_lpad(_padded(number, 0), 2, " ")
        width = 0 if "-" in directive else int(_DIGITS.get(name, "2"))
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


def _partial_form(formats: Sequence[str]) -> PartialDateForm | None:
    """Return the form of dates that are exact to a time, a day, a month or a year."""
    forms = [form for form in map(parse_format, formats) if form is not None]
    fields = [{*form.order, *(["time"] if form.has_time else [])} for form in forms]
    are_coarser = all(a > b for a, b in pairwise(fields))
    has_zone = any(form.has_zone or "f" in form.fields for form in forms)
    if len(forms) < len(formats) or not are_coarser or has_zone:
        return None
    exact = forms[0]
    literals, directives = exact.literals, exact.directives
    return PartialDateForm(
        "|".join(formats), exact.language, literals, directives, None, forms=tuple(forms)
    )


class _Components:
    """Years, months and so on of local microseconds."""

    def __init__(self, micros: Ints, *, has_hour_24: bool, is_persian: bool) -> None:
        self._micros = micros
        self._days = np.floor_divide(micros, DAY)
        seconds = (micros % DAY) // SECOND
        if has_hour_24:  # the last microsecond of a day stands for its end
            seconds = np.where(micros % DAY == DAY - 1, 86_400, seconds)
        self.hour, self._minute, self._second = seconds // 3600, seconds // 60 % 60, seconds % 60
        if is_persian:
            self._year, self._month, self._day = persian_calendar.from_days(self._days)
            return
        months = self._days.astype("M8[D]").astype("M8[M]")
        first = months.astype("M8[D]").astype(np.int64)
        self._year, self._month = np.divmod(months.astype(np.int64), 12)
        self._year, self._month = self._year + 1970, self._month + 1
        self._day = self._days - first + 1

    def name_index(self, name: str) -> Ints:
        return (self._days + 3) % 7 if name in "aA" else self._month - 1

    def number(self, name: str) -> Ints:
        if name in "GV":
            thursdays = self._days - (self._days + 3) % 7 + 3
            years = thursdays.astype("M8[D]").astype("M8[Y]")
            first = years.astype("M8[D]").astype(np.int64)
            week = (thursdays - first) // 7 + 1
            return np.asarray(years.astype(np.int64) + 1970 if name == "G" else week)
        if name in "HI":
            return self.hour if name == "H" else (self.hour + 11) % 12 + 1
        if name in "MS":
            return self._minute if name == "M" else self._second
        year, month = self._year, self._month
        return {
            "d": self._day, "m": month, "q": (month + 2) // 3, "Y": year, "y": year % 100,
        }[name]  # fmt: skip


@lru_cache(maxsize=256)
def parse_format(format: str) -> MomentForm | None:
    """Return the form that a format describes; None if it is not supported."""
    if match := _SCRIPT.match(format):
        form = None if "|" in format else parse_format(format[match.end() :])
        return form and replace(form, format=format, script=match[1])
    if "|" in format:
        return _partial_form(format.split("|"))
    match = _LANGUAGE.match(format)
    language, rest = (match[1], format[match.end() :]) if match else ("", format)
    zone = _ZONE.search(rest)
    if zone is not None:
        rest = rest[: zone.start()]
        if zone[1] not in available_timezones():
            return None
    directives = tuple(_DIRECTIVE.findall(rest))
    literals = tuple(_DIRECTIVE.split(rest))
    if language not in LANGUAGES or "%" in "".join(literals) or len(format) > 64:
        return None
    names = [directive[-1] for directive in directives]
    if len(set(names)) != len(names) or not _is_complete(frozenset(names)):
        return None
    has_time = bool({"H", "I"} & set(names))
    offset = _offset(literals[-1], has_time)
    return MomentForm(format, language, literals, directives, offset, zone[1] if zone else "")


def _offset(literal: str, has_time: bool) -> int | None:
    """Return the seconds of a constant offset at the end of a format."""
    if literal.strip() in {"Z", "UTC", "GMT"} and has_time:
        return 0
    match = (_GMT_OFFSET.search(literal) or _OFFSET.search(literal)) if has_time else None
    if match is None:
        return None
    seconds = 3600 * int(match[2]) + 60 * int(match[3] or 0)
    return -seconds if match[1] == "-" else seconds


def _is_complete(names: frozenset[str]) -> bool:
    """Return True if the fields make a moment, a period or a time of day."""
    if names & {"s", "Q"}:
        return len(names) == 1
    time = names & set("HIMSfpPz")
    date = names - time - set("aAo")
    if "o" in names and "d" not in names:
        return False
    if time:
        has_hour = "H" in time or ("I" in time and bool(time & set("pP")))
        if not has_hour or len(time & set("HI")) != 1 or len(time & set("pP")) > 1:
            return False
        if not time >= ({"M", "S"} if "f" in time else {"M"} if "S" in time else set()):
            return False
    if not date:
        return bool(time) and not names & set("aAz")
    return _is_complete_date(date, has_time=bool(time))


def _is_complete_date(date: frozenset[str], *, has_time: bool) -> bool:
    """Return True for a day, or for a period if there is no time of day."""
    if date == {"G", "V"}:
        return not has_time
    years, months = date & set("Yy"), date & set("mbB")
    if len(years) > 1 or len(months) > 1:
        return False
    if date == years | months | {"d"}:
        return len(months) == 1
    return len(years) == 1 and not has_time and date - years <= (months or {"q"})


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


def _iso_week_days(years: Ints, weeks: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the Mondays of ISO weeks, in days since 1970."""
    january_4 = (years - 1970).astype("M8[Y]").astype("M8[D]").astype(np.int64) + 3
    first_monday = january_4 - (january_4 + 3) % 7
    days = first_monday + 7 * (weeks - 1)
    thursday_year = (days + 3).astype("M8[D]").astype("M8[Y]").astype(np.int64) + 1970
    return days, (weeks >= 1) & (years >= 1) & (thursday_year == years)


def _group(index: int) -> str:
    return f"f{index}"


def _ints(values: pa.Array) -> Ints:
    numbers = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, np.int64)


def _padded(numbers: Ints, width: int) -> pa.StringArray:
    texts = pa.array(numbers).cast(pa.string())
    return pc.utf8_lpad(texts, width, "0") if width > 1 else texts
