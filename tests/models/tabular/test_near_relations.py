"""Near relations: ratios to other columns, and values that copy those of another column."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.data import LabeledRows
from models.tabular.prepare import plan_relations
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.near.columns import NearColumn
from models.tabular.relations.near.detection import find_near_columns
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, resolve
from models.tabular.training import train
from tests.models.tabular.tiny_tables import (
    RecordingCallbacks,
    load_sampler,
    make_settings,
    train_sampler,
)

TYPES = dict.fromkeys(("rooms", "beds", "bill", "paid"), "integer")
SCHEMA = tuple(ColumnSchema(name, "integer") for name in TYPES)


def make_blocks(count: int = 1_200) -> pa.Table:
    """Return rooms with about as many beds, and bills of which a third is paid, and some not."""
    rng = np.random.default_rng(3)
    rooms = np.rint(rng.lognormal(7, 1, count)).astype(int) + 20
    beds = np.rint(rooms * rng.normal(1, 0.05, count)).astype(int)
    bill = rng.integers(1_000, 90_000, count)
    paid = np.where(rng.random(count) < 0.33, bill, rng.integers(0, 50_000, count))
    paid[rng.random(count) < 0.2] = 0
    return pa.table({"rooms": rooms, "beds": beds, "bill": bill, "paid": paid})


def ratio_of(rows: pa.Table | pa.RecordBatch) -> Any:
    return np.asarray(rows.column("beds")) / np.asarray(rows.column("rooms"))


def copies_of(rows: pa.Table | pa.RecordBatch) -> Any:
    return np.asarray(rows.column("paid")) == np.asarray(rows.column("bill"))


@pytest.fixture(scope="module", params=[0.0, 0.5], ids=["fixed order", "any order"])
def sampler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> TableSampler:
    folder = tmp_path_factory.mktemp("model")
    return train_sampler(make_blocks(), SCHEMA, folder, steps=150, random_order_prob=request.param)


def test_ratios_and_copies_are_found_and_survive_coding() -> None:
    rng = np.random.default_rng(1)
    table = make_blocks()
    missing = {name: rng.random(len(table)) < 0.1 for name in table.column_names}
    for with_missing in (False, True):
        rows = table
        if with_missing:
            rows = pa.table(
                {n: pa.array(table[n].to_numpy(), mask=missing[n]) for n in table.column_names}
            )
        coding = RelationCoding(tuple(find_near_columns(rows, TYPES, ())))
        assert [c.relation_name for c in coding.columns] == ["beds / rooms", "paid = bill"]
        assert RelationCoding.unpack(coding.pack()) == coding
        coded = coding.encode(rows).combine_chunks().to_batches()[0]
        assert pa.Table.from_batches([coding.decode(coded, rows.schema)]).equals(rows)


def make_near_prices() -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    price = rng.integers(10, 9_000, 1_500)
    return price, np.abs(np.rint(price * rng.normal(1, 0.02, 1_500)))


@pytest.mark.parametrize("with_endings", [True, False], ids=["different endings", "independent"])
def test_other_columns_are_not_coded(with_endings: bool) -> None:
    rng = np.random.default_rng(3)
    price, other = make_near_prices()
    if with_endings:
        price, other = (each + rng.choice([0.95, 0.99], 1_500) for each in (price, other))
    else:
        other = rng.permutation(other)
    table = pa.table({"price": price, "other": other})
    assert find_near_columns(table, {"price": "number", "other": "number"}, ()) == []


def test_times_of_day_as_numbers_are_not_coded_as_ratios() -> None:
    """As in 2359: each number repeats, and none ends in 60 to 99."""
    rng = np.random.default_rng(5)
    start = rng.integers(300, 1_260, 9_000)
    end = start + rng.integers(40, 180, 9_000)
    clock = {name: m // 60 * 100 + m % 60 for name, m in (("start", start), ("end", end))}
    assert find_near_columns(pa.table(clock), dict.fromkeys(clock, "integer"), ()) == []


def test_the_ending_of_all_numbers_of_a_ratio_is_kept() -> None:
    price, other = make_near_prices()
    table = pa.table({"price": price + 0.99, "other": other + 0.99})
    coding = RelationCoding(
        tuple(find_near_columns(table, {"price": "number", "other": "number"}, ()))
    )
    assert [column.relation_name for column in coding.columns] == ["other / price"]
    coded = coding.encode(table).combine_chunks()
    mixed = pa.RecordBatch.from_arrays(
        [coded["price"].chunk(0), coded["other"].chunk(0)[::-1]], schema=coded.schema
    )
    other = np.asarray(coding.decode(mixed, table.schema).column("other"))
    assert np.array_equal(np.round(other % 1, 2), np.full(1_500, 0.99))


def test_samples_have_as_many_copies_and_as_narrow_ratios(sampler: TableSampler) -> None:
    rows, table = sampler.sample(1, np.arange(3_000)).rows, make_blocks()
    assert copies_of(rows).mean() == pytest.approx(copies_of(table).mean(), abs=0.05)
    assert np.quantile(np.abs(ratio_of(rows) - 1), 0.9) < 0.15
    assert (np.asarray(rows.column("paid")) == 0).mean() == pytest.approx(0.2, abs=0.05)
    for name in table.column_names:
        assert np.asarray(rows.column(name)).min() >= np.asarray(table[name]).min()


def test_a_given_value_affects_the_column_that_it_is_coded_by(sampler: TableSampler) -> None:
    given = [{"beds": 300 + k, "paid": 40_000 + k} for k in range(20)] + [{"rooms": 2_000}]
    partial = PartialRows.parse(sampler.tokenizer, given)
    rows = complete_rows(sampler, 3, np.arange(len(given)), partial).rows
    assert rows["beds"].to_pylist()[:20] == [row["beds"] for row in given[:20]]
    assert rows["paid"].to_pylist()[:20] == [row["paid"] for row in given[:20]]
    # Rooms are sampled before beds: a filter chooses among some particles, near a ratio of 1.
    assert np.median(ratio_of(rows)[:20]) == pytest.approx(1, abs=0.2)
    assert abs(ratio_of(rows)[20] - 1) < 0.25


def test_columns_coded_by_a_given_value_use_the_value_itself(sampler: TableSampler) -> None:
    given = [{"bill": 40_001 + k} for k in range(60)]
    partial = PartialRows.parse(sampler.tokenizer, given)
    rows = complete_rows(sampler, 3, np.arange(60), partial).rows
    assert rows["bill"].to_pylist() == [row["bill"] for row in given]
    assert 0.1 < copies_of(rows).mean() < 0.6


def test_conditions_on_coded_columns_are_met(sampler: TableSampler) -> None:
    conditions = {"beds": {"gte": 500, "lt": 3_000}, "paid": {"gte": 10_000}}
    rows = sampler.sample(5, np.arange(60), conditions).rows
    assert all(500 <= beds < 3_000 for beds in rows["beds"].to_pylist())
    assert min(rows["paid"].to_pylist()) >= 10_000
    assert copies_of(rows).any()
    assert np.median(np.abs(ratio_of(rows) - 1)) < 0.15


def test_a_resumed_run_keeps_the_coding(tmp_path: Path) -> None:
    rows = LabeledRows.split(
        make_blocks(), SCHEMA, target_column=None, holdout_fraction=0.1, seed=1
    )
    settings = make_settings(rows.table)
    whole, first, second = (
        RecordingCallbacks(6),
        RecordingCallbacks(6, (3,), 4),
        RecordingCallbacks(6),
    )
    train(rows, settings, whole, seed=1)
    with pytest.raises(KeyboardInterrupt):
        train(rows, settings, first, seed=1)
    (tmp_path / "state").write_bytes(first.saved[3].state)
    train(rows, settings, second, seed=1, state=tmp_path / "state")
    for callbacks in (whole, second):
        sampler = load_sampler(callbacks.last_checkpoint, tmp_path)
        names = [column.relation_name for column in sampler.tokenizer.coding.columns]
        assert names == ["beds / rooms", "paid = bill"]
    assert second.last_checkpoint.model == whole.last_checkpoint.model


def test_decoded_values_stay_in_the_range_of_the_column() -> None:
    column = NearColumn("a", "b", "ratio", 0, 5.0, 1.0, 10.0, (), -1.0)
    coded = pa.RecordBatch.from_pydict({"a": [3.0, 0.2, None, 1.0], "b": [8.0, 2.0, 1.0, None]})
    assert column.decode(coded, pa.int64()).to_pylist() == [10, 1, None, 5]


def test_near_relations_are_listed_and_can_be_switched_off() -> None:
    table = make_blocks()
    rows = LabeledRows.split(table, SCHEMA, target_column=None, holdout_fraction=0.1, seed=1)
    names = {
        str(setting): [item["name"] for item in plan_relations(rows, settings).describe()]
        for setting in (True, False, ["paid = bill"])
        for settings in [make_settings(table, relations=setting)]
    }
    assert names == {
        "True": ["beds / rooms", "paid = bill"],
        "False": [],
        "['paid = bill']": ["beds / rooms"],
    }
    shape = TableData(len(table), len(SCHEMA))
    for private in (
        make_settings(table, min_value_count=5),
        resolve(shape, "fast", {}, differential_privacy=True),
    ):
        assert plan_relations(rows, private).coding.names == frozenset()


def make_prices(count: int = 1_200) -> pa.Table:
    """Return list prices, prices with a discount in per cent, and prices less a fee."""
    rng = np.random.default_rng(6)
    listed = np.rint(rng.lognormal(9, 1, count)).astype(int) + 900
    return pa.table(
        {
            "listed": listed,
            "paid": np.rint(listed * rng.uniform(0.8, 0.97, count)).astype(int),
            "less_fee": listed - rng.integers(1, 400, count),
        }
    )


def plan_of(table: pa.Table) -> RelationCoding:
    schema = tuple(ColumnSchema(name, "integer") for name in table.column_names)
    rows = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.1, seed=1)
    return plan_relations(rows, make_settings(table)).coding


def test_a_bounded_number_is_coded_as_a_ratio_if_that_is_simpler() -> None:
    prices = make_prices()
    coding = plan_of(prices.select(["listed", "paid"]))
    assert list(coding.near) == ["paid"]
    assert [relation.name for relation in coding.checked] == ["paid <= listed"]
    coding = plan_of(prices.select(["listed", "less_fee"]))
    assert not coding.near
    assert not coding.checked
    assert [relation.name for relation in coding.relations] == ["less_fee <= listed"]


def test_samples_keep_the_order_of_a_number_that_is_coded_as_a_ratio(tmp_path: Path) -> None:
    prices = make_prices().select(["listed", "paid"])
    schema = tuple(ColumnSchema(name, "integer") for name in prices.column_names)
    rows = train_sampler(prices, schema, tmp_path, steps=5).sample(1, np.arange(500)).rows
    ratios = np.asarray(rows["paid"]) / np.asarray(rows["listed"])
    assert ratios.max() <= 1
    assert ((ratios > 0.79) & (ratios < 0.98)).mean() > 0.98


@pytest.mark.parametrize(("zeros", "is_coded"), [(5, True), (100, False)])
def test_few_bases_of_zero_do_not_hide_a_ratio(zeros: int, is_coded: bool) -> None:
    table = make_blocks()
    rooms = table["rooms"].to_numpy().copy()
    rooms[:zeros] = 0
    table = table.set_column(0, "rooms", pa.array(rooms))
    names = [column.relation_name for column in find_near_columns(table, TYPES, ())]
    assert ("beds / rooms" in names) is is_coded


@pytest.mark.parametrize("spread", [0.4, 0.02], ids=["ratio", "close"])
def test_amounts_that_are_coded_by_others_keep_their_usual_decimals(spread: float) -> None:
    rng = np.random.default_rng(4)
    lent = np.round(rng.lognormal(8, 1, 1_500), 2)
    paid = lent * rng.uniform(1, 1 + spread, 1_500)
    paid = np.where(rng.random(1_500) < 0.05, np.round(paid, 10), np.round(paid, 2))
    table = pa.table({"lent": lent, "paid": paid})
    types = dict.fromkeys(table.column_names, "number")
    (column,) = find_near_columns(table, types, ())
    packed = type(column).unpack(column.pack())
    assert packed == column
    coded = pa.table({"paid": paid, "paid ~ lent": paid / lent, "lent": lent * 1.000123})
    if isinstance(column, NearColumn):
        coded = coded.set_column(0, "paid", pa.array(paid / lent))
    decoded = column.decode(coded, pa.float64()).to_numpy()
    finer = np.round(decoded, 2) != decoded
    assert 0.02 < finer.mean() < 0.09
