"""Inference of the form of a number column from some of its texts."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modalities.tabular.forms.digits import plain_digits, script_of
from modalities.tabular.forms.number_scales import (
    are_scales,
    is_percent,
    powers,
    split_scale,
)
from modalities.tabular.forms.number_units import (
    BLANKS,
    SIGNS,
    codes_of_currencies,
    is_currency,
    is_prefix,
    is_suffix,
    is_unit,
    split_end,
)
from modalities.tabular.forms.numbers import (
    ALL_DIGITS,
    ALL_DIGITS_TRIMMED,
    MAX_DECIMALS,
    Affixes,
    NumberForm,
    count_decimals,
    find_exponents,
)

_MIN_PERCENTAGES = 0.05  # of the texts, next to counts; and of counts next to percentages
_MIN_SCALE_FRACTION = 0.005  # of the texts, to be a scale of the column
MIN_FIT_FRACTION = 0.9  # of the sampled texts; the exact fraction is checked on all rows
MIN_PLAIN_FRACTION = 0.75  # of the texts, which have no unit
# Decimals of numbers that a program has computed from others with fewer ones.
_MIN_NOISE_DECIMALS, _NOISE_DECIMALS, _MAX_NOISE_STEPS, _MAX_NOISE = 12, 9, 4, 0.3
_MAX_SIGNIFICANT = 9  # more digits are those of computed floats

_TEXT = re.compile(
    r"(?P<before>\D*?)"
    r"(?P<body>(?:\d[\d.,'\u2019\u066b\u066c\uff0c\uff0e \u00a0\u202f\u2009]*|[.,]\d+))"
    r"(?P<exponent>[eE][-+]?\d{1,4})?"
    r"(?P<after>(?:(?<=[ \u00a0\u202f\u2009])|[^\d]).*)?"
)
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


_PADDED = re.compile(r"(\d+)([.,])(\d+)")
_MIN_PADDED_DECIMALS, _MIN_PADDED_WIDTH = 4, 3  # without a sign: codes have fewer digits
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")
_SHORT = re.compile(r"0|[1-9]\d{0,2}")  # needs no thousands mark
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:(?:,\d{3})+\.\d+|(?:,\d{3}){2,})")
_BRACKETED = re.compile(r"\(\d[^()]*[^\W\d_]{2}[^()]*\)")
_WHOLE = re.compile(r"0|[1-9]\d*|[1-9]\d{0,2}(?:,\d{3})+")


_MINUS = "-\u2212\u25b3\u25b2"
_MINUS_BELOW_UP = "-\u2212\u25b3\u25bc"  # where one triangle is a plus


@dataclass(frozen=True)
class _Text:
    before: str
    body: str
    exponent: str
    after: str
    scale: str = ""
    minus: str = _MINUS  # signs of negative numbers

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


def infer_number_forms(sample: Sequence[str], *, decimal_comma: bool) -> list[NumberForm]:
    """Return the forms that fit most of the texts, the most likely first.

    With `decimal_comma`, the comma is the more likely decimal mark. Decimals are not yet inferred.
    """
    if script := script_of(sample):
        sample = [plain_digits(text, script) for text in sample]
        plain = infer_number_forms(sample, decimal_comma=decimal_comma)
        return [replace(form, script=script) for form in plain]
    if sample and all(map(_BRACKETED.fullmatch, sample)):
        inner = infer_number_forms([text[1:-1] for text in sample], decimal_comma=decimal_comma)
        return [_in_brackets(form) for form in inner]
    codes = codes_of_currencies(sample)
    minus = _MINUS_BELOW_UP if any("\u25bc" in text for text in sample) else _MINUS
    texts = [text for text in (_parse(text, codes, minus) for text in sample) if text is not None]
    signed = sum(text.unit[0] in SIGNS for text in texts)
    if signed < MIN_FIT_FRACTION * len(texts):  # such as <0.5 among other numbers
        texts = [text for text in texts if text.unit[0] not in SIGNS]
    if not sample or len(texts) < MIN_FIT_FRACTION / 2 * len(sample):
        return []
    if len(sample) == 1 and any(map(str.isalpha, "".join(texts[0].unit))):
        return []  # such as `1. Male` in all rows
    scales = _infer_scales(texts)
    if scales:
        texts = [
            replace(text, scale=s, after=a) for text in texts for s, a in [split_scale(text.after)]
        ]
        texts = [text for text in texts if text.scale in scales]
    affixes = _infer_affixes(texts)
    if affixes is None:
        return []
    affixes = replace(affixes, scales=scales)
    exponent = next((text.exponent for text in texts if text.exponent), "")
    if exponent:
        return [] if scales else [replace(affixes, exponent="e+00")]
    form = replace(
        affixes, leading_zero=not all(text.body[0] in ".," for text in _fractions(texts))
    )
    bodies = [text.body for text in texts]
    if padded := _infer_padded(texts):
        width, decimal, counts_sign = padded
        forms = [replace(form, whole_digits=width, decimal=decimal, counts_sign=counts_sign)]
    else:
        forms = [
            replace(form, thousands=mark, decimal=decimal, indian=indian)
            for mark, decimal, indian in _infer_marks(bodies, decimal_comma, texts[0].unit, codes)
        ]
    return forms + _other_signs(forms, texts) if forms else []


def _other_signs(forms: Sequence[NumberForm], texts: Sequence[_Text]) -> list[NumberForm]:
    """Return the forms with signs of numbers that the sample lacks."""
    positive, negative = forms[0].positive, forms[0].negative
    if all(text.is_negative for text in texts) and negative[0] == "-":
        # The sample does not show whether positive numbers have a sign.
        with_sign = ("+" + positive[0], positive[1])
        return [replace(each, positive=with_sign, zero=with_sign) for each in forms]
    if positive[0].startswith("+") and not any(text.is_zero for text in texts):
        # The sample does not show whether zero has a sign.
        unsigned = (positive[0].removeprefix("+"), positive[1])
        return [replace(each, zero=unsigned) for each in forms]
    return []


def _in_brackets(form: NumberForm) -> NumberForm:
    """Return the form of notes such as `(202 ratings)`, which are not negative."""
    affixes = (form.positive, form.negative, form.zero)
    positive, negative, zero = ((f"({before}", f"{after})") for before, after in affixes)
    return replace(form, positive=positive, negative=negative, zero=zero)


def _infer_scales(texts: Sequence[_Text]) -> tuple[str, ...]:
    """Return the words for powers of ten, if there are several and the texts are not codes."""
    counts = Counter(split_scale(text.after)[0] for text in texts)
    common = [word for word, count in counts.items() if count >= _MIN_SCALE_FRACTION * len(texts)]
    exponents = dict(zip(common, powers(common), strict=True))
    words = sorted(common, key=exponents.__getitem__)
    if any(map(is_percent, words)):
        return tuple(words) if _are_counts_and_percentages(texts, words) else ()
    if any(word.strip(BLANKS) == "m" and exponents[word] for word in words):  # millions
        texts_in_m = [text for text in texts if split_scale(text.after)[0].strip(BLANKS) == "m"]
        if not all(text.before.strip(BLANKS + "-+(") for text in texts_in_m):
            return ()
    is_amount = any(text.before.strip(BLANKS) or re.search("[.,]", text.body) for text in texts)
    is_mixed = len(counts) > 1 and any(counts[word] for word in counts if word)
    return tuple(words) if is_mixed and is_amount and are_scales(words) else ()


def _are_counts_and_percentages(texts: Sequence[_Text], words: Sequence[str]) -> bool:
    """Return True for whole numbers and percentages below 100, such as 155 and 18.2%."""
    if len(words) != 2 or not are_scales(words):
        return False
    percentages = [text.body for text in texts if split_scale(text.after)[0] == words[0]]
    counts = [text.body for text in texts if not text.after]
    minimum = _MIN_PERCENTAGES * len(texts)
    are_whole = all(map(_WHOLE.fullmatch, counts))
    are_below = all(re.fullmatch(r"\d{1,2}(?:[.,]\d+)?", body) for body in percentages)
    are_unsigned = not any(text.before for text in texts)
    return (
        min(len(percentages), len(counts)) >= minimum and are_whole and are_below and are_unsigned
    )


def _fractions(texts: Sequence[_Text]) -> list[_Text]:
    """Return the texts of numbers below one, or of all numbers if there are none."""
    fractions = [text for text in texts if re.match(r"0?[.,]\d", text.body)]
    return fractions or list(texts)


def _parse(text: str, codes: Collection[str] = (), minus: str = _MINUS) -> _Text | None:
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    body, after = match["body"], match["after"] or ""
    stripped = body.rstrip(BLANKS)
    after = body[len(stripped) :] + after
    if split_end(stripped[-1:] + after)[0]:  # such as 120,-
        stripped, after = stripped[:-1], stripped[-1:] + after
    parsed = _Text(match["before"], stripped, match["exponent"] or "", after, minus=minus)
    before_unit, after_unit = parsed.unit
    end, after = split_end(after)
    is_before = is_prefix(before_unit) or before_unit in codes
    is_after = is_suffix(after_unit.removeprefix(end).strip(BLANKS)) or is_unit(after)
    return parsed if is_before and is_after else None


def _infer_affixes(texts: Sequence[_Text]) -> NumberForm | None:
    """Return a form with the most common affixes of each sign; None if units are mixed."""
    texts, plural = _without_plural(texts)
    (unit, count), *_ = Counter(text.unit for text in texts).most_common(1)
    # Flags such as the `p` of provisional numbers are not units.
    if count < (MIN_FIT_FRACTION if any(unit) else MIN_PLAIN_FRACTION) * len(texts):
        return None
    texts = [text for text in texts if text.unit == unit]
    negative = _most_common(text for text in texts if text.is_negative)
    positive = _most_common(text for text in texts if not (text.is_negative or text.is_zero))
    zero = _most_common(text for text in texts if text.is_zero and not text.is_negative)
    if positive is None:
        positive = zero or _strip_sign(negative)
    default = ("-" + positive[0].removeprefix("+"), positive[1])
    return NumberForm(positive, negative or default, zero or positive, plural=plural)


def _without_plural(texts: Sequence[_Text]) -> tuple[Sequence[_Text], str]:
    """Return the texts with the unit in the singular, as in `1 day`, and the plural's ending."""
    units = [unit for unit, _ in Counter(text.unit for text in texts).most_common(2)]
    if len(units) < 2:
        return texts, ""
    (before, singular), (other, plural) = sorted(units, key=lambda unit: len(unit[1]))
    ending = plural.removeprefix(singular)
    is_ending = re.fullmatch(r"[^\W\d_]{1,3}", ending) and re.search(r"[^\W\d_]$", singular)
    if before != other or not (plural.startswith(singular) and is_ending):
        return texts, ""
    chosen = [text for text in texts if text.unit in units]
    if any((text.body == "1") != (text.unit[1] == singular) for text in chosen):
        return texts, ""
    return [replace(text, after=text.after.removesuffix(ending)) for text in texts], ending


