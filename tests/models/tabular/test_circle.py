"""Unlabeled points in a plane."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.budget import budget
from models.tabular.data import LabeledRows
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, resolve
from models.tabular.training import train
from tests.models.tabular.tiny_tables import RecordingCallbacks, load_sampler


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["autoregressive", "gan"])
def test_points_on_a_circle_are_sampled_on_a_circle(tmp_path: Path, architecture: str) -> None:
    angle = np.random.default_rng(1).random(1_000) * 2 * np.pi
    table = pa.table({"x": 2 * np.cos(angle), "y": 2 * np.sin(angle)})
    schema = (ColumnSchema("x", "number"), ColumnSchema("y", "number"))
    data = TableData(1_000, 2)
    settings = resolve(data, "fast", {"architecture": architecture})
    callbacks = RecordingCallbacks(int(budget(data, settings, "fast")["steps"]))
    rows = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.1, seed=1)
    train(rows, settings, callbacks, seed=1)
    samples = load_sampler(callbacks.last_checkpoint, tmp_path).sample(1, np.arange(10_000)).rows
    x, y = np.asarray(samples.column("x")), np.asarray(samples.column("y"))
    assert np.abs(np.hypot(x, y) - 2).mean() < 0.03
    sector = ((np.arctan2(y, x) / (2 * np.pi) % 1) * 36).astype(int)
    assert np.bincount(sector, minlength=36).min() > 0.4 * 10_000 / 36
