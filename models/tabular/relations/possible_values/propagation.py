"""Bounds propagation: each relation narrows the possible values of a column by those of others.

It shows at once that no row has some values (Davis 1987, "Constraint propagation with interval
labels"). The values that remain are not all possible, but no other ones are.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute

from models.tabular.categorical_columns import from_text
from models.tabular.numbers.grid import NumberGrid
from models.tabular.relations.kinds import BY_KEYS
from models.tabular.relations.possible_values.equations import (
    EQUATIONS,
    narrow_by_amounts,
    narrow_by_equation,
)
from models.tabular.relations.possible_values.exceptions import InexactRelation
from models.tabular.relations.possible_values.lookups import (
    has_few_periods,
    narrow_by_pairs,
    narrow_by_triples,
)
from models.tabular.relations.possible_values.values import PossibleValues
from models.tabular.relations.relation import Relation

MAX_ROUNDS = 10  # of all relations, each of which may narrow what others narrowed


def narrow(
    possible: PossibleValues,
    relations: Sequence[Relation | InexactRelation],
    changed: Iterable[str],
    *,
    pairs_may_be_new: bool = False,
) -> tuple[PossibleValues, list[Relation | InexactRelation]]:
    """Return the values that the relations leave, and those relations that excluded some.

    Only the columns that are `changed` have other values than in any row. If pairs of values may be
    new, so may the value that a lookup by two columns gives.
    """
    used = dict[str, Relation | InexactRelation]()
    relations = [each for each in relations if possible.has_all(each.columns)]
    pending = set(changed)
    for _ in range(MAX_ROUNDS):
        changed, pending = pending, set()
        for relation in relations:
            if not (changed | pending) & set(relation.columns):
                continue
            if pairs_may_be_new and isinstance(relation, Relation) and relation.has_pairs:
                narrower = _exclude_single_values(possible, relation)
            else:
                narrower = _narrow_by(possible, relation)
            if narrower is not possible:
                pending |= possible.differing(narrower, relation.columns)
                possible, used[relation.name] = narrower, relation
                if possible.is_empty.all():
                    return possible, list(used.values())
        if not pending:
            break
    return possible, list(used.values())


def _narrow_by(possible: PossibleValues, relation: Relation | InexactRelation) -> PossibleValues:
    """Return what a relation leaves, or `possible` itself if it excludes nothing."""
    if isinstance(relation, InexactRelation):
        return relation.narrow(possible, _narrow_by)
    if relation.kind == "order":
        return _narrow_by_order(possible, *relation.columns)
    if relation.kind == "distinct":
        return _narrow_by_difference(possible, *relation.columns)
    if relation.kind in ("interval", "step") or has_few_periods(possible, relation):
        return narrow_by_pairs(possible, relation)
    if relation.kind == "lookup" and len(relation.columns) == 2 and not relation.part:
        return narrow_by_pairs(possible, relation)
    if relation.has_pairs:
        return narrow_by_triples(possible, relation)
    if relation.kind in BY_KEYS:
        return narrow_by_amounts(possible, relation)
    if relation.kind in EQUATIONS:
        narrower = narrow_by_equation(possible, relation)
        return narrower if narrower is not possible else _exclude_single_values(possible, relation)
    return _exclude_single_values(possible, relation)


def _narrow_by_order(possible: PossibleValues, lower: str, upper: str) -> PossibleValues:
    infinite = np.full(len(possible.low[lower]), np.inf)
    low = np.where(possible.present[lower], possible.low[lower], -infinite)
    high = np.where(possible.present[upper], possible.high[upper], infinite)
    return possible.with_range(upper, low, infinite).with_range(lower, -infinite, high)


def _narrow_by_difference(possible: PossibleValues, first: str, second: str) -> PossibleValues:
    """Exclude the only possible text of one column from those of the other."""
    if first not in possible.texts or second not in possible.texts:
        return possible
    for name, other in ((first, second), (second, first)):
        values, mask = possible.texts[other]
        single = mask & ((mask.sum(1) == 1) & possible.present[other])[:, None]
        own_values, own = possible.texts[name]
        index = pa.compute.index_in(own_values, value_set=values).fill_null(len(values))
        excluded = np.pad(single, ((0, 0), (0, 1)))[:, index.to_numpy(zero_copy_only=False)]
        possible = possible.with_mask(name, own & ~excluded)
    return possible


def _exclude_single_values(possible: PossibleValues, relation: Relation) -> PossibleValues:
    """Leave nothing of a column where single values of all columns contradict a relation."""
    arrays = {}
    for name in relation.columns:
        arrow = possible.arrow.field(name).type
        if name in possible.texts:
            values, mask = possible.texts[name]
            is_open = (mask.sum(1) != 1) | ~possible.present[name]
            arrays[name] = from_text(values.take(pa.array(mask.argmax(1), mask=is_open)), arrow)
        else:
            low = possible.low[name]
            is_open = (low != possible.high[name]) | ~possible.present[name]
            grid = NumberGrid(arrow, -1 if pa.types.is_floating(arrow) else 0)
            arrays[name] = grid.from_floats(np.where(is_open, 0.0, low), is_open)
    broken = ~relation.holds(pa.RecordBatch.from_pydict(arrays))
    last = relation.table_columns[-1]
    if last in possible.texts:
        _, mask = possible.texts[last]
        return possible.with_mask(last, np.broadcast_to(~broken[:, None], mask.shape))
    ends = np.where(broken, np.inf, -np.inf)
    return possible.with_range(last, ends, -ends)
