"""Training of tabular models and sampling of rows."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.checkpoint import UnreadableCheckpoint, unpack
from models.errors import AcceptanceRateTooLow
from models.tabular.autoregressive.networks import Critic, Generator
from models.tabular.conditions.condition import InvalidCondition
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.training import train
from models.training_callbacks import NonFiniteLoss
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
    return train_sampler(table, schema, folder, label="label", steps=250)


def test_rows_have_the_types_and_values_of_the_table(sampler: TableSampler) -> None:
    table, _ = make_people()
    rows = sampler.sample(1, np.arange(2_000)).rows
    assert rows.schema.equals(table.schema)
    for name in ("city", "age", "member", "7", "label"):
        assert set(rows.column(name).to_pylist()) <= set(table.column(name).to_pylist()), name
    assert all(time.hour == 0 for time in rows.column("since").to_pylist())
    missing = rows.column("income").null_count / 2_000
    assert missing == pytest.approx(0.2, abs=0.07)
    assert rows.column("age").null_count == 0
    assert len(set(rows.column("id").to_pylist())) == 2_000


def test_a_table_of_identifiers_only_gets_new_ones(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).integers(10_000_000, 100_000_000, 60)
    codes = [f"{letter}{number}" for letter in "ABCDEF" for number in numbers]
    table = pa.table({"code": codes, "id": np.arange(len(codes))})
    schema = (ColumnSchema("code", "id"), ColumnSchema("id", "id"))
    rows = train_sampler(table, schema, tmp_path, steps=2).sample(1, np.arange(500)).rows
    assert len(set(rows["code"].to_pylist()) - set(codes)) == 500
    assert min(rows["id"].to_pylist()) == len(codes)


def test_columns_that_depend_on_the_label_follow_it(sampler: TableSampler) -> None:
    cities = {
        label: sampler.sample(1, np.arange(500), {"label": label}).rows.column("city").to_pylist()
        for label in ("no", "yes")
    }
    assert sum(city == "Zürich" for city in cities["yes"]) > 400
    assert sum(city == "Zürich" for city in cities["no"]) < 50


def test_label_conditions_need_no_rejection_sampling(sampler: TableSampler) -> None:
    samples = sampler.sample(1, np.arange(777), {"label": "yes"})
    assert samples.rows.column("label").to_pylist() == ["yes"] * 777
    assert samples.acceptance_rate == 1.0


def test_labels_follow_the_training_shares(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(4_000)).rows
    share = rows.column("label").to_pylist().count("yes") / 4_000
    assert share == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("conditions", [{}, {"label": "no"}, {"age": {"gte": 60, "lt": 70}}])
def test_a_row_does_not_depend_on_its_batch(
    sampler: TableSampler, conditions: dict[str, object]
) -> None:
    indices = np.arange(1_500)
    together = sampler.sample(7, indices, conditions).rows
    reversed_order = sampler.sample(7, indices[::-1], conditions).rows
    assert reversed_order.take(pa.array(indices[::-1])).equals(together)
    for index in (0, 1_023, 1_024, 1_499):
        assert sampler.sample(7, np.array([index]), conditions).rows.equals(
            together.slice(index, 1)
        )
    assert not sampler.sample(8, indices, conditions).rows.equals(together)


def test_rows_with_large_indices_can_be_sampled(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.array([0, 10**12], np.int64)).rows
    assert rows.num_rows == 2


def test_conditions_on_other_columns_are_met_with_an_acceptance_rate(
    sampler: TableSampler,
) -> None:
    conditions = {"age": {"gte": 65}, "city": ["Köln", None], "member": True, "label": "no"}
    samples = sampler.sample(1, np.arange(50), conditions)
    for row in samples.rows.to_pylist():
        assert row["age"] >= 65
        assert row["city"] in ("Köln", None)
        assert row["member"] is True
        assert row["label"] == "no"
    assert 0.0 < samples.acceptance_rate < 0.3


def test_conditions_can_be_ranges_of_times_and_numbers(sampler: TableSampler) -> None:
    conditions = {"since": {"gte": "2021-06-01"}, "income": {"lt": 2_000.5}}
    rows = sampler.sample(1, np.arange(50), conditions).rows
    assert min(rows.column("since").to_pylist()).isoformat() >= "2021-06-01"
    assert max(rows.column("income").to_pylist()) < 2_000.5


@pytest.mark.parametrize(
    ("conditions", "column"),
    [
        ({"nothing": 1}, "nothing"),
        ({"id": "C-00001"}, "id"),
        ({"label": "maybe"}, "label"),
        ({"city": "Paris"}, "city"),
        ({"age": {"gte": 200}}, "age"),
        ({"age": {"above": 3}}, "age"),
        ({"age": {}}, "age"),
        ({"age": "old"}, "age"),
        ({"city": {"gte": "a"}}, "city"),
        ({"since": {"gte": "soon"}}, "since"),
    ],
)
def test_an_impossible_condition_is_rejected_by_column(
    sampler: TableSampler, conditions: dict[str, object], column: str
) -> None:
    with pytest.raises(InvalidCondition) as error:
        sampler.sample(1, np.arange(3), conditions)
    assert error.value.column == column


def test_too_rare_a_condition_fails_with_its_acceptance_rate(sampler: TableSampler) -> None:
    table, _ = make_people()
    conditions = {"age": 18, "since": table.column("since")[0].as_py(), "income": {"lt": 300}}
    with pytest.raises(AcceptanceRateTooLow) as error:
        sampler.sample(1, np.arange(3), conditions)
    assert error.value.requested == 3
    assert error.value.accepted < 3
    assert error.value.acceptance_rate < 0.01


def test_a_resumed_run_gives_the_same_weights(tmp_path: Path) -> None:
    table, schema = make_people(300)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    settings = make_settings(table, dropout=0.1)
    uninterrupted = RecordingCallbacks(90)
    train(rows, settings, uninterrupted, seed=3)
    for checkpoint_step in (
        35,
        80,
    ):  # while the generator is trained, and while the critic is trained
        interrupted = RecordingCallbacks(
            90, checkpoints=(checkpoint_step,), interrupt_at=checkpoint_step + 3
        )
        with pytest.raises(KeyboardInterrupt):
            train(rows, settings, interrupted, seed=3)
        (tmp_path / "state").write_bytes(interrupted.last_checkpoint.state)
        resumed = RecordingCallbacks(90)
        train(rows, settings, resumed, seed=3, state=tmp_path / "state")
        assert resumed.last_checkpoint.model == uninterrupted.last_checkpoint.model
        assert resumed.last_checkpoint.state == uninterrupted.last_checkpoint.state
        assert resumed.metrics["critic_auc"] == uninterrupted.metrics["critic_auc"]


def test_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With memory for ten rows, batches of 32 are computed eight rows at a time, equally well."""
    table, schema = make_people(200)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    settings = make_settings(table, eval_interval=5)
    normal_run, little_memory_run = RecordingCallbacks(15), RecordingCallbacks(15)
    train(rows, settings, normal_run, seed=1)
    original = Generator.forward

    def forward_in_little_memory(
        network: Generator, tokens: torch.Tensor, *others: torch.Tensor | None
    ) -> torch.Tensor:
        if network.training and tokens.shape[1] > 10:
            raise MemoryError
        return original(network, tokens, *others)

    monkeypatch.setattr(Generator, "forward", forward_in_little_memory)
    train(rows, settings, little_memory_run, seed=1)
    assert little_memory_run.warnings == [
        "Out of memory: training continues with 16 items at a time.",
        "Out of memory: training continues with 8 items at a time.",
    ]
    assert normal_run.warnings == []
    assert little_memory_run.metrics["holdout_loss"] == pytest.approx(
        normal_run.metrics["holdout_loss"], 1e-2
    )


