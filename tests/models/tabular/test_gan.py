"""The conditional GAN over mixed columns."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.tabular.data import LabeledRows
from models.tabular.gan_networks import RowFeaturizer
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


def test_features_hold_a_row_to_the_place_inside_a_bin() -> None:
    table, schema = make_people()
    for label in ("label", "city", None):
        tokenizer = Tokenizer.fit(table, schema, target_column=label, seed=1, always_sub_bins=True)
        parts = RowFeaturizer(tokenizer)
        tokens = torch.from_numpy(tokenizer.encode(table, 1))
        features = parts.from_tokens(tokens, torch.full((parts.numbers.shape[1], len(table)), 0.5))
        chosen = torch.stack(
            [
                part.argmax(1)
                for part in features[:, : parts.num_choice_features].split(
                    parts.sizes[:, 0].tolist(), 1
                )
            ],
            1,
        )
        again, places = parts.to_tokens(features, chosen, tokens[0])
        assert torch.equal(again, tokens)
        assert places.shape == (tokenizer.num_decode_uniforms, len(table))


def test_chances_get_a_gradient_through_the_choice() -> None:
    table, schema = make_people(100)
    parts = RowFeaturizer(
        Tokenizer.fit(table, schema, target_column="label", seed=1, always_sub_bins=True)
    )
    raw = torch.randn(7, parts.num_features, requires_grad=True)
    features, chosen = parts.sample_choices(raw, torch.rand(7, len(parts.steps)))
    assert chosen.shape == (7, len(parts.steps))
    assert features[:, : parts.num_choice_features].sum().item() == pytest.approx(
        7 * len(parts.steps), rel=1e-4
    )
    (features * torch.randn_like(features)).sum().backward()
    assert raw.grad is not None
    assert (
        raw.grad[:, : parts.num_choice_features].abs().sum(0) > 0
    ).sum() > parts.num_choice_features / 2


def test_mixed_rows_have_the_columns_types_and_values_of_the_table(sampler: TableSampler) -> None:
    table, _ = make_people()
    rows = sampler.sample(1, np.arange(1_500)).rows
    assert rows.schema.equals(table.schema)
    for name in ("city", "age", "member", "7", "label"):
        assert set(rows.column(name).to_pylist()) <= set(table.column(name).to_pylist()), name
    share = rows.column("label").to_pylist().count("yes") / 1_500
    assert share == pytest.approx(0.3, abs=0.05)


def test_what_depends_on_the_label_follows_it(sampler: TableSampler) -> None:
    drawn = {label: sampler.sample(1, np.arange(400), {"label": label}) for label in ("no", "yes")}
    assert all(one.acceptance_rate == 1.0 for one in drawn.values())
    cities = {label: one.rows.column("city").to_pylist() for label, one in drawn.items()}
    assert drawn["yes"].rows.column("label").to_pylist() == ["yes"] * 400
    assert cities["yes"].count("Zürich") > 3 * cities["no"].count("Zürich")


def test_a_row_is_the_same_alone_and_in_any_company(sampler: TableSampler) -> None:
    items = np.arange(1_100)
    together = sampler.sample(7, items, {"label": "no"}).rows
    for k in (0, 1_023, 1_024):
        alone = sampler.sample(7, np.array([k]), {"label": "no"}).rows
        assert alone.equals(together.slice(k, 1))


def test_a_run_that_is_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    table, schema = make_people(200)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    settings = make_settings(table, architecture="gan")
    whole, broken, resumed = (
        RecordingCallbacks(30),
        RecordingCallbacks(30, checkpoints=(11,), interrupt_at=17),
        RecordingCallbacks(30),
    )
    train(rows, settings, whole, seed=3)
    with pytest.raises(KeyboardInterrupt):
        train(rows, settings, broken, seed=3)
    (tmp_path / "state").write_bytes(broken.last.state)
    train(rows, settings, resumed, seed=3, state=tmp_path / "state")
    assert resumed.last.model == whole.last.model
    assert resumed.last.state == whole.last.state
    assert load_sampler(whole.last, tmp_path).sample(1, np.arange(3)).rows.num_rows == 3


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (pa.table({"x": [1.5, 2.5, 3.5, 4.5, 5.5]}), "number"),
        (pa.table({"x": [7] * 50}), "integer"),
        (pa.table({"x": pa.nulls(50, pa.string())}), "category"),
        (pa.table({"x": [f"n{k}" for k in range(700)]}), "category"),
    ],
    ids=["5 rows", "a constant", "all missing", "700 names"],
)
def test_odd_tables_are_learned_and_drawn(tmp_path: Path, table: pa.Table, kind: str) -> None:
    schema = (ColumnSchema("x", kind),)  # type: ignore[arg-type] # the test's own texts
    sampler = train_sampler(table, schema, tmp_path, steps=4, architecture="gan")
    rows = sampler.sample(1, np.arange(20)).rows
    assert rows.schema.equals(table.schema)
    assert set(rows.column("x").to_pylist()) <= set(table.column("x").to_pylist())
