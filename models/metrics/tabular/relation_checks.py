"""Checks of relations between columns: the share of samples for which each one holds."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa

from models.metrics.scores import Estimate, Score, create_score
from models.tabular.data import LabeledRows
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.joined_text_search import find_joined_texts
from models.tabular.relations.joined_texts import JoinedText
from models.tabular.relations.planning import independent_relations
from models.tabular.relations.relation import Relation

MAX_NAIVE_ROWS = 10_000


def score_relations(
    data: LabeledRows, train: pa.Table, holdout: pa.Table, synthetic: pa.Table, seed: int
) -> tuple[list[Score], list[dict[str, Any]]]:
    """Return the score of the relation that samples break most often, and a report of each one.

    The relations are those that hold in all training rows; without any, there is no score. The
    naive baseline is the rate of rows whose columns are independent.
    """
    types = {column.name: column.type for column in data.schema if column.in_samples}
    relations: list[Relation | JoinedText] = [
        *independent_relations(detect_relations(train, types), train),
        *find_joined_texts(train, types),
    ]
    if not relations:
        return [], []
    violations = [(~relation.holds(synthetic)).astype(np.float64) for relation in relations]
    used = {name for relation in relations for name in relation.to_dict()["columns"]}
    naive_rows = _shuffle_columns(train, used, seed)
    report = [
        {
            **relation.to_dict(),
            "holds_in_samples": 1 - float(violation.mean()),
            "holds_in_holdout": float(relation.holds(holdout).mean()),
            "holds_in_naive_rows": float(relation.holds(naive_rows).mean()),
        }
        for relation, violation in zip(relations, violations, strict=True)
    ]
    score = create_score(
        "relation_violation_rate",
        Estimate.from_items(max(violations, key=np.mean)),
        real_reference=1 - min(entry["holds_in_holdout"] for entry in report),
        naive_baseline=1 - min(entry["holds_in_naive_rows"] for entry in report),
    )
    return [score], report


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
