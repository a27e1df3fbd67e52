"""Amounts that are a number of their key times other columns, such as prices of products."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.data import LabeledRows
from models.tabular.prepare import RelationPlan, plan_relations
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.keyed.amounts import find_keyed_amounts
from models.tabular.relations.relation import Relation
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import decode_shuffled, make_settings, train_sampler

SALES = "factor(product) * quantity * (1 - discount) ~ sales"
EXACT_SALES = SALES.replace("~", "=")
PROFIT = "factor(product) * quantity + sales = profit"
TYPES = {
    "product": "category",
    "quantity": "integer",
    "discount": "number",
    "sales": "number",
    "profit": "number",
}


@cache
def make_orders(count: int = 1_500, *, changed: int = 0, odd: float = 0.0) -> pa.Table:
    """Return orders of 60 products, of which some have `changed` their price.

    A share of the rows has an `odd` amount.
    """
    rng = np.random.default_rng(0)
    product = rng.integers(0, 60, count)
    prices = np.round(rng.uniform(1, 300, 60), 2)
    costs = np.round(prices * rng.uniform(0.3, 0.9, 60), 2)
    quantity = rng.integers(1, 10, count)
    discount = rng.choice([0.0, 0.1, 0.15, 0.5], count)
    is_changed = (product < changed) & (rng.random(count) < 0.4)
    price = np.where(is_changed, np.round(prices[product] * 1.1, 2), prices[product])
    sales = np.round(price * quantity * (1 - discount) + 1e-9, 2)
    sales = np.where(rng.random(count) < odd, np.round(rng.uniform(1, 2_000, count), 2), sales)
    profit = np.round(sales - costs[product] * quantity, 2)
    names = pa.array([f"product {k}" for k in product])
    columns = [names, pa.array(quantity), *map(pa.array, (discount, sales, profit))]
    return pa.table(dict(zip(TYPES, columns, strict=True)))


def schema_of(table: pa.Table) -> tuple[ColumnSchema, ...]:
    return tuple(ColumnSchema(name, TYPES[name]) for name in table.column_names)  # type: ignore[arg-type]


def plan(table: pa.Table, **options: Any) -> RelationPlan:
    rows = LabeledRows(table, schema_of(table), None, np.arange(len(table)), np.arange(0))
    return plan_relations(rows, make_settings(table, **options))


def names_of(relations: Any) -> list[str]:
    return [relation.name for relation in relations]


def prices_of(rows: pa.Table | pa.RecordBatch) -> dict[str, set[float]]:
    """Return the prices of each product, in rows where these can be divided."""
    prices: dict[str, set[float]] = {}
    for row in rows.to_pylist():
        if row["discount"] in (0.0, 0.5):
            price = row["sales"] / row["quantity"] / (1 - row["discount"])
            prices.setdefault(row["product"], set()).add(price)
    return prices


def test_amounts_of_a_price_list_are_computed() -> None:
    table = make_orders()
    coding = plan(table).coding
    assert {EXACT_SALES, PROFIT} <= set(names_of(coding.relations))
    rows = decode_shuffled(coding, table)
    assert not rows.column("sales").equals(table.column("sales").combine_chunks())
    assert all(relation.holds(rows).all() for relation in coding.relations)


def test_products_have_one_of_their_own_prices() -> None:
    table = make_orders(changed=20)
    coding = plan(table).coding
    assert SALES in names_of(coding.with_exceptions)
    rows = decode_shuffled(coding, table)
    relation = next(each for each in coding.with_exceptions if each.name == SALES)
    assert min(relation.holds(table).mean(), relation.holds(rows).mean()) > 0.99
    own, sampled = prices_of(table), prices_of(rows.filter(pa.array(relation.holds(rows))))
    assert all(
        min(abs(price - other) for other in own[product]) < 0.05
        for product, prices in sampled.items()
        for price in prices
    )


def test_odd_amounts_stay_as_frequent_as_they_are() -> None:
    table = make_orders(odd=0.04)
    coding = plan(table).coding
    relation = next(each for each in coding.with_exceptions if each.name == SALES)
    share, sampled = (
        relation.holds(rows).mean() for rows in (table, decode_shuffled(coding, table))
    )
    assert 0.95 < share < 0.98
    assert sampled == pytest.approx(share, abs=0.02)
    batch = coding.encode(table).combine_chunks().to_batches()[0]
    decoded = pa.Table.from_batches([coding.decode(batch, table.schema)])
    assert decoded.equals(table.combine_chunks())


def test_a_coding_with_several_numbers_of_keys_is_stored() -> None:
    table = make_orders(changed=20, odd=0.02)
    coding = plan(table).coding
    copy = RelationCoding.unpack(coding.pack())
    assert copy.with_exceptions == coding.with_exceptions
    assert decode_shuffled(copy, table).equals(decode_shuffled(coding, table))


def test_taxes_in_per_cent_are_factors() -> None:
    table = make_orders()
    rate = np.random.default_rng(2).choice([0.0, 7.0, 19.0], len(table))
    net = table["sales"].to_numpy() / (1 - table["discount"].to_numpy())
    gross = np.round(np.round(net, 2) * (1 + rate / 100) + 1e-9, 2)
    names = ["product", "quantity", "discount", "sales"]
    taxed = pa.table([table["product"], table["quantity"], rate, gross], names=names)
    (relation,) = find_keyed_amounts(taxed, {name: TYPES[name] for name in names}, ())
    assert relation.name == "factor(product) * quantity * (1 + discount / 100) ~ sales"
    assert relation.holds(taxed).mean() > 0.97


def test_amounts_that_need_no_key_or_follow_from_nothing_are_left() -> None:
    table = make_orders()
    rng = np.random.default_rng(3)
    weight = np.round(rng.uniform(1, 50, len(table)), 1)
    same = pa.table({"product": table["product"], "weight": weight, "fee": weight * 2})
    types = {"product": "category", "weight": "number", "fee": "number"}
    assert not find_keyed_amounts(same, types, ())
    free = pa.table({**same.to_pydict(), "fee": rng.permutation(weight)})
    assert not find_keyed_amounts(free, types, ())
    # A number that each product has is a lookup, whatever another one is.
    of_key = table["product"].combine_chunks().dictionary_encode().indices.to_numpy() / 4
    assert not find_keyed_amounts(pa.table({**same.to_pydict(), "fee": of_key}), types, ())


def test_prices_are_listed_and_can_be_switched_off() -> None:
    table = make_orders(changed=20)
    (described,) = (each for each in plan(table).describe() if each["name"] == SALES)
    columns = ["product", "quantity", "discount", "sales"]
    assert described == {
        "name": SALES,
        "kind": "near_factor",
        "columns": columns,
        "enforced": False,
    }
    for options in ({"relations": [SALES]}, {"relations": False}, {"min_value_count": 2}):
        assert SALES not in names_of(plan(table, **options).coding.with_exceptions)


def test_given_amounts_follow_from_the_sampled_quantity(tmp_path: Path) -> None:
    table = make_orders(600, changed=20).select(["product", "quantity", "discount", "sales"])
    sampler = train_sampler(table, schema_of(table), tmp_path, label=None, steps=5)
    rows = sampler.sample(1, np.arange(300)).rows
    relation = sampler.tokenizer.coding.with_exceptions[0]
    assert relation.holds(rows).mean() > 0.98
    first = table.slice(0, 16).to_pylist()
    given = [{n: row[n] for n in ("product", "discount", "sales")} for row in first]
    partial = PartialRows.parse(sampler.tokenizer, given)
    completed = complete_rows(sampler, 1, np.arange(16), partial).rows
    assert completed.column("sales").to_pylist() == [row["sales"] for row in first]
    assert relation.holds(completed).mean() > 0.8
    # An amount that no quantity gives is an exception.
    odd = PartialRows.parse(sampler.tokenizer, [{**given[0], "sales": 1.23}])
    assert complete_rows(sampler, 1, np.arange(1), odd).rows["sales"].to_pylist() == [1.23]


def test_a_source_is_solved_for() -> None:
    rows = pa.table({"key": ["a", "b"], "x": [3.0, 4.0], "rate": [0.5, 0.2], "y": [8.0, 9.0]})
    relation = Relation(
        "factor",
        ("key", "x", "rate", "y", "total"),
        keys=("a", "b"),
        values=(2.0, 10.0),
        signs=(1,),
        forms=("", "1 - x"),
    )
    rows = rows.append_column("total", pa.array(relation.compute_numbers(rows)))
    assert rows["total"].to_pylist() == [11.0, 41.0]
    for name in ("x", "rate", "y"):
        assert relation.can_solve(name)
        assert relation.solve(rows, name) == pytest.approx(rows[name].to_numpy())
    assert not relation.can_solve("key")
