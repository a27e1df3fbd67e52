"""Relations with exceptions of a model, next to the exceptions that its samples may have."""

import numpy as np

from models.tabular.categorical_columns import Column, Floats
from models.tabular.conditions.plan import token_range
from models.tabular.relations.coded_columns import RemainderColumn
from models.tabular.relations.dates.columns import DateGapColumn
from models.tabular.relations.marked_columns import MarkedColumn
from models.tabular.relations.possible_values.exceptions import InexactRelation
from models.tabular.relations.rows import as_floats
from models.tabular.tokenizer import Tokenizer


def inexact_relations(tokenizer: Tokenizer) -> list[InexactRelation]:
    """Return the relations with exceptions by which columns are coded.

    Orders with exceptions are not among them, because all samples satisfy these.
    """
    columns = {column.name: column for column in tokenizer.columns}
    relations = []
    for coded in tokenizer.coding.columns:
        column = columns.get(coded.name)
        if column is None:
            continue
        if isinstance(coded, MarkedColumn):
            arrow = tokenizer.arrow.field(coded.name).type
            low, high = map(as_floats, coded.own_values(*token_range(column), arrow))
            differences = False
        elif isinstance(coded, RemainderColumn) and coded.relation.kind == "near_sum":
            low, high = _ranges(column, 10.0**-coded.decimals)
            differences = True
        elif isinstance(coded, DateGapColumn) and not coded.may_be_sum:
            low, high = _ranges(column, 1.0)
            differences = True
        else:
            continue
        relations.append(InexactRelation(coded.relation, coded.name, low, high, differences))
    return relations


def _ranges(column: Column, unit: float) -> tuple[Floats, Floats]:
    """Return the ends (E,) of the ranges of coded numbers, in multiples of a unit."""
    low, high = (as_floats(values) for values in token_range(column))
    has_value = np.isfinite(low) & np.isfinite(high)
    return low[has_value] * unit, high[has_value] * unit
