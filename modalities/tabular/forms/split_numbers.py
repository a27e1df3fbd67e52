"""Parts of a number as text: digits, and the texts before and after them."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from modalities.tabular.forms.number_units import (
    BLANKS,
    is_prefix,
    is_suffix,
    is_unit,
    split_end,
)
from modalities.tabular.forms.numbers import Affixes

# Signs of negative numbers.
MINUS = "-\u2212\u25b3\u25b2"
MINUS_BELOW_UP = "-\u2212\u25b3\u25bc"  # where one triangle is a plus
_PARTS = re.compile(
    r"(?P<before>\D*?)"
    r"(?P<body>(?:\d[\d.,'\u2019\u066b\u066c\uff0c\uff0e \u00a0\u202f\u2009]*|[.,]\d+))"
    r"(?P<exponent>[eE][-+]?\d{1,4})?"
    r"(?P<after>(?:(?<=[ \u00a0\u202f\u2009])|[^\d]).*)?"
)


@dataclass(frozen=True)
class SplitNumber:
    """The digits with their marks (`body`), and the texts around them with signs and blanks."""

    before: str
    body: str
    exponent: str
    after: str
    scale: str = ""
    minus: str = MINUS  # signs

    @cached_property
    def is_negative(self) -> bool:
        before, after = self.before.strip(BLANKS), split_end(self.after)[1].strip(BLANKS)
        in_brackets = "(" in before and ")" in after
        return in_brackets or any(sign in before + after for sign in self.minus)

    @cached_property
    def unit(self) -> Affixes:
        """The currency sign or unit before and after the digits, without signs and blanks."""
        end, after = split_end(self.after)
        minus = re.escape(self.minus)
        before = re.sub(rf"[+(\u25b2\u25bc{minus}]", "", self.before).strip(BLANKS)
        return before, end + re.sub(rf"[){minus}]", "", after).strip(BLANKS)

    @cached_property
    def is_zero(self) -> bool:
        return not re.search("[1-9]", self.body)


def split_number(text: str, codes: Collection[str] = (), minus: str = MINUS) -> SplitNumber | None:
    """Return the parts of a number; None for another text, such as the code C710.

    `codes` are letters that may be before a number in addition to currencies.
    """
    match = _PARTS.fullmatch(text)
    if match is None:
        return None
    body, after = match["body"], match["after"] or ""
    stripped = body.rstrip(BLANKS)
    after = body[len(stripped) :] + after
    if split_end(stripped[-1:] + after)[0]:  # such as 120,-
        stripped, after = stripped[:-1], stripped[-1:] + after
    parsed = SplitNumber(match["before"], stripped, match["exponent"] or "", after, minus=minus)
    before_unit, after_unit = parsed.unit
    end, after = split_end(after)
    is_before = is_prefix(before_unit) or before_unit in codes
    is_after = is_suffix(after_unit.removeprefix(end).strip(BLANKS)) or is_unit(after)
    return parsed if is_before and is_after else None
