"""Training on rows, and drawing them."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.checkpoint import UnreadableCheckpoint, unpack
from models.errors import AcceptanceRateTooLow
from models.tabular.autoregressive_networks import Critic, Generator
from models.tabular.conditions import InvalidCondition
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


def test_rows_have_the_columns_types_and_values_of_the_table(sampler: TableSampler) -> None:
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


def test_what_depends_on_the_label_follows_it(sampler: TableSampler) -> None:
    cities = {
        label: sampler.sample(1, np.arange(500), {"label": label}).rows.column("city").to_pylist()
        for label in ("no", "yes")
    }
    assert sum(city == "Zürich" for city in cities["yes"]) > 400
    assert sum(city == "Zürich" for city in cities["no"]) < 50


def test_a_label_is_had_for_every_row_without_choosing(sampler: TableSampler) -> None:
    drawn = sampler.sample(1, np.arange(777), {"label": "yes"})
    assert drawn.rows.column("label").to_pylist() == ["yes"] * 777
    assert drawn.acceptance_rate == 1.0


def test_labels_that_are_not_asked_for_come_in_their_shares(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(4_000)).rows
    share = rows.column("label").to_pylist().count("yes") / 4_000
    assert share == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("given", [{}, {"label": "no"}, {"age": {"gte": 60, "lt": 70}}])
def test_a_row_is_the_same_alone_and_in_any_company(
    sampler: TableSampler, given: dict[str, object]
) -> None:
    items = np.arange(1_500)
    together = sampler.sample(7, items, given).rows
    backwards = sampler.sample(7, items[::-1], given).rows
    assert backwards.take(pa.array(items[::-1])).equals(together)
    for k in (0, 1_023, 1_024, 1_499):
        assert sampler.sample(7, np.array([k]), given).rows.equals(together.slice(k, 1))
    assert not sampler.sample(8, items, given).rows.equals(together)


def test_items_far_out_are_drawn_like_the_first(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.array([0, 10**12], np.int64)).rows
    assert rows.num_rows == 2


def test_conditions_on_other_columns_are_met_and_their_acceptance_is_told(
    sampler: TableSampler,
) -> None:
    given = {"age": {"gte": 65}, "city": ["Köln", None], "member": True, "label": "no"}
    drawn = sampler.sample(1, np.arange(50), given)
    for row in drawn.rows.to_pylist():
        assert row["age"] >= 65
        assert row["city"] in ("Köln", None)
        assert row["member"] is True
        assert row["label"] == "no"
    assert 0.0 < drawn.acceptance_rate < 0.3


def test_times_and_numbers_can_be_ranges(sampler: TableSampler) -> None:
    given = {"since": {"gte": "2021-06-01"}, "income": {"lt": 2_000.5}}
    rows = sampler.sample(1, np.arange(50), given).rows
    assert min(rows.column("since").to_pylist()).isoformat() >= "2021-06-01"
    assert max(rows.column("income").to_pylist()) < 2_000.5


@pytest.mark.parametrize(
    ("given", "named"),
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
def test_a_condition_that_no_row_can_meet_is_refused_by_column(
    sampler: TableSampler, given: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidCondition) as caught:
        sampler.sample(1, np.arange(3), given)
    assert caught.value.column == named


def test_too_rare_a_condition_ends_and_says_how_far_it_came(sampler: TableSampler) -> None:
    table, _ = make_people()
    rare = {"age": 18, "since": table.column("since")[0].as_py(), "income": {"lt": 300}}
    with pytest.raises(AcceptanceRateTooLow) as caught:
        sampler.sample(1, np.arange(3), rare)
    assert caught.value.requested == 3
    assert caught.value.accepted < 3
    assert caught.value.acceptance_rate < 0.01


def test_a_run_that_is_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    table, schema = make_people(300)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    settings = make_settings(table, dropout=0.1)
    whole = RecordingCallbacks(90)
    train(rows, settings, whole, seed=3)
    for at in (35, 80):  # while the generator learns, and while the critic does
        broken = RecordingCallbacks(90, checkpoints=(at,), interrupt_at=at + 3)
        with pytest.raises(KeyboardInterrupt):
            train(rows, settings, broken, seed=3)
        (tmp_path / "state").write_bytes(broken.last.state)
        resumed = RecordingCallbacks(90)
        train(rows, settings, resumed, seed=3, state=tmp_path / "state")
        assert resumed.last.model == whole.last.model
        assert resumed.last.state == whole.last.state
        assert resumed.metrics["critic_auc"] == whole.metrics["critic_auc"]


def test_out_of_memory_halves_what_is_computed_at_a_time_and_changes_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory for ten rows: batches of 32 go on in parts of eight, to the same weights."""
    table, schema = make_people(200)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    settings = make_settings(table, eval_interval=5)
    plenty, little = RecordingCallbacks(15), RecordingCallbacks(15)
    train(rows, settings, plenty, seed=1)
    whole = Generator.loss

    def with_little_memory(
        network: Generator, tokens: torch.Tensor, order: torch.Tensor | None = None
    ) -> torch.Tensor:
        if network.training and tokens.shape[1] > 10:
            raise MemoryError
        return whole(network, tokens, order)

    monkeypatch.setattr(Generator, "loss", with_little_memory)
    train(rows, settings, little, seed=1)
    assert little.warnings == [
        "Out of memory: training continues with 16 items at a time.",
        "Out of memory: training continues with 8 items at a time.",
    ]
    assert plenty.warnings == []
    assert little.metrics["holdout_loss"] == pytest.approx(plenty.metrics["holdout_loss"], 1e-2)


