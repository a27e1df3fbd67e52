"""Previews of a tabular run: plots of the same points at each step."""

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.data import LabeledRows
from models.tabular.preview import REAL, SIDE, SYNTHETIC
from models.tabular.schema import ColumnSchema
from models.tabular.training import train
from tests.models.tabular.tiny_tables import RecordingCallbacks, make_people, make_settings


def train_previews(
    table: pa.Table, schema: tuple[ColumnSchema, ...], label: str | None, architecture: str
) -> list[np.ndarray]:
    callbacks = RecordingCallbacks(30)
    rows = LabeledRows.split(table, schema, target_column=label, holdout_fraction=0.1, seed=1)
    train(rows, make_settings(table, architecture=architecture), callbacks, seed=1)
    return callbacks.previews


def has_color(preview: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (preview == color).all(2)


@pytest.mark.parametrize("architecture", ["autoregressive", "gan"])
def test_a_preview_shows_real_points_in_black_and_synthetic_points_in_red(
    architecture: str,
) -> None:
    first, last = train_previews(*make_people(), "label", architecture)
    assert first.shape == last.shape == (SIDE, SIDE, 3)
    for preview in (first, last):
        assert has_color(preview, REAL).sum() > 200
        assert has_color(preview, SYNTHETIC).sum() > 200
    assert not np.array_equal(first, last)


def test_two_numeric_columns_are_plotted_as_coordinates() -> None:
    corners = np.random.default_rng(0).integers(0, 2, (400, 2)).astype(float)
    table = pa.table({"x": corners[:, 0], "y": corners[:, 1] * 7})
    schema = (ColumnSchema("x", "number"), ColumnSchema("y", "number"))
    preview = train_previews(table, schema, None, "autoregressive")[-1]
    points = has_color(preview, REAL) | has_color(preview, SYNTHETIC)
    middle = slice(SIDE // 4, 3 * SIDE // 4)
    assert points.sum() > 0
    assert not points[middle, middle].any()  # all points are in the four corners


def test_a_table_of_categories_only_has_a_preview() -> None:
    table = pa.table({"a": ["x", "y", None, "x"] * 25, "b": pa.nulls(100, pa.string())})
    schema = (ColumnSchema("a", "category", True), ColumnSchema("b", "category", True))
    assert has_color(train_previews(table, schema, None, "autoregressive")[-1], SYNTHETIC).any()


def test_dates_and_times_of_any_unit_are_plotted() -> None:
    days = np.random.default_rng(0).integers(0, 900, 200).astype(np.int32)
    table = pa.table({"on": pa.array(days, pa.date32()), "at": pa.array(days, pa.time32("s"))})
    schema = (ColumnSchema("on", "datetime"), ColumnSchema("at", "time"))
    assert has_color(train_previews(table, schema, None, "autoregressive")[-1], REAL).any()
