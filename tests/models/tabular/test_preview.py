"""Pictures of a run on rows: the same points each time, so that they can be compared."""

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.data import LabeledRows
from models.tabular.preview import REAL, SIDE, SYNTHETIC
from models.tabular.schema import ColumnSchema
from models.tabular.training import train
from tests.models.tabular.tiny_tables import RecordingCallbacks, make_people, make_settings


def pictures(
    table: pa.Table, schema: tuple[ColumnSchema, ...], label: str | None, architecture: str
) -> list[np.ndarray]:
    run = RecordingCallbacks(30)
    rows = LabeledRows.split(table, schema, target_column=label, holdout_fraction=0.1, seed=1)
    train(rows, make_settings(table, architecture=architecture), run, seed=1)
    return run.previews


def marked(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(2)


@pytest.mark.parametrize("architecture", ["autoregressive", "gan"])
def test_a_picture_has_real_points_in_black_and_made_ones_in_red(architecture: str) -> None:
    first, last = pictures(*make_people(), "label", architecture)
    assert first.shape == last.shape == (SIDE, SIDE, 3)
    for picture in (first, last):
        assert marked(picture, REAL).sum() > 200
        assert marked(picture, SYNTHETIC).sum() > 200
    assert not np.array_equal(first, last)


def test_two_numbers_place_the_points_themselves() -> None:
    corners = np.random.default_rng(0).integers(0, 2, (400, 2)).astype(float)
    table = pa.table({"x": corners[:, 0], "y": corners[:, 1] * 7})
    schema = (ColumnSchema("x", "number"), ColumnSchema("y", "number"))
    picture = pictures(table, schema, None, "autoregressive")[-1]
    drawn = marked(picture, REAL) | marked(picture, SYNTHETIC)
    middle = slice(SIDE // 4, 3 * SIDE // 4)
    assert drawn.sum() > 0
    assert not drawn[middle, middle].any()  # all lies in the four corners


def test_a_table_of_names_alone_has_a_picture_too() -> None:
    table = pa.table({"a": ["x", "y", None, "x"] * 25, "b": pa.nulls(100, pa.string())})
    schema = (ColumnSchema("a", "category", True), ColumnSchema("b", "category", True))
    assert marked(pictures(table, schema, None, "autoregressive")[-1], SYNTHETIC).any()
