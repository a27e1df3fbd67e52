"""Dates in codes such as `20240301-0007`, which are replaced by other valid dates."""

import re
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np

from models.tabular.identifiers.templates import Pool
from models.tabular.identifiers.tokens import Token, Tokens, code_tokens

MIN_CODES = 10  # of which all have a date at the same place
MAX_DAYS = 1_000  # in the pool of new dates
DAY = "day"  # kind of the token of a date
_DAY = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-/.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d(?!\d)|\d{7})"
)
_PLACEHOLDER = "\ue000"  # a character of private use


def dated_codes(texts: Sequence[str]) -> tuple[list[Tokens], Pool] | None:
    """Return the tokens of codes with a date, such as `20240301-0007`, and the dates of new ones.

    Return None if not all texts are such codes.
    """
    matches = [match for match in map(_DAY.search, texts) if match is not None]
    separators = {match[2] for match in matches}
    if len(matches) < max(len(texts), MIN_CODES) or len(separators) > 1:
        return None
    try:
        days = [date(int(match[1]), int(match[3]), int(match[4])).toordinal() for match in matches]
    except ValueError:
        return None
    codes = code_tokens([_DAY.sub(_PLACEHOLDER, text, count=1) for text in texts])
    tokens = [
        tuple(Token(match[0], DAY) if token.text == _PLACEHOLDER else token for token in code)
        for match, code in zip(matches, codes, strict=True)
    ]
    low, high = np.quantile(days, (0.01, 0.99)).astype(int)  # the extreme ones could identify a row
    form = separators.pop().join(("%Y", "%m", "%d"))
    step = timedelta(days=1 + (int(high) - int(low)) // MAX_DAYS)
    first, count = date.fromordinal(int(low)), 1 + (int(high) - int(low)) // step.days
    return tokens, tuple(f"{first + i * step:{form}}" for i in range(count))
