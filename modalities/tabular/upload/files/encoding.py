"""Detection of a text file's encoding."""

import codecs
import re
from collections import Counter

import charset_normalizer

from modalities.tabular.upload.files.encoding_scripts import plausible_encoding

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
_RUN = re.compile(rb"(?!\xa0{3})[\x80-\xff]{3,}")  # not of no-break spaces

# Spreadsheets write Windows-1252, which has more characters than Latin-1.
_LATIN = ("cp1252", "cp1250", "cp850", "mac_roman", "iso8859_2", "cp1254", "cp1257")
_WESTERN_LETTERS = frozenset("äöüßÄÖÜéèêëÉÈÊËàâáÀÂÁçÇñÑóòôõÓÒÔÕúùûÚÙÛíìîïÍÌÎÏåÅæÆøØœŒãÃµ")
_CENTRAL_LETTERS = frozenset("ąćęłńśźżĄĆĘŁŃŚŹŻčďěňřšťůýžČĎĚŇŘŠŤŮÝŽőűŐŰ")
_LATIN_LETTERS = _WESTERN_LETTERS | _CENTRAL_LETTERS
_ICELANDIC_LETTERS = frozenset("áéíóúýæöøðþÁÉÍÓÚÝÆÖØÐÞ")
_TURKISH_LETTERS = frozenset("çğıöşüÇĞİÖŞÜâîû")
_LITHUANIAN_LETTERS = frozenset("ąčęėįšųūžĄČĘĖĮŠŲŪŽ")
_LATVIAN_LETTERS = frozenset("āčēģīķļņšūžĀČĒĢĪĶĻŅŠŪŽ")
_ESTONIAN_LETTERS = frozenset("äõöüšžÄÕÖÜŠŽ")
# The letters of languages, and what to subtract from their scores: the likelier ones win ties.
_ALPHABETS = {
    "cp1252": ((_LATIN_LETTERS, 0), (_ICELANDIC_LETTERS, 0.11)),
    "cp850": ((_LATIN_LETTERS, 0),),
    "mac_roman": ((_LATIN_LETTERS, 0),),
    # Western letters have the same bytes there; only the other ones distinguish it.
    "cp1250": ((_LATIN_LETTERS, 0.1),),
    "iso8859_2": ((_LATIN_LETTERS, 0.1),),
    "cp1254": ((_TURKISH_LETTERS, 0.1),),
    "cp1257": (
        (_LITHUANIAN_LETTERS, 0.12),
        (_LATVIAN_LETTERS, 0.12),
        (_ESTONIAN_LETTERS, 0.12),
    ),
}
_TURKISH_VOWELS = frozenset("ae\u0131ioöuüâîûAEIİOÖUÜ")
# The letters that may follow capitals of Western languages. In cp1250, Ě, Ň, Ů, Ő and Ă have the
# same bytes, and other letters follow them.
_FOLLOWING = {"Ã": "EOS", "Ì": "", "Ò": "", "Ù": "", "Õ": "E"}
# The byte of á in cp850 is the no-break space of most other encodings. At the edge of a word it may
# be either, so it is not evidence. Next to a digit, before a capital, alone or twice it is a space.
_MISPLACED_A_ACUTE = re.compile(r"(?<![^\W\d_])á(?![^\W\d_])|(?<=\d)á|á(?=[\dA-Z])|á{2,}")
_A_ACUTE_AT_EDGE = re.compile(r"(?<![^\W\d_])á|á(?![^\W\d_])")
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
    """Return the balance of usual and unusual characters in the language that fits best."""
    text = sample.decode(encoding, "replace")
    if encoding == "cp850":
        text = _A_ACUTE_AT_EDGE.sub(" ", _MISPLACED_A_ACUTE.sub("\ufffd", text))
    places = Counter(
        (match[1] or "", match[2], text[match.end() : match.end() + 1])
        for match in _NON_ASCII.finditer(text)
    )
    return max(_balance(places, letters) - minus for letters, minus in _ALPHABETS[encoding])


def _balance(places: Counter[tuple[str, str, str]], letters: frozenset[str]) -> int:
    """Return the usual less the unusual characters, each with the ones before and after it.

    Letters count in words only, not alone as a blank or dash of another encoding. No character
    counts more than a few times, as a text has several accented letters, but may have many blanks.
    """
    counts = Counter[str]()
    for (before, character, after), count in places.items():
        if character in letters:
            is_in_word = before.isalpha() or after.isalpha()
            sign = -1 if _is_misplaced(before, character, after) else int(is_in_word)
            counts[character] += sign * count
        elif character in _USUAL_SIGNS:
            # A pound within a word is another letter, as in £ÓD.
            is_letter = character == "£" and (before.isalpha() or after.isalpha())
            counts[character] += -count if is_letter else count
        elif character not in _SIGNS:
            counts[character] -= count
    return sum(max(-_MAX_COUNT, min(_MAX_COUNT, count)) for count in counts.values())


def _is_misplaced(before: str, letter: str, after: str) -> bool:
    """Return True for a letter where no word has it.

    Such as a capital after a small letter, which may be the apostrophe of another encoding, or a
    small letter between capitals.
    """
    if letter in "ğĞ":
        return before not in _TURKISH_VOWELS
    if letter in "ðÐþÞ":  # within a word and at its beginning
        return before.isalpha() == (letter in "þÞ")
    if letter in _FOLLOWING and (
        after not in _FOLLOWING[letter] if after.isalpha() else letter == "Õ"
    ):
        return True
    is_small_within = letter.islower() and before.isupper() and after.isupper()
    return is_small_within or (letter.isupper() and before.islower())