def test_running_out_of_memory_for_one_row_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_memory_error(*_: object) -> torch.Tensor:
        raise MemoryError

    monkeypatch.setattr(Critic, "forward", raise_memory_error)
    table, schema = make_people(50)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    with pytest.raises(MemoryError):
        train(rows, make_settings(table), RecordingCallbacks(15), seed=1)


def test_another_seed_gives_different_weights() -> None:
    table, schema = make_people(100)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    runs = [RecordingCallbacks(5), RecordingCallbacks(5)]
    for seed, run in enumerate(runs):
        train(rows, make_settings(table), run, seed=seed)
    assert runs[0].last_checkpoint.model != runs[1].last_checkpoint.model


def test_the_accuracy_of_the_critic_is_reported() -> None:
    table, schema = make_people()
    callbacks = RecordingCallbacks(60)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    train(rows, make_settings(table), callbacks, seed=1)
    losses = {"generator_loss", "holdout_loss", "critic_loss"}
    critic_metrics = {"critic_accuracy_real", "critic_accuracy_fake", "critic_auc"}
    assert losses | critic_metrics <= callbacks.metrics.keys()


def test_an_accurate_critic_rejects_unrealistic_rows(tmp_path: Path) -> None:
    """An untrained generator makes x and y independent; the critic knows that they are equal."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, 2_000)
    table = pa.table({"x": x, "y": x})
    schema = tuple(ColumnSchema(name, "integer") for name in ("x", "y"))
    options = {"generator_lr": 1e-9, "critic_budget_fraction": 0.9, "critic_lr": 0.01}
    options["relations"] = False  # the critic alone must find that x equals y
    unfiltered = train_sampler(table, schema, tmp_path, steps=150, rejection_min_auc=1.0, **options)
    filtered = train_sampler(table, schema, tmp_path, steps=150, rejection_min_auc=0.55, **options)

    def agreement_rate(sampler: TableSampler) -> float:
        rows = sampler.sample(1, np.arange(2_000)).rows
        return float(np.mean(np.asarray(rows.column("x")) == np.asarray(rows.column("y"))))

    assert agreement_rate(unfiltered) < 0.6
    assert agreement_rate(filtered) > 0.9
    assert filtered.sample(1, np.arange(100)).acceptance_rate < 0.9


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (pa.table({"x": [1.5, 2.5, 3.5, 4.5, 5.5]}), "number"),
        (pa.table({"x": [1]}), "integer"),
        (pa.table({"x": [7] * 50}), "integer"),
        (pa.table({"x": pa.nulls(50, pa.string())}), "category"),
        (pa.table({"x": [math.inf, 1.0] * 25}), "number"),
        (pa.table({"x": [f"n{k}" for k in range(10_000)]}), "category"),
    ],
    ids=["5 rows", "1 row", "constant", "all missing", "infinities", "10,000 categories"],
)
def test_degenerate_tables_can_be_trained_and_sampled(
    tmp_path: Path, table: pa.Table, kind: str
) -> None:
    schema = (ColumnSchema("x", kind),)  # type: ignore[arg-type] # literals of this test
    sampler = train_sampler(table, schema, tmp_path, steps=4)
    rows = sampler.sample(1, np.arange(20)).rows
    assert rows.schema.equals(table.schema)
    assert set(rows.column("x").to_pylist()) <= set(table.column("x").to_pylist())


@pytest.mark.slow
def test_two_hundred_columns_with_missing_values_keep_their_types(tmp_path: Path) -> None:
    """A fifth of the values is missing; integers beyond 10**16, which floats round, are exact."""
    rng = np.random.default_rng(1)
    missing = rng.random((200, 60)) < 0.2
    large, small = 10**16 + 1 + 2 * rng.integers(0, 12, 60), np.arange(60) % 12 / 4
    values = {str(k): large if k % 2 else small for k in range(200)}
    table = pa.table({k: pa.array(v, mask=missing[int(k)]) for k, v in values.items()})
    schema = tuple(
        ColumnSchema(str(k), "integer" if k % 2 else "number", nullable=True) for k in range(200)
    )
    rows = train_sampler(table, schema, tmp_path, steps=2).sample(1, np.arange(100)).rows
    assert rows.schema.equals(table.schema)
    for name, column_values in values.items():
        column = rows.column(name)
        assert 0 < column.null_count < 60
        assert set(column.drop_null().to_pylist()) <= set(column_values.tolist())


def test_one_of_many_labels_needs_no_rejection_sampling(tmp_path: Path) -> None:
    table = pa.table({"x": [f"n{k % 700}" for k in range(2_000)], "y": list(range(2_000))})
    schema = (ColumnSchema("x", "category"), ColumnSchema("y", "integer"))
    sampler = train_sampler(table, schema, tmp_path, label="x", steps=5, rejection_min_auc=1.0)
    samples = sampler.sample(1, np.arange(9), {"x": "n613"})
    assert samples.rows.column("x").to_pylist() == ["n613"] * 9
    assert samples.acceptance_rate == 1.0
    labels = sampler.sample(1, np.arange(9), {"x": ["n613", "n2"]}).rows.column("x").to_pylist()
    assert set(labels) <= {"n613", "n2"}


def test_a_non_finite_loss_ends_the_run() -> None:
    table, schema = make_people(100)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    settings = make_settings(
        table, generator_lr=1.0, weight_decay=10.0, warmup_steps=1, beta1=0.0, beta2=0.0
    )
    with pytest.raises(NonFiniteLoss):
        train(rows, settings, RecordingCallbacks(2_000), seed=1)


def test_an_image_model_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCheckpoint):
        TableSampler.load({"a": torch.ones(1)}, {"modality": "image"})


def test_a_model_can_be_loaded_from_its_file(tmp_path: Path, sampler: TableSampler) -> None:
    table, schema = make_people(100)
    callbacks = RecordingCallbacks(3)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    train(rows, make_settings(table), callbacks, seed=1)
    loaded = load_sampler(callbacks.last_checkpoint, tmp_path)
    _, header = unpack(tmp_path / "model")
    assert header["modality"] == "tabular"
    assert loaded.bytes > 0
    assert loaded.sample(1, np.arange(3)).rows.num_rows == 3
