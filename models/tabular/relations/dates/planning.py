"""Choice of the dates over columns that are learned as one column, given relations of dates."""

from collections.abc import Collection, Sequence

import pyarrow as pa

from models.tabular.relations.dates.columns import (
    PartColumn,
    SpreadColumn,
    may_follow,
    part_columns,
)
from models.tabular.relations.dates.spread_dates import SpreadDate
from models.tabular.relations.kinds import DATE_SUMS
from models.tabular.relations.relation import Relation


def dates_of(relations: Sequence[Relation]) -> tuple[SpreadDate, ...]:
    """Return the dates that are spread over columns in `relations`."""
    return tuple(dict.fromkeys(date for relation in relations for date in relation.spread))


def plan_dates(
    relations: Sequence[Relation], table: pa.Table, fixed: Collection[str]
) -> list[SpreadColumn | PartColumn]:
    """Return the dates over columns, and the parts of those that are learned as a distance.

    Of a date in one column and one that is spread over columns, the former is the distance, because
    conditions on parts of the latter are simpler if these are learned, unless the former is a
    distance from an even earlier date.
    """
    held = {each.last for each in relations if each.kind == "date_part"}.union(fixed)
    # Of a target that is part of a date, tokens that agree with it are sampled.
    held.update(
        name for each in relations if each.roles and each.last in fixed for name in each.columns
    )
    spread = {date.name: date for date in dates_of(relations)}
    orders = [each.columns for each in relations if each.kind == "order"]
    sums = [(each.columns[0], each.last) for each in relations if each.kind in DATE_SUMS]
    bounded = {high for _, high in orders}
    later = {last for first, last in [*orders, *sums] if first in (spread.keys() | bounded)}
    planned: list[SpreadColumn | PartColumn] = []
    for name, date in spread.items():
        parts = part_columns(date, table)
        is_distance = name in later and not held & set(date.columns) and may_follow(parts, table)
        planned += parts if is_distance else [SpreadColumn(parts)]
    return planned


def without_orders_of_years(
    orders: Sequence[Relation], distances: Collection[str]
) -> list[Relation]:
    """Return the orders without those of the years of dates that are in order themselves.

    Of the latter, the second one is among `distances`, from which its year follows.
    """
    years = {date.name: date.columns[0] for date in dates_of(orders)}
    implied = {
        (years[low], years[high])
        for low, high in (relation.columns for relation in orders)
        if low in years and high in distances
    }
    return [relation for relation in orders if relation.columns not in implied]
