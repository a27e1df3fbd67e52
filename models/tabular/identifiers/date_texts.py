"""Texts of several dates, such as `2024-03-04 to 2024-03-10` and `4/20-4/26`, and new ones.

The distances and the order of the dates of a text are kept.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import pyarrow as pa

from models.noise import Indices
from models.tabular.identifiers.quantities import NUMBER, Quantities

MIN_FITTING = 0.9  # share of the texts that consist of dates and marks
MIN_RANGES = 0.5  # share of the texts with several dates, except of ISO 8601
MIN_DISTINCT = 10  # different texts of dates without a year
_YEAR, _DAYS = 2001, 365  # of dates without a year; new ones may fall in any year
_PARTS = {
    "Y": r"(?:1[5-9]|20|21)\d\d",
    "m": "(?:1[0-2]|0?[1-9])",
    "d": r"(?:3[01]|[12]\d|0?[1-9])",
}
_WORDS = r"\s+(?:to|bis|till?|until|through|thru|al?|au|\u00e0|tot|do|\u043f\u043e)\s+"


@dataclass(frozen=True)
class DateForm:
    """Parts of a date in order, the mark between them, and whether small numbers have a zero."""

    order: str = "Ymd"
    mark: str = "-"
    is_padded: bool = True

    @property
    def date(self) -> str:
        """Return the pattern of one date."""
        body = re.escape(self.mark).join(_PARTS[part] for part in self.order)
        return rf"(?<![\d{re.escape(self.mark)}]){body}(?!\d)"

    @property
    def text(self) -> str:
        """Return the pattern of a text of dates."""
        between = r"[^\w-]+|\s+[-\u2013]\s+" + ("|[-\u2013]" if self.mark != "-" else "")
        return rf"[^\w-]*{self.date}(?:(?:{between}|{_WORDS}){self.date})*[^\w-]*"

    def to_days(self, text: str) -> str:
        """Replace the dates of a text by numbers of days; without a year, later ones are larger.

        Raises:
            ValueError: A date does not exist.
        """
        last = 0

        def convert(match: re.Match[str]) -> str:
            nonlocal last
            parts = dict(zip(self.order, map(int, match[0].split(self.mark)), strict=True))
            is_leap_day = "Y" not in parts and (parts["m"], parts["d"]) == (2, 29)
            day = date(parts.get("Y", _YEAR), parts["m"], parts["d"] - is_leap_day).toordinal()
            last = day + _DAYS * ("Y" not in parts and day < last)
            return str(last)

        return re.sub(self.date, convert, text)

    def to_date(self, match: re.Match[str]) -> str:
        day = date.fromordinal(int(match[0]))
        width = 2 if self.is_padded else 0
        parts = {"Y": f"{day.year}", "m": f"{day.month:0{width}}", "d": f"{day.day:0{width}}"}
        return self.mark.join(parts[part] for part in self.order)


_FORMS = tuple(
    DateForm(order, mark, is_padded=True)
    for order, marks in (("Ymd", "-/."), ("mdY", "/-"), ("dmY", "./-"), ("md", "/"), ("dm", "/"))
    for mark in marks
)


@dataclass(frozen=True)
class Dates:
    """New texts of dates, as quantities of days: their distances and their order are kept."""

    days: Quantities
    form: DateForm = DateForm()

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Self | None:
        """Return None if the texts are not dates."""
        for form in _FORMS:
            pattern = re.compile(form.text)
            fitting = [text for text in texts if pattern.fullmatch(text)]
            if not fitting or len(fitting) < MIN_FITTING * len(texts):
                continue
            dates = [re.findall(form.date, text) for text in fitting]
            ranges = sum(len(each) > 1 for each in dates)
            if form != _FORMS[0] and ranges < MIN_RANGES * len(fitting):
                continue
            numbers = {int(n) for each in dates for day in each for n in day.split(form.mark)}
            are_days = len(set(fitting)) >= MIN_DISTINCT and max(numbers) > 12
            if "Y" not in form.order and not are_days:  # numbers such as 1/2-3/4
                continue
            try:
                days = Quantities.fit([form.to_days(text) for text in fitting])
            except ValueError:  # such as 2023-02-30
                continue
            if days.shapes:
                small = re.compile(r"(?<!\d)(0?)\d(?!\d)")
                zeros = [
                    match[1] for each in dates for day in each for match in small.finditer(day)
                ]
                return cls(days, DateForm(form.order, form.mark, all(zeros)))
        return None

    def texts(self, seed: int, stream: int, indices: Indices) -> pa.StringArray:
        """Return one text for each index; different rows may have the same text."""
        days = self.days.texts(seed, stream, indices).to_pylist()
        return pa.array([NUMBER.sub(self.form.to_date, text) for text in days], pa.string())

    def to_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"dates": self.days.to_json()}
        return (
            fields
            if self.form == DateForm()
            else {**fields, "date_form": [*vars(self.form).values()]}
        )

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        return cls(Quantities.from_json(fields["dates"]), DateForm(*fields.get("date_form", ())))
