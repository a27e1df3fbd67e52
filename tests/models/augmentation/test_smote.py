"""Interpolated rows of SMOTE and SMOTE-NC."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from models.augmentation.smote import NEIGHBORS, Smote, provenance_of
from models.tabular.schema import ColumnSchema


def make_numeric_table(values: list[float]) -> tuple[pa.Table, list[ColumnSchema]]:
    return pa.table({"x": values}), [ColumnSchema("x", "number")]


def test_a_row_is_interpolated_between_a_real_row_and_one_of_its_neighbors() -> None:
    rng = np.random.default_rng(0)
    table = pa.table({"x": rng.normal(size=60), "y": 1e6 * rng.normal(size=60)})
    schema = [ColumnSchema("x", "number"), ColumnSchema("y", "number")]
    synthetic = Smote(table, schema).generate(1, 0, np.arange(200))
    points = np.stack([table["x"].to_numpy(), table["y"].to_numpy() / 1e6], 1)
    scaled = (points - points.mean(0)) / points.std(0)
    for i in range(200):
        neighbors = np.linalg.norm(scaled - scaled[synthetic.real_indices[i]], axis=1).argsort()[
            1 : NEIGHBORS + 1
        ]
        assert synthetic.neighbor_indices[i] in neighbors
        real, neighbor = points[synthetic.real_indices[i]], points[synthetic.neighbor_indices[i]]
        expected = real + synthetic.weights[i] * (neighbor - real)
        actual = [synthetic.rows["x"][i].as_py(), synthetic.rows["y"][i].as_py() / 1e6]
        assert actual == pytest.approx(expected)
    assert len(set(synthetic.real_indices.tolist())) > 40


def test_categories_are_the_mode_of_the_neighbors_and_count_in_the_distance() -> None:
    table = pa.table(
        {
            "x": [0.0, 0.1, 0.2, 0.3, 5.0, 5.1, 5.2, 5.3],
            "city": ["Rome", "Rome", "Rome", None, "Oslo", "Oslo", "Bonn", "Oslo"],
        }
    )
    schema = [ColumnSchema("x", "number"), ColumnSchema("city", "category")]
    synthetic = Smote(table, schema).generate(1, 0, np.arange(50))
    for i, city in enumerate(synthetic.rows["city"].to_pylist()):
        assert city == ("Rome" if synthetic.real_indices[i] < 4 else "Oslo")


def test_numbers_keep_their_type_and_missing_values_are_copied_from_the_real_row() -> None:
    day = datetime.datetime(2020, 1, 1)  # noqa: DTZ001 - tables hold local times
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
    synthetic = Smote(table, schema).generate(1, 0, np.arange(60))
    assert synthetic.rows.schema.field("age").type == pa.int64()
    for i, row in enumerate(synthetic.rows.to_pylist()):
        assert (row["age"] is None) == (synthetic.real_indices[i] == 3)
        assert (row["pay"] is None) == (synthetic.real_indices[i] == 1)
        assert row["pay"] is None or row["pay"] == round(row["pay"], 2)
        assert row["since"].hour == 0


def test_a_row_depends_on_its_index_and_not_on_the_number_of_rows() -> None:
    smote = Smote(*make_numeric_table([1.0, 2.0, 4.0, 8.0]))
    together = smote.generate(3, 1, np.arange(10))
    single = smote.generate(3, 1, np.array([7]))
    assert single.rows["x"][0] == together.rows["x"][7]
    provenance = provenance_of(together, np.array([10, 20, 30, 40]), 7)
    assert provenance["real"] in (10, 20, 30, 40)
    assert provenance["real"] != provenance["neighbor"]
    assert smote.generate(3, 2, np.array([7])).rows != single.rows
