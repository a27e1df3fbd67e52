"""Plans of requests: the numbers of identifiers, and the part that a rejection points at."""

import json
from typing import Any

import numpy as np
import pytest

from modalities.selection import Selection
from modalities.tabular.options import TableSampleOptions
from modalities.tabular.request import TablePlan, plan_samples, read_plan
from models.errors import AcceptanceRateTooLow

MANIFEST: dict[str, Any] = {
    "target_column": "city",
    "labels": [{"name": name, "value": name} for name in ("Rome", "Oslo")],
    "columns": [
        {"name": "city", "type": "category", "domain": {"values": ["Rome", "Oslo"], "more": 0}},
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


def plan(selection: dict[str, Any], conditions: list[dict[str, Any]] | None = None) -> TablePlan:
    options = {} if conditions is None else {"conditions": conditions}
    return plan_samples(
        MANIFEST, Selection(**selection), TableSampleOptions.model_validate(options), seed=1
    )


def numbers_of(plan: TablePlan) -> list[int]:
    ranges = plan.indices.ranges
    return [n for r in ranges for n in r.identifier_numbers(np.arange(r.start, r.stop)).tolist()]


@pytest.mark.parametrize("other", [{"age": 40}, {"city": "Rome", "age": 40}, {"city": "Rome"}])
def test_rows_of_all_conditions_have_different_identifiers(other: dict[str, Any]) -> None:
    """Also those of the shards of a generation job, and of the next page."""
    conditions = [{"where": {"city": "Rome", "age": 30}, "count": 50}, {"where": other, "count": 9}]
    whole = plan({}, conditions)
    stored = read_plan(MANIFEST, json.loads(json.dumps(whole.to_dict())), 1)
    shards = [n for first in (0, 20, 40) for n in numbers_of(stored.slice(first, first + 20))]
    assert shards == numbers_of(whole)
    numbers = [*shards, *numbers_of(plan({"offset": 50}, conditions))]
    assert len(set(numbers)) == len(numbers) == 118


def test_identifiers_of_a_label_do_not_depend_on_other_labels() -> None:
    """Numbers of labels may be equal, because the label is a part of the identifier."""
    both = [{"where": {"city": city}, "count": 3} for city in ("Rome", "Oslo")]
    assert numbers_of(plan({"labels": {"Rome": 3}})) == [0, 1, 2]
    assert numbers_of(plan({"labels": {"Rome": 3, "Oslo": 3}})) == [0, 1, 2] * 2
    assert numbers_of(plan({}, both)) == [0, 1, 2] * 2
