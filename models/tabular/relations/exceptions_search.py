"""Search for relations with exceptions, by which columns are learned relative to others."""

from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa

from models.tabular.relations.dates.gaps import find_near_dates
from models.tabular.relations.equations.capped_products import find_capped_products
from models.tabular.relations.equations.with_exceptions import find_equations_with_exceptions
from models.tabular.relations.keyed.amounts import find_keyed_amounts
from models.tabular.relations.near.orders import find_orders_with_exceptions
from models.tabular.relations.near.sums import find_near_sums
from models.tabular.relations.relation import Relation


def find_with_exceptions(
    table: pa.Table,
    types: Mapping[str, str],
    relations: Sequence[Relation],
    excluded: Collection[str],
) -> list[Relation]:
    """Return the relations that most rows satisfy, those that should code a column first.

    Orders come last. A sum or product with a rare term may hold in all rows.

    `relations` are the exact ones, also those that are switched off. The columns in `excluded` are
    not coded.
    """
    related = {frozenset(relation.columns) for relation in relations}
    orders = find_orders_with_exceptions(table, types, related)
    near = find_near_dates(table, types, [*relations, *orders], excluded)
    coded = {relation.last for relation in near}.union(excluded)
    equations = find_equations_with_exceptions(table, types, relations, coded)
    # What a near sum leaves may be a further term, without which samples would break the equation.
    near += [
        near_sum
        for near_sum in find_near_sums(table, types, excluded, relations)
        if not any({*near_sum.columns} < {*equation.columns} for equation in equations)
    ]
    coded |= {relation.last for relation in near}
    near += [equation for equation in equations if equation.last not in coded]
    coded |= {relation.last for relation in near}
    near += find_capped_products(table, types, coded)
    coded |= {relation.last for relation in near}
    amounts = find_keyed_amounts(table, types, coded, relations)
    return near + [relation for relation in amounts if relation.exceptions] + orders
