"""Search for dates that are spread over columns, and for columns that follow from a date."""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from models.tabular.categorical_columns import Floats
from models.tabular.relations.dates.parts import DATE_PARTS, available_parts, date_part, part_type
from models.tabular.relations.dates.spread_dates import (
    ROLES,
    SpreadDate,
    may_be_dates,
    may_be_part,
    part_numbers,
)
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats
from models.tabular.relations.screened_numbers import (
    FIRST_ROWS,
    MIN_EVIDENCE_BITS,
    MIN_ROWS,
    ScreenedNumber,
    evidence_bits,
)

ROLE_WORDS = {
    "year": "year yr yyyy yy jahr année annee año ano anno jaar rok år",
    "month": "month mon mnth mo mm monat mois mes mês mese maand miesiąc miesiac måned månad",
    "day": "day dayof dayofmonth mday dom dd tag jour día dia giorno dag dzień dzien",
}
ROLE_OF_WORD = {word: role for role, words in ROLE_WORDS.items() for word in words.split()}
OTHER_PERIODS = {"week", "weekday", "quarter", "hour", "century", "decade"}
FILLERS = {"of", "the", "in", "name", "number", "num", "no", "nr", "abb", "abbr"}
MAX_DATES = 4  # spread over columns of a table
ROLE_PARTS = {"year", "quarter", "month", "day", "date"}  # that single columns determine


def find_spread_dates(table: pa.Table, types: Mapping[str, str]) -> list[SpreadDate]:
    """Return the dates of which month and day are columns, with the year if there is one.

    Names show which columns belong to a date. Every row has a date that exists, or lacks a part.
    """
    parts: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for name, type in types.items():
        if type not in ("integer", "category"):
            continue
        stem, role = _stem_and_role(name)
        if role and may_be_part(array(table, name), role):
            parts.setdefault(stem, {}).setdefault(role, []).append(name)
    dates = []
    for names in parts.values():
        if "month" not in names or "day" not in names:
            continue
        # Of a number and a word for the same month, the number determines the word.
        chosen = {
            role: min(names[role], key=lambda name: types[name] == "category")
            for role in ROLES
            if role in names
        }
        for roles in (tuple(chosen), ("month", "day")):
            date = SpreadDate(tuple(chosen[role] for role in roles), roles)
            is_complete = np.logical_and.reduce([p.is_valid() for p in date.parts(table)])
            if is_complete.sum() >= MIN_ROWS and may_be_dates(date.parts(table), roles).all():
                dates.append(date)
                break
    return dates[:MAX_DATES]


def _stem_and_role(name: str) -> tuple[tuple[str, ...], str | None]:
    """Return the words of a column's name that say which date it is, and its part of the date."""
    # Words and numbers of names such as birthYear, DAY_OF_MONTH and month2.
    every = re.findall(r"\d+|[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    words = [word for each in every if (word := each.casefold()) not in FILLERS]
    roles = {ROLE_OF_WORD[word] for word in words if word in ROLE_OF_WORD}
    stem = tuple(word for word in words if word not in ROLE_OF_WORD)
    if OTHER_PERIODS & set(words):
        return stem, None
    if words[-2:] == ["date", "month"] and every[-2].casefold() == "of":
        return stem[:-1], "day"
    if roles == {"day", "month"}:  # such as `day_of_month`
        return stem, "day"
    return stem, roles.pop() if len(roles) == 1 else None


def find_valid_dates(dates: Sequence[SpreadDate], table: pa.Table) -> Iterator[Relation]:
    """Yield relations that exclude impossible dates, where independent parts would have some."""
    for date in dates:
        # Of numbers there are a limited number, but not of texts: 1, 01, Jan, January.
        numbers = (
            part_numbers(part, role)
            for part, role in zip(date.parts(table), date.roles, strict=True)
        )
        distinct = [np.unique(each[~np.isnan(each)]) for each in numbers]
        grid = np.meshgrid(*distinct, indexing="ij")
        if not may_be_dates([pa.array(each.ravel()) for each in grid], date.roles).all():
            yield Relation("valid_date", date.columns, roles=date.roles)


def find_date_parts(
    rows: pa.Table, numbers: Sequence[ScreenedNumber], dates: Sequence[SpreadDate]
) -> Iterator[Relation]:
    """Yield the numbers, dates and times that are parts of a date, by the rules of the calendar."""
    determined = set()
    for source in (each for each in numbers if each.is_datetime or each.is_time_of_day):
        parts = available_parts(source.type)
        totals = [total for total in numbers if total is not source]
        for total, part in _matching_parts(array(rows, source.name), parts, totals):
            determined.add(total.name)
            yield Relation("date_part", (source.name, total.name), part=part)
    for date in dates:
        if "year" not in date.roles:
            continue
        parts = [p for p in DATE_PARTS if p not in ROLE_PARTS]
        totals = [n for n in numbers if n.name not in determined.union(date.columns)]
        for total, part in _matching_parts(date.values(rows), parts, totals):
            columns = (*date.columns, total.name)
            yield Relation("date_part", columns, part=part, roles=date.roles)


def _matching_parts(
    dates: pa.Array, parts: Sequence[str], totals: Sequence[ScreenedNumber]
) -> Iterator[tuple[ScreenedNumber, str]]:
    """Yield each number that is one of `parts` of (N,) dates, with the first such part."""
    computed: dict[str, Floats] = {}
    first_rows = dates.slice(0, FIRST_ROWS)
    first = {part: as_floats(date_part(first_rows, part)) for part in parts}
    for total in totals:
        for part in parts:
            if not _may_be(part_type(part, dates.type), total.type):
                continue
            if _differ(first[part], total.values[:FIRST_ROWS]):
                continue
            if part not in computed:
                computed[part] = as_floats(date_part(dates, part))
            both = np.isfinite(computed[part]) & np.isfinite(total.values)
            if (
                both.sum() >= MIN_ROWS
                and not _differ(computed[part], total.values)
                and evidence_bits(total.values[both]) >= MIN_EVIDENCE_BITS
            ):
                yield total, part
                break


def _differ(a: Floats, b: Floats) -> bool:
    """Return True if a row has two different values; missing ones do not differ."""
    return bool((np.abs(a - b) > 0).any())


def _may_be(part: pa.DataType, total: pa.DataType) -> bool:
    """Return True if a column of the type `total` may hold parts of the type `part`."""
    return bool(pa.types.is_integer(total)) if pa.types.is_integer(part) else bool(total == part)