def _most_common(texts: Iterable[_Text]) -> Affixes | None:
    counts = Counter((text.before, text.after) for text in texts)
    return counts.most_common(1)[0][0] if counts else None


def _strip_sign(affixes: Affixes | None) -> Affixes:
    before, after = affixes or ("", "")
    return re.sub(r"[-\u2212(]", "", before), re.sub(r"[-\u2212)]", "", after)


def has_thousands_comma(sample: Sequence[str]) -> bool:
    """Return True for numbers of which one shows the comma's meaning: 16,224.50 or 71,482,000."""
    bodies = [text.body for text in map(_parse, sample) if text is not None]
    is_number_column = len(bodies) >= MIN_FIT_FRACTION * len(sample)
    are_numbers = is_number_column and _fits(bodies, _loose(",", "."))
    return are_numbers and any(map(_THOUSANDS.fullmatch, bodies))


def has_only_thousands(sample: Sequence[str]) -> bool:
    """Return True for numbers such as 4,385 and 675, of which a comma parts only the long ones."""
    bodies = [text.body for text in map(_parse, sample) if text is not None]
    long = [body for body in bodies if "," in body]
    short = [body for body in bodies if "," not in body]
    are_grouped = all(map(_GROUPED.fullmatch, long)) and all(map(_SHORT.fullmatch, short))
    return bool(long and short) and are_grouped


