"""Lookups whose determined columns are learned, such as the airline of an aircraft."""

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.tabular.autoregressive.exact_lookups import CombinationPenalties, ExactLookup
from models.tabular.autoregressive.exclusions import Exclusions
from models.tabular.autoregressive.sampler import AutoregressiveSampler
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import NUM_PARTICLES, complete_rows
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.data import LabeledRows
from models.tabular.prepare import plan_relations
from models.tabular.sampled_values import UNKNOWN_TOKEN
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema, ColumnType
from models.tabular.tokenizer import Tokenizer
from models.tabular.training import train
from tests.models.tabular.tiny_networks import make_generator
from tests.models.tabular.tiny_tables import (
    RecordingCallbacks,
    Schema,
    load_sampler,
    make_settings,
    train_sampler,
)

PATIENTS, CENTERS, ROWS = 400, 8, 2_400
Keys = tuple[tuple[str, str], ...]


def make_visits(patients: int = PATIENTS, rows: int = ROWS) -> tuple[pa.Table, Schema]:
    """Return visits of patients, each of which has a sex, and a center that has a town."""
    rng = np.random.default_rng(0)
    patient = rng.integers(0, patients, rows)
    center = rng.integers(0, CENTERS, patients)
    columns = {
        "visit": rng.integers(0, 4, rows),
        "patient": pa.array([f"p{k}" for k in patient]),
        "score": rng.normal(size=rows),
        "center": pa.array([f"c{k}" for k in center[patient]]),
        "sex": pa.array(np.array(["f", "m"])[rng.integers(0, 2, patients)][patient]),
    }
    types: tuple[ColumnType, ...] = ("integer", "category", "number", "category", "category")
    schema = tuple(map(ColumnSchema, columns, types))
    return pa.table(columns), schema


def keys_of(table: pa.Table, schema: Schema, label: str | None = None, **options: Any) -> Keys:
    rows = LabeledRows.split(table, schema, target_column=label, holdout_fraction=0.1, seed=1)
    return tuple(plan_relations(rows, make_settings(table, **options)).coding.keys.items())


def learn(table: pa.Table, schema: Schema, label: str | None = None) -> Tokenizer:
    rows = LabeledRows.split(table, schema, target_column=label, holdout_fraction=0.1, seed=1)
    coding = plan_relations(rows, make_settings(table)).coding
    tokenizer = Tokenizer.fit(table, schema, target_column=label, seed=1, coding=coding)
    return tokenizer.with_exclusions(tokenizer.encode(table, 1))


