"""Texts of several dates, such as `2024-03-01,2024-03-09`, replaced by other valid dates."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import pyarrow as pa

from models.noise import Indices
from models.tabular.id_quantities import NUMBER, Quantities

MIN_FITTING = 0.9  # share of the texts that consist of dates and marks
_DATE = r"(?:1[5-9]|20|21)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
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