def test_when_not_even_one_row_fits_the_run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_memory(*_: object) -> torch.Tensor:
        raise MemoryError

    monkeypatch.setattr(Critic, "forward", without_memory)
    table, schema = make_people(50)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    with pytest.raises(MemoryError):
        train(rows, make_settings(table), RecordingCallbacks(15), seed=1)


def test_another_seed_gives_other_weights() -> None:
    table, schema = make_people(100)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    runs = [RecordingCallbacks(5), RecordingCallbacks(5)]
    for seed, run in enumerate(runs):
        train(rows, make_settings(table), run, seed=seed)
    assert runs[0].last.model != runs[1].last.model


def test_the_critics_verdict_is_among_the_metrics() -> None:
    table, schema = make_people()
    run = RecordingCallbacks(60)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    train(rows, make_settings(table), run, seed=1)
    names = {"generator_loss", "holdout_loss", "critic_loss"}
    verdict = {"critic_accuracy_real", "critic_accuracy_fake", "critic_auc"}
    assert names | verdict <= run.metrics.keys()


def test_rows_are_chosen_by_a_critic_that_can_tell_them_apart(tmp_path: Path) -> None:
    """A generator that learned nothing makes x and y apart; the critic knows that they agree."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, 2_000)
    table = pa.table({"x": x, "y": x})
    schema = tuple(ColumnSchema(name, "integer") for name in ("x", "y"))
    options = {"generator_lr": 1e-9, "critic_budget_fraction": 0.9, "critic_lr": 0.01}
    plain = train_sampler(table, schema, tmp_path, steps=150, rejection_min_auc=1.0, **options)
    chosen = train_sampler(table, schema, tmp_path, steps=150, rejection_min_auc=0.55, **options)

    def agreeing(sampler: TableSampler) -> float:
        rows = sampler.sample(1, np.arange(2_000)).rows
        return float(np.mean(np.asarray(rows.column("x")) == np.asarray(rows.column("y"))))

    assert agreeing(plain) < 0.6
    assert agreeing(chosen) > 0.9
    assert chosen.sample(1, np.arange(100)).acceptance_rate < 0.9


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
    ids=["5 rows", "1 row", "a constant", "all missing", "infinities", "10,000 names"],
)
def test_odd_tables_are_learned_and_drawn(tmp_path: Path, table: pa.Table, kind: str) -> None:
    schema = (ColumnSchema("x", kind),)  # type: ignore[arg-type] # the test's own texts
    sampler = train_sampler(table, schema, tmp_path, steps=4)
    rows = sampler.sample(1, np.arange(20)).rows
    assert rows.schema.equals(table.schema)
    assert set(rows.column("x").to_pylist()) <= set(table.column("x").to_pylist())


def test_two_hundred_columns_with_gaps_come_back_with_their_types(tmp_path: Path) -> None:
    """Every fifth value is missing; integers beyond 10**16, where floats have gaps, come back."""
    rng = np.random.default_rng(1)
    gaps = rng.random((200, 60)) < 0.2
    large, small = 10**16 + 1 + 2 * rng.integers(0, 12, 60), np.arange(60) % 12 / 4
    values = {str(k): large if k % 2 else small for k in range(200)}
    table = pa.table({k: pa.array(v, mask=gaps[int(k)]) for k, v in values.items()})
    schema = tuple(
        ColumnSchema(str(k), "integer" if k % 2 else "number", nullable=True) for k in range(200)
    )
    rows = train_sampler(table, schema, tmp_path, steps=2).sample(1, np.arange(100)).rows
    assert rows.schema.equals(table.schema)
    for name, learned in values.items():
        column = rows.column(name)
        assert 0 < column.null_count < 60
        assert set(column.drop_null().to_pylist()) <= set(learned.tolist())


def test_one_name_of_very_many_is_had_directly(tmp_path: Path) -> None:
    table = pa.table({"x": [f"n{k % 700}" for k in range(2_000)], "y": list(range(2_000))})
    schema = (ColumnSchema("x", "category"), ColumnSchema("y", "integer"))
    sampler = train_sampler(table, schema, tmp_path, label="x", steps=5, rejection_min_auc=1.0)
    drawn = sampler.sample(1, np.arange(9), {"x": "n613"})
    assert drawn.rows.column("x").to_pylist() == ["n613"] * 9
    assert drawn.acceptance_rate == 1.0
    some = sampler.sample(1, np.arange(9), {"x": ["n613", "n2"]}).rows.column("x").to_pylist()
    assert set(some) <= {"n613", "n2"}


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    table, schema = make_people(100)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    settings = make_settings(
        table, generator_lr=1.0, weight_decay=10.0, warmup_steps=1, beta1=0.0, beta2=0.0
    )
    with pytest.raises(NonFiniteLoss):
        train(rows, settings, RecordingCallbacks(2_000), seed=1)


def test_a_model_of_another_kind_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(UnreadableCheckpoint):
        TableSampler.load({"a": torch.ones(1)}, {"modality": "image"})


def test_a_model_reads_back_from_its_file(tmp_path: Path, sampler: TableSampler) -> None:
    table, schema = make_people(100)
    run = RecordingCallbacks(3)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
    train(rows, make_settings(table), run, seed=1)
    again = load_sampler(run.last, tmp_path)
    _, header = unpack(tmp_path / "model")
    assert header["modality"] == "tabular"
    assert again.bytes > 0
    assert again.sample(1, np.arange(3)).rows.num_rows == 3
