"""Identifiers that a learned column determines, such as the phone numbers of customers."""

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.identifiers.columns import IdColumn
from models.tabular.identifiers.keyed_values import KeyedValues
from models.tabular.schema import ColumnSchema
from models.tabular.tokenizer import Tokenizer
from models.tabular.tokenizer_tensors import from_tensors, to_tensors

rng = np.random.default_rng(3)
CUSTOMERS = [f"C-{100 + 7 * i}" for i in range(40)]
PHONES = [f"+49 30 {number}" for number in rng.permutation(9_000_000)[:40] + 1_000_000]
CUSTOMER = rng.permutation(np.arange(200) % 40)
ORDERS = pa.table(
    {
        "customer": pa.array(CUSTOMERS).take(pa.array(CUSTOMER)),
        "region": pa.array(["north", "south"]).take(pa.array(CUSTOMER % 2)),
        "phone": pa.array(PHONES).take(pa.array(CUSTOMER)),
        "quantity": rng.integers(1, 9, 200),
    }
)
COLUMNS = {name: ORDERS[name].combine_chunks() for name in ("customer", "region")}


def test_the_column_that_determines_an_identifier_is_found() -> None:
    keyed = KeyedValues.fit(ORDERS["phone"].combine_chunks(), COLUMNS)
    assert keyed == KeyedValues("customer", tuple(sorted(CUSTOMERS)))
    assert KeyedValues.from_json(keyed.to_json()) == keyed


@pytest.mark.parametrize("others", [3, 40])
def test_few_rows_of_a_key_may_have_another_identifier(others: int) -> None:
    phones = ORDERS["phone"].to_pylist()
    phones[:others] = [f"+49 40 {i}" for i in range(others)]
    keyed = KeyedValues.fit(pa.array(phones), COLUMNS)
    assert (keyed is not None) == (others == 3)


def test_keys_that_hardly_repeat_determine_nothing() -> None:
    numbers = pa.array([str(i) for i in [*range(195), *range(5)]])
    assert KeyedValues.fit(numbers, {"number": numbers}) is None


def test_rows_of_one_key_have_one_new_identifier() -> None:
    schema = [
        ColumnSchema("customer", "category"),
        ColumnSchema("region", "category"),
        ColumnSchema("phone", "id", format="phone"),
        ColumnSchema("quantity", "integer"),
    ]
    tokenizer = from_tensors(*to_tensors(Tokenizer.fit(ORDERS, schema, target_column=None, seed=1)))
    u = rng.random((tokenizer.num_decode_uniforms, 200))
    ids = {each.name: each.values(7, np.arange(200)) for each in tokenizer.id_columns}
    rows = tokenizer.decode(tokenizer.encode(ORDERS, 1), u, ids)
    is_given = np.arange(200) < 3
    columns = {**rows.to_pydict(), "phone": ["given"] * 200}
    coded = pa.RecordBatch.from_pydict(columns, schema=tokenizer.arrow)
    completed = tokenizer.decode_relations(coded, {"phone": is_given}).column("phone").to_pylist()
    assert completed == ["given"] * 3 + rows["phone"].to_pylist()[3:]
    pairs = set(zip(rows["customer"].to_pylist(), rows["phone"].to_pylist(), strict=True))
    assert len(pairs) == len(set(rows["customer"].to_pylist())) == len({p for _, p in pairs})
    assert not {phone for _, phone in pairs} & set(PHONES)


def test_an_unknown_key_keeps_the_identifier_that_was_drawn() -> None:
    column = IdColumn.fit("phone", pa.string(), ORDERS["phone"].combine_chunks(), kind="phone")
    keyed = KeyedValues.fit(ORDERS["phone"].combine_chunks(), COLUMNS)
    fields = {**column.to_json(), "keyed": keyed and keyed.to_json()}
    restored = IdColumn.from_json({"name": "phone", **fields}, pa.string())
    rows = pa.RecordBatch.from_pydict({"customer": ["C-100", None, "C-100", "new"]})
    values = restored.match_rows(pa.array(["a", "b", "c", "d"]), rows).to_pylist()
    assert values[0] == values[2] != "a"
    assert (values[1], values[3]) == ("b", "d")
