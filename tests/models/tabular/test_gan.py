"""Conditional GAN for tables with mixed columns."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.tabular.data import LabeledRows
from models.tabular.gan.networks import RowFeaturizer
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.tokenizer import Tokenizer
from models.tabular.training import train
from tests.models.tabular.tiny_tables import (
    RecordingCallbacks,
    load_sampler,
    make_people,
    make_settings,
    train_sampler,
)


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    table, schema = make_people()
    folder = tmp_path_factory.mktemp("model")
    return train_sampler(
        table, schema, folder, label="label", steps=400, architecture="gan", hidden_dim=64
    )


def test_features_preserve_a_row_up_to_its_position_in_a_bin() -> None:
    table, schema = make_people()
    for label in ("label", "city", None):
        tokenizer = Tokenizer.fit(table, schema, target_column=label, seed=1, always_sub_bins=True)
        featurizer = RowFeaturizer(tokenizer)
        tokens = torch.from_numpy(tokenizer.encode(table, 1))
        features = featurizer.from_tokens(
            tokens, torch.full((featurizer.numbers.shape[1], len(table)), 0.5)
        )
        choices = torch.stack(
            [
                logits.argmax(1)
                for logits in features[:, : featurizer.num_choice_features].split(
                    featurizer.sizes[:, 0].tolist(), 1
                )
            ],
            1,
        )
        restored_tokens, positions = featurizer.to_tokens(features, choices, tokens[0])
        assert torch.equal(restored_tokens, tokens)
        assert positions.shape == (tokenizer.num_decode_uniforms, len(table))


def test_probabilities_get_a_gradient_through_sampled_choices() -> None:
    table, schema = make_people(100)
    featurizer = RowFeaturizer(
        Tokenizer.fit(table, schema, target_column="label", seed=1, always_sub_bins=True)
    )
    logits = torch.randn(7, featurizer.num_features, requires_grad=True)
    features, choices = featurizer.sample_choices(logits, torch.rand(7, len(featurizer.steps)))
    assert choices.shape == (7, len(featurizer.steps))
    assert features[:, : featurizer.num_choice_features].sum().item() == pytest.approx(
        7 * len(featurizer.steps), rel=1e-4
    )
    (features * torch.randn_like(features)).sum().backward()
    assert logits.grad is not None
    assert (
        logits.grad[:, : featurizer.num_choice_features].abs().sum(0) > 0
    ).sum() > featurizer.num_choice_features / 2


def test_rows_have_the_types_and_values_of_the_table(sampler: TableSampler) -> None:
    table, _ = make_people()
    rows = sampler.sample(1, np.arange(1_500)).rows
    assert rows.schema.equals(table.schema)
    for name in ("city", "age", "member", "7", "label"):
        assert set(rows.column(name).to_pylist()) <= set(table.column(name).to_pylist()), name
    share = rows.column("label").to_pylist().count("yes") / 1_500
    assert share == pytest.approx(0.3, abs=0.05)


def test_columns_that_depend_on_the_label_follow_it(sampler: TableSampler) -> None:
    samples = {
        label: sampler.sample(1, np.arange(400), {"label": label}) for label in ("no", "yes")
    }
    assert all(batch.acceptance_rate == 1.0 for batch in samples.values())
    cities = {label: batch.rows.column("city").to_pylist() for label, batch in samples.items()}
    assert samples["yes"].rows.column("label").to_pylist() == ["yes"] * 400
    assert cities["yes"].count("Zürich") > 3 * cities["no"].count("Zürich")


def test_a_row_does_not_depend_on_its_batch(sampler: TableSampler) -> None:
    indices = np.arange(1_100)
    together = sampler.sample(7, indices, {"label": "no"}).rows
    for index in (0, 1_023, 1_024):
        single = sampler.sample(7, np.array([index]), {"label": "no"}).rows
        assert single.equals(together.slice(index, 1))


def test_a_resumed_run_gives_the_same_weights(tmp_path: Path) -> None:
    table, schema = make_people(200)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    settings = make_settings(table, architecture="gan")
    uninterrupted, interrupted, resumed = (
        RecordingCallbacks(30),
        RecordingCallbacks(30, checkpoints=(11,), interrupt_at=17),
        RecordingCallbacks(30),
    )
    train(rows, settings, uninterrupted, seed=3)
    with pytest.raises(KeyboardInterrupt):
        train(rows, settings, interrupted, seed=3)
    (tmp_path / "state").write_bytes(interrupted.last_checkpoint.state)
    train(rows, settings, resumed, seed=3, state=tmp_path / "state")
    assert resumed.last_checkpoint.model == uninterrupted.last_checkpoint.model
    assert resumed.last_checkpoint.state == uninterrupted.last_checkpoint.state
    assert (
        load_sampler(uninterrupted.last_checkpoint, tmp_path).sample(1, np.arange(3)).rows.num_rows
        == 3
    )


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (pa.table({"x": [1.5, 2.5, 3.5, 4.5, 5.5]}), "number"),
        (pa.table({"x": [7] * 50}), "integer"),
        (pa.table({"x": pa.nulls(50, pa.string())}), "category"),
        (pa.table({"x": [f"n{k}" for k in range(700)]}), "category"),
    ],
    ids=["5 rows", "constant", "all missing", "700 categories"],
)
def test_degenerate_tables_can_be_trained_and_sampled(
    tmp_path: Path, table: pa.Table, kind: str
) -> None:
    schema = (ColumnSchema("x", kind),)  # type: ignore[arg-type] # literals of this test
    sampler = train_sampler(table, schema, tmp_path, steps=4, architecture="gan")
    rows = sampler.sample(1, np.arange(20)).rows
    assert rows.schema.equals(table.schema)
    assert set(rows.column("x").to_pylist()) <= set(table.column("x").to_pylist())
