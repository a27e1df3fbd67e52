"""Relations that a few odd rows break."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.given_columns import check_derived_values
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.data import LabeledRows
from models.tabular.prepare import RelationPlan, plan_relations
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.equations.with_exceptions import find_equations_with_exceptions
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import decode_shuffled, make_settings

COUNT = 2_000


def make_table(odd: int = 3) -> pa.Table:
    """Return rows with equations, the numbers of which are other ones in some `odd` rows."""
    rng = np.random.default_rng(0)
    time, a, b, c = (rng.integers(0, 2_400, COUNT) for _ in range(4))
    columns = {"time": time, "hour": time // 100, "a": a, "b": b, "c": c, "total": a + b - c}
    columns["product"] = a * b
    rows = rng.permutation(COUNT)[:odd]
    for name in ("hour", "total", "product"):
        values = columns[name].copy()
        values[rows] = rng.integers(0, 24, odd) if name == "hour" else 7
        columns[name] = values
    return pa.table(columns)


def plan(table: pa.Table, **options: Any) -> RelationPlan:
    schema = tuple(ColumnSchema(name, "integer") for name in table.column_names)
    rows = LabeledRows(table, schema, None, np.arange(len(table)), np.arange(0))
    return plan_relations(rows, make_settings(table, **options))


def test_relations_of_all_but_a_few_rows_are_kept_as_often_as_these_have_them() -> None:
    table = make_table()
    coding = plan(table).coding
    names = {relation.name for relation in coding.with_exceptions}
    assert {"a + b - c ~ total", "a * b ~ product"} < names
    assert [each.columns for each in coding.with_exceptions if each.last == "hour"] == [
        ("time", "hour")
    ]
    coded = coding.encode(table).combine_chunks()
    assert coding.decode(coded.to_batches()[0], table.schema).equals(table.to_batches()[0])
    rows = decode_shuffled(RelationCoding.unpack(coding.pack()), table)
    for relation in coding.with_exceptions:
        share, sampled = (relation.holds(each).mean() for each in (table, rows))
        assert 0.998 <= share < 1
        assert sampled == pytest.approx(share, abs=0.002)


def test_a_given_step_beyond_those_of_the_rows_is_refused() -> None:
    coding = plan(make_table()).coding
    is_given = {"hour": np.array([True, True])}
    check_derived_values(coding, {"hour": pa.array([23, 0])}, is_given)
    for hour in (24, -1):
        with pytest.raises(InvalidPartialRow, match="its values are from 0 to 23") as caught:
            check_derived_values(coding, {"hour": pa.array([3, hour])}, is_given)
        assert (caught.value.row, caught.value.column) == (1, "hour")


def test_a_third_term_is_kept_next_to_a_sum_of_two_that_nearly_holds() -> None:
    table = make_table().select(["a", "b", "c", "total"])
    small = pa.array(table["c"].to_numpy() % 80)
    total = pa.array(np.r_[3, 5, (table["a"].to_numpy() + table["b"].to_numpy() - small)[2:]])
    table = pa.table([table["a"], table["b"], small, total], names=table.column_names)
    assert [each.name for each in plan(table).coding.with_exceptions] == ["a + b - c ~ total"]


def test_computed_numbers_have_no_more_decimals_than_those_of_the_rows() -> None:
    """The odd rows are too large and too fine for integers of their last decimal."""
    price = np.random.default_rng(3).integers(0, 10_000, COUNT) / 1_000
    amount = np.floor(price * 250 + 0.5 + 1e-9) / 100
    amount[:2] = 1e12, 0.12345
    table = pa.table({"price": price, "amount": amount})
    schema = tuple(ColumnSchema(name, "number") for name in table.column_names)
    rows = LabeledRows(table, schema, None, np.arange(COUNT), np.arange(0))
    coding = plan_relations(rows, make_settings(table)).coding
    assert [each.name for each in coding.with_exceptions] == ["2.5 * price ~ amount"]
    batch = coding.encode(table).combine_chunks().to_batches()[0]
    assert coding.decode(batch, table.schema).equals(table.to_batches()[0])


def test_codes_that_floats_would_change_have_no_relations() -> None:
    code = np.random.default_rng(4).integers(2**54, 2**62, COUNT)
    copy = np.r_[7, code[1:]]
    assert not plan(pa.table({"code": code, "copy": copy, "next": code + 1})).coding.columns


def test_up_to_one_row_in_a_hundred_may_be_odd() -> None:
    types = dict.fromkeys(make_table().column_names, "integer")
    relations = find_equations_with_exceptions(make_table(12), types, [], [])
    assert "a * b ~ product" in {relation.name for relation in relations}
    assert not find_equations_with_exceptions(make_table(80), types, [], [])


def test_numbers_that_are_mostly_zero_are_not_equal() -> None:
    rng = np.random.default_rng(2)
    numbers = [np.where(rng.random(COUNT) < 0.004, rng.integers(1, 99, COUNT), 0) for _ in "ab"]
    table = pa.table(dict(zip("ab", numbers, strict=True)))
    assert not find_equations_with_exceptions(table, dict.fromkeys("ab", "integer"), [], [])


def test_they_can_be_switched_off() -> None:
    name = "a * b ~ product"
    table = make_table()
    for options in ({"relations": [name]}, {"relations": False}, {"min_value_count": 2}):
        others = plan(table, **options).coding.with_exceptions
        assert name not in {relation.name for relation in others}
