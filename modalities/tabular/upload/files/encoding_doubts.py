"""Report of a guessed encoding: words with the letters that other encodings would have."""

import re
from collections.abc import Sequence

from core.datasets.data_quality import Issue, Severity
from core.datasets.errors import printable

MIN_LETTERS = 4  # different ones that are not ASCII; fewer hardly distinguish encodings
MAX_WORDS, MAX_OTHERS = 5, 2
_WORD = re.compile(rb"[A-Za-z'\x80-\xff]+")


def guessed_encoding_issue(sample: bytes, encoding: str, guesses: Sequence[str]) -> Issue:
    """Return an issue that shows how likely encodings read the words of a sample.

    It is a warning if the text has only a few letters that are not ASCII.
    """
    words = [word for word in dict.fromkeys(_WORD.findall(sample)) if not word.isascii()]
    letters = {c for word in words for c in word.decode(encoding, "replace") if not c.isascii()}
    severity: Severity = "warning" if len(letters) < MIN_LETTERS else "info"
    others = [other for other in guesses if other != encoding]
    examples = tuple(_readings(word, encoding, others) for word in words[:MAX_WORDS])
    hint = (
        f"The text is not UTF-8 and was read as {encoding}. This is a guess from {len(letters)} "
        "different letters that are not ASCII; the examples show the words, and in brackets what "
        "they are in other encodings. If letters are wrong, set `read.encoding` to the right one, "
        "or save the file as UTF-8."
    )
    return Issue("guessed_encoding", severity, len(words), examples, hint)


def _readings(word: bytes, encoding: str, others: Sequence[str]) -> str:
    readings = {word.decode(encoding, "replace"): encoding}
    for other in others:
        text = word.decode(other, "replace")
        if len(readings) <= MAX_OTHERS and "\ufffd" not in text and text.isprintable():
            readings.setdefault(text, other)
    first, *rest = readings
    shown = ", ".join(f"{readings[text]}: {printable(text)}" for text in rest)
    return printable(first) + (f" ({shown})" if shown else "")
