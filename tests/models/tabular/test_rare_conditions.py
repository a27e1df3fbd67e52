"""Rows of rare conditions are completed from the values that these require."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular import sampling
from models.tabular.batched_sampling import generate_batch, iter_batches
from models.tabular.conditions.condition import InvalidCondition
from models.tabular.conditions.rare_conditions import is_rare
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import RowIndexRange, RowSamplingPlan
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import train_sampler

PRODUCTS, ROWS = 600, 3_000
RARE = {"name": "name 20"}  # of product 20, in one of 600 rows


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    """Return a model of orders of products, each of which has a name and a shelf."""
    rng = np.random.default_rng(0)
    product = np.r_[np.arange(PRODUCTS), rng.integers(0, PRODUCTS, ROWS - PRODUCTS)]
    table = pa.table(
        {
            "size": pa.array(["small", "large"]).take(pa.array(rng.integers(0, 2, ROWS))),
            "order": pa.array([f"A-{k:06}" for k in rng.permutation(ROWS)]),
            "product": pa.array([f"p{k}" for k in product]),
            "name": pa.array([f"name {k}" for k in product]),
            "shelf": pa.array([f"shelf {k}" for k in product % 7]),
            "amount": rng.random(ROWS).round(2),
        }
    )
    types = {"order": "id", "amount": "number"}
    schema: Any = tuple(
        ColumnSchema(name, types.get(name, "category")) for name in table.column_names
    )
    folder = Path(tmp_path_factory.mktemp("orders"))
    return train_sampler(table, schema, folder, label="size", steps=5)


def generate(sampler: TableSampler, indices: Any, *conditions: Any) -> list[dict[str, Any]]:
    rows = generate_batch(sampler, 3, np.asarray(indices), conditions).rows
    return list(rows.to_pylist())


def test_each_row_meets_a_condition_that_one_candidate_in_600_would(sampler: TableSampler) -> None:
    rows = generate(sampler, range(100), RARE)
    assert {(r["product"], r["name"], r["shelf"]) for r in rows} == {("p20", "name 20", "shelf 6")}
    assert {row["size"] for row in rows} == {"small", "large"}
    assert len({row["amount"] for row in rows}) > 20
    assert len({row["order"] for row in rows}) == 100
    assert is_rare(sampler, RARE)
    assert not is_rare(sampler, {"shelf": "shelf 1"})
    assert is_rare(sampler, {"amount": {"gte": 0.999}})


def test_a_rare_row_depends_on_its_index_alone(sampler: TableSampler) -> None:
    small = {**RARE, "size": "small"}
    rows = generate(sampler, range(10), RARE, small)
    assert [generate(sampler, [k], RARE, small)[0] for k in (0, 3, 8)] == [
        rows[k] for k in (0, 3, 8)
    ]
    plan = RowSamplingPlan((RowIndexRange(0, 40, (RARE, small)),), 3)
    in_turns = [row for batch in iter_batches(sampler, plan) for row in batch.rows.to_pylist()]
    assert in_turns[:10] == rows


def test_frequent_conditions_have_large_batches_next_to_a_rare_one(sampler: TableSampler) -> None:
    frequent = tuple({"shelf": f"shelf {k}"} for k in range(7))
    plan = RowSamplingPlan((RowIndexRange(0, 150, (*frequent, RARE)),), 3)
    batches = list(iter_batches(sampler, plan))
    assert [len(batch) for batch in batches] == [128, 22]
    assert [row["name"] for row in batches[0].rows.to_pylist()[7::8]] == ["name 20"] * 16
    assert len(next(iter_batches(sampler, plan.slice(3, 9)))) == 6


def test_shares_of_many_conditions_are_not_kept(
    sampler: TableSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "MAX_ACCEPTED_SHARES", 3)
    shares = [sampler.accepted_share({"amount": {"gte": 0.1 * (k % 5)}}) for k in range(7)]
    assert shares[:2] == shares[5:]
    assert len(sampler._accepted_shares) <= 3


def test_other_conditions_reject_completed_rows(sampler: TableSampler) -> None:
    condition = {**RARE, "amount": {"gte": 0.5}, "size": ["small"]}
    rows = generate(sampler, range(30), condition)
    assert {row["name"] for row in rows} == {"name 20"}
    assert {row["size"] for row in rows} == {"small"}
    assert all(row["amount"] >= 0.5 for row in rows)


def test_rows_of_a_rare_range_have_it_and_the_other_columns_of_all_rows(
    sampler: TableSampler,
) -> None:
    condition = {"amount": {"gte": 0.995}}
    assert sampler.accepted_share(condition) < 0.01
    rows = generate(sampler, range(60), condition)
    assert {row["amount"] >= 0.995 for row in rows} == {True}
    assert {row["size"] for row in rows} == {"small", "large"}
    assert len({row["shelf"] for row in rows}) == 7


def test_rows_of_a_rare_list_of_values_have_the_key_of_each(sampler: TableSampler) -> None:
    rows = generate(sampler, range(40), {"name": ["name 20", "name 21"]})
    pairs = {(row["product"], row["name"]) for row in rows}
    assert pairs == {("p20", "name 20"), ("p21", "name 21")}


def test_values_that_contradict_each_other_are_refused_at_once(sampler: TableSampler) -> None:
    message = "contradicts `name`: no training row has both. With this value, it may be 'shelf 6'"
    with pytest.raises(InvalidCondition, match=message) as caught:
        generate(sampler, range(3), {**RARE, "shelf": "shelf 1"})
    assert caught.value.column == "shelf"


def test_missing_values_of_complete_columns_are_refused(sampler: TableSampler) -> None:
    with pytest.raises(InvalidCondition, match="never missing") as caught:
        generate(sampler, range(3), {"name": None})
    assert caught.value.column == "name"
