"""Encoding of names in archives that are neither UTF-8 nor marked with another encoding.

Zip programs of Windows and DOS wrote names in the code page of the computer. All such names of an
archive share one encoding: the one in which they look most like words.
"""

import unicodedata
from collections.abc import Iterable, Sequence

# Common code pages. Earlier ones win ties: CP437 is the original encoding of zip names.
_ENCODINGS = ("cp437", "cp1252", "cp932", "gb2312", "euc_kr", "big5", "cp1251", "cp866", "cp1253")
_LATIN = frozenset({"cp437", "cp1252"})
_MAX_SAMPLE = 2_000  # distinct levels of names


def guess_encoding(names: Iterable[bytes]) -> str:
    """Return the most plausible encoding of `names`."""
    levels: dict[bytes, None] = {}
    for name in names:
        levels |= dict.fromkeys(name.replace(b"\\", b"/").split(b"/"))
        if len(levels) >= _MAX_SAMPLE:
            break
    sample = [level for level in levels if not level.isascii()]
    scores = {encoding: _score(sample, encoding) for encoding in _ENCODINGS}
    return max(_ENCODINGS, key=scores.__getitem__)


def _score(names: Sequence[bytes], encoding: str) -> float:
    """Return the average plausibility of the characters that are not ASCII, at most 1."""
    total = count = 0.0
    for name in names:
        try:
            text = name.decode(encoding)
        except UnicodeDecodeError:
            return -1.0
        scores = [
            _score_char(text, i, raw_bytes=len(char.encode(encoding)), latin=encoding in _LATIN)
            for i, char in enumerate(text)
            if ord(char) > 127
        ]
        total, count = total + sum(scores), count + len(scores)
    return total / max(count, 1)


def _score_char(text: str, i: int, *, raw_bytes: int, latin: bool) -> float:
    char = text[i]
    if not unicodedata.category(char).startswith("L"):
        return -1.0
    if latin:
        # Letters with accents are rare next to each other, and are not capitals inside a word.
        neighbors = text[max(0, i - 2) : i] + text[i + 1 : i + 3]
        capital_inside = char.isupper() and text[max(0, i - 1) : i].islower()
        crowded = sum(ord(other) > 127 for other in neighbors)
        return 0.2 if crowded > 1 or capital_inside else 0.75 if crowded else 0.95
    # A word of another script has no letters of ASCII in it.
    mixed = any(c.isascii() and c.isalpha() for c in text[max(0, i - 1) : i + 2])
    if raw_bytes == 1:
        script = unicodedata.name(char, "").split(" ")[0]
        if script == "HALFWIDTH":
            return 0.0
        same_case = not (char.isupper() and text[max(0, i - 1) : i].islower())
        return 0.1 if mixed else 0.85 if same_case else 0.3
    return 0.3 if mixed else 0.9 if _is_common(char) else 0.5


def _is_common(char: str) -> bool:
    """Return True for kana, Hangul and the ideographs of the first level of JIS or GB 2312."""
    if unicodedata.name(char, "").startswith(("HIRAGANA", "KATAKANA", "HANGUL")):
        return True
    try:
        if 0x88 <= char.encode("cp932")[0] <= 0x97:
            return True
    except UnicodeEncodeError:
        pass
    try:
        return 0xB0 <= char.encode("gb2312")[0] <= 0xD7
    except UnicodeEncodeError:
        return False
