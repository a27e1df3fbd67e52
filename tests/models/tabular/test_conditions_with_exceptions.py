"""Conditions next to relations with exceptions, parts of times and missing values."""

from datetime import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.conditions.condition import InvalidCondition, InvalidPartialRow
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import train_sampler

ROWS = 900
TYPES = {
    "departure": "datetime",
    "hour": "integer",
    "first_floor": "integer",
    "second_floor": "integer",
    "area": "integer",
    "finished": "integer",
    "unfinished": "integer",
    "basement": "integer",
    "reason": "category",
    "last_day": "datetime",
}


def make_table() -> pa.Table:
    rng = np.random.default_rng(0)
    departure = rng.integers(0, 24 * 60, ROWS)
    departure[:3] = 0
    hour = departure // 60
    hour[:3] = 24
    first, second = rng.integers(500, 2_000, ROWS), rng.integers(100, 1_500, ROWS)
    area = first + second + np.where(rng.random(ROWS) < 0.03, rng.integers(50, 400, ROWS), 0)
    finished, unfinished = rng.integers(10, 900, (2, ROWS))
    no_basement = np.arange(ROWS) % 20 == 0
    reason = np.where(rng.random(ROWS) < 0.6, 0, rng.integers(1, 9, ROWS))
    last_day = np.datetime64("2015-01-01") + rng.integers(0, 1_400, ROWS)
    return pa.table(
        {
            "departure": pa.array(departure * 60_000_000, pa.time64("us")),
            "hour": hour,
            "first_floor": first,
            "second_floor": second,
            "area": area,
            "finished": pa.array(finished, mask=no_basement),
            "unfinished": pa.array(unfinished, mask=no_basement),
            "basement": pa.array(finished + unfinished, mask=no_basement),
            "reason": pa.array([f"reason {i}" for i in range(9)]).take(pa.array(reason)),
            "last_day": pa.array(last_day.astype("M8[us]"), mask=reason == 0),
        }
    )


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    schema: Any = tuple(ColumnSchema(name, type) for name, type in TYPES.items())
    folder = Path(tmp_path_factory.mktemp("exceptions"))
    return train_sampler(make_table(), schema, folder, steps=2)


def test_a_part_of_a_time_with_exceptions_contradicts_other_times(sampler: TableSampler) -> None:
    relation = r"because `hour\(departure\) ~ hour`"
    with pytest.raises(InvalidCondition, match=relation):
        sampler.possible_rows({"hour": 7, "departure": {"gte": time(18)}})
    with pytest.raises(InvalidCondition, match=relation):
        sampler.possible_rows({"hour": {"lte": 7}, "departure": time(18, 30)})
    with pytest.raises(InvalidPartialRow, match=relation):
        PartialRows.parse(sampler.tokenizer, [{"hour": 7, "departure": time(18, 30)}])
    possible = sampler.possible_rows({"departure": {"gte": time(18)}}).values
    assert (possible.low["hour"], possible.high["hour"]) == (18, 24)
    assert not sampler.possible_rows({"hour": 24}).is_empty


def test_what_a_sum_leaves_is_at_most_that_of_the_training_rows(sampler: TableSampler) -> None:
    floors = {"first_floor": {"gte": 1_500}, "second_floor": {"gte": 1_000}}
    message = r"because `first_floor \+ second_floor ~ area`\. With these values, it is from 2500"
    with pytest.raises(InvalidCondition, match=message):
        sampler.possible_rows({**floors, "area": {"lte": 2_000}})
    assert not sampler.possible_rows({**floors, "area": {"gte": 2_700}}).is_empty
    small = {"first_floor": {"lte": 1_200}, "second_floor": {"lte": 800}}
    with pytest.raises(InvalidCondition, match=r"first_floor \+ second_floor ~ area"):
        sampler.possible_rows({**small, "area": {"gte": 2_500}})


def test_parts_of_a_present_sum_are_present(sampler: TableSampler) -> None:
    with pytest.raises(InvalidCondition, match=r"finished \+ unfinished = basement"):
        sampler.possible_rows({"basement": {"lte": 300}, "unfinished": {"gte": 500}})
    possible = sampler.possible_rows({"basement": {"lte": 300}}).values
    assert possible.present["finished"].all()
    assert possible.high["finished"] <= 290


def test_values_of_a_column_that_explains_gaps_contradict_others(sampler: TableSampler) -> None:
    with pytest.raises(InvalidCondition, match="contradicts `reason`: no training row has both"):
        sampler.possible_rows({"reason": "reason 3", "last_day": None})
    with pytest.raises(InvalidPartialRow, match="With this value, it is missing"):
        PartialRows.parse(
            sampler.tokenizer, [{"reason": "reason 0", "last_day": "2016-02-01T00:00:00"}]
        )


def test_samples_have_gaps_exactly_where_another_column_explains_them(
    sampler: TableSampler,
) -> None:
    rows = sampler.sample(0, np.arange(500)).rows
    still_employed = np.array(rows.column("reason").to_pylist()) == "reason 0"
    is_missing = rows.column("last_day").is_null().to_numpy(zero_copy_only=False)
    np.testing.assert_array_equal(is_missing, still_employed)
    assert 0 < is_missing.sum() < len(is_missing)
