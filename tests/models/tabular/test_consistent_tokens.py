"""Partial rows with values that follow from several possible values of other columns."""

from collections.abc import Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.errors import AcceptanceRateTooLow
from models.tabular.batched_sampling import iter_batches
from models.tabular.completion import row_completion
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import NUM_PARTICLES, complete_rows
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import plan_partial_rows
from models.tabular.schema import ColumnSchema, ColumnType
from tests.models.tabular.tiny_tables import train_sampler

RNG = np.random.default_rng(0)
N = 3_000
QUANTITY = RNG.integers(1, 7, N)
PRICE = RNG.integers(10, 1_000, N) / 10
TOTAL = np.round(QUANTITY * PRICE, 2)
CELSIUS = np.round(RNG.uniform(-10, 30, N), 1)
MONTHS = RNG.integers(0, 200, N)  # more than there are tokens for single values
SIZE = RNG.integers(0, 40, N)
COST = np.round(RNG.lognormal(4, 1, N), 2)
MINUTES = RNG.integers(5, 900, N)
START = np.datetime64("2020-01-01", "us") + RNG.integers(0, 500_000, N) * np.timedelta64(60, "s")


@pytest.fixture(scope="module", params=["fixed order", "any order"])
def sampler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> TableSampler:
    table = pa.table(
        {
            "quantity": QUANTITY,
            "price": PRICE,
            "total": TOTAL,
            "tax": np.round(0.2 * TOTAL, 2),
            "celsius": CELSIUS,
            "fahrenheit": np.round(1.8 * CELSIUS + 32).astype(int),
            "year": 2000 + MONTHS // 12,
            "month": 1 + MONTHS % 12,
            "date": 2000 + MONTHS / 12,
            "size": SIZE,
            "kind": np.where(SIZE < 4, "small", np.where(SIZE < 30, "medium", "large")),
        }
    )
    types: dict[str, ColumnType]
    types = {"int64": "integer", "double": "number", "string": "category"}
    schema = tuple(ColumnSchema(item.name, types[str(item.type)]) for item in table.schema)
    folder = tmp_path_factory.mktemp("model")
    any_order = 0.5 if request.param == "any order" else 0.0
    sampler = train_sampler(table, schema, folder, steps=60, random_order_prob=any_order)
    names = {relation.name for relation in sampler.tokenizer.coding.relations}
    assert {"quantity * price = total", "0.2 * total = tax", "size -> kind"} <= names
    return sampler


def complete(sampler: TableSampler, row: Mapping[str, Any], count: int = 100) -> pa.RecordBatch:
    partial_rows = PartialRows.parse(sampler.tokenizer, [row] * count)
    rows = complete_rows(sampler, 1, np.arange(count), partial_rows).rows
    assert sampler.tokenizer.coding.satisfied(rows).all()
    for name, value in row.items():
        assert rows[name].to_pylist() == [value] * count
    return rows


def test_quantities_of_a_given_total_are_as_likely_as_their_prices(sampler: TableSampler) -> None:
    rows = complete(sampler, {"total": 60.0}, 600)
    counts = np.bincount(rows["quantity"].to_numpy(), minlength=7)[1:]
    # Of 1 to 6, each has one price, and all prices are about as likely.
    assert counts.sum() == 600
    assert np.abs(counts / 600 - 1 / 6).sum() / 2 < 0.16


def test_totals_of_the_rows_can_be_given_to_many_rows_at_once(tmp_path: Path) -> None:
    """The price in cents comes first, and hardly any price is one of a given total."""
    price = RNG.integers(1_000, 100_000, N) / 100
    table = pa.table({"price": price, "quantity": QUANTITY, "total": np.round(price * QUANTITY, 2)})
    types: list[ColumnType] = ["number", "integer", "number"]
    schema = tuple(map(ColumnSchema, table.schema.names, types))
    sampler = train_sampler(table, schema, tmp_path, steps=60)
    totals = [{"total": total} for total in table["total"].to_pylist()[:60]]
    partial_rows = PartialRows.parse(sampler.tokenizer, totals)
    completed = complete_rows(sampler, 1, np.arange(60), partial_rows)
    assert sampler.tokenizer.coding.satisfied(completed.rows).all()
    assert len(set(completed.rows["quantity"].to_pylist())) > 3
    assert completed.acceptance_rate * NUM_PARTICLES > 0.42  # 0.37 with the exact price


def test_a_given_tax_is_that_of_the_total_of_a_quantity_and_a_price(sampler: TableSampler) -> None:
    rows = complete(sampler, {"tax": 12.0})
    assert len(set(rows["quantity"].to_pylist())) > 3


def test_totals_and_categories_that_follow_from_values_are_never_missing(
    sampler: TableSampler,
) -> None:
    for name in ("total", "tax", "kind"):
        with pytest.raises(InvalidPartialRow, match="never missing") as error:
            PartialRows.parse(sampler.tokenizer, [{}, {name: None}])
        assert (error.value.row, error.value.column) == (1, name)


def test_numbers_of_which_several_give_the_same_rounded_one_are_sampled(
    sampler: TableSampler,
) -> None:
    celsius = complete(sampler, {"fahrenheit": 50})["celsius"].to_numpy()
    assert len(np.unique(celsius)) > 3
    assert (np.abs(celsius - 10) < 0.3).all()


def test_parts_of_a_decimal_date_are_given_alone_and_together(sampler: TableSampler) -> None:
    of_year = complete(sampler, {"year": 2004})
    assert set(of_year["month"].to_pylist()) >= {1, 4, 7, 10, 12}
    of_month = complete(sampler, {"month": 7})
    assert len(set(of_month["year"].to_pylist())) > 6
    # No date such as 2004.4600001, which also rounds to July.
    assert set(of_month["date"].to_pylist()) <= set((2000 + MONTHS / 12).tolist())
    both = complete(sampler, {"year": 2004, "month": 7})
    assert set(both["date"].to_pylist()) == {2004.5}


