"""Inference of the form of a number column from some of its texts."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from modalities.tabular.forms.digits import plain_digits, script_of
from modalities.tabular.forms.fit import MIN_FIT_FRACTION
from modalities.tabular.forms.number_marks import (
    WHOLE,
    are_parted_if_long,
    infer_marks,
    show_thousands,
)
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
)
from modalities.tabular.forms.numbers import Affixes, NumberForm
from modalities.tabular.forms.split_numbers import (
    MINUS,
    MINUS_BELOW_UP,
    SplitNumber,
    split_number,
)

_MIN_PERCENTAGES = 0.05  # of the texts, next to counts; and of counts next to percentages
_MIN_SCALE_FRACTION = 0.005  # of the texts, to be a scale of the column
_MIN_PLAIN_FRACTION = 0.75  # of the texts, which have no unit
_PADDED = re.compile(r"(\d+)([.,])(\d+)")
_MIN_PADDED_DECIMALS, _MIN_PADDED_WIDTH = 4, 3  # without a sign: codes have fewer digits
_BRACKETED = re.compile(r"\(\d[^()]*[^\W\d_]{2}[^()]*\)")


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
    minus = MINUS_BELOW_UP if any("\u25bc" in text for text in sample) else MINUS
    texts = [
        text for text in (split_number(text, codes, minus) for text in sample) if text is not None
    ]
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
        has_point = any("." in text.body for text in texts)
        has_comma = any(text.exponent and "," in text.body for text in texts)  # as in 3,00E+04
        decimal = "," if has_comma and not has_point else "."
        return [] if scales else [replace(affixes, decimal=decimal, exponent="e+00")]
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
            for mark, decimal, indian in infer_marks(bodies, decimal_comma, texts[0].unit, codes)
        ]
    return forms + _other_signs(forms, texts) if forms else []


def _other_signs(forms: Sequence[NumberForm], texts: Sequence[SplitNumber]) -> list[NumberForm]:
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


def _infer_scales(texts: Sequence[SplitNumber]) -> tuple[str, ...]:
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


def _are_counts_and_percentages(texts: Sequence[SplitNumber], words: Sequence[str]) -> bool:
    """Return True for whole numbers and percentages below 100, such as 155 and 18.2%."""
    if len(words) != 2 or not are_scales(words):
        return False
    percentages = [text.body for text in texts if split_scale(text.after)[0] == words[0]]
    counts = [text.body for text in texts if not text.after]
    minimum = _MIN_PERCENTAGES * len(texts)
    are_whole = all(map(WHOLE.fullmatch, counts))
    are_below = all(re.fullmatch(r"\d{1,2}(?:[.,]\d+)?", body) for body in percentages)
    are_unsigned = not any(text.before for text in texts)
    return (
        min(len(percentages), len(counts)) >= minimum and are_whole and are_below and are_unsigned
    )


def _fractions(texts: Sequence[SplitNumber]) -> list[SplitNumber]:
    """Return the texts of numbers below one, or of all numbers if there are none."""
    fractions = [text for text in texts if re.match(r"0?[.,]\d", text.body)]
    return fractions or list(texts)


def _infer_affixes(texts: Sequence[SplitNumber]) -> NumberForm | None:
    """Return a form with the most common affixes of each sign; None if units are mixed."""
    texts, plural = _without_plural(texts)
    (unit, count), *_ = Counter(text.unit for text in texts).most_common(1)
    # Flags such as the `p` of provisional numbers are not units.
    if count < (MIN_FIT_FRACTION if any(unit) else _MIN_PLAIN_FRACTION) * len(texts):
        return None
    texts = [text for text in texts if text.unit == unit]
    negative = _most_common(text for text in texts if text.is_negative)
    positive = _most_common(text for text in texts if not (text.is_negative or text.is_zero))
    zero = _most_common(text for text in texts if text.is_zero and not text.is_negative)
    if positive is None:
        positive = zero or _strip_sign(negative)
    default = ("-" + positive[0].removeprefix("+"), positive[1])
    return NumberForm(positive, negative or default, zero or positive, plural=plural)


def _without_plural(texts: Sequence[SplitNumber]) -> tuple[Sequence[SplitNumber], str]:
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


def _most_common(texts: Iterable[SplitNumber]) -> Affixes | None:
    counts = Counter((text.before, text.after) for text in texts)
    return counts.most_common(1)[0][0] if counts else None


def _strip_sign(affixes: Affixes | None) -> Affixes:
    before, after = affixes or ("", "")
    return re.sub(r"[-\u2212(]", "", before), re.sub(r"[-\u2212)]", "", after)


def has_thousands_comma(sample: Sequence[str]) -> bool:
    """Return True for numbers of which one shows the comma's meaning: 16,224.50 or 71,482,000."""
    bodies = [text.body for text in map(split_number, sample) if text is not None]
    is_number_column = len(bodies) >= MIN_FIT_FRACTION * len(sample)
    return is_number_column and show_thousands(bodies)


def has_only_thousands(sample: Sequence[str]) -> bool:
    """Return True for numbers such as 4,385 and 675, of which a comma parts only the long ones."""
    bodies = [text.body for text in map(split_number, sample) if text is not None]
    return are_parted_if_long(bodies)


def _infer_padded(texts: Sequence[SplitNumber]) -> tuple[int, str, bool] | None:
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
