"""Columns that two others determine together, such as the distance between two airports."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.data import LabeledRows
from models.tabular.prepare import RelationPlan, plan_relations
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.relation import Relation
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.tokenizer import Tokenizer
from tests.models.tabular.tiny_tables import Schema, make_settings, train_sampler

PRODUCTS, SIZES, ROWS = 12, 4, 1_500
NAME = "product, size -> price"
SCHEMA = (
    ColumnSchema("product", "category"),
    ColumnSchema("quantity", "integer"),
    ColumnSchema("size", "category"),
    ColumnSchema("price", "number"),
)


def make_orders(products: int = PRODUCTS, rows: int = ROWS, **columns: Any) -> pa.Table:
    """Return orders of products, of which each size has another price; one pair never occurs."""
    rng = np.random.default_rng(0)
    product, size = rng.integers(0, products, rows), rng.integers(0, SIZES, rows)
    size[(product == 0) & (size == 0)] = 1
    prices = rng.permutation(np.arange(products * SIZES) * 25 + 199) / 100
    orders = {
        "product": [f"p{k}" for k in product],
        "quantity": rng.integers(1, 200, rows),
        "size": np.array(["S", "M", "L", "XL"])[size],
        "price": prices[product * SIZES + size],
    }
    return pa.table({**orders, **columns})


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def plan(
    table: pa.Table, schema: Schema = SCHEMA, label: str | None = None, **options: Any
) -> RelationPlan:
    rows = LabeledRows.split(table, schema, target_column=label, holdout_fraction=0.1, seed=1)
    return plan_relations(rows, make_settings(table, **options))


def names_of(table: pa.Table, schema: Schema = SCHEMA, **options: Any) -> list[str]:
    types = {column.name: column.type for column in schema}
    return [relation.name for relation in detect_relations(table, types, **options)]


def values_of(rows: pa.Table | pa.RecordBatch, *names: str) -> set[tuple[object, ...]]:
    return set(zip(*(rows[name].to_pylist() for name in names), strict=True))


ORDERS = make_orders()
PRICES = {(p, s): price for p, s, price in values_of(ORDERS, "product", "size", "price")}


def test_a_pair_of_columns_that_determines_another_one_is_found() -> None:
    assert names_of(ORDERS) == [NAME]
    described = plan(ORDERS).describe()
    assert described == [
        {"name": NAME, "kind": "lookup", "columns": ["product", "size", "price"], "enforced": True}
    ]


def test_a_few_rows_may_have_another_value() -> None:
    prices = ORDERS["price"].to_numpy().copy()
    prices[[3, 700]] += 1
    table = replaced(ORDERS, "price", prices)
    (relation,) = detect_relations(table, {column.name: column.type for column in SCHEMA})
    assert relation.name == NAME
    assert len(relation.keys) == len(PRICES) - 2


def test_a_column_of_random_values_is_not_determined() -> None:
    rng = np.random.default_rng(1)
    assert names_of(replaced(ORDERS, "price", rng.permutation(ORDERS["price"]))) == []


def test_pairs_of_few_rows_are_no_evidence() -> None:
    """Most pairs of a product and a quantity occur once, so that they would determine anything."""
    assert names_of(make_orders().drop_columns(["size"]), (*SCHEMA[:2], SCHEMA[3])) == []
    assert names_of(ORDERS.slice(0, 60)) == []


@pytest.mark.parametrize(("single", "is_found"), [(20, True), (150, False)])
def test_pairs_must_repeat(single: int, is_found: bool) -> None:
    """Rows whose pair occurs once show how many new rows have a pair that no row has."""
    repeated = make_orders()
    more = make_orders(products=PRODUCTS + single, rows=single)
    product = [f"p{PRODUCTS + k}" for k in range(single)]
    table = pa.concat_tables([repeated, replaced(more, "product", product)]).combine_chunks()
    assert (NAME in names_of(table)) is is_found


def test_a_column_that_one_of_two_mostly_determines_is_not_determined_by_both() -> None:
    """The exceptions are few, so that no other row of their pair contradicts them."""
    price = np.array([float(p[1:]) for p in ORDERS["product"].to_pylist()])
    price[:10] += 0.5
    assert NAME not in names_of(replaced(ORDERS, "price", price))


def test_the_pair_of_fewest_values_is_chosen() -> None:
    rng = np.random.default_rng(2)
    batch = [
        f"{product}-{k}"
        for product, k in zip(ORDERS["product"].to_pylist(), rng.integers(0, 2, ROWS), strict=True)
    ]
    table = ORDERS.append_column("batch", pa.array(batch))
    found = names_of(table, (ColumnSchema("batch", "category"), *SCHEMA))
    assert NAME in found
    assert "batch, size -> price" not in found


def test_numbers_of_few_values_may_be_in_a_pair_and_be_determined() -> None:
    year = np.array([int(p[1:]) + 2_000 for p in ORDERS["product"].to_pylist()])
    table = replaced(ORDERS, "product", year)
    table = replaced(table, "price", np.round(table["price"].to_numpy() * 100).astype(np.int64))
    types = ("integer", "integer", "category", "integer")
    schema = tuple(ColumnSchema(n, t) for n, t in zip(table.column_names, types, strict=True))
    assert NAME in names_of(table, schema)


def test_a_missing_value_is_a_value_of_a_pair() -> None:
    size = [None if size == "S" else size for size in ORDERS["size"].to_pylist()]
    table = replaced(ORDERS, "size", size)
    (relation,) = detect_relations(table, {column.name: column.type for column in SCHEMA})
    assert len(relation.keys) == len(PRICES)
    assert relation.holds(table).all()


def test_rare_pairs_are_left_out_if_they_are_protected() -> None:
    types = {column.name: column.type for column in SCHEMA}
    product = ["p0", *ORDERS["product"].to_pylist()[1:]]
    size = ["S", *ORDERS["size"].to_pylist()[1:]]
    table = replaced(replaced(ORDERS, "product", product), "size", size)
    all_pairs, common = (
        {key for r in detect_relations(table, types, min_value_count=k) for key in r.keys}
        for k in (0, 2)
    )
    assert len(all_pairs - common) == 1


def test_a_pair_can_be_switched_off() -> None:
    assert plan(ORDERS, relations=[NAME]).coding.relations == ()


@pytest.fixture(scope="module", params=[0.0, 0.5], ids=["fixed order", "any order"])
def sampler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> TableSampler:
    folder = tmp_path_factory.mktemp("model")
    options = {"random_order_prob": request.param, "critic_budget_fraction": 0.0}
    return train_sampler(ORDERS, SCHEMA, folder, steps=20, **options)


def complete(sampler: TableSampler, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    partial_rows = PartialRows.parse(sampler.tokenizer, given)
    return complete_rows(sampler, 1, np.arange(len(given)), partial_rows).rows.to_pylist()


def test_samples_have_pairs_of_training_rows_and_their_values(sampler: TableSampler) -> None:
    batch = sampler.sample(1, np.arange(2_000))
    assert values_of(batch.rows, "product", "size", "price") <= {
        (*pair, price) for pair, price in PRICES.items()
    }
    assert len(values_of(batch.rows, "product", "size")) > len(PRICES) / 2


def test_conditions_on_a_determined_column_are_met(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(100), {"price": {"gte": 10}, "size": "M"}).rows
    assert min(rows["price"].to_pylist()) >= 10
    assert {PRICES[pair] for pair in values_of(rows, "product", "size")} == set(
        rows["price"].to_pylist()
    )


def test_a_condition_on_a_determined_column_rejects_few_rows(tmp_path: Path) -> None:
    sampler = train_sampler(
        ORDERS, SCHEMA, tmp_path, steps=20, random_order_prob=0.5, critic_budget_fraction=0.0
    )
    highest = max(PRICES.values())
    assert sampler.sample(1, np.arange(100), {"price": highest}).acceptance_rate > 0.9


def test_partial_rows_get_a_pair_with_the_given_value(sampler: TableSampler) -> None:
    given: list[dict[str, Any]] = [
        {"price": 1.99},
        {"price": 5.24, "quantity": 7},
        {"product": "p3"},
        {"size": "XL", "product": "p5"},
    ]
    for row, partial in zip(complete(sampler, given), given, strict=True):
        assert row.items() >= partial.items()
        assert PRICES[row["product"], row["size"]] == row["price"]


def test_a_new_pair_may_be_given_and_gets_a_sampled_value(sampler: TableSampler) -> None:
    (row,) = complete(sampler, [{"product": "p0", "size": "S"}])
    assert row["price"] in PRICES.values()
    (row,) = complete(sampler, [{"product": "p0", "size": "S", "price": 1.99}])
    assert row["price"] == 1.99


def test_given_values_that_contradict_a_pair_are_named(sampler: TableSampler) -> None:
    with pytest.raises(InvalidPartialRow, match="contradicts `product` and `size`, because"):
        complete(sampler, [{"product": "p1", "size": "S", "price": PRICES["p2", "S"]}])


def test_numbers_of_many_values_are_those_of_their_pairs(tmp_path: Path) -> None:
    """Their tokens are bins, which other values share."""
    table = make_orders(products=60, rows=4_000)
    prices = values_of(table, "product", "size", "price")
    sampler = train_sampler(table, SCHEMA, tmp_path, steps=20, critic_budget_fraction=0.0)
    rows = sampler.sample(1, np.arange(1_000)).rows
    assert values_of(rows, "product", "size", "price") <= prices
    (row,) = complete(sampler, [{"price": 20.24}])
    assert (row["product"], row["size"], 20.24) in prices


@pytest.mark.parametrize("label", ["price", "product", "size"])
def test_columns_of_a_pair_may_be_the_label(label: str, tmp_path: Path) -> None:
    price = [f"{price:.2f}" for price in ORDERS["price"].to_pylist()]
    table = replaced(ORDERS, "price", price)
    schema = (*SCHEMA[:3], ColumnSchema("price", "category"))
    sampler = train_sampler(
        table, schema, tmp_path, label=label, steps=20, critic_budget_fraction=0.0
    )
    wanted = table[label].to_pylist()[0]
    batch = sampler.sample(1, np.arange(200), {label: wanted})
    assert values_of(batch.rows, *table.column_names[::2], "price") <= values_of(
        table, *table.column_names[::2], "price"
    )
    assert set(batch.rows[label].to_pylist()) == {wanted}
    assert batch.acceptance_rate > 0.9


def test_missing_determined_values_are_sampled(tmp_path: Path) -> None:
    is_missing = np.random.default_rng(3).random(ROWS) < 0.3
    table = replaced(ORDERS, "price", pa.array(ORDERS["price"].to_numpy(), mask=is_missing))
    schema = tuple(ColumnSchema(c.name, c.type, nullable=True) for c in SCHEMA)
    rows = train_sampler(table, schema, tmp_path, steps=40).sample(1, np.arange(1_000)).rows
    assert 100 < rows["price"].null_count < 500
    for row in rows.to_pylist():
        assert row["price"] in (PRICES[row["product"], row["size"]], None)


@pytest.mark.parametrize(
    "options", [{"architecture": "gan"}, {"min_value_count": 2}], ids=["gan", "protected values"]
)
def test_values_of_known_pairs_need_no_stored_combinations(
    options: dict[str, Any], tmp_path: Path
) -> None:
    sampler = train_sampler(ORDERS, SCHEMA, tmp_path, steps=5, **options)
    assert sampler.tokenizer.exclusions.exact_lookups == ()
    rows = sampler.sample(1, np.arange(300)).rows
    for row in rows.to_pylist():
        assert PRICES.get((row["product"], row["size"]), row["price"]) == row["price"]


def test_a_relation_by_pairs_is_stored() -> None:
    relation = Relation("lookup", ("a", "b", "c"), keys=("x\x1fy",), values=("z",))
    assert Relation.unpack(relation.pack()) == relation
    rows = pa.table({"a": ["x", "x"], "b": ["y", None], "c": ["z", "z"]})
    assert relation.look_up(rows).to_pylist() == ["z", None]


def test_a_pair_comes_before_what_it_determines() -> None:
    table = ORDERS.select(["price", "quantity", "size", "product"])
    schema = tuple(next(c for c in SCHEMA if c.name == name) for name in table.column_names)
    coding = plan(table, schema).coding
    for label, names in (
        (None, ["size", "product", "price", "quantity"]),
        ("quantity", ["size", "product", "price", "quantity"]),
        ("size", ["size", "product", "price", "quantity"]),
    ):
        tokenizer = Tokenizer.fit(table, schema, target_column=label, seed=1, coding=coding)
        assert [column.name for column in tokenizer.columns] == names
