"""Terms that are 0 in most rows, such as a late fee or a refund, and that complete an equation.

A sample of the rows may have too few of them to show the whole equation, but it has that of the
other columns. In the rows that break this one, the term is what it leaves.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pyarrow as pa

from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats
from models.tabular.relations.screened_numbers import log2_combinations

MAX_BROKEN_SHARE = 0.05  # of the rows, without the terms
MAX_TERMS = 3
MIN_TERM_BITS = 30.0  # of the choice of the rows in which a term completes the equation
MIN_COMPLETED_SHARE = 0.5  # of the rows in which the term is not 0; others need a further one


def with_rare_terms(relation: Relation, table: pa.Table, names: Collection[str]) -> Relation:
    """Return an equation of numbers with up to three further terms that complete it in `table`.

    `names` are those of the columns that may be terms. Sums have terms, copies of a number, and
    products have one. Without a term, the relation is returned unchanged.
    """
    is_copy = relation.kind == "linear" and (relation.factor, relation.offset) == (1.0, 0.0)
    shorter = replace(relation, kind="sum", signs=(1,)) if is_copy else relation
    max_terms = {"sum": MAX_TERMS, "product": 1 - len(relation.signs)}.get(shorter.kind, 0)
    for _ in range(max_terms if relation.last in names else 0):
        others = [name for name in names if name not in relation.columns]
        longer = _with_term(shorter, table, others)
        if longer is None:
            break
        relation = shorter = longer
    return relation


def _with_term(relation: Relation, table: pa.Table, names: Collection[str]) -> Relation | None:
    """Return the relation with the term that completes it in most of the rows that break it."""
    is_broken = ~relation.holds(table)
    if not 0 < is_broken.mean() <= MAX_BROKEN_SHARE:
        return None
    *terms, last = relation.columns
    signs = relation.signs if relation.kind == "product" else relation.term_signs
    best, most = None, 0
    for name in names:
        has_term = np.nan_to_num(as_floats(array(table, name))) != 0
        if not has_term.any() or (has_term & ~is_broken).any():
            continue
        for sign in (1, -1):
            longer = replace(relation, columns=(*terms, name, last), signs=(*signs, sign))
            completed = int((has_term & longer.holds(table)).sum())
            is_likely = log2_combinations(len(table), completed) >= MIN_TERM_BITS
            if is_likely and completed > max(most, MIN_COMPLETED_SHARE * has_term.sum()):
                best, most = longer, completed
    return best
