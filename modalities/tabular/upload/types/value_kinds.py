"""Rough classification of cell texts, to compare delimiters and to tell names from values.

This is not type inference, which sees all rows: a sample of the file suffices here.
"""

import re
from typing import Literal

from modalities.tabular.forms.number_units import CURRENCY_CODES

Kind = Literal["empty", "number", "date", "word", "text"]

_SIGN = r"[A-Z]{0,2}[$\u00a3\u00a5\u20a0-\u20cf\u0e3f\uff04\uffe5\uffe6]|(?:USD|EUR|GBP|CHF|JPY)"
_CODES = CURRENCY_CODES.replace(" ", "|")
_CODE = rf"(?:{_CODES}|R[ps]\.?|kr\.?|Fr\.|K[Ss]h|S/\.?)(?=\s)"
_WORD_AFTER = rf"{_CODES}|z\u0142|kr\.?|K\u010d|Ft|TL|lei|[\u5143\u5186\uc6d0]"
_NUMBER = re.compile(
    rf"[-+(]?\s?(?:{_SIGN}|{_CODE})?\s?[-+]?"
    r"(?:\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:,\d+)?"
    r"|\d[\d.,'\u2019\u00a0\u202f\u066b\u066c\uff0c\uff0e]*|[.,]\d+)"
    rf"(?:[eE][-+]?\d+)?\s?(?:%|{_SIGN}|{_WORD_AFTER})?\)?(?:-|/-)?"
)
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ]\d{1,2}:.*)?"
    r"|(?:[A-Z][a-z]{2},? )?\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{4}(?: \d{1,2}:.*)?"
    r"|\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?"
)
_WORD = re.compile(r"[\w.@#&/+*°%()<>?!$-]+")


def kind_of(text: str) -> Kind:
    text = text.strip()
    if not text:
        return "empty"
    if _NUMBER.fullmatch(text):
        return "date" if _DATE.fullmatch(text) else "number"
    if _DATE.fullmatch(text):
        return "date"
    return "word" if _WORD.fullmatch(text) else "text"


def is_value(text: str) -> bool:
    """Return True for a number, a date or a time."""
    return kind_of(text) in {"number", "date"}
