"""Formats of dates, times and periods: the language in which a column states its form.

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
`hmm` and `hmmss` are whole numbers such as 5 and 1657 (see `clock_numbers`).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from zoneinfo import available_timezones

from modalities.tabular.forms.clock_numbers import CLOCK_NUMBERS, clock_number_form
from modalities.tabular.forms.moments import MomentForm, PartialDateForm
from models.tabular.calendar_names import LANGUAGES

_MAX_CHARS = 64
_DIRECTIVE = re.compile(r"%(?:24H|-[mdHIypP]|_d|[\^#~][bBaA]|:z|[YymdoBbAaHIMSfpPzqGVsQ])")
_LANGUAGE = re.compile(r"\[([a-z]{2}2?)\]")
_SCRIPT = re.compile(r"\[([^\W0-9a-zA-Z])\]")
_ZONE = re.compile(r"(?<=z)\[([A-Za-z]+/[A-Za-z_/]+)\]$")
_OFFSET = re.compile(r"(?<![0-9-])([+-])([0-9]{2})(?::?([0-9]{2}))?$")
_GMT_OFFSET = re.compile(r"(?:GMT|UTC)([+-])([0-9]{1,2})(?::?([0-9]{2}))?$")


@lru_cache(maxsize=256)
def parse_format(format: str) -> MomentForm | None:
    """Return the form that a format describes; None if it is not supported."""
    if format in CLOCK_NUMBERS:
        padded = parse_format(CLOCK_NUMBERS[format])
        return padded and clock_number_form(format, padded)
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
    if language not in LANGUAGES or "%" in "".join(literals) or len(format) > _MAX_CHARS:
        return None
    names = [directive[-1] for directive in directives]
    if len(set(names)) != len(names) or not _is_complete(frozenset(names)):
        return None
    has_time = bool({"H", "I"} & set(names))
    offset = _offset(literals[-1], has_time)
    return MomentForm(format, language, literals, directives, offset, zone[1] if zone else "")


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
