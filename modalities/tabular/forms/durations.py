"""Durations as text, such as `26:03:04`, `1 days 02:03:04` or `PT26H3M4S`.

A format is written like that of a spreadsheet, such as `[h]:mm:ss`, `[hh]:mm` or `d days hh:mm:ss`.
`d day(s) hh:mm:ss` is how PostgreSQL writes them: `1 day 02:03:04`, `-02:03:04`, `2 days`.
`[m]:ss` and `[mm]:ss` are times of a race. `[h:]m:ss` has hours only if there are any, such as
`59:08` and `1:02:11`, and `[m:]s` has minutes only if there are any: `58.34`, `1:02.11`. `P` is
the ISO 8601 notation, `PT` the same without days, and `PT0H0M0S` with zeros. `.f` at the end is a
fraction of a second. `[h]h [mm]m` is a duration with units; with `?` at the end, parts that are
zero are omitted.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modalities.tabular.forms.calendar_fields import DAY, SECOND, Ints
from modalities.tabular.forms.fit import MIN_FIT_FRACTION, count_equal

MAX_FRACTION_DIGITS = 6  # of a second
DEFAULT_FORMAT = "[h]:mm:ss"
DURATION_FORMATS = (
    "[h]:mm:ss", "[hh]:mm:ss", "[hhh]:mm:ss", "[h]:mm", "[hh]:mm", "d days hh:mm:ss",
    "d days, h:mm:ss", "d day(s) hh:mm:ss", "d.hh:mm:ss", "[m]:ss", "[mm]:ss", "[h:]m:ss",
    "[h:]mm:ss", "[hh:]mm:ss", "[m:]s", "[m:]ss", "PT", "P", "PT0H0M0S",
)  # fmt: skip
_UNIT_FORMATS = tuple(
    format + omitted
    for units in (
        "[h]h [m]m", "[h]h[m]m", "[m]m [s]s", "[m]m[s]s", "[h]h [m]m [s]s", "[h]h[m]m[s]s",
        "[h] h [m] min", "[h] h [m] m", "[h] hr [m] min", "[h] hrs [m] mins", "[h]hr [m]min",
        "[h]h [m]min", "[m] min [s] s", "[m] min [s] sec", "[h] hours [m] minutes",
        "[h] Std. [m] Min.",
    )
    for format in (units, re.sub(r"(?<=.)\[([ms])\]", r"[\1\1]", units))
    for omitted in ("", "?")
)  # fmt: skip
_UNIT_BEGIN = re.compile(r"[0-9]{1,6} ?[hmsS]")
_COMPOUND = re.compile(r"[0-9]{1,6} ?[hmS][^0-9]*[0-9]{1,2} ?[msM]")
_CLOCK = r"(?P<h>[0-9]{1,6}):(?P<m>[0-5][0-9])"
_SECONDS = r":(?P<s>[0-5][0-9])(?:\.(?P<f>[0-9]{1,9}))?"
_LONG_MINUTES = re.compile(r"-?(?:2[4-9]|[3-5][0-9]):[0-5][0-9](?:\.[0-9]+)?")  # no time of day
_SECONDS_TEXT = re.compile(r"-?(?:[0-9]{1,6}:)?[0-5]?[0-9]\.[0-9]{1,3}")
_DAY_CLOCK = r"(?P<h>[01]?[0-9]|2[0-3]):(?P<m>[0-5][0-9])" + _SECONDS
_PATTERNS = {
    "[m:]": r"^(?P<sign>-?)(?:(?P<m>[0-9]{1,6}):)?(?P<s>[0-5]?[0-9])(?:\.(?P<f>[0-9]{1,9}))?$",
    "[m": rf"^(?P<sign>-?)(?P<m>[0-9]{{1,8}}){_SECONDS}$",
    "[h:]": rf"^(?P<sign>-?)(?:(?P<h>[0-9]{{1,6}}):)?(?P<m>[0-5]?[0-9]){_SECONDS}$",
    "[hh:]": rf"^(?P<sign>-?)(?:(?P<h>[0-9]{{2,6}}):)?(?P<m>[0-5][0-9]){_SECONDS}$",
    "[h": rf"^(?P<sign>-?){_CLOCK}",
    "d days hh": rf"^(?:(?P<d>-?[0-9]{{1,6}}) days? \+?)?{_DAY_CLOCK}$",
    "d days, h": rf"^(?:(?P<d>-?[0-9]{{1,6}}) days?, )?{_DAY_CLOCK}$",
    "d day(s)": rf"^(?:(?P<d>-?[0-9]{{1,6}}) days?(?: |$))?(?:(?P<sign>-?){_DAY_CLOCK})?$",
    "d.": rf"^(?:(?P<d>-?[0-9]{{1,6}})\.)?{_DAY_CLOCK}$",
    "P": (
        r"^(?P<sign>-?)P(?:(?P<d>[0-9]{1,6})D)?(?:T(?:(?P<h>[0-9]{1,8})H)?(?:(?P<m>[0-9]{1,8})M)?"
        r"(?:(?P<s>[0-9]{1,9})(?:\.(?P<f>[0-9]{1,9}))?S)?)?$"
    ),
}


class _UnitPart(NamedTuple):
    field: str  # h, m or s
    digits: int  # at least, padded with zeros
    unit: str
    separator: str  # blanks after the unit


@dataclass(frozen=True)
class DurationForm:
    """A way to write durations; `style` is the format without the `.f` of a fraction."""

    style: str
    fraction: bool = False

    @property
    def format(self) -> str:
        return self.style + ".f" * self.fraction

    @property
    def _regex(self) -> str:
        if self._parts:
            return self._unit_regex()
        prefix = next(prefix for prefix in _PATTERNS if self.style.startswith(prefix))
        if prefix != "[h":
            return _PATTERNS[prefix]
        return _PATTERNS[prefix] + (_SECONDS if self.style.endswith("ss") else "") + "$"

    @cached_property
    def _parts(self) -> list[_UnitPart]:
        """The parts of a duration with units; empty for other styles."""
        parts = re.findall(r"\[(([hms])\2?)\]([^\[: ?]| [^\[ ?]|)([^\[?]*)", self.style)
        if ":" in self.style or not parts:
            return []
        result = []
        for token, name, first, rest in parts:
            unit = (first + rest).rstrip(" ")
            result.append(_UnitPart(name, len(token), unit, (first + rest)[len(unit) :]))
        return result

    def _unit_regex(self) -> str:
        """Return the regular expression of durations with units."""
        pieces = []
        is_optional = self.style.endswith("?")
        for i, part in enumerate(self._parts):
            number = "[0-9]{1,6}" if i == 0 else "[0-5]?[0-9]"
            piece = f"(?P<{part.field}>{number}){re.escape(part.unit)}"
            blank = part.separator and " ?"
            pieces.append(f"(?:{piece}{blank})?" if is_optional else piece + part.separator)
        return f"^{''.join(pieces)}$"

    def parse(self, texts: pa.StringArray) -> pa.Int64Array:
        """Return microseconds; null for a text of another form."""
        if not self.style.startswith("[") and self.style[0] == "P":
            texts = pc.if_else(
                pc.match_substring_regex(texts, "[0-9][DHMS]"), texts, pa.scalar(None, pa.string())
            )
        if self.style == "d day(s) hh:mm:ss":
            texts = pc.if_else(pc.not_equal(texts, ""), texts, pa.scalar(None, pa.string()))
        if self.style.endswith("?"):
            texts = pc.if_else(
                pc.match_substring_regex(texts, "^[0-9].*[^ ]$"),
                texts,
                pa.scalar(None, pa.string()),
            )
        parts = pc.extract_regex(texts, self._regex)
        names = [field.name for field in parts.type]

        def number(name: str) -> Ints:
            if name not in names:
                return np.zeros(len(texts), np.int64)
            field = pc.struct_field(parts, name)
            if name == "f":
                field = pc.utf8_slice_codeunits(pc.utf8_rpad(field, 6, "0"), 0, 6)
            return _ints(field)

        clock = 3600 * number("h") + 60 * number("m") + number("s")
        micros = clock * SECOND + number("f")
        days = number("d") * DAY
        if "sign" in names:
            is_negative = pc.equal(pc.struct_field(parts, "sign"), "-").fill_null(False)
            sign = np.where(is_negative.to_numpy(zero_copy_only=False), -1, 1)
            micros, days = sign * micros, days if self.style[0] == "d" else sign * days
        micros = micros + days
        return pa.array(micros, mask=parts.is_null().to_numpy(zero_copy_only=False))

    def write(self, micros: pa.Int64Array, decimals: int | None = None) -> pa.StringArray:
        """Return the durations as text, with `decimals` digits (default 6) of a fraction."""
        digits = (6 if decimals is None else decimals) if self.fraction else 0
        texts = [
            None if value is None else self._text(value, digits) for value in micros.to_pylist()
        ]
        return pa.array(texts, pa.string())

    def _text(self, micros: int, digits: int) -> str:
        if self.style == "d day(s) hh:mm:ss":
            sign = "-" if micros < 0 else ""
            days, rest = divmod(abs(micros), DAY)
            clock = sign + _clock(rest, digits, hour_digits=2)
            unit = f"{sign}{days} day{'s' if days > 1 or sign else ''}"
            return clock if not days else f"{unit} {clock}" if rest else unit
        if self.style.startswith("d"):
            days, rest = divmod(micros, DAY)
            clock = _clock(rest, digits, hour_digits=1 if ", h" in self.style else 2)
            if self.style == "d.hh:mm:ss":
                return f"{days}.{clock}" if days else clock
            if self.style == "d days hh:mm:ss":
                return f"{days} days {clock}"
            unit = "day" if abs(days) == 1 else "days"
            return f"{days} {unit}, {clock}" if days else clock
        if self._parts:
            return self._unit_text(micros // SECOND)
        sign = "-" if micros < 0 else ""
        if self.style[0] == "P":
            return sign + self._iso(abs(micros), digits)
        if self.style in ("[m]:ss", "[mm]:ss"):
            minutes, rest = divmod(abs(micros), 60 * SECOND)
            whole = f"{minutes:0{self.style.index(']') - 1}}"
            return f"{sign}{whole}{_clock(rest, digits, hour_digits=1)[4:]}"
        if ":]" in self.style:
            return sign + self._text_of_some_parts(abs(micros), digits)
        hour_digits = self.style.index("]") - 1
        return sign + _clock(
            abs(micros), digits, hour_digits=hour_digits, seconds=self.style.endswith("ss")
        )

    def _text_of_some_parts(self, micros: int, digits: int) -> str:
        """Return a duration without hours or minutes if there are none."""
        minutes, rest = divmod(micros, 60 * SECOND)
        seconds = _clock(rest, digits, hour_digits=1)[5:]
        if self.style.startswith("[m:]"):
            if minutes:
                return f"{minutes}:{seconds}"
            return seconds if self.style == "[m:]ss" else seconds.removeprefix("0")
        hours, minutes = divmod(minutes, 60)
        if hours:
            return f"{hours:0{self.style.index(':') - 1}}:{minutes:02}:{seconds}"
        return f"{minutes:0{2 if ']mm' in self.style else 1}}:{seconds}"

    def _unit_text(self, seconds: int) -> str:
        sizes = {"h": 3600, "m": 60, "s": 1}
        texts: list[str] = []
        rest = abs(seconds)
        for part in self._parts:
            value, rest = divmod(rest, sizes[part.field])
            if value or not self.style.endswith("?"):
                digits = part.digits if texts else 1
                texts.append(f"{value:0{digits}}{part.unit}{part.separator}")
        zero = f"0{self._parts[-1].unit}"
        return ("-" if seconds < 0 else "") + ("".join(texts).rstrip(" ") or zero)

    def _iso(self, micros: int, digits: int) -> str:
        days, rest = divmod(micros, DAY) if self.style == "P" else (0, micros)
        seconds, fraction = divmod(rest, SECOND)
        values = ((seconds // 3600, "H"), (seconds // 60 % 60, "M"))
        is_full = self.style == "PT0H0M0S"
        clock = "".join(f"{value}{unit}" for value, unit in values if value or is_full)
        decimals = f".{fraction:06}"[: digits + 1].rstrip("0").rstrip(".") if digits else ""
        if seconds % 60 or decimals or is_full or not (clock or days):
            clock += f"{seconds % 60}{decimals}S"
        return f"P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"


def parse_duration_format(format: str) -> DurationForm | None:
    """Return the form that a format describes; None if it is not supported."""
    style = format.removesuffix(".f")
    is_known = style in DURATION_FORMATS or (style == format and style in _UNIT_FORMATS)
    return DurationForm(style, style != format) if is_known else None


def _clock(micros: int, digits: int, *, hour_digits: int, seconds: bool = True) -> str:
    whole, fraction = divmod(micros, SECOND)
    text = f"{whole // 3600:0{hour_digits}}:{whole // 60 % 60:02}"
    if not seconds:
        return text
    return text + f":{whole % 60:02}" + (f".{fraction:06}"[: digits + 1] if digits else "")


def infer_duration_form(sample: Sequence[str]) -> DurationForm | None:
    """Return the form that writes most texts unchanged; None if it is fewer than 90 %.

    Times of day must be inferred first.
    """
    texts, decimals = pa.array(sample, pa.string()), count_fraction_digits(sample)
    fraction = any(re.search(r"\.[0-9]+S?$", text) for text in sample)
    best, most = None, MIN_FIT_FRACTION * len(sample)
    in_units = has_units(sample)
    may_be_clock = not any(map(_LONG_MINUTES.fullmatch, sample))
    for style in _UNIT_FORMATS if in_units else DURATION_FORMATS:
        if "h:]" in style and may_be_clock:  # 9:30 and 9:30:00 are times of day
            continue
        if style.startswith("[m:]") and not have_minutes(sample):
            continue
        form = DurationForm(style, fraction and not in_units)
        same = count_equal(form.write(form.parse(texts), decimals), texts)
        if same >= most and (best is None or same > most):
            best, most = form, same
    return best


def have_minutes(sample: Sequence[str]) -> bool:
    """Return True for texts such as 58.34 and 1:02.11, some of which have minutes."""
    if not any(":" in text for text in sample):
        return False
    fitting = sum(_SECONDS_TEXT.fullmatch(text) is not None for text in sample)
    return fitting >= MIN_FIT_FRACTION * len(sample)


def has_units(sample: Sequence[str]) -> bool:
    """Return True for texts such as 1h 5m, some of which have two parts."""
    begin = sum(_UNIT_BEGIN.match(text) is not None for text in sample)
    is_compound = any(_COMPOUND.match(text) for text in sample)
    return is_compound and begin >= MIN_FIT_FRACTION * len(sample)


def count_fraction_digits(sample: Sequence[str]) -> int:
    """Return the largest number of digits after the point that ends a time, up to 6."""
    matches = [re.search(r":[0-9]{2}[.,]([0-9]+)|[0-9]\.([0-9]+)S$", text) for text in sample]
    return max((min(MAX_FRACTION_DIGITS, len(m[1] or m[2])) for m in matches if m), default=0)


def _ints(texts: pa.StringArray) -> Ints:
    filled = pc.if_else(pc.equal(texts, ""), "0", texts).fill_null("0")
    return np.asarray(filled.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)
