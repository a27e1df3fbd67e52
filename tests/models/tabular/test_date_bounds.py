"""Dates that are bounded by another date and a number of days."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.relations.detection import detect_relations
from models.tabular.relations.relation import Relation
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import train_sampler

N = 400
RNG = np.random.default_rng(6)
DAY = np.timedelta64(1, "D")
ARRIVAL = np.datetime64("2024-03-01", "us") + RNG.integers(0, 90, N) * DAY
LEAD = RNG.integers(0, 120, N)
CHANGED = ARRIVAL - LEAD * DAY + (RNG.random(N) * (LEAD + 20)).astype(np.int64) * DAY
TYPES = {"arrival": "datetime", "lead_time": "integer", "changed": "datetime"}
NAME = "arrival - lead_time <= changed"


def build_table(changed: np.ndarray) -> pa.Table:
    return pa.table({"arrival": ARRIVAL, "lead_time": LEAD, "changed": changed})


def bounds_in(table: pa.Table) -> list[str]:
    relations = detect_relations(table, TYPES)
    return [relation.name for relation in relations if relation.kind == "date_bound"]


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        (CHANGED, [NAME]),
        (ARRIVAL + LEAD * DAY + LEAD % 7 * DAY, ["arrival + lead_time <= changed"]),
        (ARRIVAL + LEAD % 7 * DAY, []),  # the order of both dates suffices
        (np.where(np.arange(N) == 7, ARRIVAL - (LEAD + 1) * DAY, CHANGED), []),
        (RNG.permutation(CHANGED), []),
        (ARRIVAL - LEAD * DAY, []),  # an equation
    ],
)
def test_bounds_by_a_date_and_days_are_found(changed: np.ndarray, names: list[str]) -> None:
    assert bounds_in(build_table(changed)) == names


def test_a_bound_is_checked_with_its_missing_values() -> None:
    relation = Relation("date_bound", ("arrival", "lead_time", "changed"), 86_400e6, signs=(1, -1))
    dates = np.array(["2024-01-10", "2024-01-10", "NaT"], "datetime64[us]")
    table = pa.table(
        {
            "arrival": pa.array(dates),
            "lead_time": [3, 3, 3],
            "changed": pa.array(np.array(["2024-01-07", "2024-01-06", "2024-01-01"], "M8[us]")),
        }
    )
    assert relation.holds(table).tolist() == [True, False, True]
    assert Relation.unpack(relation.pack()) == relation


def test_samples_are_within_a_bound_of_a_date_and_days(tmp_path: Path) -> None:
    table = build_table(CHANGED)
    schema = tuple(ColumnSchema(name, type) for name, type in TYPES.items())
    sampler = train_sampler(table, schema, tmp_path, steps=40, relations=True)
    rows = sampler.sample(2, np.arange(300)).rows
    relation = next(each for each in sampler.tokenizer.coding.relations if each.name == NAME)
    assert relation.holds(rows).all()
    free = train_sampler(table, schema, tmp_path, steps=40, relations=[NAME])
    assert not relation.holds(free.sample(2, np.arange(300)).rows).all()
