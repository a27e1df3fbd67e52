"""Numbers whose decimals another column says, such as prices in yen and in euros."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.relations.detection import SCREENING_ROWS, detect_relations
from models.tabular.relations.relation import Relation
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import train_sampler

TYPES = {"currency": "category", "price": "number", "weight": "number"}
SCHEMA = tuple(
    ColumnSchema(name, type)  # type: ignore[arg-type]
    for name, type in TYPES.items()
)
DECIMALS = {"EUR": 2, "JPY": 0, "KRW": -2}


def make_prices(rows: int = 600, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    currency = rng.choice(list(DECIMALS), rows, p=[0.6, 0.2, 0.2])
    euros = rng.lognormal(3, 1, rows)
    prices = {"EUR": np.round(euros, 2), "JPY": np.rint(160 * euros), "KRW": np.rint(15 * euros)}
    prices["KRW"] *= 100
    price = np.select([currency == name for name in prices], list(prices.values()))
    return pa.table({"currency": currency, "price": price, "weight": rng.random(rows).round(3)})


PRICES = make_prices()


def decimals_of(table: pa.Table, **types: str) -> list[Relation]:
    relations = detect_relations(table, {**TYPES, **types})
    return [relation for relation in relations if relation.kind == "decimals"]


def has_its_decimals(row: dict[str, Any]) -> bool:
    return bool(round(row["price"], DECIMALS[row["currency"]]) == row["price"])


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    folder = tmp_path_factory.mktemp("model")
    return train_sampler(PRICES, SCHEMA, folder, label=None, steps=20)


def test_a_column_that_says_the_decimals_of_a_number_is_found() -> None:
    (relation,) = decimals_of(PRICES)
    assert relation.name == "decimals(currency) of price"
    assert dict(zip(relation.keys, relation.values, strict=True)) == {"JPY": 0, "KRW": -2}
    assert relation.holds(PRICES).all()
    assert Relation.unpack(relation.pack()) == relation


def test_prices_with_other_decimals_break_the_relation() -> None:
    (relation,) = decimals_of(PRICES)
    rows = pa.table(
        {
            "currency": ["EUR", "JPY", "JPY", "KRW", "KRW", "USD", None],
            "price": [1.25, 1.25, 3.0, 200.0, 250.0, 1.25, 1.25],
        }
    )
    assert relation.holds(rows).tolist() == [True, False, True, True, False, True, True]


def test_decimals_that_few_rows_lack_by_chance_are_not_found() -> None:
    rng = np.random.default_rng(1)
    kinds = rng.choice(["a", "b", *map(str, range(40))], 600)
    table = pa.table(
        {"currency": kinds, "price": rng.lognormal(3, 1, 600).round(1), "weight": rng.random(600)}
    )
    assert decimals_of(table) == []


def test_a_key_of_one_number_has_no_decimals_of_its_own() -> None:
    currency, prices = (PRICES[name].to_numpy().copy() for name in ("currency", "price"))
    prices[currency == "JPY"] = 20.0
    prices[np.flatnonzero(currency == "EUR")[:20]] = 20.0
    (relation,) = decimals_of(PRICES.set_column(1, "price", pa.array(prices)))
    assert relation.keys == ("KRW",)


def test_one_price_with_other_decimals_prevents_the_relation() -> None:
    first_yen = PRICES["currency"].to_pylist().index("JPY")
    prices = PRICES["price"].to_numpy().copy()
    prices[first_yen] += 0.25
    (relation,) = decimals_of(PRICES.set_column(1, "price", pa.array(prices)))
    assert relation.keys == ("KRW",)


def test_a_finer_price_prevents_the_relation_in_a_row_that_is_not_screened() -> None:
    table = make_prices(SCREENING_ROWS + 1_000)
    (relation,) = decimals_of(table)
    assert relation.keys == ("JPY", "KRW")
    screened = np.random.default_rng(0).choice(len(table), SCREENING_ROWS, replace=False)
    is_yen = np.array(table["currency"].to_pylist()) == "JPY"
    row = np.setdiff1d(np.flatnonzero(is_yen), screened)[0]
    prices = table["price"].to_numpy().copy()
    prices[row] += 0.0004
    (relation,) = decimals_of(table.set_column(1, "price", pa.array(prices)))
    assert relation.keys == ("KRW",)


def test_samples_have_the_decimals_of_their_rows(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(500)).rows.to_pylist()
    assert all(map(has_its_decimals, rows))
    assert any(round(row["price"]) != row["price"] for row in rows)


def test_conditions_on_both_columns_are_met(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(50), {"currency": "JPY", "price": {"gte": 2000}}).rows
    assert all(row["currency"] == "JPY" and row["price"] >= 2000 for row in rows.to_pylist())
    assert all(map(has_its_decimals, rows.to_pylist()))


def test_partial_rows_keep_their_price_and_get_a_fitting_currency(sampler: TableSampler) -> None:
    given = [{"price": 12.34}, {"currency": "KRW"}, {"price": 1500.0, "currency": "JPY"}]
    partial = PartialRows.parse(sampler.tokenizer, given)
    rows = complete_rows(sampler, 1, np.arange(3), partial).rows.to_pylist()
    for row, values in zip(rows, given, strict=True):
        assert row.items() >= values.items()
        assert has_its_decimals(row)


def test_a_given_price_with_the_decimals_of_another_currency_is_refused(
    sampler: TableSampler,
) -> None:
    with pytest.raises(InvalidPartialRow, match="decimals\\(currency\\) of price"):
        PartialRows.parse(sampler.tokenizer, [{"price": 12.34, "currency": "JPY"}])


def test_models_keep_the_decimals_when_they_are_stored(tmp_path: Path) -> None:
    first = train_sampler(PRICES, SCHEMA, tmp_path, label="currency", steps=2)
    rows = first.sample(3, np.arange(200), {"currency": "KRW"}).rows.to_pylist()
    assert all(map(has_its_decimals, rows))
