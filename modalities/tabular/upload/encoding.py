"""Detection of a text file's encoding."""

import codecs
import re
from collections import Counter

import charset_normalizer

from modalities.tabular.upload.encoding_scripts import plausible_encoding

UTF8 = "utf-8"

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Encodings of scripts other than Latin. charset-normalizer tells these from each other; in
# Latin scripts, where few letters differ, counting usual letters is more accurate.
_OTHER_SCRIPTS = ("cp1251", "koi8_r", "cp1253", "cp932", "euc_jp", "gb18030", "big5", "cp949")
_OTHER_SCRIPTS_ONLY = [*_OTHER_SCRIPTS, "cp1252"]
# Fraction of the non-ASCII bytes in runs of at least three; Latin texts have single accents.
_MIN_RUNS = 0.3
_RUN = re.compile(rb"[\x80-\xff]{3,}")

# Spreadsheets write Windows-1252, which has more characters than Latin-1.
_LATIN = ("cp1252", "cp1250", "cp850", "mac_roman", "iso8859_2", "cp1254", "cp1257")
_WESTERN_LETTERS = frozenset("äöüßÄÖÜéèêëÉÈÊàâáçÇñÑóòôõúùûíìîïåÅæÆøØœŒãÁÓÚÍ")
_CENTRAL_LETTERS = frozenset("ąćęłńśźżĄĆĘŁŃŚŹŻčďěňřšťůýžČĎĚŇŘŠŤŮÝŽőűŐŰ")
_TURKISH_LETTERS = frozenset("çğıöşüÇĞİÖŞÜâîû")
_BALTIC_LETTERS = frozenset("ąčęėįšųūžĄČĘĖĮŠŲŪŽāēģīķļņĀĒĢĪĶĻŅäõöüÄÕÖÜ")
_LETTERS = {"cp1254": _TURKISH_LETTERS, "cp1257": _BALTIC_LETTERS}
_NON_ASCII = re.compile(r"(?:(?<=(.))|)([^\x00-\x7f])", re.DOTALL)
_USUAL_SIGNS = frozenset("€£§°«»")
_SIGNS = frozenset("²³µ…©®™·½¼¿¡\xa0\u2013\u2014\u2018\u2019\u201c\u201d\u201e\u2022\xd7")
_MAX_COUNT = 3  # of one character


def detect_unicode(head: bytes) -> str | None:
    """Return the Unicode encoding that the first bytes show; None if they do not show one."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    # In mostly Latin text, every second byte of UTF-16 is 0.
    even, odd = head[::2].count(0), head[1::2].count(0)
    half = max(1, len(head) // 2)
    if odd > 0.4 * half and not even:
        return "utf-16-le"
    if even > 0.4 * half and not odd:
        return "utf-16-be"
    return None


def guess_encodings(sample: bytes) -> list[str]:
    """Return the likely encodings of text that is not Unicode, the likeliest first."""
    high = len(re.findall(rb"[\x80-\xff]", sample))
    in_runs = sum(len(run) for run in _RUN.findall(sample))
    plausible = plausible_encoding(sample)
    latin = sorted(_LATIN, key=lambda encoding: -_latin_score(sample, encoding))
    guesses = [*latin, "latin-1"]
    if plausible is not None:
        guesses.insert(0, plausible)
    elif in_runs >= _MIN_RUNS * high:
        best = charset_normalizer.from_bytes(sample, cp_isolation=_OTHER_SCRIPTS_ONLY).best()
        if best is not None and best.encoding in _OTHER_SCRIPTS:
            guesses.insert(0, best.encoding)
    return guesses


def _latin_score(sample: bytes, encoding: str) -> float:
    """Return the balance of usual and unusual characters; sorting keeps the order of equals.

    Letters count in words only, not alone as a blank or dash of another encoding. A capital
    within a word, such as the apostrophe of another encoding, is unusual, as is a small letter
    between capitals. No character counts more
    than a few times, as a text has several accented letters, but may have many blanks.
    """
    text = sample.decode(encoding, "replace")
    letters = _LETTERS.get(encoding, _WESTERN_LETTERS | _CENTRAL_LETTERS)
    counts = Counter[str]()
    for match in _NON_ASCII.finditer(text):
        before, character, after = match[1] or "", match[2], text[match.end() : match.end() + 1]
        if character in letters:
            is_within = character.isupper() and before.islower()
            is_within |= character.islower() and before.isupper() and after.isupper()
            counts[character] += -1 if is_within else before.isalpha() or after.isalpha()
        elif character in _USUAL_SIGNS:
            counts[character] += 1
        elif character not in _SIGNS:
            counts[character] -= 1
    score = float(sum(max(-_MAX_COUNT, min(_MAX_COUNT, count)) for count in counts.values()))
    if encoding not in {"cp1252", "cp850", "mac_roman"}:
        # Western letters have the same bytes there; only the other ones distinguish it.
        score -= 0.1
    return score
