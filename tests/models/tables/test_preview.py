"""Pictures of a run on rows: the same points each time, so that they can be compared."""

import numpy as np
import pyarrow as pa
import pytest

from models.tables.data import LabelledRows
from models.tables.preview import MADE, REAL, SIDE
from models.tables.schema import ColumnSchema
from models.tables.training import train
from tests.models.tables.tables import Steps, people, settings_of


def pictures(
    table: pa.Table, schema: tuple[ColumnSchema, ...], label: str | None, architecture: str
) -> list[np.ndarray]:
    run = Steps(30)
    rows = LabelledRows.split(table, schema, label=label, held_out=0.1, seed=1)
    train(rows, settings_of(table, architecture=architecture), run, seed=1)
    return run.pictures


def marked(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(2)


@pytest.mark.parametrize("architecture", ["auto", "mlp"])
def test_a_picture_has_real_points_in_black_and_made_ones_in_red(architecture: str) -> None:
    first, last = pictures(*people(), "label", architecture)
    assert first.shape == last.shape == (SIDE, SIDE, 3)
    for picture in (first, last):
        assert marked(picture, REAL).sum() > 200
        assert marked(picture, MADE).sum() > 200
    assert not np.array_equal(first, last)


def test_two_numbers_place_the_points_themselves() -> None:
    corners = np.random.default_rng(0).integers(0, 2, (400, 2)).astype(float)
    table = pa.table({"x": corners[:, 0], "y": corners[:, 1] * 7})
    schema = (ColumnSchema("x", "number"), ColumnSchema("y", "number"))
    picture = pictures(table, schema, None, "auto")[-1]
    drawn = marked(picture, REAL) | marked(picture, MADE)
    middle = slice(SIDE // 4, 3 * SIDE // 4)
    assert drawn.sum() > 0
    assert not drawn[middle, middle].any()  # all lies in the four corners


def test_a_table_of_names_alone_has_a_picture_too() -> None:
    table = pa.table({"a": ["x", "y", None, "x"] * 25, "b": pa.nulls(100, pa.string())})
    schema = (ColumnSchema("a", "category", True), ColumnSchema("b", "category", True))
    assert marked(pictures(table, schema, None, "auto")[-1], MADE).any()
