from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.metrics.baselines import sample_independent
from models.metrics.scores import Score
from models.metrics.tabular.frames import CategoryMaps, NumericFrame
from models.metrics.tabular.unseen_pairs import score_unseen_pairs
from models.metrics.verdict import verdict_of
from models.tabular.schema import ColumnSchema

CITIES = 40
SCHEMA = (
    ColumnSchema("city", "category"),
    ColumnSchema("state", "category"),
    ColumnSchema("age", "integer"),
)


def never_stop() -> None:
    """Go on."""


def make_people(rows: int, seed: int, *, misplaced: float = 0.0) -> pa.Table:
    """Return people of cities that are each in one of 8 states, except for a share of the rows."""
    rng = np.random.default_rng(seed)
    city = rng.integers(CITIES, size=rows)
    state = np.where(rng.random(rows) < misplaced, city + 1, city) % 8
    return pa.table(
        {
            "city": [f"city {i}" for i in city],
            "state": [f"state {i}" for i in state],
            "age": rng.integers(18, 90, rows),
        }
    )


def score(people: pa.Table, samples: pa.Table) -> tuple[list[Score], list[dict[str, Any]]]:
    """Score samples against a training and a holdout part of the people."""
    parts = people.slice(0, len(people) * 4 // 5), people.slice(len(people) * 4 // 5), samples
    maps = CategoryMaps.fit(parts, SCHEMA)
    train, holdout, synthetic = (maps.to_frame(part, people.column_names) for part in parts)
    naive_rows = NumericFrame(sample_independent(train.columns, len(samples), 1))
    return score_unseen_pairs(train, holdout, (synthetic, train, naive_rows), maps, never_stop)


def make_visits(patients: int, visits: int, seed: int) -> pa.Table:
    """Return visits of patients, whose cities and states are independent."""
    rng = np.random.default_rng(seed)
    table = {
        "city": [f"city {i}" for i in np.repeat(rng.integers(60, size=patients), visits)],
        "state": [f"state {i}" for i in np.repeat(rng.integers(80, size=patients), visits)],
        "age": rng.integers(18, 90, patients * visits),
    }
    return pa.table(table).take(rng.permutation(patients * visits))


@pytest.mark.parametrize("visits", [1, 3, 5])
def test_several_rows_of_one_thing_make_no_rule_for_other_things(visits: int) -> None:
    assert score(make_visits(400, visits, 1), make_visits(1_000, 1, 2)) == ([], [])


def test_samples_with_cities_in_wrong_states_are_poor() -> None:
    samples = make_people(1_000, 2, misplaced=0.2)
    [rate], pairs = score(make_people(1_000, 1, misplaced=0.002), samples)
    assert rate.value == pytest.approx(0.2, abs=0.03)
    assert rate.real_reference is not None
    assert rate.real_reference < 0.02
    assert rate.naive_baseline == pytest.approx(7 / 8, abs=0.03)
    assert pairs == [
        {
            "columns": ["city", "state"],
            "in_samples": rate.value,
            "in_holdout": rate.real_reference,
            "in_naive_rows": rate.naive_baseline,
        }
    ]
    verdict = verdict_of([rate])
    assert verdict.verdict == "poor"
    assert "no training row has, most often of city and state" in verdict.reasons[0]


@pytest.mark.parametrize("rows", [120, 1_000])
@pytest.mark.parametrize("seed", range(5))
def test_real_rows_have_as_few_new_pairs_as_unseen_ones(rows: int, seed: int) -> None:
    samples = make_people(rows, 100 + seed, misplaced=0.02)
    scores, _ = score(make_people(rows, seed, misplaced=0.02), samples)
    assert verdict_of(scores).verdict == "good"


def test_columns_whose_values_often_form_new_pairs_are_not_compared() -> None:
    rng = np.random.default_rng(1)
    columns = {
        name: [f"{name} {i}" for i in rng.integers(60, size=1_000)] for name in ("city", "state")
    }
    people = pa.table({**columns, "age": rng.integers(18, 90, 1_000)})
    assert score(people, people) == ([], [])


def test_a_value_that_no_training_row_has_does_not_form_a_new_pair() -> None:
    samples = make_people(500, 2).set_column(0, "city", pa.array(["elsewhere"] * 500))
    [rate], pairs = score(make_people(1_000, 1), samples)
    assert rate.value == 0.0
    assert pairs == []


def test_a_missing_state_of_a_city_that_always_has_one_is_a_new_pair() -> None:
    people = make_people(1_000, 1)
    states = people["state"].to_pylist()
    is_abroad = [city == "city 0" for city in people["city"].to_pylist()]
    state = [None if abroad else s for abroad, s in zip(is_abroad, states, strict=True)]
    people = people.set_column(1, "state", pa.array(state))
    samples = people.set_column(1, "state", pa.array([None] * 100 + state[100:]))
    [rate], _ = score(people, samples)
    assert rate.value == (100 - sum(is_abroad[:100])) / 1_000
