"""Numbers that are a product in many rows, and never above or never below it in the others."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.data import LabeledRows
from models.tabular.prepare import plan_relations
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.equations.capped_products import find_capped_products
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import decode_shuffled, make_settings

N = 1_000
RNG = np.random.default_rng(0)
PRICE = np.round(RNG.lognormal(3.2, 0.7, N), 2)
COUNT = RNG.integers(1, 30, N)
AMOUNT = np.round(PRICE * COUNT, 2)
LIMIT = RNG.choice([150.0, 300.0, 1000.0], N)


def coding_of(columns: dict[str, Any]) -> tuple[RelationCoding, pa.Table]:
    table = pa.table(columns)
    schema = tuple(ColumnSchema(name, "number") for name in columns)
    rows = LabeledRows(table, schema, None, np.arange(N), np.arange(0))
    coding = plan_relations(rows, make_settings(table)).coding
    return RelationCoding.unpack(coding.pack()), table


@pytest.mark.parametrize(
    ("price", "paid", "side"),
    [(PRICE, np.minimum(AMOUNT, LIMIT), -1), (np.minimum(PRICE, 20.0), AMOUNT, 1)],
)
def test_samples_never_leave_the_side_of_a_product_that_bounds_all_rows(
    price: Any, paid: Any, side: int
) -> None:
    coding, table = coding_of({"price": price, "count": COUNT, "paid": paid})
    (relation,) = coding.with_exceptions
    assert relation.name == "price * count ~ paid"
    batch = coding.encode(table).combine_chunks().to_batches()[0]
    assert coding.decode(batch, table.schema).equals(table.to_batches()[0])
    rows = decode_shuffled(coding, table)
    difference = rows["paid"].to_numpy() - np.round(rows["price"].to_numpy() * rows["count"], 2)
    assert (side * difference > -0.006).all()
    assert relation.holds(rows).mean() >= relation.holds(table).mean()


def test_products_that_some_rows_exceed_or_that_are_a_factor_bound_nothing() -> None:
    types = dict.fromkeys(("price", "count", "paid"), "number")
    paid = np.minimum(AMOUNT, LIMIT)
    paid[3] = AMOUNT[3] + 1
    table = pa.table({"price": PRICE, "count": COUNT, "paid": paid})
    assert not find_capped_products(table, types, ())
    table = pa.table({"price": PRICE, "count": np.ones(N), "paid": np.minimum(PRICE, 20.0)})
    assert not find_capped_products(table, types, ())
