"""Rough classification of cell texts, to compare delimiters and to tell names from values.

This is not type inference, which sees all rows: a sample of the file suffices here.
"""

import re
from typing import Literal

Kind = Literal["empty", "number", "date", "word", "text"]

_CURRENCY = r"[$€£¥₹]|(?:USD|EUR|GBP|CHF|JPY)"
_NUMBER = re.compile(
    rf"[-+(]?\s?(?:{_CURRENCY})?\s?[-+]?"
    r"(?:\d[\d.,'\u2019\u00a0\u202f]*|[.,]\d+|\d{1,3}(?: \d{3})+)"
    rf"(?:[eE][-+]?\d+)?\s?(?:%|{_CURRENCY})?\)?-?"
)
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ]\d{1,2}:.*)?"
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
