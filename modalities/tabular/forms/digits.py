"""Decimal digits of other scripts, such as Arabic, Persian, Devanagari and full-width ones.

A script is named by its digit zero: the ten digits follow each other in Unicode.
"""

import unicodedata
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

_MIN_FRACTION = 0.9  # share of the texts with digits of the script


def zero_of(text: str) -> str:
    """Return the zero of the first digit that is not ASCII; "" if there is none."""
    for character in text if not text.isascii() else "":
        value = unicodedata.decimal(character, None)
        if value is not None and not character.isascii():
            return chr(ord(character) - value)
    return ""


def script_of(texts: Sequence[str]) -> str:
    """Return the zero of the digits that most texts have; "" for ASCII digits."""
    zeros = [zero_of(text) for text in texts]
    first = next(filter(None, zeros), "")
    return first if first and zeros.count(first) >= _MIN_FRACTION * len(texts) else ""


def plain_digits(text: str, zero: str) -> str:
    """Return a text with ASCII digits instead of those of the script."""
    return text.translate({ord(zero) + i: str(i) for i in range(10)})


def to_ascii(texts: pa.StringArray, zero: str) -> pa.StringArray:
    """Return texts with ASCII digits instead of those of the script."""
    for i in range(10):
        texts = pc.replace_substring(texts, chr(ord(zero) + i), str(i))
    return texts


def to_script(texts: pa.StringArray, zero: str) -> pa.StringArray:
    """Return texts with digits of the script instead of ASCII ones."""
    for i in range(10):
        texts = pc.replace_substring(texts, str(i), chr(ord(zero) + i))
    return texts
