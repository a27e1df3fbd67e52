"""Decimals and exponents of all texts of a number column, which complete its form."""

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modalities.tabular.forms.number_digits import (
    ALL_DIGITS,
    ALL_DIGITS_TRIMMED,
    MAX_DECIMALS,
    count_decimals,
    find_exponents,
)
from modalities.tabular.forms.number_scales import is_percent
from modalities.tabular.forms.numbers import NumberForm

# Decimals of numbers that a program has computed from others with fewer ones.
_MIN_NOISE_DECIMALS, _NOISE_DECIMALS = 12, 9
# Steps between floats, by which a result may be off, and a balance of thousands of amounts.
_NOISE_STEPS, _BALANCE_STEPS = 4, 64
_MIN_NOISE_OF_LARGE, _MIN_NOISE_RATIO = 5, 100  # decimals, and the last one relative to the noise
_ALL_DIGITS = 16  # of a float at least, as programs write it
_LARGE_DIGITS = 13  # of a large one with noise that ends with zeros, which programs leave out
_MAX_SIGNIFICANT = 9  # more digits are those of computed floats


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
    """Return the decimals of the numbers, without those of 40.760090000000005 among 40.76009.

    The noise of a difference, such as -3.4200000000000017, is that of its larger terms. Large
    numbers with noise, such as 1007601.8500000001, have fewer decimals.
    """
    digits = pc.utf8_length(pc.replace_substring_regex(bodies, r"^[0.]+|\.", "")).to_numpy()
    has_decimals = counts >= _MIN_NOISE_DECIMALS
    may_have_noise = (digits >= _ALL_DIGITS) | (~has_decimals & (digits >= _LARGE_DIGITS))
    is_long = has_decimals | (may_have_noise & (counts >= _MIN_NOISE_OF_LARGE))
    if not is_long.any() or is_long.all():
        return counts
    if counts[~is_long].max() >= _NOISE_DECIMALS:
        return counts  # numbers of many decimals, which all are written as they came
    numbers = bodies.cast(pa.float64()).to_numpy(zero_copy_only=False)
    largest = numbers[~is_long].max()
    terms = np.where(may_have_noise, np.maximum(numbers, largest), numbers)
    steps = np.where(may_have_noise, _BALANCE_STEPS, _NOISE_STEPS)
    noise, numbers = (steps * np.spacing(terms))[is_long], numbers[is_long]
    decimals = np.full(len(numbers), -1)
    for places in range(_NOISE_DECIMALS):
        is_noise = abs(np.rint(numbers * 10.0**places) / 10.0**places - numbers) <= noise
        is_noise &= noise * _MIN_NOISE_RATIO <= 10.0**-places
        decimals[is_noise & (decimals < 0)] = places
    if (decimals < 0).any():
        return counts  # one number with all of its digits is written as it came
    short = counts.copy()
    short[is_long] = np.maximum(decimals, counts[~is_long].min())  # such as 3.0 next to 4.1
    return short


def _increment(totals: dict[int, int], values: NDArray[np.int64]) -> None:
    for value, count in zip(*np.unique(values, return_counts=True), strict=True):
        totals[int(value)] = totals.get(int(value), 0) + int(count)
