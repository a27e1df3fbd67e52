"""Numbers as text: reading and writing in the form of a column, such as `$1,234.50`.

The patterns of forms are those of `number_patterns`.
"""

import re
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from modalities.tabular.forms.digits import to_ascii, to_script
from modalities.tabular.forms.number_digits import (
    find_nonzero,
    fixed_point,
    scientific,
    significant_digits,
    trim_zeros,
)
from modalities.tabular.forms.number_scales import choose_scales, factors, is_percent

Affixes = tuple[str, str]  # text before and after the digits


@dataclass(frozen=True)
class NumberForm:
    """The marks, decimals and signs of the numbers of a column.

    The decimals are `min_decimals` to `max_decimals` without trailing zeros. `exponent` is a
    pattern such as `e+00`. With `significant` digits, the number is written in the shortest way
    that keeps as many digits.
    """

    positive: Affixes = ("", "")
    negative: Affixes = ("-", "")
    zero: Affixes = ("", "")
    thousands: str = ""
    indian: bool = False  # 12,34,567 instead of 1,234,567
    leading_zero: bool = True  # 0.5 instead of .5
    whole_digits: int = 1  # at least, before the decimal mark: 3 in 086.64
    counts_sign: bool = False  # a minus takes the place of one of the whole digits
    decimal: str = "."
    min_decimals: int = 0
    max_decimals: int = 0
    exponent: str = ""
    significant: int = 0  # digits; 0 for fixed decimals
    scales: tuple[str, ...] = ()  # words for powers of ten, such as K and M
    plain_zero: bool = False  # 0 instead of 0.00
    script: str = ""  # zero of the digits, if they are not ASCII
    plural: str = ""  # end of the text after the digits that is omitted after 1

    @property
    def is_plain(self) -> bool:
        """Return True if the texts are numbers in most programming languages."""
        has_signs = (self.positive, self.negative, self.zero) != (("", ""), ("-", ""), ("", ""))
        has_words = bool(self.scales or self.plural or self.script)
        has_marks = bool(self.thousands) or self.whole_digits > 1 or self.decimal != "."
        return not (has_signs or has_words or has_marks)

    def with_decimals(self, decimals: int) -> "NumberForm":
        """Return the form with as many decimals; trailing zeros stay omitted if they are."""
        is_fixed = self.min_decimals == self.max_decimals
        low = decimals if is_fixed else min(self.min_decimals, decimals)
        plain_zero = self.plain_zero and low > 0
        return replace(
            self, min_decimals=low, max_decimals=decimals, significant=0, plain_zero=plain_zero
        )

    def bodies(self, texts: pa.StringArray) -> tuple[pa.StringArray, pa.BooleanArray]:
        """Return the texts without signs, affixes and thousands marks, and where they are negative.

        The decimal mark becomes a point. A text of another form becomes null.
        """
        if self.is_plain:
            fits = pc.match_substring_regex(texts, f"^-?{self._number_regex()}$")
            bodies = pc.if_else(fits, texts, pa.scalar(None, pa.string()))
            return pc.utf8_ltrim(bodies, "-"), pc.starts_with(texts, "-")
        texts = to_ascii(texts, self.script) if self.script else texts
        fits = self._matches(texts, {self.positive, self.negative, self.zero})
        is_negative = self._find_negative(texts)
        bodies = pc.if_else(fits, texts, pa.scalar(None, pa.string()))
        bodies = self._without_affixes(bodies)
        if self.thousands:
            bodies = pc.replace_substring(bodies, self.thousands, "")
        if self.decimal != ".":
            bodies = pc.replace_substring(bodies, self.decimal, ".")
        return bodies, is_negative

    def _find_negative(self, texts: pa.StringArray) -> pa.BooleanArray:
        """Return where a text that fits has the affixes of negative numbers."""
        others = (self.positive, self.zero)
        before, after = self.negative
        if not any(other.startswith(before) for other, _ in others):
            return pc.starts_with(texts, before)
        if not any(other.endswith(after) for _, other in others):
            return pc.ends_with(texts, after)
        is_positive = self._matches(texts, {self.positive, self.zero})
        return pc.and_not(self._matches(texts, {self.negative}), is_positive)

    def _without_affixes(self, texts: pa.StringArray) -> pa.StringArray:
        """Return texts that fit without signs, units and scales."""
        sections = (self.positive, self.negative, self.zero)
        before = "".join({section[0] for section in sections})
        after = "".join({section[1] for section in sections} | set(self.scales)) + self.plural
        if set(before + after) & {self.decimal, self.thousands}:
            return pc.replace_substring_regex(texts, self._affix_regex(), "")
        texts = pc.utf8_ltrim(texts, before) if before else texts
        return pc.utf8_rtrim(texts, after) if after else texts

    def _matches(self, texts: pa.StringArray, affixes: set[Affixes]) -> pa.BooleanArray:
        number = self._number_regex()
        ending = f"(?:{re.escape(self.plural)})?" if self.plural else ""
        sections = [f"{re.escape(a)}{number}{re.escape(b)}{ending}" for a, b in sorted(affixes)]
        return pc.match_substring_regex(texts, f"^(?:{'|'.join(sections)})$")

    def _affix_regex(self) -> str:
        """Return a regular expression of all texts before and after the digits."""
        sections = (self.positive, self.negative, self.zero)
        before = _alternatives({section[0] for section in sections})
        after = _alternatives(
            {
                scale + section[1] + ending
                for section in sections
                for scale in self.scales or ("",)
                for ending in {"", self.plural}
            }
        )
        return f"^(?:{before})|(?:{after})$"

    def _number_regex(self) -> str:
        """Return a regular expression of numbers without a sign, with the marks and scales."""
        mark, decimal = re.escape(self.thousands), re.escape(self.decimal)
        digits = "(?:[0-9]{0,17})"  # longer ones are not exact
        if mark:
            group = (
                f"(?:{mark}[0-9]{{2}})*{mark}[0-9]{{3}}"
                if self.indian
                else (f"(?:{mark}[0-9]{{3}})+")
            )
            whole = f"(?:[1-9][0-9]{{0,2}}{group}|0|[1-9]{digits})"
        elif self.whole_digits > 1:
            fewest = self.whole_digits - self.counts_sign
            whole = f"(?:[0-9]{{{fewest},{self.whole_digits}}}|[1-9][0-9]{{{fewest},18}})"
        else:
            whole = f"(?:0|[1-9]{digits})"
        number = f"(?:{whole}(?:{decimal}[0-9]*)?|{decimal}[0-9]+)"
        if self.scales:
            return f"{number}(?:{'|'.join(map(re.escape, self.scales))})"
        # Programs write a few numbers of a plain column so, such as 100000 as 1e+05.
        may_have_exponent = self.exponent or self.significant or self.is_plain
        return f"{number}(?:[eE][-+]?[0-9]{{1,4}})?" if may_have_exponent else number

    def parse(self, texts: pa.StringArray) -> pa.DoubleArray:
        """Return the numbers; null for a text of another form."""
        bodies, is_negative = self.bodies(texts)
        numbers = bodies.cast(pa.float64())
        if self.scales:
            after = {section[1] for section in (self.positive, self.negative, self.zero)}
            numbers = pc.multiply(numbers, factors(texts, self.scales, after))
        numbers = pc.if_else(is_negative, pc.negate(numbers), numbers)
        return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))

    def parse_integers(self, texts: pa.StringArray) -> pa.Int64Array:
        """Return the integers; null for a text of another form or with a fraction."""
        bodies, is_negative = self.bodies(texts)
        whole = pc.match_substring_regex(bodies, r"^[0-9]{1,18}(?:\.0*)?$")
        digits = pc.replace_substring_regex(bodies, r"\.0*$", "")
        integers = pc.if_else(whole, digits, pa.scalar(None, pa.string())).cast(pa.int64())
        return pc.if_else(is_negative, pc.negate(integers), integers)

    def write(self, values: pa.Array) -> pa.StringArray:
        """Return int64 or float64 values as text; null where missing."""
        if not pa.types.is_integer(values.type):
            values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))
        sizes, scales = pc.abs(values), pa.scalar("")
        if self.scales:
            sizes, scales = choose_scales(sizes, self.scales, self.max_decimals)
        digits = self._digits(sizes)
        if self.scales and is_percent(self.scales[0]):
            counts = pc.replace_substring_regex(digits, r"\..*$", "")
            digits = pc.if_else(pc.equal(scales, ""), counts, digits)
        if self.is_plain and self.leading_zero and not self.plain_zero:
            return _with_minus(digits, values)
        is_zero = pc.invert(find_nonzero(digits))
        digits = pc.if_else(is_zero, "0", digits) if self.plain_zero else digits
        is_negative = pc.and_not(pc.less(values, pa.scalar(0, values.type)), is_zero)
        whole = pc.replace_substring_regex(digits, r"[.eE].*$", "")
        rest = pc.replace_substring_regex(digits, r"^[0-9]+", "")
        rest = rest if self.decimal == "." else pc.replace_substring(rest, ".", self.decimal)
        before, after = (
            pc.if_else(
                is_negative,
                self.negative[side],
                pc.if_else(is_zero, self.zero[side], self.positive[side]),
            )
            for side in (0, 1)
        )
        whole = self._padded(self._grouped(whole), rest, is_negative)
        ending: str | pa.Array = ""
        if self.plural:
            is_one = pc.equal(pc.binary_join_element_wise(whole, rest, ""), "1")
            ending = pc.if_else(is_one, "", self.plural)
        if self.script:
            whole, rest = to_script(whole, self.script), to_script(rest, self.script)
        return pc.binary_join_element_wise(before, whole, rest, scales, after, ending, "")

    def _grouped(self, whole: pa.StringArray) -> pa.StringArray:
        """Return the whole digits with marks of thousands."""
        if not self.thousands:
            return whole
        reverse = pc.utf8_reverse(whole)
        if self.indian:
            units, more = (
                pc.utf8_slice_codeunits(reverse, 0, 3),
                pc.utf8_slice_codeunits(reverse, 3),
            )
            more = pc.replace_substring_regex(more, "([0-9]{2})", rf"\1{self.thousands}")
            marked = pc.binary_join_element_wise(units, more, self.thousands)
        else:
            marked = pc.replace_substring_regex(reverse, "([0-9]{3})", rf"\1{self.thousands}")
        return pc.utf8_reverse(pc.utf8_rtrim(marked, self.thousands))

    def _padded(
        self, whole: pa.StringArray, rest: pa.StringArray, is_negative: pa.BooleanArray
    ) -> pa.StringArray:
        """Return the whole digits with as many zeros before them as the form has."""
        if self.whole_digits > 1:
            padded = pc.utf8_lpad(whole, self.whole_digits, "0")
            shorter = pc.utf8_lpad(whole, self.whole_digits - self.counts_sign, "0")
            whole = pc.if_else(is_negative, shorter, padded)
        if not self.leading_zero:
            whole = pc.if_else(pc.equal(rest, ""), whole, pc.utf8_ltrim(whole, "0"))
        return whole

    def _digits(self, values: pa.Array) -> pa.StringArray:
        """Return numbers without a sign as text with a decimal point."""
        if self.significant or self.exponent:
            texts = [
                None if value is None else self._scientific(value) for value in values.to_pylist()
            ]
            return pa.array(texts, pa.string())
        if pa.types.is_integer(values.type):
            zeros = f".{'0' * self.min_decimals}" if self.min_decimals else ""
            return pc.binary_join_element_wise(values.cast(pa.string()), zeros, "")
        texts = fixed_point(values, self.max_decimals)
        is_fixed = self.min_decimals == self.max_decimals
        return texts if is_fixed else trim_zeros(texts, self.min_decimals)

    def _scientific(self, value: float) -> str:
        if self.significant:
            return significant_digits(value, self.significant)
        return scientific(value, self.min_decimals, self.max_decimals, self.exponent)


def _with_minus(digits: pa.StringArray, values: pa.Array) -> pa.StringArray:
    """Return the digits after a minus where the value is negative and not written as zero."""
    is_negative = pc.less(values, pa.scalar(0, values.type))
    if not pc.any(is_negative).as_py():
        return digits
    has_minus = pc.and_(is_negative, find_nonzero(digits))
    return pc.if_else(has_minus, pc.binary_join_element_wise("-", digits, ""), digits)


def _alternatives(texts: set[str]) -> str:
    """Return a regular expression for any of the texts, the longest first."""
    return (
        "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True) if text) or "$^"
    )
