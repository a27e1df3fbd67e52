"""Checks of relations between columns: the share of samples for which each one holds."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa

from models.metrics.scores import Estimate, Score, create_score
from models.tabular.categorical_columns import Floats
from models.tabular.data import LabeledRows
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.exceptions_search import find_with_exceptions
from models.tabular.relations.planning import plan_coding
from models.tabular.relations.relation import Relation
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.relations.texts.search import find_joined_texts

MAX_NAIVE_ROWS = 10_000
MAX_EXCEPTIONS = 0.1  # of the training rows; relations with more are not checked
MAX_EXCEPTIONS_RATIO = 2.0  # of the share of samples that break a relation to that of rows


def score_relations(
    data: LabeledRows, train: pa.Table, holdout: pa.Table, synthetic: pa.Table, seed: int
) -> tuple[list[Score], list[dict[str, Any]]]:
    """Return the score of the relation that samples break most often, and a report of each one.

    The relations are those that hold in all or nearly all training rows; without any, there is no
    score. Exceptions are counted beyond twice their share in the training rows. The naive baseline
    is the rate of rows whose columns are independent.
    """
    types = {column.name: column.type for column in data.schema if column.in_samples}
    exact = detect_relations(train, types)
    coding = plan_coding(exact, train, ())
    inexact = find_with_exceptions(train, types, exact, coding.determined)
    allowed: dict[Relation | JoinedText, float] = dict.fromkeys(coding.relations, 0.0)
    allowed |= dict.fromkeys(find_joined_texts(train, types), 0.0)
    for relation in inexact:
        exceptions = 1 - float(relation.holds(train).mean())
        # Distances of dates hold for no single row.
        if exceptions <= MAX_EXCEPTIONS and relation.kind != "near_date":
            allowed[relation] = MAX_EXCEPTIONS_RATIO * exceptions
    if not allowed:
        return [], []
    relations = list(allowed)
    violations = [_beyond((~r.holds(synthetic)).astype(np.float64), allowed[r]) for r in relations]
    used = {name for relation in relations for name in relation.to_dict()["columns"]}
    naive_rows = _shuffle_columns(train, used, seed)
    report = [
        {
            **relation.to_dict(),
            "holds_in_samples": float(relation.holds(synthetic).mean()),
            "holds_in_holdout": float(relation.holds(holdout).mean()),
            "holds_in_naive_rows": float(relation.holds(naive_rows).mean()),
        }
        for relation in relations
    ]
    names = ("holds_in_holdout", "holds_in_naive_rows")
    reference, naive = (
        max(
            max(0.0, 1 - entry[name] - allowed[relation])
            for relation, entry in zip(relations, report, strict=True)
        )
        for name in names
    )
    score = create_score(
        "relation_violation_rate",
        Estimate.from_items(max(violations, key=np.mean)),
        real_reference=reference,
        naive_baseline=naive,
    )
    return [score], report


def _beyond(violations: Floats, allowed: float) -> Floats:
    """Return (N,) violations, scaled so that their mean is what exceeds the `allowed` share."""
    share = float(violations.mean())
    return violations * max(0.0, 1 - allowed / share) if share else violations


def _shuffle_columns(table: pa.Table, names: Collection[str], seed: int) -> pa.Table:
    """Return rows whose columns are independent: each column is drawn separately."""
    rng = np.random.default_rng(seed)
    count = min(len(table), MAX_NAIVE_ROWS)
    columns = {
        name: table.column(name).take(pa.array(rng.integers(len(table), size=count)))
        for name in table.column_names
        if name in names
    }
    return pa.table(columns)
