"""Dates in identifiers: texts of several dates, and codes such as `20240301-0007`.

They are replaced by other valid dates.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Self

import numpy as np
import pyarrow as pa

from models.noise import Indices
from models.tabular.identifiers.quantities import NUMBER, Quantities
from models.tabular.identifiers.templates import Pool
from models.tabular.identifiers.tokens import Token, Tokens, code_tokens

MIN_FITTING = 0.9  # share of the texts that consist of dates and marks
_DATE = r"(?:1[5-9]|20|21)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
MIN_CODES = 10  # of which all have a date at the same place
MAX_DAYS = 1_000  # in the pool of new dates
DAY = "day"  # kind of the token of a date
_DAY = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-/.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d(?!\d)|\d{7})"
)
_PLACEHOLDER = "\ue000"  # a character of private use
_DATES = re.compile(rf"[^\w-]*{_DATE}(?:[^\w-]+(?:{_DATE}[^\w-]*)?)*")


@dataclass(frozen=True)
class Dates:
    """New texts of dates, as quantities of days: their distances and their order are kept."""

    days: Quantities

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Self | None:
        """Return None if the texts are not dates."""
        fitting = [text for text in texts if _DATES.fullmatch(text)]
        if not fitting or len(fitting) < MIN_FITTING * len(texts):
            return None
        try:
            days = Quantities.fit([re.sub(_DATE, _to_days, text) for text in fitting])
        except ValueError:  # such as 2023-02-30
            return None
        return cls(days) if days.shapes else None

    def texts(self, seed: int, stream: int, indices: Indices) -> pa.StringArray:
        """Return one text for each index; different rows may have the same text."""
        days = self.days.texts(seed, stream, indices).to_pylist()
        return pa.array([NUMBER.sub(_to_date, text) for text in days], pa.string())

    def to_json(self) -> dict[str, Any]:
        return {"dates": self.days.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        return cls(Quantities.from_json(fields["dates"]))


def _to_days(match: re.Match[str]) -> str:
    return str(date.fromisoformat(match[0]).toordinal())


def _to_date(match: re.Match[str]) -> str:
    return date.fromordinal(int(match[0])).isoformat()


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