def test_numbers_of_a_given_category_are_those_of_the_category(sampler: TableSampler) -> None:
    sizes = complete(sampler, {"kind": "medium"})["size"].to_numpy()
    assert (sizes.min(), sizes.max()) == (4, 29)
    assert len(np.unique(sizes)) > 20


def test_a_row_does_not_depend_on_the_values_of_those_completed_with_it(
    sampler: TableSampler,
) -> None:
    kinds: list[dict[str, Any]] = [{"quantity": 3}, {"total": 60.0}, {"month": 7}, {}]
    mixed = PartialRows.parse(sampler.tokenizer, kinds * 20)
    rows = complete_rows(sampler, 1, np.arange(80), mixed).rows
    for i, row in enumerate(kinds):
        index = np.arange(i, 80, len(kinds))
        own = PartialRows.parse(sampler.tokenizer, [row] * 20)
        assert complete_rows(sampler, 1, index, own).rows == rows.take(pa.array(index))


def test_a_value_that_nothing_gives_is_refused_with_its_relation(
    sampler: TableSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_completion, "MAX_PARTICLES", 32 * 50)
    rows = PartialRows.parse(sampler.tokenizer, [{"total": 60.0}, {"total": 0.03}])
    with pytest.raises(AcceptanceRateTooLow, match=r"Sample 1 .* `total` is impossible") as error:
        complete_rows(sampler, 1, np.arange(2), rows)
    assert "because `quantity * price = total`" in str(error.value)


def test_each_column_of_an_equation_follows_from_the_others(tmp_path: Path) -> None:
    discount = np.where(RNG.random(N) < 0.5, RNG.integers(0, 100, N) / 100, 0)
    began, lasted = RNG.integers(0, 86_400, N), RNG.integers(60, 9_000, N)
    table = pa.table(
        {
            "quantity": QUANTITY,
            "price": PRICE,
            "discount": discount,
            "amount": np.round(QUANTITY * PRICE - discount, 2),
            "began": pa.array(began * 10**6).cast(pa.time64("us")),
            "lasted": pa.array(lasted * 10**6).cast(pa.duration("us")),
            "ended": pa.array((began + lasted) % 86_400 * 10**6).cast(pa.time64("us")),
            "cost": COST,
            "rate": np.round(COST / QUANTITY, 2),
            "start": START,
            "end": START + MINUTES * np.timedelta64(60_000_000, "us"),
            "minutes": MINUTES,
        }
    )
    types: tuple[ColumnType, ...] = (
        *("integer", "number", "number", "number", "time", "duration", "time"),
        *("number", "number", "datetime", "datetime", "integer"),
    )
    schema = tuple(ColumnSchema(n, type) for n, type in zip(table.column_names, types, strict=True))
    sampler = train_sampler(table, schema, tmp_path, steps=10)
    names = {relation.name for relation in sampler.tokenizer.coding.relations}
    assert {"quantity * price - discount = amount", "began + lasted = ended"} <= names
    assert {"cost / quantity = rate", "minutes(end - start) = minutes"} <= names
    noon = np.datetime64("2020-05-05T12:00", "us").item()
    for row, name, value in (
        ({"amount": 59.25, "price": 20.0, "quantity": 3}, "discount", 0.75),
        ({"amount": 59.25, "discount": 0.75, "quantity": 3}, "price", 20.0),
        ({"amount": 59.25, "discount": 0.75, "price": 20.0}, "quantity", 3),
        ({"began": time(23, 59), "ended": time(0, 10)}, "lasted", timedelta(minutes=11)),
        ({"lasted": timedelta(hours=1), "ended": time(0, 10)}, "began", time(23, 10)),
        ({"cost": 60.0, "rate": 20.0}, "quantity", 3),
        ({"end": noon, "minutes": 75}, "start", noon - timedelta(minutes=75)),
        ({"start": noon, "minutes": 75}, "end", noon + timedelta(minutes=75)),
    ):
        assert complete(sampler, row, 5)[name].to_pylist() == [value] * 5


def test_a_value_that_follows_from_none_of_a_small_type_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_completion, "MAX_PARTICLES", 32 * 20)
    amount = RNG.integers(1, 20, N)
    table = pa.table(
        {
            "quantity": pa.array(QUANTITY, pa.uint8()),
            "amount": pa.array(amount, pa.uint8()),
            "total": QUANTITY * amount,
        }
    )
    schema = tuple(ColumnSchema(name, "integer") for name in table.column_names)
    sampler = train_sampler(table, schema, tmp_path, steps=10)
    with pytest.raises(InvalidPartialRow, match="contradicts `quantity`"):
        PartialRows.parse(sampler.tokenizer, [{"total": 1_000, "quantity": 2}])
    for given in ({"total": 100_000}, {"total": -5}):
        rows = PartialRows.parse(sampler.tokenizer, [given])
        with pytest.raises(AcceptanceRateTooLow, match="Sample 0 cannot be completed"):
            complete_rows(sampler, 1, np.arange(1), rows)


def test_rows_of_given_totals_take_short_turns(sampler: TableSampler) -> None:
    sizes = {}
    for name in ("total", "quantity"):
        plan = plan_partial_rows([{name: 6}] * 70, seed=1, offset=0)
        sizes[name] = [len(batch) for batch in iter_batches(sampler, plan)]
    assert sizes == {"total": [64, 6], "quantity": [70]}
