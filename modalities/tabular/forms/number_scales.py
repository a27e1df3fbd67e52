"""Scale words of numbers, such as K, M and B in `$5.07K`, `1.2M` and `3 bn`.

Counts and percentages in one column, such as `155` and `18.2%`, have the scales 1 and %: whole
numbers are counts, and numbers below one are percentages.
"""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# The power of ten that each word stands for: alone, or with a unit.
_MULTIPLIERS = {
    "": 0, "K": 3, "k": 3, "Tsd": 3, "Tsd.": 3, "thousand": 3, "M": 6, "mn": 6, "mln": 6, "Mio": 6,
    "Mio.": 6, "million": 6, "Million": 6, "B": 9, "bn": 9, "Mrd": 9, "Mrd.": 9, "billion": 9,
    "Billion": 9, "T": 12, "tn": 12, "trillion": 12, "%": -2,
    "万": 4, "萬": 4, "만": 4, "亿": 8, "億": 8, "억": 8, "兆": 12, "조": 12,
}  # fmt: skip
_UNITS = {
    "B": {"kB": 3, "KB": 3, "MB": 6, "GB": 9, "TB": 12},
    "g": {"g": 0, "kg": 3},
    "m": {"m": 0, "km": 3},
    "Hz": {"Hz": 0, "kHz": 3, "MHz": 6, "GHz": 9},
    "W": {"W": 0, "kW": 3, "MW": 6},
    "Wh": {"Wh": 0, "kWh": 3, "MWh": 6},
    "s": {"ns": -9, "us": -6, "\u00b5s": -6, "\u03bcs": -6, "ms": -3, "s": 0},
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words}
SCALES = _MULTIPLIERS | {word: words[word] for words in _UNITS.values() for word in words}
_BLANKS = " \u00a0\u202f"
_WORDS = "|".join(sorted(map(re.escape, filter(None, SCALES)), key=len, reverse=True))
_WORD = re.compile(rf"(?P<scale>[{_BLANKS}]?(?:{_WORDS}))(?![a-zA-Z.])")


def split_scale(after: str) -> tuple[str, str]:
    """Return the scale word at the beginning of the text after a number, and the rest."""
    match = _WORD.match(after)
    return (match["scale"], after[match.end() :]) if match else ("", after)


def is_percent(scale: str) -> bool:
    return scale.strip(_BLANKS) == "%"


def powers(scales: Sequence[str]) -> list[int]:
    """Return the powers of ten of words that occur together: `m` is a meter, or a million."""
    words = [scale.strip(_BLANKS) for scale in scales]
    is_million = "m" in words and not {"km"} & set(words)
    return [6 if word == "m" and is_million else SCALES[word] for word in words]


def are_scales(words: Sequence[str]) -> bool:
    """Return True if the words are different powers of ten, in ascending order, of one unit.

    Numbers without a unit in a column with `kg` are not grams.
    """
    plain = [word.strip(_BLANKS) for word in words]
    if "%" in plain and plain != ["%", ""]:
        return False
    if len(words) < 2 or any(word not in SCALES for word in plain):
        return False
    exponents = powers(words)
    units = {
        None if exponent != SCALES[word] else _UNIT_OF.get(word)  # `m` may stand for a million
        for word, exponent in zip(plain, exponents, strict=True)
    }
    return exponents == sorted(set(exponents)) and len(units) == 1


def factors(texts: pa.StringArray, scales: Sequence[str], after: set[str]) -> pa.DoubleArray:
    """Return the power of ten at the end of each text, before one of the texts `after`."""
    result: pa.Array | pa.Scalar = pa.scalar(1.0)
    exponents = dict(zip(scales, powers(scales), strict=True))
    for scale in sorted(filter(None, scales), key=len):
        for rest in after:
            is_scaled = pc.ends_with(texts, scale + rest)
            result = pc.if_else(is_scaled, 10.0 ** exponents[scale], result)
    return result


def choose_scales(
    values: pa.Array, scales: Sequence[str], decimals: int
) -> tuple[pa.DoubleArray, pa.StringArray]:
    """Return numbers without a sign divided by a scale, and its word.

    The scale is the largest one that leaves at least 1 before the point, after rounding. Next to
    percentages, numbers from 1 on are counts, which are whole.
    """
    numbers = np.nan_to_num(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
    indices: NDArray[np.int64] = np.zeros(len(numbers), np.int64)
    exponents = powers(scales)
    for i in range(1, len(scales)):
        previous = 10.0 ** exponents[i - 1]
        ratio = 10.0 ** exponents[i] / previous
        indices[np.round(numbers / previous, decimals) >= ratio] = i
    divisors = 10.0 ** np.array(exponents, float)[indices]
    is_missing = values.is_null().to_numpy(zero_copy_only=False)
    if is_percent(scales[0]):
        numbers = np.where(indices == 1, np.round(numbers), numbers)
    return pa.array(numbers / divisors, mask=is_missing), pa.array(scales).take(pa.array(indices))
