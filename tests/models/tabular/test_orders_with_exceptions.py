"""Orders of dates, times and numbers that a few odd rows break."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.data import LabeledRows
from models.tabular.prepare import RelationPlan, plan_relations
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.near.orders import find_orders_with_exceptions
from models.tabular.relations.planning import plan_coding
from models.tabular.relations.relation import Relation
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import decode_shuffled, make_settings, train_sampler

N = 1_000
RNG = np.random.default_rng(0)
HIRED = np.datetime64("2015-01-01") + RNG.integers(0, 2_000, N)
LEFT = HIRED + RNG.integers(1, 900, N)
GAMES = RNG.integers(10, 160, N)
HOMERS = (GAMES * RNG.uniform(0.4, 1, N)).astype(np.int64)


def plan(columns: dict[str, Any], types: dict[str, Any]) -> tuple[RelationPlan, pa.Table]:
    table = pa.table(columns)
    schema = tuple(ColumnSchema(name, types[name]) for name in columns)
    rows = LabeledRows(table, schema, None, np.arange(N), np.arange(0))
    return plan_relations(rows, make_settings(table)), table


def test_samples_satisfy_an_order_of_dates_that_two_odd_rows_break() -> None:
    left = LEFT.copy()
    left[[5, 77]] = HIRED[[5, 77]] - 40
    types = {"hired": "datetime", "left": "datetime"}
    relations, table = plan({"hired": HIRED, "left": left}, types)
    (order,) = relations.coding.relations
    assert (order.name, order.to_dict()["kind"]) == ("hired <~ left", "near_order")
    assert (~order.holds(table)).sum() == 2
    rows = decode_shuffled(RelationCoding.unpack(relations.coding.pack()), table)
    assert order.holds(rows).all()


def test_given_values_that_break_an_order_with_exceptions_are_refused(tmp_path: Path) -> None:
    left = LEFT.copy()
    left[[5, 77]] = HIRED[[5, 77]] - 40
    table = pa.table({"hired": HIRED.astype("M8[us]"), "left": left.astype("M8[us]")})
    schema = tuple(ColumnSchema(name, "datetime") for name in table.column_names)
    tokenizer = train_sampler(table, schema, tmp_path, steps=2).tokenizer
    PartialRows.parse(tokenizer, [{"hired": "2016-05-01", "left": "2016-05-02"}])
    with pytest.raises(InvalidPartialRow, match="because `hired <~ left`"):
        PartialRows.parse(tokenizer, [{"hired": "2016-05-01", "left": "2016-04-01"}])


def test_rows_that_break_an_order_of_numbers_are_generated_again() -> None:
    homers = HOMERS.copy()
    homers[5] = GAMES[5] + 1
    relations, _ = plan(
        {"games": GAMES, "homers": homers}, dict.fromkeys(("games", "homers"), "integer")
    )
    assert [each.name for each in relations.coding.checked] == ["homers <~ games"]


def test_true_exceptions_and_columns_without_an_order_are_left_alone() -> None:
    types = dict.fromkeys(("games", "homers"), "integer")
    homers = HOMERS.copy()
    homers[:8] = GAMES[:8] + 1
    assert not find_orders_with_exceptions(
        pa.table({"games": GAMES, "homers": homers}), types, set()
    )
    dates = pa.table({"hired": HIRED, "left": np.roll(LEFT, 1)})
    assert not find_orders_with_exceptions(dates, dict.fromkeys(("hired", "left"), "datetime"), ())
    # Numbers that are mostly equal have no direction.
    games = GAMES.copy()
    games[3] += 1
    equal = pa.table({"games": GAMES, "homers": games})
    assert not find_orders_with_exceptions(equal, types, set())


def test_an_exact_order_does_not_follow_from_one_with_exceptions() -> None:
    reviewed = HIRED + ((LEFT - HIRED).astype(np.int64) * RNG.uniform(0, 1, N)).astype(np.int64)
    reviewed[7] = LEFT[7] + 3
    dates = {"hired": HIRED, "left": LEFT, "reviewed": pa.array(reviewed, mask=np.arange(N) > 900)}
    relations, table = plan(dates, dict.fromkeys(dates, "datetime"))
    names = {each.name for each in relations.coding.relations}
    assert {"hired <= left", "reviewed <~ left"} <= names
    rows = decode_shuffled(relations.coding, table)
    checked = np.all([each.holds(rows) for each in relations.coding.checked], axis=0)
    assert all(each.holds(rows)[checked].all() for each in relations.coding.relations)


def test_orders_with_exceptions_are_never_a_cycle() -> None:
    table = pa.table(dict.fromkeys("abc", HIRED))
    orders = [Relation("order", pair, exceptions=True) for pair in (("a", "b"), ("b", "c"))]
    coding = plan_coding([Relation("order", ("c", "a"))], table, (), (), orders)
    assert {"c <= a", "a <~ b"} == {each.name for each in coding.relations}
