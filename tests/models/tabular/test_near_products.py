"""Numbers that nearly are the product or the quotient of two others."""

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.data import LabeledRows
from models.tabular.prepare import plan_relations
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.near.detection import find_near_columns
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import make_settings, train_sampler

TYPES = {"months": "integer", "fee": "number", "paid": "number"}
SCHEMA = tuple(ColumnSchema(name, kind) for name, kind in TYPES.items())  # type: ignore[arg-type]
FORMULA = "months * fee ~ paid"


def make_contracts(count: int = 1_500, unit: float = 0.05) -> pa.Table:
    """Return contracts of which 60 % paid the whole fee for all months, the others about it."""
    rng = np.random.default_rng(4)
    months = rng.integers(1, 73, count)
    fee = np.round(rng.uniform(18, 118, count) / unit) * unit
    spread = np.where(rng.random(count) < 0.6, 1, rng.normal(1, 0.05, count))
    paid = np.round(months * fee * spread / unit) * unit
    return pa.table({"months": months, "fee": np.round(fee, 2), "paid": np.round(paid, 2)})


def ratios_of(rows: pa.Table | pa.RecordBatch) -> np.ndarray:
    months, fee, paid = (np.asarray(rows.column(name)) for name in TYPES)
    return np.asarray(paid / (months * fee))


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    return train_sampler(make_contracts(), SCHEMA, tmp_path_factory.mktemp("model"), steps=150)


@pytest.mark.parametrize("unit", [0.01, 0.05])
def test_a_near_product_is_found_and_survives_coding(unit: float) -> None:
    table = make_contracts(unit=unit)
    missing = np.random.default_rng(1).random((3, len(table))) < 0.05
    columns = [pa.array(table[n].to_numpy(), mask=missing[i]) for i, n in enumerate(TYPES)]
    for rows in (table, pa.table(columns, names=list(TYPES))):
        (column,) = find_near_columns(rows, TYPES, ())
        assert column.relation_name == FORMULA
        coding = RelationCoding((column,))
        assert RelationCoding.unpack(coding.pack()) == coding
        coded = coding.encode(rows).combine_chunks().to_batches()[0]
        assert pa.Table.from_batches([coding.decode(coded, rows.schema)]).equals(rows)


@pytest.mark.parametrize("most", [3, 12, 30])
def test_a_factor_may_have_few_values(most: int) -> None:
    """A discount of some orders: quantities of few values are learned as such, but are factors."""
    rng = np.random.default_rng(7)
    price, quantity = np.round(rng.uniform(3, 90, 2_000), 2), rng.integers(1, most + 1, 2_000)
    discount = rng.choice([1.0, 0.95, 0.9, 0.85], 2_000, p=[0.5, 0.2, 0.2, 0.1])
    amount = np.round(price * quantity * discount, 2)
    types = {"price": "number", "quantity": "integer", "amount": "number"}
    table = pa.table(dict(zip(types, (price, quantity, amount), strict=True)))
    (column,) = find_near_columns(table, types, ())
    assert column.relation_name == "price * quantity ~ amount"


def test_a_near_quotient_is_found() -> None:
    table = make_contracts()
    columns = {name: table[name] for name in ("paid", "months", "fee")}
    (column,) = find_near_columns(pa.table(columns), {n: TYPES[n] for n in columns}, ())
    assert column.to_dict() == {
        "name": "paid / months ~ fee",
        "kind": "near_quotient",
        "columns": ["paid", "months", "fee"],
    }


def test_a_pace_follows_from_the_distance_and_the_duration_of_a_run() -> None:
    rng = np.random.default_rng(8)
    miles = np.round(rng.uniform(1, 20, 400), 2)
    seconds = np.rint(miles * rng.uniform(420, 900, 400)).astype("m8[s]")
    pace = np.rint(seconds.astype(int) / miles).astype("m8[s]")
    table = pa.table({"miles": miles, "lasted": seconds, "pace": pace})
    table = table.cast(
        pa.schema({"miles": pa.float64(), "lasted": pa.duration("us"), "pace": pa.duration("us")})
    )
    types = {"miles": "number", "lasted": "duration", "pace": "duration"}
    columns = find_near_columns(table, types, ())
    assert [each.relation_name for each in columns] == ["lasted / miles", "lasted / miles ~ pace"]
    coding = RelationCoding(tuple(columns))
    coded = coding.encode(table).combine_chunks().to_batches()[0]
    assert pa.Table.from_batches([coding.decode(coded, table.schema)]).equals(table)


def test_independent_factors_are_not_coded() -> None:
    rng = np.random.default_rng(2)
    table = make_contracts().set_column(
        2, "paid", pa.array(np.round(rng.uniform(9, 900, 1_500), 2))
    )
    assert find_near_columns(table, TYPES, ()) == []


def test_samples_have_as_many_exact_products_and_as_narrow_ratios(sampler: TableSampler) -> None:
    rows, real = ratios_of(sampler.sample(1, np.arange(3_000)).rows), ratios_of(make_contracts())
    exact, real_exact = (np.abs(ratios - 1) < 1e-4 for ratios in (rows, real))
    assert exact.mean() == pytest.approx(real_exact.mean(), abs=0.1)
    assert np.quantile(np.abs(rows - 1), 0.95) < 2 * np.quantile(np.abs(real - 1), 0.95)
    paid = np.asarray(sampler.sample(1, np.arange(500)).rows.column("paid")) / 0.05
    assert np.abs(paid - np.rint(paid)).max() < 1e-6


def test_a_given_product_affects_its_factors(sampler: TableSampler) -> None:
    given = [{"paid": 900.0 + k, "months": 20} for k in range(20)] + [{"paid": 3_000.0}]
    partial = PartialRows.parse(sampler.tokenizer, given)
    rows = complete_rows(sampler, 3, np.arange(len(given)), partial).rows
    assert rows["paid"].to_pylist() == [row["paid"] for row in given]
    assert np.median(ratios_of(rows)[:20]) == pytest.approx(1, abs=0.25)


def test_near_products_are_listed_and_can_be_switched_off() -> None:
    table = make_contracts()
    rows = LabeledRows.split(table, SCHEMA, target_column=None, holdout_fraction=0.1, seed=1)
    listed = {
        str(setting): [(each["name"], each["kind"]) for each in plan.describe()]
        for setting in (True, [FORMULA])
        for plan in [plan_relations(rows, make_settings(table, relations=setting))]
    }
    assert (FORMULA, "near_product") in listed["True"]
    assert FORMULA not in dict(listed[f"['{FORMULA}']"])


def test_a_product_of_rounded_numbers_in_few_rows_may_be_off_by_a_cent() -> None:
    rng = np.random.default_rng(7)
    gallons, price = rng.uniform(3, 11, 130), rng.uniform(2.2, 3.2, 130)
    cost = np.round(gallons * price, 2)
    rounded = {"gallons": np.round(gallons, 2), "cost": cost, "price": np.round(price, 3)}
    assert not np.array_equal(np.round(rounded["gallons"] * rounded["price"], 2), cost)
    found = find_near_columns(pa.table(rounded), dict.fromkeys(rounded, "number"), ())
    assert "cost / gallons ~ price" in [column.relation_name for column in found]
