"""Numbers as text: reading and writing in the form of a column, such as `$#,##0.00`.

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
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modalities.tabular.forms.digits import plain_digits, to_ascii, to_script, zero_of
from modalities.tabular.forms.number_scales import are_scales, choose_scales, factors, is_percent

Affixes = tuple[str, str]  # text before and after the digits

MAX_DECIMALS = 15
ALL_DIGITS = 17  # significant digits of a float
# The same, with whole numbers as programs in JavaScript and R write them: 3 instead of 3.0.
ALL_DIGITS_TRIMMED = 18
_EXACT = 1e15  # integers below are floats of which all digits are significant
_NO_FRACTION = 2.0**53  # floats above have no digits after the point
_MAX_PATTERN_CHARS = 64
_BODY = re.compile(
    r"(?:(?:#(?P<mark>[^#0@;\d])##(?:(?P=mark)##)?(?:0|@{1,18}0?)|@{1,18}0?"
    r"|#(?=[.,\u066b\uff0e][0#])|0{1,9})"
    r"(?:(?P<decimal>[.,\u066b\uff0e](?=[0#]))(?P<zeros>0{0,15})(?P<optional>#{0,15}))?"
    r"(?P<exponent>[eE]\+?0{1,3})?(?:\[(?P<scales>[^\[\]]*)\])?)"
)
_DECIMAL_MARKS = {".": ",", "\u066c": "\u066b", "\uff0c": "\uff0e"}  # by thousands mark
_PLURAL = re.compile(r"(?<=[^\W\d_])\[([^\W\d_]{1,3})\]$")


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
    significant: int = 0
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

    @property
    def pattern(self) -> str:
        body = self._body()
        ending = f"[{self.plural}]" if self.plural else ""
        negative = body.removeprefix("0") if self.counts_sign else body
        bodies = [body, negative, "0" if self.plain_zero else body]
        if self.script:
            bodies = [each.replace("0", self.script) for each in bodies]
        sections = zip(bodies, self._sections(), strict=False)
        return ";".join(f"{before}{each}{after}{ending}" for each, (before, after) in sections)

    def _body(self) -> str:
        mark = self.thousands
        group = f"#{mark}##{mark}##" if self.indian else f"#{mark}##" if mark else ""
        if self.significant:
            script = "0" if self.script else ""
            decimal = "" if self.decimal == _DECIMAL_MARKS.get(mark, ".") else f"{self.decimal}#"
            return f"{group}{'@' * self.significant}{script}{decimal}"
        whole = f"{group}0" if mark else "0" * self.whole_digits
        whole = whole if self.leading_zero else "#"
        optional = "#" * (self.max_decimals - self.min_decimals)
        decimals = f"{self.decimal}{'0' * self.min_decimals}{optional}" if self.max_decimals else ""
        scales = f"[{'|'.join(self.scales)}]" if self.scales else ""
        return f"{whole}{decimals}{self.exponent}{scales}"

    def _sections(self) -> list[Affixes]:
        if self.zero != self.positive or self.plain_zero:
            return [self.positive, self.negative, self.zero]
        is_default = self.negative == _default_negative(self.positive) and not self.counts_sign
        return [self.positive] if is_default else [self.positive, self.negative]

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
        is_zero = pc.invert(_find_nonzero(digits))
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
        whole = self._grouped(whole)
        if self.whole_digits > 1:
            padded = pc.utf8_lpad(whole, self.whole_digits, "0")
            shorter = pc.utf8_lpad(whole, self.whole_digits - self.counts_sign, "0")
            whole = pc.if_else(is_negative, shorter, padded)
        if not self.leading_zero:
            whole = pc.if_else(pc.equal(rest, ""), whole, pc.utf8_ltrim(whole, "0"))
        ending: str | pa.Array = ""
        if self.plural:
            is_one = pc.equal(pc.binary_join_element_wise(whole, rest, ""), "1")
            ending = pc.if_else(is_one, "", self.plural)
        if self.script:
            whole, rest = to_script(whole, self.script), to_script(rest, self.script)
        return pc.binary_join_element_wise(before, whole, rest, scales, after, ending, "")

    def _grouped(self, whole: pa.StringArray) -> pa.StringArray:
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
        if self.min_decimals == self.max_decimals:
            return texts
        kept = pc.replace_substring_regex(
            texts, rf"^([0-9]+\.[0-9]{{{self.min_decimals}}}[0-9]*?)0*$", r"\1"
        )
        return kept if self.min_decimals else pc.utf8_rtrim(kept, ".")

    def _scientific(self, value: float) -> str:
        if self.significant:
            text = repr(float(f"{value:.{min(self.significant, ALL_DIGITS)}g}"))
            return text if self.significant == ALL_DIGITS else text.removesuffix(".0")
        mantissa, _, exponent = f"{value:.{self.max_decimals}e}".partition("e")
        if self.max_decimals > self.min_decimals:
            whole, _, decimals = mantissa.partition(".")
            decimals = decimals[: self.min_decimals] + decimals[self.min_decimals :].rstrip("0")
            mantissa = f"{whole}.{decimals}" if decimals else whole
        sign = "-" if exponent[0] == "-" else "+" if "+" in self.exponent else ""
        width = self.exponent.count("0")
        return f"{mantissa}{self.exponent[0]}{sign}{exponent[1:].lstrip('0').rjust(width, '0')}"


def parse_pattern(pattern: str) -> NumberForm | None:
    """Return the form that a pattern describes; None if it is not a valid pattern."""
    if len(pattern) > _MAX_PATTERN_CHARS:
        return None
    script = zero_of(pattern)
    if script and plain_digits(pattern, script).count("0") != pattern.count(script):
        return None
    pattern = plain_digits(pattern, script) if script else pattern
    sections = pattern.split(";")
    matches = [_BODY.search(section) for section in sections]
    bodies = [match[0] if match else None for match in matches]
    plain_zero = len(bodies) == 3 and bodies[2] == "0" != bodies[0]
    counts_sign = len(bodies) > 1 and bodies[0] == f"0{bodies[1]}"
    bodies = [bodies[0], *bodies[2:]] if counts_sign else bodies
    differs = len(set(bodies[:2] if plain_zero else bodies)) > 1
    if len(sections) > 3 or differs or matches[0] is None:
        return None
    affixes = [
        (section[: match.start()], section[match.end() :])
        for section, match in zip(sections, matches, strict=True)
        if match is not None
    ]
    if any(re.search(r"[0-9#@]", before + after) for before, after in affixes):
        return None
    endings = {match[1] if (match := _PLURAL.search(after)) else "" for _, after in affixes}
    if len(endings) > 1:
        return None
    plural = endings.pop()
    affixes = [(before, _PLURAL.sub("", after)) for before, after in affixes]
    scales = matches[0]["scales"]
    if scales is not None and (not are_scales(scales.split("|")) or matches[0]["exponent"]):
        return None
    positive = affixes[0]
    negative = affixes[1] if len(affixes) > 1 else _default_negative(positive)
    if negative == positive:
        return None
    zero = affixes[2] if len(affixes) > 2 else positive
    affixed = NumberForm(positive, negative, zero, script=script, plural=plural)
    form = _with_body(affixed, matches[0])
    return form and replace(form, plain_zero=plain_zero, counts_sign=counts_sign)


def _with_body(form: NumberForm, match: re.Match[str]) -> NumberForm | None:
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


def _with_minus(digits: pa.StringArray, values: pa.Array) -> pa.StringArray:
    """Return the digits after a minus where the value is negative and not written as zero."""
    is_negative = pc.less(values, pa.scalar(0, values.type))
    if not pc.any(is_negative).as_py():
        return digits
    has_minus = pc.and_(is_negative, _find_nonzero(digits))
    return pc.if_else(has_minus, pc.binary_join_element_wise("-", digits, ""), digits)


def _find_nonzero(digits: pa.StringArray) -> pa.BooleanArray:
    return pc.match_substring_regex(digits, r"^[^eE]*[1-9]")


def fixed_point(values: pa.DoubleArray, decimals: int) -> pa.StringArray:
    """Return the values as text with `decimals` digits after the point.

    Digits after the point that a float does not distinguish are zeros: 39.1 is 39.100000000000000.
    """
    largest = pc.max(pc.abs(values)).as_py()
    if largest is None or largest < _EXACT / 10**decimals:
        # Arrow decimals are fast, but they write tiny numbers as 1E-9.
        text = values.cast(pa.decimal128(15 + decimals, decimals), safe=False).cast(pa.string())
        if not pc.any(pc.match_substring(text, "E")).as_py():
            return text
    texts = [None if v is None else _shortest(v, decimals) for v in values.to_pylist()]
    return pa.array(texts, pa.string())


def _shortest(value: float, decimals: int) -> str:
    if abs(value) >= _NO_FRACTION:
        return f"{value:.{decimals}f}"
    text = np.format_float_positional(value, decimals, trim="-")
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits.ljust(decimals, '0')}" if decimals else whole


def count_decimals(bodies: pa.StringArray) -> NDArray[np.int64]:
    """Return the number of digits after the point of each text, without an exponent."""
    mantissas = bodies
    if pc.any(find_exponents(bodies)).as_py():
        mantissas = pc.replace_substring_regex(bodies, "[eE].*$", "")
    point = pc.find_substring(mantissas, ".")
    digits = pc.subtract(pc.subtract(pc.binary_length(mantissas), point), 1)
    counts = pc.if_else(pc.less(point, 0), 0, digits)
    return np.asarray(counts.fill_null(0).to_numpy(zero_copy_only=False), np.int64)


def find_exponents(bodies: pa.StringArray) -> pa.BooleanArray:
    """Return the mask of the texts with an exponent, such as 1e+05."""
    return pc.or_(pc.match_substring(bodies, "e"), pc.match_substring(bodies, "E"))


def _default_negative(positive: Affixes) -> Affixes:
    return "-" + positive[0].removeprefix("+"), positive[1]


def _alternatives(texts: set[str]) -> str:
    """Return a regular expression for any of the texts, the longest first."""
    return (
        "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True) if text) or "$^"
    )