def values_of(table: pa.Table | pa.RecordBatch, *names: str) -> set[tuple[object, ...]]:
    return set(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


@pytest.fixture(scope="module", params=[0.0, 0.5], ids=["fixed order", "any order"])
def sampler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> TableSampler:
    folder = tmp_path_factory.mktemp("model")
    options = {"random_order_prob": request.param, "critic_budget_fraction": 0.0}
    return train_sampler(*make_visits(), folder, steps=40, **options)


def complete(sampler: TableSampler, given: list[dict[str, Any]]) -> pa.RecordBatch:
    """Return completed rows, each of which is the first that is tried."""
    partial_rows = PartialRows.parse(sampler.tokenizer, given)
    batch = complete_rows(sampler, 1, np.arange(len(given)), partial_rows)
    assert batch.acceptance_rate >= 1 / NUM_PARTICLES
    return batch.rows


VISITS, SCHEMA = make_visits()
LEARNED = ("patient", "center", "sex")
PATIENT = dict(zip(VISITS["patient"].to_pylist(), VISITS.to_pylist(), strict=True))


def test_columns_that_a_key_of_few_rows_determines_are_learned() -> None:
    assert keys_of(VISITS, SCHEMA) == (("center", "patient"), ("sex", "patient"))


def test_a_key_of_many_rows_has_no_learned_columns() -> None:
    assert keys_of(*make_visits(patients=60)) == ()


def test_a_column_with_nearly_as_many_values_as_its_key_is_not_learned() -> None:
    names = [f"name {patient[1:]}" for patient in VISITS["patient"].to_pylist()]
    table = replaced(VISITS, "sex", names)
    assert keys_of(table, SCHEMA) == (("center", "patient"),)


@pytest.mark.parametrize(
    "options",
    [{"relations": False}, {"min_value_count": 2}, {"architecture": "gan"}],
    ids=["without relations", "with protected rare values", "gan"],
)
def test_no_column_is_learned_without_the_values_of_single_rows(options: dict[str, Any]) -> None:
    assert keys_of(VISITS, SCHEMA, **options) == ()


def test_single_lookups_can_be_switched_off() -> None:
    keys = keys_of(VISITS, SCHEMA, relations=["patient -> sex"])
    assert keys == (("center", "patient"),)


def test_a_target_is_neither_a_key_nor_a_learned_column_of_one() -> None:
    assert keys_of(VISITS, SCHEMA, label="patient") == ()
    assert keys_of(VISITS, SCHEMA, label="sex") == (("center", "patient"),)


@pytest.mark.parametrize(("is_quantity", "is_key"), [(False, True), (True, False)])
def test_a_number_is_a_key_if_it_is_not_a_quantity(is_quantity: bool, is_key: bool) -> None:
    number = np.array([int(patient[1:]) for patient in VISITS["patient"].to_pylist()])
    table = replaced(VISITS, "patient", number)
    if is_quantity:
        table = replaced(table, "score", number + np.random.default_rng(1).normal(size=ROWS) * 50)
    types: tuple[ColumnType, ...] = ("integer", "integer", "number", "category", "category")
    schema = tuple(map(ColumnSchema, table.column_names, types))
    assert (dict(keys_of(table, schema)).get("sex") == "patient") is is_key


def test_a_learned_column_may_be_a_key() -> None:
    center = [f"c{int(patient[1:]) // 8}" for patient in VISITS["patient"].to_pylist()]
    town = [f"t{int(each[1:]) % 5}" for each in center]
    table = replaced(VISITS, "center", center).append_column("town", pa.array(town))
    schema = (*SCHEMA, ColumnSchema("town", "category"))
    keys = dict(keys_of(table, schema))
    assert keys == {"center": "patient", "sex": "patient", "town": "patient"}
    tokenizer = learn(table, schema)
    assert [len(lookup.combinations) for lookup in tokenizer.exclusions.exact_lookups] == [
        len(PATIENT)
    ]


def test_keys_come_first_and_after_their_columns_if_there_is_a_label() -> None:
    names = [column.name for column in learn(VISITS, SCHEMA).columns]
    assert names == ["patient", "center", "sex", "visit", "score"]
    names = [column.name for column in learn(VISITS, SCHEMA, label="visit").columns]
    assert names == ["visit", "center", "sex", "patient", "score"]


@pytest.mark.parametrize("order", [None, "reversed"])
def test_samples_only_have_combinations_of_training_rows(order: str | None) -> None:
    """The generator was not trained, so that it knows no combination."""
    tokenizer = learn(VISITS, SCHEMA)
    sizes, u_steps = tokenizer.step_sizes, tokenizer.num_decode_uniforms
    network = make_generator(
        sizes,
        1,
        sub_bin_steps=tokenizer.sub_bin_steps,
        positions=tokenizer.positions,
        fine_positions=tokenizer.fine_positions,
    )
    lookups = tokenizer.exclusions.exact_lookups
    sampler = AutoregressiveSampler(
        network, tokenizer.sub_bin_steps, exclusions=Exclusions(exact_lookups=lookups)
    )
    names = [column.name for column in reversed(tokenizer.columns)]
    steps = tokenizer.steps_in_order(names) if order else None
    tokens = sampler.sample_tokens(torch.rand(len(sizes), 2_000), {}, steps).numpy()
    coded = tokenizer.decode_columns(tokens, np.zeros((u_steps, 2_000)))
    assert values_of(coded, *LEARNED) <= values_of(VISITS, *LEARNED)
    assert len(values_of(coded, "patient")) > PATIENTS / 2


def test_missing_keys_and_missing_values_of_learned_columns_are_sampled(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    table, schema = make_visits()
    for name, share in (("patient", 0.03), ("sex", 0.01)):
        is_missing = pa.array(rng.random(ROWS) < share)
        table = replaced(table, name, pa.compute.if_else(is_missing, None, table[name]).to_pylist())
    schema = tuple(ColumnSchema(c.name, c.type, nullable=True) for c in schema)
    assert dict(keys_of(table, schema))["sex"] == "patient"
    rows = train_sampler(table, schema, tmp_path, steps=40).sample(1, np.arange(2_000)).rows
    assert 0.005 < rows["patient"].null_count / 2_000 < 0.1
    assert 0.001 < rows["sex"].null_count / 2_000 < 0.1
    present = rows.filter(rows["patient"].is_valid())
    for row in present.to_pylist():
        assert row["sex"] in (PATIENT[row["patient"]]["sex"], None)


def test_relations_hold_in_all_samples(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(2_000)).rows
    assert values_of(rows, *LEARNED) <= values_of(VISITS, *LEARNED)
    assert [relation.name for relation in sampler.tokenizer.coding.relations] == [
        "patient -> center",
        "patient -> sex",
    ]


def test_conditions_on_keys_and_on_learned_columns_are_met(sampler: TableSampler) -> None:
    of_center = sampler.sample(1, np.arange(50), {"center": "c3", "sex": "f"}).rows
    assert values_of(of_center, "center", "sex") == {("c3", "f")}
    patients = [f"p{k}" for k in range(40)]
    of_patients = sampler.sample(1, np.arange(50), {"patient": patients}).rows
    assert values_of(of_patients, "patient") <= {(patient,) for patient in patients}
    assert values_of(of_patients, *LEARNED) <= values_of(VISITS, *LEARNED)


def test_a_condition_on_a_first_key_rejects_no_row(tmp_path: Path) -> None:
    names = ["patient", "visit", "score", "center", "sex"]
    schema = tuple(sorted(SCHEMA, key=lambda column: names.index(column.name)))
    sampler = train_sampler(
        VISITS.select(names), schema, tmp_path, steps=5, critic_budget_fraction=0.0
    )
    batch = sampler.sample(1, np.arange(100), {"patient": "p7"})
    assert values_of(batch.rows, "patient") == {("p7",)}
    assert batch.acceptance_rate == 1.0


def test_numbers_of_keys_can_be_requested(tmp_path: Path) -> None:
    number = [int(patient[1:]) for patient in VISITS["patient"].to_pylist()]
    table = replaced(VISITS, "patient", number)
    schema = tuple(
        ColumnSchema(c.name, "integer" if c.name == "patient" else c.type) for c in SCHEMA
    )
    sampler = train_sampler(table, schema, tmp_path, steps=20, critic_budget_fraction=0.0)
    assert "patient" in sampler.tokenizer.coding.keys.values()
    rows = sampler.sample(1, np.arange(50), {"patient": {"gte": 100, "lt": 200}}).rows
    assert set(rows["patient"].to_pylist()) <= set(range(100, 200))
    assert values_of(rows, *LEARNED) <= values_of(table, *LEARNED)
    completed = complete(sampler, [{"patient": 7}]).to_pylist()[0]
    assert completed.items() >= {name: PATIENT["p7"][name] for name in ("center", "sex")}.items()
    with pytest.raises(InvalidPartialRow, match="its values are others, such as"):
        complete(sampler, [{"patient": 4_711}])


def test_partial_rows_get_a_key_with_the_given_values(sampler: TableSampler) -> None:
    given: list[dict[str, Any]] = [
        {"patient": "p7"},
        {"center": "c3", "sex": "m"},
        {"sex": "f", "visit": 2},
        {"center": "c1", "score": 0.5},
    ] * 20
    rows = complete(sampler, given)
    assert values_of(rows, *LEARNED) <= values_of(VISITS, *LEARNED)
    for row, wanted in zip(rows.to_pylist(), given, strict=True):
        assert row.items() >= wanted.items()
    assert len(values_of(rows.slice(0, 80), "patient")) > 20


def test_given_values_that_contradict_a_key_are_named(sampler: TableSampler) -> None:
    other = {"f": "m", "m": "f"}[PATIENT["p7"]["sex"]]
    with pytest.raises(InvalidPartialRow, match="contradicts `patient`, because `patient -> sex`"):
        complete(sampler, [{"patient": "p7", "sex": other}])


def test_given_values_that_no_key_has_are_refused_without_a_sample(tmp_path: Path) -> None:
    center = pa.compute.if_else(pa.compute.equal(VISITS["sex"], "f"), VISITS["center"], "c0")
    table = replaced(VISITS, "center", center.to_pylist())
    sampler = train_sampler(table, SCHEMA, tmp_path, steps=5)
    given = [{"center": "c3", "sex": "f"}, {"center": "c3", "sex": "m"}]
    with pytest.raises(InvalidPartialRow, match="contradicts `center`: no training row") as refusal:
        PartialRows.parse(sampler.tokenizer, given)
    assert (refusal.value.row, refusal.value.column) == (1, "sex")


def test_completed_rows_are_distributed_like_samples() -> None:
    """Values before a key depend on values that are given after it, too."""
    sizes = [2, 3, 3, 6]
    network = make_generator(sizes, seed=2)
    with torch.no_grad():
        for free in network.heads.free:
            free.mul_(20)
    combinations = [(0, 0, 0), (0, 1, 1), (1, 1, 2), (2, 0, 3), (2, 2, 4), (2, 2, 5), (1, 2, 0)]
    lookup = ExactLookup((1, 2, 3), np.array(combinations, np.int32))
    sampler = AutoregressiveSampler(
        network, [None] * 4, exclusions=Exclusions(exact_lookups=(lookup,))
    )
    samples = sampler.sample_tokens(torch.rand(4, 200_000), {})
    given = torch.full((4, 2_000), UNKNOWN_TOKEN)
    given[2] = 2
    completed = sampler.complete(torch.rand(4, 2_000 * 64), torch.rand(5, 2_000).double(), given)
    of_samples, of_completed = [
        torch.bincount(tokens[0] * 18 + tokens[1] * 6 + tokens[3], minlength=36) / tokens.shape[1]
        for tokens in (samples[:, samples[2] == 2], completed)
    ]
    assert torch.allclose(of_samples, of_completed, atol=0.04)


def test_training_does_not_penalize_the_tokens_of_rows() -> None:
    """A held-out row may have a combination that no training row has."""
    lookup = ExactLookup((0, 1), np.array([(0, 0), (1, 1)], np.int32))
    penalties = CombinationPenalties([lookup], [2, 3], torch.device("cpu"))
    of_all = penalties.of_all(torch.tensor([[0, 1, 1], [0, 1, 2]]))
    is_penalized = (of_all[1] < 0).tolist()
    assert is_penalized == [[False, True, True], [True, False, True], [True, False, False]]
    assert list(of_all) == [1]


def test_training_starts_with_the_frequencies_of_the_rows() -> None:
    """A missing key is allowed with all sexes, and so it is in more rows than each other key."""
    rng = np.random.default_rng(0)
    key = rng.integers(0, 40, 2_000)
    tokens = np.stack([key % 8, np.where(rng.random(2_000) < 0.05, 40, key)])
    lookup = ExactLookup.fit(tokens, (0, 1))
    penalties = CombinationPenalties([lookup], [8, 41], torch.device("cpu"))
    rows = torch.from_numpy(tokens)
    counts = [torch.bincount(rows[0], minlength=8), torch.bincount(rows[1], minlength=41)]
    of_first, of_key = penalties.balanced_counts(rows, counts)
    assert of_first.equal(counts[0])
    logits = of_key.log() + penalties.of_all(rows)[1]
    torch.testing.assert_close(
        torch.softmax(logits, 1).mean(0), counts[1] / 2_000, atol=2e-3, rtol=0
    )
    unbalanced = torch.softmax(counts[1].log() + penalties.of_all(rows)[1], 1).mean(0)
    assert unbalanced[-1] > 2 * of_key.new_tensor(0.05)


def test_a_resumed_run_keeps_the_lookups(tmp_path: Path) -> None:
    rows = LabeledRows.split(VISITS, SCHEMA, target_column=None, holdout_fraction=0.1, seed=1)
    settings = make_settings(VISITS)

    def run(callbacks: RecordingCallbacks, state: Path | None = None) -> RecordingCallbacks:
        train(rows, settings, callbacks, seed=1, state=state)
        return callbacks

    whole = run(RecordingCallbacks(10, checkpoints=(5,)))
    (tmp_path / "state").write_bytes(whole.saved[5].state)
    resumed = run(RecordingCallbacks(10), tmp_path / "state")
    assert resumed.last_checkpoint.model == whole.last_checkpoint.model
    lookups = load_sampler(resumed.last_checkpoint, tmp_path).tokenizer.exclusions.exact_lookups
    patients = rows.take(rows.train)["patient"].unique()
    assert [len(each.combinations) for each in lookups] == [len(patients)]


def test_any_of_more_tokens_than_bits_of_a_number_may_be_known() -> None:
    steps, keys = 70, 40
    rng = np.random.default_rng(0)
    combinations = np.concatenate([rng.integers(0, 3, (steps - 1, keys)), np.arange(keys)[None]])
    lookup = ExactLookup.fit(combinations, range(steps))
    penalties = CombinationPenalties([lookup], [3] * (steps - 1) + [keys], torch.device("cpu"))
    known_steps = (0, 1, 63, 64, 66, 68)
    tokens = torch.full((steps, len(known_steps)), UNKNOWN_TOKEN)
    tokens[list(known_steps), range(len(known_steps))] = torch.from_numpy(
        combinations[list(known_steps), 0]
    )
    of_key = penalties.of(steps - 1, tokens)
    assert of_key is not None
    for row, step in zip(of_key, known_steps, strict=True):
        assert (row < 0).tolist() == (combinations[step] != combinations[step, 0]).tolist()


def test_tables_are_freed_with_their_model() -> None:
    lookup = ExactLookup((0, 1), np.array([(0, 0), (1, 1)], np.int32))
    penalties = CombinationPenalties([lookup], [2, 2], torch.device("cpu"))
    assert penalties.of(1, torch.tensor([[0, 1]])) is not None
    tables = weakref.ref(penalties._lookups[0][0])
    gc.disable()
    try:
        del penalties
        assert tables() is None
    finally:
        gc.enable()


def test_products_of_two_names_are_sampled_with_one_of_these(tmp_path: Path) -> None:
    """Names of other products are left out, so only those of these products have tokens."""
    rng = np.random.default_rng(0)
    product = rng.integers(0, 100, 3_000)
    has_other_name = (product < 10) & (rng.random(len(product)) < 0.5)
    name = np.where(has_other_name, product * 7 % 50, product // 2)
    table = pa.table(
        {
            "product": pa.array([f"p{k}" for k in product]),
            "name": pa.array([f"name {k}" for k in name]),
            "price": rng.random(len(product)).round(2),
        }
    )
    types: tuple[ColumnType, ...] = ("category", "category", "number")
    schema = tuple(map(ColumnSchema, table.column_names, types))
    sampler = train_sampler(table, schema, tmp_path, label=None, steps=5)
    assert sampler.tokenizer.coding.exceptions_of_keys == {"product": ["name"]}
    pairs, sampled = (
        set(zip(rows["product"].to_pylist(), rows["name"].to_pylist(), strict=True))
        for rows in (table, sampler.sample(1, np.arange(2_000)).rows)
    )
    assert sampled <= pairs