def _infer_marks(
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
    if may_be_grouped and _fits(with_commas, _GROUPED) and _fits(bodies, _WHOLE):
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


def _infer_padded(texts: Sequence[_Text]) -> tuple[int, str, bool] | None:
    """Return the width and the decimal mark of numbers such as -086.6445, padded with zeros.

    The last value is True if a minus counts as a digit, as in 0012.5 and -003.2. Codes such as
    01.10 have neither a sign nor as many digits.
    """
    parts = [_PADDED.fullmatch(text.body) for text in texts]
    marks = {part[2] for part in parts if part}
    if None in parts or len(marks) != 1:
        return None
    signs = [text.before.strip(BLANKS) for text in texts]
    numbers = [
        (len(part[1]), sign, part[1][0]) for part, sign in zip(parts, signs, strict=True) if part
    ]
    has_signs = any(sign in ("-", "+", "\u2212") for sign in signs)
    for counts_sign in (False, True):
        widths = [(width + (counts_sign and sign == "-"), first) for width, sign, first in numbers]
        width = min(width for width, _ in widths)
        is_padded = any(first == "0" for _, first in widths)
        if (
            width >= 2
            and is_padded
            and all(each == width for each, first in widths if first == "0")
        ):
            break
    else:
        return None
    decimals = {len(part[3]) for part in parts if part}
    is_fixed = width >= _MIN_PADDED_WIDTH and len(decimals) == 1
    has_digits = min(decimals) >= _MIN_PADDED_DECIMALS or is_fixed
    return (width, marks.pop(), counts_sign) if has_signs or has_digits else None


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


@dataclass
class NumberTexts:
    """Counts of the decimals of all texts of a form, to complete it."""

    form: NumberForm
    decimals: dict[int, int] = field(default_factory=dict)  # texts by number of decimals
    padded: dict[int, int] = field(default_factory=dict)  # of those, the texts that end in a zero
    exponents: set[str] = field(default_factory=set)  # patterns of some exponents
    without_exponent: int = 0
    significant: int = 0
    integers_only: bool = True
    min_length: int = 99  # characters of the shortest text
    plain_zeros: int = 0  # texts such as 0, less those such as 0.00
    exponent_decimals: int = 0  # that the few texts with an exponent need in a plain form

    def add(self, bodies: pa.StringArray) -> None:
        """Count the texts of numbers, as `NumberForm.bodies` returns them."""
        if not self.form.exponent and self.form.is_plain:
            bodies = self._without_exponents(bodies)
        counts = _without_noise(count_decimals(bodies), bodies)
        ends_in_zero = (
            pc.match_substring_regex(bodies, "0(?:[eE]|$)")
            if self.form.exponent
            else pc.ends_with(bodies, "0")
        )
        padded = np.asarray(ends_in_zero.to_numpy(zero_copy_only=False), bool) & (counts > 0)
        self.min_length = min(self.min_length, pc.min(pc.utf8_length(bodies)).as_py() or 99)
        is_zero = pc.match_substring_regex(bodies, r"^0?\.?0*$").to_numpy(zero_copy_only=False)
        self.plain_zeros += int((is_zero & (counts == 0)).sum()) - int((is_zero & padded).sum())
        _increment(self.decimals, counts)
        _increment(self.padded, counts[padded])
        if self.integers_only:
            whole = pc.match_substring_regex(bodies, r"^[0-9]{1,18}(?:\.0*)?$")
            self.integers_only = bool(pc.all(whole).as_py())
        if self.form.exponent:
            self._add_exponents(bodies)

    def _without_exponents(self, bodies: pa.StringArray) -> pa.StringArray:
        """Return the texts without exponent; the others only need enough decimals."""
        has_exponent = find_exponents(bodies)
        if not pc.any(has_exponent).as_py():
            return bodies
        self.integers_only = False
        for text in bodies.filter(has_exponent).to_pylist():
            mantissa, _, exponent = text.lower().partition("e")
            decimals = len(mantissa.partition(".")[2]) - int(exponent)
            self.exponent_decimals = max(self.exponent_decimals, decimals)
        return bodies.filter(pc.invert(has_exponent))

    def _add_exponents(self, bodies: pa.StringArray) -> None:
        exponents = pc.replace_substring_regex(bodies, "^[^eE]*", "")
        has_none = pc.equal(exponents, "")
        self.without_exponent += pc.sum(has_none).as_py() or 0
        patterns = pc.unique(pc.replace_substring_regex(exponents, "[0-9]", "0")).to_pylist()
        self.exponents |= {text for text in patterns if text}
        mantissas = pc.replace_substring_regex(bodies, "[eE].*$", "")
        digits = pc.replace_substring_regex(mantissas, r"^[0.]+|\.", "")
        self.significant = max(self.significant, pc.max(pc.utf8_length(digits)).as_py() or 0)

    def complete(self) -> NumberForm:
        """Return the form with the decimals and the exponent of the texts."""
        low, high = min(self.decimals, default=0), max(self.decimals, default=0)
        if self.form.exponent:
            return self._complete_scientific(low, high)
        is_fixed = self.form.scales or self.form.whole_digits > 1  # no pattern has both
        if max(high, self.exponent_decimals) > MAX_DECIMALS and not is_fixed:
            return replace(self.form, significant=self._all_digits, leading_zero=True)
        low, high = min(low, MAX_DECIMALS), min(high, MAX_DECIMALS)
        if self.form.scales and is_percent(self.form.scales[0]):  # counts have no decimals
            low = high if len(self.decimals.keys() - {0}) == 1 else 0
        else:
            low = max(range(low, high + 1), key=lambda decimals: (self._exact(decimals), decimals))
        high = min(max(high, self.exponent_decimals), MAX_DECIMALS)
        # Distinct texts show whether zero has decimals, as the other numbers do.
        plain_zero = low > 0 and self.plain_zeros > 0
        return replace(self.form, min_decimals=low, max_decimals=high, plain_zero=plain_zero)

    @property
    def _all_digits(self) -> int:
        is_trimmed = self.decimals.get(0, 0) > self.padded.get(1, 0)
        return ALL_DIGITS_TRIMMED if is_trimmed else ALL_DIGITS

    def _exact(self, min_decimals: int) -> int:
        """Return the number of texts that `min_decimals` writes as they came.

        Texts that end in a zero need exactly `min_decimals`, others at least as many.
        """
        others = sum(n for decimals, n in self.decimals.items() if decimals >= min_decimals)
        padded = sum(n for decimals, n in self.padded.items() if decimals > min_decimals)
        return others - padded

    def _complete_scientific(self, low: int, high: int) -> NumberForm:
        form = replace(self.form, exponent="")
        letters = {text[0] for text in self.exponents}
        widths = {len(text.strip("eE+-")) for text in self.exponents}
        if self.without_exponent or len(letters) != 1 or low != high or high > MAX_DECIMALS:
            digits = self.significant if self.significant <= _MAX_SIGNIFICANT else self._all_digits
            return replace(form, significant=digits, thousands="")
        plus = "" if any(text[1:2] == "0" for text in self.exponents) else "+"
        exponent = f"{letters.pop()}{plus}{'0' * min(widths)}"
        return replace(form, exponent=exponent, min_decimals=low, max_decimals=high)


def _without_noise(counts: NDArray[np.int64], bodies: pa.StringArray) -> NDArray[np.int64]:
    """Return the decimals of the numbers, without those of 40.760090000000005 among 40.76009."""
    is_long = counts >= _MIN_NOISE_DECIMALS
    if not is_long.any() or is_long.mean() > _MAX_NOISE:
        return counts
    if counts[~is_long].max() >= _NOISE_DECIMALS:
        return counts  # numbers of many decimals, which all are written as they came
    counts = counts.copy()
    for i in np.flatnonzero(is_long):
        number = float(bodies[i].as_py())
        rounded = np.format_float_positional(round(number, _NOISE_DECIMALS), trim="-")
        decimals = len(rounded.partition(".")[2])
        noise = abs(float(rounded) - number)
        if decimals < _NOISE_DECIMALS and noise <= _MAX_NOISE_STEPS * np.spacing(number):
            counts[i] = decimals
    return counts


def _increment(totals: dict[int, int], values: NDArray[np.int64]) -> None:
    for value, count in zip(*np.unique(values, return_counts=True), strict=True):
        totals[int(value)] = totals.get(int(value), 0) + int(count)
