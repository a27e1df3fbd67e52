"""What one row can change of a model that is learned with differential privacy."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.checkpoint import unpack
from models.settings import InvalidSettings
from models.tabular import dp_training
from models.tabular.data import LabeledRows
from models.tabular.dp_accountant import (
    NoiseScales,
    PrivacyBudget,
    PrivacyBudgetUnreachable,
    epsilon_spent,
)
from models.tabular.dp_domains import ColumnDomain, parse_domains
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, TableSettings, resolve
from models.tabular.training import AutoregressiveTrainer
from tests.models.tabular.row_access import ROW_COUNT, functions_reading_rows
from tests.models.tabular.tiny_tables import RecordingCallbacks

SCHEMA = (
    ColumnSchema("city", "category"),
    ColumnSchema("age", "integer"),
    ColumnSchema("income", "number", nullable=True),
)
DOMAINS = {
    "city": ColumnDomain(("Köln", "東京")),
    "age": ColumnDomain(min=18, max=90),
    "income": ColumnDomain((0,), min=0, max=1000, decimals=2, missing=True),
}
QUIET = NoiseScales(counts=1.0, gradients=1.0)


def residents(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    income = pa.array(rng.random(ROW_COUNT) * 3_000 - 500, mask=rng.random(ROW_COUNT) < 0.2)
    city = rng.choice(["Köln", "東京", "Atlantis"], ROW_COUNT)
    return pa.table({"city": city, "age": rng.integers(0, 120, ROW_COUNT), "income": income})


def settings() -> TableSettings:
    small = {"embedding_dim": 8, "hidden_dim": 8, "batch_size": 16}
    return resolve(TableData(ROW_COUNT, 3, 1), "fast", small, differential_privacy=True)


def rows_of(table: pa.Table) -> LabeledRows:
    return LabeledRows.split(table, SCHEMA, target_column="city", holdout_fraction=0.0, seed=1)


def learned(rows: LabeledRows, run: RecordingCallbacks, **more: Any) -> RecordingCallbacks:
    dp_training.train_with_noise(
        rows, DOMAINS, settings(), QUIET, run.total_steps, run, seed=1, **more
    )
    return run


def opened(saved: bytes, path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    path.write_bytes(saved)
    tensors, header = unpack(path)
    return dict(tensors), dict(header)


def test_a_row_changes_the_sum_of_gradients_by_no_more_than_its_bound() -> None:
    trainer = AutoregressiveTrainer(
        dp_training.tokenizer_for_domains(DOMAINS, "city"), settings(), 1
    )
    with torch.no_grad():
        trainer.G.w1 *= 30  # so that gradients are long
    tokens = torch.stack([torch.arange(70) % size for size in trainer.tokenizer.step_sizes])
    whole = dp_training.clipped_gradient_sum(trainer.G, tokens)
    for gone in (0, 33, 69):
        rest = dp_training.clipped_gradient_sum(trainer.G, tokens[:, torch.arange(70) != gone])
        apart = sum(float((whole[name] - rest[name]).square().sum()) for name in whole) ** 0.5
        assert 0.99 < apart / dp_training.MAX_GRADIENT_NORM < 1.001
    alone = dp_training.clipped_gradient_sum(trainer.G, tokens[:, :0])
    assert not any(gradient.any() for gradient in alone.values())


def test_gradients_are_those_of_the_loss_where_none_is_long() -> None:
    trainer = AutoregressiveTrainer(
        dp_training.tokenizer_for_domains(DOMAINS, "city"), settings(), 1
    )
    tokens = torch.stack([torch.arange(70) % size for size in trainer.tokenizer.step_sizes])
    for head in trainer.G.heads.free:
        head.detach().mul_(0)
    longest, dp_training.MAX_GRADIENT_NORM = dp_training.MAX_GRADIENT_NORM, 1e9
    try:
        found = dp_training.clipped_gradient_sum(trainer.G, tokens)
    finally:
        dp_training.MAX_GRADIENT_NORM = longest
    (70 * trainer.G.loss(tokens)).backward()
    for name, weight in trainer.G.named_parameters():
        assert weight.grad is not None
        torch.testing.assert_close(found[name], weight.grad, rtol=1e-3, atol=1e-3)


def test_a_gradient_that_is_no_number_counts_for_nothing() -> None:
    trainer = AutoregressiveTrainer(
        dp_training.tokenizer_for_domains(DOMAINS, "city"), settings(), 1
    )
    tokens = torch.stack([torch.arange(4) % size for size in trainer.tokenizer.step_sizes])
    tokens[0] = torch.tensor([0, 0, 0, 1])
    with torch.no_grad():
        trainer.G.tokens.free[1] = torch.nan  # the second city's
    found = dp_training.clipped_gradient_sum(trainer.G, tokens)
    assert all(gradient.isfinite().all() for gradient in found.values())
    assert any(gradient.any() for gradient in found.values())


def test_what_is_kept_beside_the_weights_is_the_same_of_any_table(tmp_path: Path) -> None:
    (one, said), (other, also_said) = (
        opened(
            learned(rows_of(residents(seed)), RecordingCallbacks(2)).last.model,
            tmp_path / str(seed),
        )
        for seed in (1, 2)
    )
    assert said == also_said
    assert one.keys() == other.keys()
    beside = [name for name in one if name.startswith("tokenizer.")]
    assert beside
    assert all(torch.equal(one[name], other[name]) for name in beside)
    assert not torch.equal(one["generator.w1"], other["generator.w1"])


def test_nothing_else_leaves_a_run() -> None:
    run = learned(rows_of(residents(1)), RecordingCallbacks(3))
    assert (run.metrics, run.previews, run.warnings) == ({}, [], [])


def test_every_function_that_is_given_rows_is_accounted_for() -> None:
    """Add a name only with what its epsilon is: the noise of the counts and of the gradients is
    all that there is.
    """
    row_by_row = {
        "tabular.data.LabeledRows.take",
        "tabular.dp_training.clamp_to_domain",
        "tabular.categorical_columns.CategoricalColumn.encode",
        "tabular.categorical_columns.as_text",
        "tabular.categorical_columns.TokenLayout.is_bin",
        "tabular.numeric_columns.NumericColumn.encode",
        "tabular.numeric_columns.NumericColumn._tokens",
        "tabular.numeric_columns.Quantiles.ranks",
        "tabular.numeric_columns.Scale.to_scaled",
        "tabular.numeric_columns.numeric_values",
    }
    with_noise = {"tabular.dp_training.noisy_counts", "tabular.dp_training.train_step"}
    leads_to_these_alone = {
        "tabular.dp_training.train_with_noise",
        "tabular.dp_training.tokenize_rows",
    }
    rows = rows_of(residents(1))
    found = {
        name.removeprefix("models.")
        for name in functions_reading_rows(lambda: learned(rows, RecordingCallbacks(2)))
        if not name.endswith((".<lambda>", "<genexpr>", "<listcomp>"))
    }
    assert with_noise < found
    assert found <= row_by_row | with_noise | leads_to_these_alone


def test_noise_is_as_loud_as_it_is_told_to_be_and_comes_from_a_secret() -> None:
    tokens = torch.zeros(4, 1_000, dtype=torch.long)
    counts = torch.cat(dp_training.noisy_counts(tokens + 500, [1_001] * 4, 10.0, 5))
    random = counts.view(4, -1)[:, 500] - 1_000
    assert counts.min() == 0
    assert float(counts.view(4, -1)[:, :500].std()) == pytest.approx(20 * 0.584, rel=0.1)
    assert random.abs().max() < 100
    one, other = (
        learned(rows_of(residents(1)), RecordingCallbacks(1)).last.model for _ in range(2)
    )
    assert one != other


def test_a_run_that_is_taken_up_again_draws_the_same_noise(tmp_path: Path) -> None:
    run = learned(rows_of(residents(1)), RecordingCallbacks(4, checkpoints=(2,)))
    (tmp_path / "state").write_bytes(run.saved[2].state)
    again = learned(rows_of(residents(1)), RecordingCallbacks(4), state=tmp_path / "state")
    assert again.last.model == run.last.model
    secret = unpack(tmp_path / "state")[1]["scalars"]["secret"]
    assert secret > 2**64
    assert str(secret).encode() not in run.last.model


def test_values_beyond_what_is_declared_are_read_as_declared_ones(tmp_path: Path) -> None:
    some = {"city": ["Atlantis"], "age": [200], "income": [-3.14159]}
    values = {name: pa.chunked_array([value]) for name, value in some.items()}
    read = {
        name: dp_training.clamp_to_domain(values[name], DOMAINS[name]).to_pylist()
        for name in values
    }
    assert read == {"city": ["Köln"], "age": [90], "income": [0.0]}
    gone = pa.chunked_array([pa.array([None, 3.14159])])
    assert dp_training.clamp_to_domain(gone, DOMAINS["income"]).to_pylist() == [None, 3.14]
    assert dp_training.clamp_to_domain(gone, DOMAINS["age"]).to_pylist() == [18, 3 + 15]
    (tmp_path / "model").write_bytes(
        learned(rows_of(residents(1)), RecordingCallbacks(2)).last.model
    )
    rows = TableSampler.load(*unpack(tmp_path / "model")).sample(1, np.arange(500)).rows
    assert set(rows.column("city").to_pylist()) == {"Köln", "東京"}
    assert set(rows.column("age").to_pylist()) <= set(range(18, 91))
    incomes = {value for value in rows.column("income").to_pylist() if value is not None}
    assert rows.column("income").null_count
    assert 0.0 in incomes
    assert all(0 <= value <= 1_000 and round(value, 2) == value for value in incomes)


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ({}, "'city', 'age'"),
        ({"city": {"values": ["a"]}}, "'age'"),
        ({"city": {"values": ["a"]}, "age": {"min": 5, "max": 5}}, "'age'"),
        ({"city": {"values": ["a"]}, "age": {"min": 0.5, "max": 5}}, "'age'"),
        ({"city": {"values": ["a"]}, "age": {"min": 0}}, "'age'"),
        ({"city": {"values": ["a"]}, "age": {"min": 0, "max": 9, "values": [10]}}, "'age'"),
        ({"city": {"values": ["a", 1]}, "age": {"min": 0, "max": 9}}, "'city'"),
        ({"city": {"values": ["a", "a"]}, "age": {"min": 0, "max": 9}}, "'city'"),
        ({"city": {"min": 0, "max": 9}, "age": {"min": 0, "max": 9}}, "'city'"),
        ({"city": {"valeus": ["a"]}, "age": {"min": 0, "max": 9}}, "'valeus'"),
        ({"town": {"values": ["a"]}}, "'town'"),
    ],
)
def test_a_declaration_that_leaves_something_open_is_refused_by_name(
    declared: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidSettings, match=named):
        parse_domains(declared, {"city": "category", "age": "integer"})


@pytest.mark.parametrize("type", ["id", "datetime"])
def test_columns_that_cannot_be_declared_have_to_be_dropped(type: str) -> None:
    with pytest.raises(InvalidSettings, match="exclude 'x'"):
        parse_domains({}, {"x": type})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("architecture", "gan"),
        ("constraints", [{"kind": "unique", "columns": ["age"]}]),
        ("min_value_count", 5),
        ("store_row_hashes", True),
        ("critic_budget_fraction", 0.1),
        ("random_order_prob", 0.5),
    ],
)
def test_settings_that_read_rows_otherwise_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidSettings, match=name):
        resolve(TableData(ROW_COUNT, 3, 1), "fast", {name: value}, differential_privacy=True)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_epsilon_covers_counts_and_every_step() -> None:
    pytest.importorskip("opacus")
    promise = PrivacyBudget(epsilon=1.0, delta=1e-5, steps=400)
    noise = NoiseScales.for_budget(promise, sampling_rate=0.01)
    counts, steps = (noise.counts, 1.0, 1), (noise.gradients, 0.01, 400)
    assert 0.98 < epsilon_spent([counts, steps], 1e-5) <= 1.0
    assert epsilon_spent([counts], 1e-5) < 0.31
    assert epsilon_spent([counts, (noise.gradients, 0.01, 500)], 1e-5) > 1.0
    assert (
        NoiseScales.for_budget(PrivacyBudget(4.0, 1e-5, 400), sampling_rate=0.01).gradients
        < noise.gradients
    )
    # 60 looks at 60,000 images, 256 at a time, noise of 1.1: published as 2.92, by a bound that
    # was looser.
    assert 2.4 < epsilon_spent([(1.1, 256 / 60_000, 14_062)], 1e-5) < 2.92
    with pytest.raises(PrivacyBudgetUnreachable):
        NoiseScales.for_budget(PrivacyBudget(1e-6, 1e-5, 400), sampling_rate=0.01)
