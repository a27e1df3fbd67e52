"""Patterns of numbers: the language in which a column states its form, such as `$#,##0.00`.

A pattern is written like a number format of a spreadsheet, with the marks that the texts have:
`#.##0,00 €`, `0.0%`, `+0;-0;0`, `#,##0;(#,##0)` or `0.000e+00`. Up to three sections are for
positive numbers, negative numbers (default: the first one after a minus sign) and zero (default:
the first one; `0.00;-0.00;0` writes it without decimals). `0.##` writes up to two decimals and no
trailing zeros; `0000.0;-000.0` is padded to a width that includes the minus; `@@@` writes up to
three significant digits, and `@@@,#` or `#.##@@@,#` has other marks. `0.0[K|M]` writes 1500 as
1.5K, and `0 day[s]` writes `1 day` and `2 days`. A zero of another script, such as the Arabic one
(after `@@@` for significant digits), means the digits of that script.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from modalities.tabular.forms.digits import plain_digits, zero_of
from modalities.tabular.forms.number_digits import ALL_DIGITS
from modalities.tabular.forms.number_scales import are_scales
from modalities.tabular.forms.numbers import Affixes, NumberForm

_MAX_PATTERN_CHARS = 64
_MAX_SECTIONS = 3  # for positive numbers, negative ones, and zero
_BODY = re.compile(
    r"(?:(?:#(?P<mark>[^#0@;\d])##(?:(?P=mark)##)?(?:0|@{1,18}0?)|@{1,18}0?"
    r"|#(?=[.,\u066b\uff0e][0#])|0{1,9})"
    r"(?:(?P<decimal>[.,\u066b\uff0e](?=[0#]))(?P<zeros>0{0,15})(?P<optional>#{0,15}))?"
    r"(?P<exponent>[eE]\+?0{1,3})?(?:\[(?P<scales>[^\[\]]*)\])?)"
)
_NUMBER_CHARS = re.compile(r"[0-9#@]")
_DECIMAL_MARKS = {".": ",", "\u066c": "\u066b", "\uff0c": "\uff0e"}  # by thousands mark
_PLURAL = re.compile(r"(?<=[^\W\d_])\[([^\W\d_]{1,3})\]$")


def number_form(format: str | None, decimals: int | None) -> NumberForm:
    """Return the form of a number column. By default, numbers are written with all their digits.

    Raises:
        ValueError: The format is not a valid pattern.
    """
    if format is not None:
        form = parse_pattern(format)
        if form is None:
            raise ValueError(f"{format!r} is not a number format")
        return form
    if decimals is None:
        return NumberForm(significant=ALL_DIGITS)
    return NumberForm(min_decimals=decimals, max_decimals=decimals)


@dataclass(frozen=True)
class _Section:
    """A section of a pattern: a number between two texts, such as `0`, `` and ` day` of `0 day[s]`.

    `plural` is the ending in brackets.
    """

    number: re.Match[str]
    affixes: Affixes
    plural: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        number = _BODY.search(text)
        if number is None:
            return None
        before, after = text[: number.start()], text[number.end() :]
        if _NUMBER_CHARS.search(before + after):
            return None
        plural = _PLURAL.search(after)
        return cls(number, (before, _PLURAL.sub("", after)), plural[1] if plural else "")


def parse_pattern(pattern: str) -> NumberForm | None:
    """Return the form that a pattern describes; None if it is not a valid pattern."""
    if len(pattern) > _MAX_PATTERN_CHARS:
        return None
    script = zero_of(pattern)
    if script:
        plain = plain_digits(pattern, script)
        if plain.count("0") != pattern.count(script):
            return None  # it has digits of two scripts
        pattern = plain
    sections = [_Section.parse(text) for text in pattern.split(";")]
    valid = [section for section in sections if section is not None]
    return _form_of(valid, script) if len(valid) == len(sections) <= _MAX_SECTIONS else None


def _form_of(sections: Sequence[_Section], script: str) -> NumberForm | None:
    """Return the form of the sections for positive and negative numbers and zero, if they fit."""
    first, numbers = sections[0], [section.number[0] for section in sections]
    has_zero = len(numbers) == _MAX_SECTIONS
    counts_sign = len(numbers) > 1 and numbers[0] == f"0{numbers[1]}"
    plain_zero = has_zero and not counts_sign and numbers[2] == "0" != numbers[0]
    has_own_number = (False, counts_sign, plain_zero)
    equal = {text for text, own in zip(numbers, has_own_number, strict=False) if not own}
    if len(equal) > 1 or len({section.plural for section in sections}) > 1:
        return None
    scales = first.number["scales"]
    if scales is not None and (not are_scales(scales.split("|")) or first.number["exponent"]):
        return None
    negative = sections[1].affixes if len(sections) > 1 else _default_negative(first.affixes)
    if negative == first.affixes:
        return None
    zero = sections[2].affixes if has_zero else first.affixes
    form = NumberForm(first.affixes, negative, zero, script=script, plural=first.plural)
    form = replace(form, plain_zero=plain_zero, counts_sign=counts_sign)
    return _with_body(form, first.number)


def _with_body(form: NumberForm, match: re.Match[str]) -> NumberForm | None:
    """Return the form with the marks and decimals of the part of a pattern that is the number."""
    mark = match["mark"] or ""
    decimal = match["decimal"] or _DECIMAL_MARKS.get(mark, ".")
    if mark == decimal:
        return None
    form = replace(
        form, thousands=mark, indian=bool(mark) and f"{mark}##{mark}##" in match[0], decimal=decimal
    )
    if significant := match[0].count("@"):
        has_zero, has_others = "0" in match[0], match["scales"] or match["exponent"]
        is_valid = has_zero == bool(form.script) and match["optional"] in (None, "#")
        return replace(form, significant=significant) if is_valid and not has_others else None
    zeros = len(match["zeros"] or "")
    return replace(
        form,
        leading_zero="0" in match[0].partition(decimal)[0],
        whole_digits=max(1, len(match[0]) - len(match[0].lstrip("0"))),
        min_decimals=zeros,
        max_decimals=zeros + len(match["optional"] or ""),
        exponent=match["exponent"] or "",
        scales=tuple(match["scales"].split("|")) if match["scales"] is not None else (),
    )


def pattern_of(form: NumberForm) -> str:
    """Return the pattern that `parse_pattern` reads as the form."""
    body = _body(form)
    ending = f"[{form.plural}]" if form.plural else ""
    negative = body.removeprefix("0") if form.counts_sign else body
    bodies = [body, negative, "0" if form.plain_zero else body]
    if form.script:
        bodies = [each.replace("0", form.script) for each in bodies]
    sections = zip(bodies, _affixes(form), strict=False)
    return ";".join(f"{before}{each}{after}{ending}" for each, (before, after) in sections)


def _body(form: NumberForm) -> str:
    """Return the part of the pattern that is the number, without signs and units."""
    mark = form.thousands
    group = f"#{mark}##{mark}##" if form.indian else f"#{mark}##" if mark else ""
    if form.significant:
        script = "0" if form.script else ""
        decimal = "" if form.decimal == _DECIMAL_MARKS.get(mark, ".") else f"{form.decimal}#"
        return f"{group}{'@' * form.significant}{script}{decimal}"
    whole = f"{group}0" if mark else "0" * form.whole_digits
    whole = whole if form.leading_zero else "#"
    optional = "#" * (form.max_decimals - form.min_decimals)
    decimals = f"{form.decimal}{'0' * form.min_decimals}{optional}" if form.max_decimals else ""
    scales = f"[{'|'.join(form.scales)}]" if form.scales else ""
    return f"{whole}{decimals}{form.exponent}{scales}"


def _affixes(form: NumberForm) -> list[Affixes]:
    """Return the texts around the number, of the sections that are not the default."""
    if form.zero != form.positive or form.plain_zero:
        return [form.positive, form.negative, form.zero]
    is_default = form.negative == _default_negative(form.positive) and not form.counts_sign
    return [form.positive] if is_default else [form.positive, form.negative]


def _default_negative(positive: Affixes) -> Affixes:
    return "-" + positive[0].removeprefix("+"), positive[1]
