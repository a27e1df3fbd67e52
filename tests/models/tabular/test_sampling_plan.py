"""Row counts per condition, and the index ranges of the rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.errors import IdentifiersExhausted
from models.tabular.batched_sampling import iter_batches
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import (
    plan_partial_rows,
    plan_per_condition,
    plan_total,
)
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import train_sampler


def test_each_condition_starts_at_the_offset_and_zero_counts_are_skipped() -> None:
    plan = plan_per_condition([({"a": 1}, 3), ({"a": 2}, 0), ({"a": 3}, 2)], seed=1, offset=5)
    assert [
        (index_range.conditions, index_range.start, index_range.stop) for index_range in plan.ranges
    ] == [
        (({"a": 1},), 5, 8),
        (({"a": 3},), 5, 7),
    ]
    assert plan.count == 5


def test_a_part_of_a_plan_has_its_options_and_its_partial_rows() -> None:
    part = plan_partial_rows([{"a": 1}, {"a": 2}, {"a": 3}], seed=1, offset=5).slice(1, 3)
    assert part.partial_rows == ({"a": 2}, {"a": 3})
    assert [(each.start, each.stop) for each in part.ranges] == [(6, 8)]
    plan = replace(plan_total(4, [{}], seed=1, offset=0), exclude_training_rows=True)
    assert plan.slice(0, 2).exclude_training_rows


def test_chunks_cover_all_indices_once() -> None:
    (index_range,) = plan_total(10, [{}], seed=1, offset=3).ranges
    assert [chunk.tolist() for chunk in index_range.iter_chunks(4)] == [
        [3, 4, 5, 6],
        [7, 8, 9, 10],
        [11, 12],
    ]


def test_rows_of_large_indices_have_identifiers_or_are_rejected(tmp_path: Path) -> None:
    """Numbers of identifiers have 62 bits: index, condition and label."""
    sampler = train_orders(tmp_path, label="city")
    conditions = [({"city": "Rome"}, 2), ({}, 2)]
    for offset in (2**53, 2**58):
        plan = plan_per_condition(conditions, seed=1, offset=offset)
        samples = pa.Table.from_batches(batch.rows for batch in iter_batches(sampler, plan))
        assert all(len(samples[name].unique()) == 4 for name in ("order", "mail"))
    for offset in (2**60, 2**61, 2**62 - 2):
        plan = plan_per_condition(conditions, seed=1, offset=offset)
        with pytest.raises(IdentifiersExhausted):
            list(iter_batches(sampler, plan))
    with pytest.raises(IdentifiersExhausted):
        sampler.sample(1, np.array([2**62]))


def train_orders(folder: Path, label: str | None = None) -> TableSampler:
    rows = range(400)
    table = pa.table(
        {
            "order": pa.array(range(1_000, 1_400)),
            "city": pa.array([("Rome", "Oslo", "Bonn")[i % 3] for i in rows]),
            "mail": pa.array([f"person{i * 37}@example.org" for i in rows]),
        }
    )
    schema = (
        ColumnSchema("order", "id"),
        ColumnSchema("city", "category"),
        ColumnSchema("mail", "id"),
    )
    return train_sampler(table, schema, folder, steps=5, label=label)


def test_identifiers_of_rows_of_several_conditions_are_unique(tmp_path: Path) -> None:
    sampler = train_orders(tmp_path)
    counts = [({"city": city}, 50) for city in ("Rome", "Oslo", "Bonn")]
    batches = iter_batches(sampler, plan_per_condition([*counts, ({}, 50)], seed=1, offset=0))
    samples = pa.Table.from_batches(batch.rows for batch in batches)
    for name in ("order", "mail"):
        assert len(samples[name].unique()) == 200
