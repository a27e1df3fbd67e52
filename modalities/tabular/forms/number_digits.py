"""Digits of numbers as text, without a sign and with a decimal point."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MAX_DECIMALS = 15
ALL_DIGITS = 17  # significant digits of a float
# The same, with whole numbers as programs in JavaScript and R write them: 3 instead of 3.0.
ALL_DIGITS_TRIMMED = 18
_EXACT = 1e15  # integers below are floats of which all digits are significant
_NO_FRACTION = 2.0**53  # floats above have no digits after the point


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


def trim_zeros(texts: pa.StringArray, min_decimals: int) -> pa.StringArray:
    """Return texts with a point without the zeros at their end after `min_decimals` digits."""
    trimmed = pc.replace_substring_regex(
        texts, rf"^([0-9]+\.[0-9]{{{min_decimals}}}[0-9]*?)0*$", r"\1"
    )
    return trimmed if min_decimals else pc.utf8_rtrim(trimmed, ".")


def significant_digits(value: float, digits: int) -> str:
    """Return the shortest text that keeps `digits` digits, or `ALL_DIGITS_TRIMMED`."""
    text = repr(float(f"{value:.{min(digits, ALL_DIGITS)}g}"))
    return text if digits == ALL_DIGITS else text.removesuffix(".0")


def scientific(value: float, min_decimals: int, max_decimals: int, exponent: str) -> str:
    """Return a text such as 1.5e+03; `exponent` is a pattern such as `e+00`."""
    mantissa, _, power = f"{value:.{max_decimals}e}".partition("e")
    if max_decimals > min_decimals:
        whole, _, decimals = mantissa.partition(".")
        decimals = decimals[:min_decimals] + decimals[min_decimals:].rstrip("0")
        mantissa = f"{whole}.{decimals}" if decimals else whole
    sign = "-" if power[0] == "-" else "+" if "+" in exponent else ""
    width = exponent.count("0")
    return f"{mantissa}{exponent[0]}{sign}{power[1:].lstrip('0').rjust(width, '0')}"


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


def find_nonzero(digits: pa.StringArray) -> pa.BooleanArray:
    """Return the mask of the texts of numbers other than zero."""
    return pc.match_substring_regex(digits, r"^[^eE]*[1-9]")
