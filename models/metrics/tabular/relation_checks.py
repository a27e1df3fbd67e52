"""Checks of relations between columns: the share of samples for which each one holds."""

from typing import Any

import numpy as np
import pyarrow as pa

from models.metrics.scores import Estimate, Score, create_score
from models.tabular.data import LabeledRows
from models.tabular.relation_detection import detect_relations
from models.tabular.relation_planning import independent_relations


def score_relations(
    data: LabeledRows, train: pa.Table, holdout: pa.Table, synthetic: pa.Table
) -> tuple[list[Score], list[dict[str, Any]]]:
    """Return the score of the relation that samples break most often, and a report of each one.

    The relations are those that hold in all training rows; without any, there is no score.
    """
    types = {column.name: column.type for column in data.schema if column.in_samples}
    relations = independent_relations(detect_relations(train, types), train)
    if not relations:
        return [], []
    violations = [(~relation.holds(synthetic)).astype(np.float64) for relation in relations]
    report = [
        {
            **relation.to_dict(),
            "holds_in_samples": 1 - float(violation.mean()),
            "holds_in_holdout": float(relation.holds(holdout).mean()),
        }
        for relation, violation in zip(relations, violations, strict=True)
    ]
    score = create_score(
        "relation_violation_rate",
        Estimate.from_items(max(violations, key=np.mean)),
        real_reference=1 - min(entry["holds_in_holdout"] for entry in report),
    )
    return [score], report
