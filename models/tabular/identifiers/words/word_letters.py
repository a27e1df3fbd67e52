"""Words in all scripts: letters with the marks that belong to them.

Vowel signs of Indian and Thai texts, and accents of decomposed ones, are no letters for `re`.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby

_END = 0x20000  # of the code points of living scripts


def _mark_ranges() -> Iterator[str]:
    """Yield the ranges of combining marks, for a class of characters."""
    codes = (c for c in range(_END) if unicodedata.category(chr(c)) in ("Mn", "Mc"))
    for _, pairs in groupby(enumerate(codes), key=lambda pair: pair[1] - pair[0]):
        run = [chr(code) for _, code in pairs]
        yield f"{run[0]}-{run[-1]}"


JOINERS = "\u200c\u200d"  # within words of Indian and Persian texts
MARKS = "".join(_mark_ranges()) + JOINERS
WORD = rf"[^\W\d_]+(?:[{MARKS}]+[^\W\d_]*)*"
WORD_PATTERN = re.compile(WORD)
WORDS_AND_MARKS = re.compile(rf"{WORD}|[0-9]+|.", re.DOTALL)
_MARKS = re.compile(rf"(?<=\w)[{MARKS}]+")


def without_marks(text: str) -> str:
    """Return a text of letters only, in which patterns find the words; accents are letters."""
    return text if text.isascii() else _MARKS.sub("", unicodedata.normalize("NFC", text))


def script_of(text: str) -> str:
    """Return the script of the first letter, as in its Unicode name, such as DEVANAGARI."""
    letter = next(filter(str.isalpha, text), "A")
    return unicodedata.name(letter, "").partition(" ")[0]
