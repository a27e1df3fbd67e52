"""Columns of many values that determine another column in most rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.tabular.autoregressive.exclusions import Exclusions
from models.tabular.autoregressive.near_lookups import NearLookup, find_near_lookups
from models.tabular.autoregressive.sampler import (
    UNKNOWN_TOKEN,
    AutoregressiveSampler,
    SubBinStep,
)
from models.tabular.schema import ColumnSchema, ColumnType
from models.tabular.tokenizer import Tokenizer
from models.tabular.tokenizer_tensors import from_tensors, to_tensors
from tests.models.tabular.tiny_networks import make_generator
from tests.models.tabular.tiny_tables import Schema, train_sampler

CITIES, STATES, COLORS = 600, 20, 5


def make_places(rows: int = 4_000, noise: float = 0.04) -> pa.Table:
    """Return places: a city is in the same state but for some rows, and its color is any."""
    rng = np.random.default_rng(0)
    city = rng.integers(0, CITIES, rows)
    state = np.where(rng.random(rows) < noise, rng.integers(0, STATES, rows), city % STATES)
    color = rng.integers(0, COLORS, rows)
    return pa.table(
        {
            name: pa.array([f"{name} {number}" for number in numbers])
            for name, numbers in (("city", city), ("state", state), ("color", color))
        }
    )


def learn(table: pa.Table) -> Tokenizer:
    schema = [ColumnSchema(name, "category") for name in table.column_names]
    tokenizer = Tokenizer.fit(table, schema, target_column=None, seed=1)
    return tokenizer.with_exclusions(tokenizer.encode(table, 1))


def lookups_of(table: pa.Table) -> list[tuple[str, str]]:
    tokenizer = learn(table)
    starts = [steps.start for steps in tokenizer.column_slices]
    names = {start: column.name for start, column in zip(starts, tokenizer.columns, strict=True)}
    return [
        (names[first.start], names[second.start])
        for first, second in (lookup.steps for lookup in tokenizer.exclusions.near_lookups)
    ]


def pairs_of(table: pa.Table | pa.RecordBatch, *names: str) -> set[tuple[object, ...]]:
    return set(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def sample(tokenizer: Tokenizer, order: list[int] | None = None) -> pa.RecordBatch:
    """Return 2,000 rows of a generator that was not trained."""
    sizes = tokenizer.step_sizes
    network = make_generator(sizes, 1, sub_bin_steps=tokenizer.sub_bin_steps)
    sampler = AutoregressiveSampler(
        network,
        tokenizer.sub_bin_steps,
        exclusions=Exclusions(near_lookups=tokenizer.exclusions.near_lookups),
    )
    tokens = sampler.sample_tokens(torch.rand(len(sizes), 2_000), {}, order)
    return tokenizer.decode(tokens.numpy(), np.empty((0, 2_000)))


def test_a_column_that_mostly_determines_another_one_is_a_near_lookup() -> None:
    table = make_places()
    assert lookups_of(table) == [("city", "state")]
    assert lookups_of(table.select(["color", "state", "city"])) == [("state", "city")]


def test_columns_that_often_differ_are_no_near_lookup() -> None:
    assert not lookups_of(make_places(noise=0.4))


def test_rare_values_must_determine_the_other_column_too() -> None:
    """Many rows of each frequent value say nothing about those of other values."""
    rng = np.random.default_rng(0)
    frequent = np.repeat(np.arange(300), 30)
    rare = 300 + np.repeat(np.arange(50), 3)
    batch = np.concatenate([frequent, rare])
    day = np.concatenate([frequent, rng.integers(0, 300, len(rare))])
    texts = [
        pa.array([f"{name} {n}" for n in numbers]) for name, numbers in (("b", batch), ("d", day))
    ]
    table = pa.table(texts, names=["batch", "day"])
    assert not lookups_of(table)
    assert lookups_of(make_places(rows=2_000)) == [("city", "state")]


@pytest.mark.parametrize("visits", [2, 3, 5])
def test_several_rows_of_one_thing_are_no_near_lookup(visits: int) -> None:
    """Jobs and towns of patients are independent, but the same in all visits of a patient."""
    rng = np.random.default_rng(0)
    columns = {
        name: np.repeat(rng.choice(count, 2_000, p=weights / weights.sum()), visits)
        for name, count in (("job", 1_500), ("town", 200))
        for weights in [1 / np.arange(1, count + 1) ** 0.6]
    }
    assert not lookups_of(
        pa.table({name: pa.array([f"{name} {n}" for n in c]) for name, c in columns.items()})
    )


def test_near_lookups_have_a_budget_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    place = make_places()
    table = pa.table([*place.columns, place["city"]], names=[*place.column_names, "again"])
    table = table.set_column(3, "again", pa.compute.replace_substring(table["again"], "c", "k"))
    tokenizer = learn(table)
    first, *others = tokenizer.exclusions.near_lookups
    assert others
    steps = [i for each in first.steps for i in range(each.start, each.stop)]
    cells = len(first.pairs) * sum(tokenizer.step_sizes[i] for i in steps)
    monkeypatch.setattr("models.tabular.autoregressive.near_lookups.MAX_CELLS", cells)
    assert [each.steps for each in learn(table).exclusions.near_lookups] == [first.steps]


def test_a_table_without_rows_has_no_near_lookup() -> None:
    tokenizer = learn(make_places())
    tokens = np.empty((len(tokenizer.step_sizes), 0), np.int32)
    columns = tokenizer.columns, tokenizer.column_slices, tokenizer.step_sizes
    assert find_near_lookups(tokens, *columns) == []


@pytest.mark.parametrize("order", [None, [3, 2, 0, 1]], ids=["in order", "in another order"])
def test_samples_have_pairs_of_training_rows_only(order: list[int] | None) -> None:
    table = make_places()
    rows = sample(learn(table), order)
    assert pairs_of(rows, "city", "state") <= pairs_of(table, "city", "state")
    assert len(set(rows.column("city").to_pylist())) > 0.8 * CITIES
    assert not pairs_of(rows, "city", "color") <= pairs_of(table, "city", "color")


def test_a_missing_value_may_meet_all_values() -> None:
    table = make_places()
    is_missing = pa.array(np.arange(len(table)) % 20 == 0)
    is_first = pa.compute.and_(is_missing, pa.compute.equal(table["state"], "state 1"))
    city = pa.compute.if_else(is_first, None, table["city"])
    table = table.set_column(0, "city", city)
    pairs = pairs_of(sample(learn(table)), "city", "state")
    assert len({state for name, state in pairs if name is None}) > STATES / 2


def test_a_value_that_does_not_depend_on_the_other_column_may_meet_all_values() -> None:
    table = make_places(noise=0.01)
    is_abroad = pa.array(np.random.default_rng(3).random(len(table)) < 0.03)
    table = table.set_column(1, "state", pa.compute.if_else(is_abroad, "abroad", table["state"]))
    rows = sample(learn(table))
    cities = pa.table({"city": rows["city"], "state": rows["state"]}).filter(
        pa.compute.equal(rows["state"], "abroad")
    )
    new = pairs_of(cities, "city", "state") - pairs_of(table, "city", "state")
    assert new
    others = pairs_of(rows, "city", "state") - pairs_of(table, "city", "state") - new
    assert not others


def test_given_values_choose_the_values_before_them() -> None:
    """Few cities are in a rare state, so that hardly any particle would have one by chance."""
    table = make_places()
    state = pa.compute.if_else(pa.compute.equal(table["city"], "city 7"), "rare", table["state"])
    table = table.set_column(1, "state", state)
    tokenizer = learn(table)
    sizes, rows = tokenizer.step_sizes, 100
    sampler = AutoregressiveSampler(
        make_generator(sizes, 2, sub_bin_steps=tokenizer.sub_bin_steps),
        tokenizer.sub_bin_steps,
        exclusions=Exclusions(near_lookups=tokenizer.exclusions.near_lookups),
    )
    given = torch.full((len(sizes), rows), UNKNOWN_TOKEN)
    given[2] = tokenizer.columns[1].encode(pa.array(["rare"]), None)[0, 0].item()
    u, resampling_u = torch.rand(len(sizes), rows * 32), torch.rand(len(sizes) + 1, rows).double()
    tokens = sampler.complete(u, resampling_u, given)
    completed = tokenizer.decode(tokens.numpy(), np.empty((0, rows)))
    assert pairs_of(completed, "city", "state") == {("city 7", "rare")}


def test_completed_rows_are_distributed_like_samples() -> None:
    """Values before a column of a near lookup depend on values that are given after it, too."""
    sizes = [2, 3, 4, 4]
    sub_bin_steps: list[SubBinStep] = [None, None, (1, 0, 3), None]
    network = make_generator(sizes, seed=2, sub_bin_steps=sub_bin_steps)
    with torch.no_grad():
        for free in network.heads.free:
            free.mul_(20)
    pairs = np.array(
        [(0, 0), (1, 1), (2, 1), (3, 2), (4, 1), (4, 3), (5, 0), (6, 3), (7, 2), (8, 3)]
    )
    lookup = NearLookup((slice(1, 3), slice(3, 4)), pairs.astype(np.int32))
    sampler = AutoregressiveSampler(
        network, sub_bin_steps, exclusions=Exclusions(near_lookups=(lookup,))
    )
    samples = sampler.sample_tokens(torch.rand(4, 100_000), {})
    given = torch.full((4, 2_000), UNKNOWN_TOKEN)
    given[3] = 1
    completed = sampler.complete(torch.rand(4, 2_000 * 64), torch.rand(5, 2_000).double(), given)
    of_samples, of_completed = [
        torch.bincount(tokens[0] * 12 + tokens[1] * 4 + tokens[2], minlength=24) / tokens.shape[1]
        for tokens in (samples[:, samples[3] == 1], completed)
    ]
    assert torch.allclose(of_samples, of_completed, atol=0.04)


@pytest.mark.parametrize(
    ("options", "are_avoided"),
    [({}, True), ({"relations": False}, False), ({"min_value_count": 2}, False)],
    ids=["by default", "without relations", "with protected rare values"],
)
def test_a_trained_model_avoids_new_pairs(
    options: dict[str, object], are_avoided: bool, tmp_path: Path
) -> None:
    table = make_places()
    types: tuple[ColumnType, ...] = ("category", "category", "category")
    schema: Schema = tuple(map(ColumnSchema, table.column_names, types))
    sampler = train_sampler(table, schema, tmp_path, label="color", steps=3, **options)
    rows = sampler.sample(1, np.arange(500)).rows
    is_avoided = pairs_of(rows, "city", "state") <= pairs_of(table, "city", "state")
    assert is_avoided is are_avoided


def test_near_lookups_are_stored_with_the_model() -> None:
    tokenizer = learn(make_places())
    copy = from_tensors(*to_tensors(tokenizer))
    assert [lookup.steps for lookup in copy.exclusions.near_lookups] == [(slice(0, 2), slice(2, 3))]
    np.testing.assert_array_equal(
        copy.exclusions.near_lookups[0].pairs, tokenizer.exclusions.near_lookups[0].pairs
    )


def test_tables_of_few_rows_have_no_near_lookups() -> None:
    tokenizer = learn(make_places(rows=60))
    tokens = tokenizer.encode(make_places(rows=60), 1)
    slices, sizes = tokenizer.column_slices, tokenizer.step_sizes
    assert not find_near_lookups(tokens, tokenizer.columns, slices, sizes)
