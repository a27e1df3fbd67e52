"""Numbers that are often close to another number: their ratio is learned in a separate column."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from models.tabular.autoregressive.sampler import AutoregressiveSampler
from models.tabular.completion.late_tokens import partly_given_values
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidCondition, InvalidPartialRow
from models.tabular.data import LabeledRows
from models.tabular.prepare import plan_relations
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.near.close_columns import CloseColumn, with_chains
from models.tabular.relations.near.detection import find_near_columns
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import make_settings, train_sampler

NAMES = ("may", "june", "july")
SCHEMA = tuple(ColumnSchema(name, "integer") for name in NAMES)


def make_balances(count: int = 2_000) -> pa.Table:
    """Return balances that grow by the interest of a month in half of the rows."""
    rng = np.random.default_rng(3)
    balances = [rng.lognormal(9, 1.2, count)]
    for _ in NAMES[1:]:
        grown = balances[-1] * rng.uniform(1.022, 1.026, count)
        balances.append(np.where(rng.random(count) < 0.5, grown, rng.lognormal(9, 1.2, count)))
        balances[-1][rng.random(count) < 0.1] = 0
    return pa.table({n: np.rint(v).astype(int) for n, v in zip(NAMES, balances, strict=True)})


def share_of_grown(rows: pa.Table | pa.RecordBatch, name: str, base: str) -> float:
    before, after = (np.asarray(rows.column(n), dtype=float) for n in (base, name))
    ratios = after[before > 1_000] / before[before > 1_000]
    return float(((ratios > 1.0215) & (ratios < 1.0265)).mean())


@pytest.fixture(scope="module", params=[0.0, 0.5], ids=["fixed order", "any order"])
def sampler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> TableSampler:
    folder = tmp_path_factory.mktemp("model")
    return train_sampler(
        make_balances(), SCHEMA, folder, steps=200, random_order_prob=request.param
    )


@pytest.mark.parametrize("with_missing", [False, True])
def test_ratios_of_close_numbers_are_found_and_survive_coding(*, with_missing: bool) -> None:
    rng = np.random.default_rng(1)
    table = make_balances()
    if with_missing:
        masks = {name: rng.random(len(table)) < 0.1 for name in NAMES}
        table = pa.table({n: pa.array(table[n].to_numpy(), mask=masks[n]) for n in NAMES})
    columns = find_near_columns(table, dict.fromkeys(NAMES, "integer"), ())
    coding = RelationCoding(tuple(with_chains(columns, NAMES)))
    assert list(coding.close) == ["june ~ may", "july ~ june"]
    assert RelationCoding.unpack(coding.pack()) == coding
    coded = coding.encode(table).combine_chunks().to_batches()[0]
    names = ["may", "june ~ may", "june", "june : may", "july ~ june", "july"]
    assert coded.schema.names == names
    assert pa.Table.from_batches([coding.decode(coded, table.schema)]).equals(table)


def test_samples_have_as_many_close_numbers(sampler: TableSampler) -> None:
    rows, table = sampler.sample(1, np.arange(4_000)).rows, make_balances()
    assert rows.schema.names == list(NAMES)
    for name, base in (("june", "may"), ("july", "june")):
        expected = share_of_grown(table, name, base)
        assert share_of_grown(rows, name, base) == pytest.approx(expected, abs=0.08)
        values, real = np.asarray(rows.column(name)), np.asarray(table[name])
        assert (values == 0).mean() == pytest.approx(0.1, abs=0.04)
        assert real.min() <= values.min()
        assert values.max() <= real.max()
        assert np.median(values) == pytest.approx(np.median(real), rel=0.3)


@pytest.mark.parametrize(
    "given", [{"may": 20_003}, {"june": 20_003}, {"may": 20_003, "july": 21_007}]
)
def test_completed_rows_keep_given_values_and_stay_close(
    sampler: TableSampler, given: dict[str, int]
) -> None:
    partial = PartialRows.parse(sampler.tokenizer, [given] * 100)
    rows = complete_rows(sampler, 3, np.arange(100), partial).rows
    for name, value in given.items():
        assert rows[name].to_pylist() == [value] * 100
    name = "july" if "june" in given else "june"
    base = "june" if name == "july" else "may"
    assert 0.25 < share_of_grown(rows, name, base) < 0.9


def test_later_columns_are_decoded_by_a_given_value(sampler: TableSampler) -> None:
    partial = PartialRows.parse(sampler.tokenizer, [{"june": 20_003}, {"may": 30_001}])
    coded = {"may": [9_000, 9_000], "june ~ may": [1.02, 1.02], "june": [7_000, 7_000]}
    coded |= {"june : may": [0.8, 0.8], "july ~ june": [1.024, 1.024], "july": [8_000, 8_000]}
    types = sampler.tokenizer.coded_arrow
    rows, agrees = partial.decode(
        sampler.tokenizer, pa.RecordBatch.from_pydict(coded, schema=types)
    )
    assert agrees.all()
    assert rows.to_pylist() == [
        {"may": 9_000, "june": 20_003, "july": round(20_003 * 1.024)},
        {"may": 30_001, "june": round(30_001 * 1.02), "july": round(30_601 * 1.024)},
    ]


def test_conditions_on_close_columns_are_met(sampler: TableSampler) -> None:
    rows = sampler.sample(5, np.arange(100), {"june": {"gte": 5_000, "lt": 9_000}}).rows
    assert all(5_000 <= june < 9_000 for june in rows["june"].to_pylist())
    assert share_of_grown(rows, "june", "may") > 0.25


@pytest.mark.parametrize("name", ["june ~ may", "june : may"])
def test_the_column_of_a_ratio_cannot_be_named(sampler: TableSampler, name: str) -> None:
    with pytest.raises(InvalidCondition):
        sampler.sample(1, np.arange(2), {name: 1.0})
    with pytest.raises(InvalidPartialRow):
        PartialRows.parse(sampler.tokenizer, [{name: 1.0}])


def share_of_true_tokens(sampler: TableSampler, tokens: Tensor, rows: pa.RecordBatch) -> float:
    """Return how often the tokens of later numbers and their ratios are those of their values."""
    tokenizer = sampler.tokenizer
    expected = tokenizer.encode(pa.Table.from_batches([rows]), seed=0)
    follows = np.isfinite(ratios_of(sampler, rows, "july ~ june"))
    steps = tokenizer.steps_of(["july"])
    assert 0.2 < follows.mean() < 0.8
    agrees = [(tokens.numpy() == expected)[steps][:, follows].all(axis=0)]
    agrees += [(tokens.numpy() == expected)[tokenizer.steps_of(["june : may"])].all(axis=0)]
    return float(np.concatenate(agrees).mean())


def ratios_of(sampler: TableSampler, rows: pa.RecordBatch, name: str) -> np.ndarray:
    coded = sampler.tokenizer.coding.encode(pa.Table.from_batches([rows]))
    return np.asarray(coded[name].to_numpy())


def test_later_columns_see_the_number_that_follows_from_the_ratio(sampler: TableSampler) -> None:
    token_sampler = sampler.token_sampler
    u = torch.rand(token_sampler.num_uniforms, 500, generator=torch.Generator().manual_seed(1))
    tokens, decode_u = token_sampler.sample(u, {})
    rows = sampler.tokenizer.decode(tokens.numpy(), decode_u.numpy().astype(float))
    assert share_of_true_tokens(sampler, tokens, rows) > 0.98


def test_in_completed_rows_they_see_it_too(sampler: TableSampler) -> None:
    token_sampler, particles = sampler.token_sampler, 4
    assert isinstance(token_sampler, AutoregressiveSampler)
    partial = PartialRows.parse(sampler.tokenizer, [{"may": 20_003 + i} for i in range(300)])
    size, count = partial.tokens.shape
    generator = torch.Generator().manual_seed(2)
    decode_u = np.random.default_rng(2).random((token_sampler.num_uniforms - size, count))
    tokens = token_sampler.complete(
        torch.rand(size, particles * count, generator=generator),
        torch.rand(size + 1, count, generator=generator),
        torch.from_numpy(partial.tokens),
        values=partly_given_values(sampler.tokenizer, partial, decode_u, particles),
    )
    coded = sampler.tokenizer.decode_columns(tokens.numpy(), decode_u)
    rows, _ = partial.decode(sampler.tokenizer, coded)
    assert rows["may"].to_pylist() == [20_003 + i for i in range(300)]
    assert share_of_true_tokens(sampler, tokens, rows) > 0.98


def test_close_columns_are_listed_and_can_be_switched_off() -> None:
    table = make_balances()
    rows = LabeledRows.split(table, SCHEMA, target_column=None, holdout_fraction=0.1, seed=1)

    def described(relations: Any) -> list[tuple[str, str]]:
        plan = plan_relations(rows, make_settings(table, relations=relations))
        return [(item["kind"], item["name"]) for item in plan.describe()]

    assert described(True) == [("near_value", "june ~ may"), ("near_value", "july ~ june")]
    assert described(["june ~ may"]) == [("near_value", "july ~ june")]
    assert described(False) == []


def test_a_number_far_from_its_base_is_not_coded() -> None:
    table = make_balances()
    shuffled = pa.table(
        {"may": table["may"], "june": table["june"].take(pa.array(range(1_999, -1, -1)))}
    )
    assert find_near_columns(shuffled, dict.fromkeys(("may", "june"), "integer"), ()) == []


def make_payments(count: int = 3_000) -> pa.Table:
    """Return bills with payments: the minimum, all of it and at most 1 % more, or a round one."""
    rng = np.random.default_rng(6)
    bill = np.rint(rng.lognormal(9, 1, count))
    kind = rng.choice(3, count, p=(0.3, 0.3, 0.4))
    parts = [bill * rng.uniform(0.04, 0.042, count), bill * rng.uniform(1, 1.01, count)]
    paid = np.select([kind == 0, kind == 1], parts, 100 * np.rint(rng.lognormal(3, 1, count)))
    return pa.table({"bill": bill.astype(int), "paid": np.rint(paid).astype(int)})


def test_ratios_other_than_one_are_found_and_round_numbers_are_kept() -> None:
    table = make_payments()
    types = dict.fromkeys(table.column_names, "integer")
    coding = RelationCoding(tuple(find_near_columns(table, types, ())))
    (column,) = coding.close.values()
    assert len(column.ranges) == 2
    assert column.round_numbers is not None
    assert (column.round_numbers.period, column.round_numbers.endings) == (100, (0,))
    assert RelationCoding.unpack(coding.pack()) == coding
    coded = coding.encode(table).combine_chunks().to_batches()[0]
    paid, ratios = table["paid"].to_numpy(), coded["paid ~ bill"].to_numpy(zero_copy_only=False)
    assert np.isfinite(ratios).mean() == pytest.approx(0.6, abs=0.05)
    is_equal = paid == table["bill"].to_numpy()
    assert np.isnan(ratios[(paid % 100 == 0) & ~is_equal]).all()
    assert pa.Table.from_batches([coding.decode(coded, table.schema)]).equals(table)


def test_a_number_whose_values_are_shared_by_rows_is_not_coded() -> None:
    """Ratios to polls would lose that all polls of an election have the same result."""
    rng = np.random.default_rng(4)
    results = np.round(rng.uniform(20, 60, 300), 2)[rng.integers(0, 300, 3_000)]
    polls = np.rint(results + rng.normal(0, 2, 3_000))
    table = pa.table({"poll": polls, "result": results})
    assert find_near_columns(table, dict.fromkeys(("poll", "result"), "number"), ()) == []


def test_only_numbers_to_which_others_are_close_have_a_ratio_to_the_first_one() -> None:
    june, july, august = (
        CloseColumn(name, base, ((0.9, 1.1),), 0, 0.0, 9.0, ())
        for base, name in pairwise(("may", "june", "july", "august"))
    )
    columns = with_chains([june, july, august], ["may", "june", "july", "august"])
    assert columns == [replace(june, first="may"), replace(july, first="may"), august]
    assert with_chains([june, july], ["june : may"]) == [june, july]


def make_batters(count: int = 3_000) -> pa.Table:
    """Return games, times at bat, two to three in a game, and hits: at most one in each time.

    Most players have few games, so that most numbers are small and frequent.
    """
    rng = np.random.default_rng(8)
    games = np.rint(rng.lognormal(2.5, 1.2, count)).astype(int) + 1
    at_bats = rng.binomial(games * 4, rng.beta(6, 3, count))
    hits = rng.binomial(at_bats, rng.beta(30, 80, count))
    return pa.table({"games": games, "at_bats": at_bats, "hits": hits})


def test_bounded_counts_in_proportion_to_others_have_ratios_instead_of_differences() -> None:
    table = make_batters()
    schema = tuple(ColumnSchema(name, "integer") for name in table.column_names)
    rows = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.1, seed=1)
    table = rows.take(rows.train)  # decoded values stay between theirs
    coding = plan_relations(rows, make_settings(table)).coding
    assert list(coding.close) == ["at_bats ~ games", "hits ~ at_bats"]
    assert [relation.name for relation in coding.checked] == ["hits <= at_bats"]
    coded = coding.encode(table).combine_chunks().to_batches()[0]
    assert "at_bats : games" not in coded.schema.names  # the same as the ratio
    has_ratio = coded["at_bats ~ games"].is_valid().to_numpy(zero_copy_only=False)
    assert (has_ratio == (table["at_bats"].to_numpy() > 0)).all()  # frequent numbers, too
    assert pa.Table.from_batches([coding.decode(coded, table.schema)]).equals(table)


def test_without_a_base_the_number_itself_is_decoded() -> None:
    column = CloseColumn("b", "a", ((0.9, 1.1),), 2, 0.0, 100_00.0, ())
    coded = pa.RecordBatch.from_pydict(
        {"a": [10.0, None, 0.0, 50.0], "b ~ a": [1.05, 1.05, 1.05, None], "b": [3.0, 4.0, 5.0, 6.0]}
    )
    assert column.decode(coded, pa.float64()).to_pylist() == [10.5, 4.0, 0.0, 6.0]
