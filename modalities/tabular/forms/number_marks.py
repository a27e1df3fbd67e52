"""Inference of the marks of thousands and decimals from the digits of some numbers."""

import re
from collections.abc import Collection, Sequence

from modalities.tabular.forms.fit import MIN_FIT_FRACTION
from modalities.tabular.forms.number_units import is_currency
from modalities.tabular.forms.numbers import Affixes

_MARKS = (  # thousands mark and decimal mark, in order of preference
    ("", "."),
    (",", "."),
    ("", ","),
    (".", ","),
    (" ", ","),
    ("\u00a0", ","),
    ("\u202f", ","),
    (" ", "."),
    ("\u00a0", "."),
    ("\u202f", "."),
    ("\u2009", ","),
    ("\u2009", "."),
    ("'", "."),
    ("\u2019", "."),
    ("'", ","),
    ("\u066c", "\u066b"),  # Arabic
    ("\uff0c", "\uff0e"),  # full-width
    ("", "\u066b"),
    ("", "\uff0e"),
)
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")
_SHORT = re.compile(r"0|[1-9]\d{0,2}")  # needs no thousands mark
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:(?:,\d{3})+\.\d+|(?:,\d{3}){2,})")
WHOLE = re.compile(r"0|[1-9]\d*|[1-9]\d{0,2}(?:,\d{3})+")


def show_thousands(bodies: Sequence[str]) -> bool:
    """Return True for numbers of which one shows the comma's meaning: 16,224.50 or 71,482,000."""
    return _fits(bodies, _loose(",", ".")) and any(map(_THOUSANDS.fullmatch, bodies))


def are_parted_if_long(bodies: Sequence[str]) -> bool:
    """Return True for numbers such as 4,385 and 675, of which a comma parts only the long ones."""
    long = [body for body in bodies if "," in body]
    short = [body for body in bodies if "," not in body]
    are_grouped = all(map(_GROUPED.fullmatch, long)) and all(map(_SHORT.fullmatch, short))
    return bool(long and short) and are_grouped


def infer_marks(
    bodies: Sequence[str], decimal_comma: bool, unit: Affixes, codes: Collection[str]
) -> list[tuple[str, str, bool]]:
    """Return the (thousands mark, decimal mark, Indian grouping) that fit, the likeliest first.

    Amounts of money hardly have three decimals, and letters before them, of which a mark of
    thousands shows that they are a currency, have this mark. `$14.970` is both.
    """
    is_money = any(map(is_currency, unit)) or unit[0] in codes
    if is_money and (mark := _mark_of_thousands(bodies)):
        thousands = (mark, "," if mark == "." else ".", False)
        if any(body.count(mark) > 1 for body in bodies):
            return [thousands]
        have_short = any(mark not in body and body.strip("0") for body in bodies)
        if have_short or (mark == "," and unit[0] in codes):
            return [thousands, ("", mark, False)]
    fitting = [
        marks for marks in _MARKS if _fits(bodies, _strict(*marks)) and _occurs(bodies, *marks)
    ]
    if not fitting and _fits(bodies, _strict(",", ".", indian=True)):
        return [(",", ".", True)]
    with_commas = [body for body in bodies if "," in body]
    may_be_grouped = not decimal_comma and set(fitting) <= {("", ","), ("", ".")} and with_commas
    if may_be_grouped and _fits(with_commas, _GROUPED) and _fits(bodies, WHOLE):
        # Such as 1,178 next to 2590: only some numbers have the marks.
        return [(",", ".", False), ("", ",", False)]
    if not fitting:  # some numbers lack the marks
        loose = [marks for marks in _MARKS if marks[0] and _fits(bodies, _loose(*marks))]
        fitting = [marks for marks in loose if _occurs(bodies, *marks)]
    fitting.sort(key=lambda marks: _preference(marks, decimal_comma))
    return [(mark, decimal, False) for mark, decimal in fitting[:3]]


def _mark_of_thousands(bodies: Sequence[str]) -> str:
    """Return the mark of whole amounts such as 1.250 and 23.400, of which some are large."""
    for mark in ".,":
        parts = [body.split(mark) for body in bodies]
        groups = [part for part in parts if len(part) > 1]
        are_grouped = all(
            1 <= len(part[0]) <= 3 and part[0][0] != "0" and all(len(p) == 3 for p in part[1:])
            for part in groups
        )
        are_whole = all(p.isdigit() for part in parts for p in part)
        are_short = all(len(part[0]) <= 3 for part in parts if len(part) == 1)
        are_large = any(len(part) > 2 or len(part[0]) > 1 for part in groups)
        if groups and are_grouped and are_whole and are_short and are_large:
            return mark
    return ""


def _preference(marks: tuple[str, str], decimal_comma: bool) -> tuple[bool, int]:
    # A text such as 45.135 fits two forms. Where fields are separated by commas, the point is
    # the decimal mark, and elsewhere the comma is.
    preferred = marks[1] == ("," if decimal_comma else ".")
    return not preferred, _MARKS.index(marks)


def _fits(bodies: Sequence[str], pattern: re.Pattern[str]) -> bool:
    matching = sum(pattern.fullmatch(body) is not None for body in bodies)
    return matching >= MIN_FIT_FRACTION * len(bodies)


def _occurs(bodies: Sequence[str], mark: str, decimal: str) -> bool:
    """Return True if the thousands mark occurs, or another decimal mark if there is none."""
    shown = mark or (decimal if decimal != "." else "")
    return any(shown in body for body in bodies)


def _strict(mark: str, decimal: str, *, indian: bool = False) -> re.Pattern[str]:
    m, d = re.escape(mark), re.escape(decimal)
    if not mark:
        return re.compile(rf"(?:0|[1-9]\d*)(?:{d}\d*)?|{d}\d+")
    groups = rf"(?:\d?\d{m})?(?:\d\d{m})*\d{{3}}" if indian else rf"\d{{1,3}}(?:{m}\d{{3}})*"
    return re.compile(rf"(?!0\d|0{m})(?:{groups}|\d{{1,3}})(?:{d}\d+)?|{d}\d+")


def _loose(mark: str, decimal: str) -> re.Pattern[str]:
    m, d = re.escape(mark), re.escape(decimal)
    return re.compile(rf"(?!0\d|0{m})(?:\d{{1,3}}(?:{m}\d{{3}})+|\d+)(?:{d}\d+)?|{d}\d+")
