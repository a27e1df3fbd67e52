"""Rows between rows, as SMOTE and SMOTE-NC make them."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from models.augmentation.smote import NEIGHBORS, Smote, provenance_of
from models.tabular.schema import ColumnSchema


def numbers(values: list[float]) -> tuple[pa.Table, list[ColumnSchema]]:
    return pa.table({"x": values}), [ColumnSchema("x", "number")]


def test_a_row_lies_between_a_real_one_and_one_of_its_nearest() -> None:
    rng = np.random.default_rng(0)
    table = pa.table({"x": rng.normal(size=60), "y": 1e6 * rng.normal(size=60)})
    schema = [ColumnSchema("x", "number"), ColumnSchema("y", "number")]
    made = Smote(table, schema).generate(1, 0, np.arange(200))
    points = np.stack([table["x"].to_numpy(), table["y"].to_numpy() / 1e6], 1)
    scaled = (points - points.mean(0)) / points.std(0)
    for i in range(200):
        near = np.linalg.norm(scaled - scaled[made.real_indices[i]], axis=1).argsort()[
            1 : NEIGHBORS + 1
        ]
        assert made.neighbor_indices[i] in near
        one, other = points[made.real_indices[i]], points[made.neighbor_indices[i]]
        wanted = one + made.weights[i] * (other - one)
        found = [made.rows["x"][i].as_py(), made.rows["y"][i].as_py() / 1e6]
        assert found == pytest.approx(wanted)
    assert len(set(made.real_indices.tolist())) > 40


def test_names_are_the_commonest_among_the_neighbours_and_weigh_in_the_distance() -> None:
    table = pa.table(
        {
            "x": [0.0, 0.1, 0.2, 0.3, 5.0, 5.1, 5.2, 5.3],
            "city": ["Rome", "Rome", "Rome", None, "Oslo", "Oslo", "Bonn", "Oslo"],
        }
    )
    schema = [ColumnSchema("x", "number"), ColumnSchema("city", "category")]
    made = Smote(table, schema).generate(1, 0, np.arange(50))
    for i, city in enumerate(made.rows["city"].to_pylist()):
        assert city == ("Rome" if made.real_indices[i] < 4 else "Oslo")


def test_numbers_keep_their_type_and_missing_values_stay_with_their_row() -> None:
    day = datetime.datetime(2020, 1, 1)  # noqa: DTZ001 - as tables have them
    table = pa.table(
        {
            "age": [20, 31, 42, None],
            "pay": [1.25, None, 3.75, 2.0],
            "since": [day, day + datetime.timedelta(2), day + datetime.timedelta(9), day],
        }
    )
    schema = [
        ColumnSchema("age", "integer"),
        ColumnSchema("pay", "number", decimals=2),
        ColumnSchema("since", "datetime"),
    ]
    made = Smote(table, schema).generate(1, 0, np.arange(60))
    assert made.rows.schema.field("age").type == pa.int64()
    for i, row in enumerate(made.rows.to_pylist()):
        assert (row["age"] is None) == (made.real_indices[i] == 3)
        assert (row["pay"] is None) == (made.real_indices[i] == 1)
        assert row["pay"] is None or row["pay"] == round(row["pay"], 2)
        assert row["since"].hour == 0


def test_a_row_depends_on_its_number_and_not_on_how_many_are_made() -> None:
    rows = Smote(*numbers([1.0, 2.0, 4.0, 8.0]))
    together = rows.generate(3, 1, np.arange(10))
    alone = rows.generate(3, 1, np.array([7]))
    assert alone.rows["x"][0] == together.rows["x"][7]
    recipe = provenance_of(together, np.array([10, 20, 30, 40]), 7)
    assert recipe["real"] in (10, 20, 30, 40)
    assert recipe["real"] != recipe["neighbor"]
    assert rows.generate(3, 2, np.array([7])).rows != alone.rows
