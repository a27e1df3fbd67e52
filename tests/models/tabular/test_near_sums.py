"""Numbers that are the sum of two others in most rows."""

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
from models.tabular.relations.near.sums import find_near_sums
from models.tabular.relations.relation import Relation
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import make_settings, train_sampler

NAME = "ground + upper ~ living"


def make_houses(count: int = 1_200, exceptions: float = 0.05) -> pa.Table:
    """Return houses; the living area is that of both floors, but some have a low ceiling."""
    rng = np.random.default_rng(0)
    ground = rng.integers(400, 2_000, count)
    upper = np.where(rng.random(count) < 0.5, rng.integers(300, 1_200, count), 0)
    rest = np.where(rng.random(count) < exceptions, rng.integers(1, 300, count), 0)
    kind = np.where(upper > 0, "two floors", "one floor")
    return pa.table(
        {"kind": kind, "ground": ground, "upper": upper, "living": ground + upper + rest}
    )


def make_loans(count: int = 1_200) -> pa.Table:
    """Return loans in whole euros, of which some are repaid to the cent, and one in fifty sold."""
    rng = np.random.default_rng(0)
    loan = rng.integers(1_000, 40_000, count)
    repaid = np.round(loan * rng.uniform(0.01, 0.6, count), 2)
    balance = np.where(rng.random(count) < 0.02, 0.0, np.round(loan - repaid, 2))
    kind = np.where(balance > 0, "current", "sold")
    return pa.table({"kind": kind, "loan": loan, "balance": balance, "repaid": repaid})


def schema_of(table: pa.Table) -> tuple[ColumnSchema, ...]:
    types = {"kind": "category", "balance": "number", "repaid": "number"}
    return tuple(ColumnSchema(name, types.get(name, "integer")) for name in table.column_names)


def plan(table: pa.Table, **options: Any) -> RelationPlan:
    rows = LabeledRows(table, schema_of(table), None, np.arange(len(table)), np.arange(0))
    return plan_relations(rows, make_settings(table, **options))


def share_with_sum(table: pa.Table | pa.RecordBatch) -> float:
    return float(Relation("near_sum", ("ground", "upper", "living")).holds(table).mean())


def test_a_sum_with_exceptions_is_coded_as_its_rest() -> None:
    table = make_houses()
    coding = plan(table).coding
    assert [relation.name for relation in coding.with_exceptions] == [NAME]
    coded = coding.encode(table)
    assert (np.array(coded["living"]) == 0).mean() == share_with_sum(table)
    decoded = coding.decode(coded.combine_chunks().to_batches()[0], table.schema)
    assert pa.Table.from_batches([decoded]) == table
    copy = RelationCoding.unpack(coding.pack())
    assert copy.with_exceptions == coding.with_exceptions


def test_exact_sums_and_chance_are_no_near_sums() -> None:
    assert not plan(make_houses(exceptions=0.0)).coding.with_exceptions
    rng = np.random.default_rng(1)
    table = pa.table({name: rng.poisson(2, 2_000) for name in "abc"})
    assert not find_near_sums(table, dict.fromkeys("abc", "integer"), ())


def test_a_sum_of_which_one_term_is_mostly_zero_is_no_near_sum() -> None:
    """Such a number is a copy of the other term."""
    table = make_houses()
    is_rare = np.random.default_rng(2).random(len(table)) < 0.03
    upper = np.where(is_rare, np.array(table["upper"]), 0)
    living = np.array(table["living"]) - np.array(table["upper"]) + upper
    table = table.set_column(2, "upper", pa.array(upper)).set_column(3, "living", pa.array(living))
    assert not plan(table).coding.with_exceptions


def test_a_sum_of_which_a_term_is_often_missing_is_no_near_sum() -> None:
    """The rest would be the whole total in rows that lack a term, such as a bonus."""
    table = make_houses(3_000)
    for share, is_coded in ((0.7, False), (0.005, True)):
        is_missing = np.random.default_rng(3).random(len(table)) < share
        upper = pa.array(np.array(table["upper"]), mask=is_missing)
        living = np.where(is_missing, np.array(table["ground"]), np.array(table["living"]))
        lacking = table.set_column(2, "upper", upper).set_column(3, "living", pa.array(living))
        assert bool(plan(lacking).coding.with_exceptions) == is_coded


def test_samples_have_the_sum_as_often_as_rows(tmp_path: Path) -> None:
    table = make_houses()
    sampler = train_sampler(table, schema_of(table), tmp_path, steps=3)
    rows = sampler.sample(1, np.arange(1_000)).rows
    assert abs(share_with_sum(rows) - share_with_sum(table)) < 0.03
    living, ground = (rows.column(name).to_numpy() for name in ("living", "ground"))
    assert (ground <= living).all()  # an exact relation


def test_a_term_is_coded_if_the_total_has_fewer_decimals(tmp_path: Path) -> None:
    table = make_loans()
    (relation,) = plan(table).coding.with_exceptions
    assert relation.name == "loan - balance ~ repaid"
    sampler = train_sampler(table, schema_of(table), tmp_path, steps=3)
    rows = sampler.sample(1, np.arange(1_000)).rows
    assert abs(relation.holds(rows).mean() - relation.holds(table).mean()) < 0.03


def test_given_totals_are_kept(tmp_path: Path) -> None:
    table = make_houses()
    sampler = train_sampler(table, schema_of(table), tmp_path, steps=3)
    given = [{"living": 1_500}, {"living": 1_500, "ground": 900, "upper": 500}, {"upper": 0}]
    rows = complete_rows(sampler, 1, np.arange(3), PartialRows.parse(sampler.tokenizer, given))
    completed = rows.rows.to_pylist()
    assert [row["living"] for row in completed[:2]] == [1_500, 1_500]
    assert completed[0]["ground"] + completed[0]["upper"] == 1_500
    assert (completed[1]["ground"], completed[1]["upper"]) == (900, 500)


def test_near_sums_are_listed_and_can_be_switched_off() -> None:
    table = make_houses()
    listed = {relation["name"]: relation for relation in plan(table).describe()}
    assert listed[NAME] == {
        "name": NAME,
        "kind": "near_sum",
        "columns": ["ground", "upper", "living"],
        "enforced": False,
    }
    without = plan(table, relations=[NAME])
    assert not without.coding.with_exceptions
    assert NAME in without.names
    assert not plan(table, relations=False).coding.with_exceptions
    assert not plan(table, min_value_count=2).coding.with_exceptions


@pytest.mark.parametrize("position", [1, 3], ids=["before its terms", "after its terms"])
def test_the_order_of_the_columns_does_not_matter(position: int) -> None:
    table = make_houses()
    names = ["kind", "ground", "upper"]
    names.insert(position, "living")
    assert [r.last for r in plan(table.select(names)).coding.with_exceptions] == ["living"]
