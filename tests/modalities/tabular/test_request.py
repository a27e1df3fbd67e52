"""The part of a request that a rejection points at."""

from typing import Any

import pytest

from modalities.selection import Selection
from modalities.tabular.options import TableSampleOptions
from modalities.tabular.request import plan_samples
from models.errors import AcceptanceRateTooLow

MANIFEST: dict[str, Any] = {
    "target_column": "city",
    "labels": [{"name": name, "value": name} for name in ("Rome", "Oslo")],
    "columns": [
        {"name": "city", "type": "category", "domain": {"values": ["Rome", "Oslo"]}},
        {"name": "age", "type": "integer", "domain": {"min": 18, "max": 79}},
    ],
}


@pytest.mark.parametrize(
    ("selection", "options", "rejected", "pointer"),
    [
        ({"labels": {"Oslo": 3}}, {}, {"conditions": {"city": "Oslo"}}, "/labels"),
        ({"count": 3}, {}, {"conditions": {}}, "/count"),
        ({"count": 3}, {"exclude_training_rows": True}, {}, "/exclude_training_rows"),
        (
            {"count": 4, "balance_labels": True},
            {},
            {"conditions": {"city": "Oslo"}},
            "/balance_labels",
        ),
        (
            {},
            {
                "conditions": [
                    {"where": {"age": 30}, "count": 1},
                    {"where": {"city": "Oslo"}, "count": 1},
                ]
            },
            {"conditions": {"city": "Oslo"}},
            "/conditions/1/where",
        ),
        (
            {"offset": 10},
            {"partial_rows": [{}, {"age": 30}]},
            {"partial_row": 11},
            "/partial_rows/1",
        ),
    ],
)
def test_a_rejection_points_at_the_part_of_the_request_that_causes_it(
    selection: dict[str, Any], options: dict[str, Any], rejected: dict[str, Any], pointer: str
) -> None:
    plan = plan_samples(
        MANIFEST, Selection(**selection), TableSampleOptions.model_validate(options), seed=1
    )
    error = AcceptanceRateTooLow(0, 3, 0.0, "Relax the conditions.", **rejected)
    assert plan.pointer_to_rejection(error) == pointer
