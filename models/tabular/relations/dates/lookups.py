"""Search for columns that a part of a date determines, such as names of weekdays."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa

from models.tabular.relations.dates.parts import available_parts, date_part
from models.tabular.relations.dates.spread_dates import SpreadDate
from models.tabular.relations.lookups.discrete import (
    MAX_COMPARED_COLUMNS,
    Codes,
    codes_of,
    determines,
    encode_column,
    encode_discrete,
    with_values,
)
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import as_floats

COARSEST_FIRST = ("quarter", "day_of_week", "month", "hour", "day", "year")


def find_date_lookups(
    table: pa.Table,
    types: Mapping[str, str],
    spread: Sequence[SpreadDate],
    related: Collection[frozenset[str]],
) -> list[Relation]:
    """Return the parts of dates that determine a discrete column, such as names of months.

    The coarsest part is chosen. A date that many rows share may determine a number, too, such as
    the price of fuel on that day. Of dates that are `spread` over columns, these are days of the
    week: the other parts are columns. Sets of columns in `related` are left out.
    """
    codes = encode_discrete(table, types)
    numbers = [name for name, type in types.items() if type == "number"][:MAX_COMPARED_COLUMNS]
    with_numbers = codes | {name: code for name in numbers if (code := encode_column(table, name))}
    relations = []
    for source in (name for name, type in types.items() if type == "datetime"):
        parts = available_parts(table.schema.field(source).type, COARSEST_FIRST)
        date = SpreadDate((source,), ())
        lookups = _find_part_lookups(date, parts, table, codes, related)
        relations += lookups
        related = {*related, *(frozenset(relation.columns) for relation in lookups)}
        if date_codes := encode_column(table, source):
            relations += [
                with_values(Relation("lookup", (source, total)), table, 0)
                for total, total_codes in with_numbers.items()
                if frozenset((source, total)) not in related and determines(date_codes, total_codes)
            ]
    determined = {relation.last for relation in relations}
    others = {name: code for name, code in codes.items() if name not in determined}
    for date in spread:
        if "year" in date.roles:
            relations += _find_part_lookups(date, ("day_of_week",), table, others, related)
    return relations


def _find_part_lookups(
    date: SpreadDate,
    parts: Sequence[str],
    table: pa.Table,
    codes: Mapping[str, Codes],
    related: Collection[frozenset[str]],
) -> list[Relation]:
    """Return the lookups of columns in `codes` by the first of `parts` that determines them."""
    dates = date.values(table)
    # A date that many rows share is evidence once.
    first = np.unique(as_floats(dates), return_index=True)[1]
    relations: dict[str, Relation] = {}
    for part in parts:
        part_codes = codes_of(date_part(dates, part).dictionary_encode())
        for total, total_codes in codes.items():
            columns = (*date.columns, total)
            if total in (*date.columns, *relations) or frozenset(columns) in related:
                continue
            if determines(part_codes, total_codes, first):
                relation = Relation("lookup", columns, part=part, roles=date.roles)
                relations[total] = with_values(relation, table, 0)
    return list(relations.values())
