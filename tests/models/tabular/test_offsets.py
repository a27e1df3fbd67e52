"""Numbers that differ from another one by an amount of a key, such as ages of persons by year."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.data import LabeledRows
from models.tabular.prepare import plan_relations
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.relation import Relation
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import make_settings, train_sampler

PERSONS, YEARS = 150, 6
NAME = "offset(person) + year = age"
TYPES = {"person": "integer", "age": "integer", "year": "integer", "wage": "number"}
SCHEMA = tuple(
    ColumnSchema(name, type)  # type: ignore[arg-type]
    for name, type in TYPES.items()
)
BIRTH_YEARS = np.random.default_rng(1).integers(1940, 1980, PERSONS)


def make_panel(**columns: Any) -> pa.Table:
    """Return rows of persons, most of which have several years."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(PERSONS), YEARS)
    year = np.tile(np.arange(2_000, 2_000 + YEARS), PERSONS)
    rows = {
        "person": person + 1_000,
        "age": year - BIRTH_YEARS[person],
        "year": year,
        "wage": np.round(rng.lognormal(3, 1, len(person)), 2),
        **columns,
    }
    return pa.table(rows).filter(pa.array(rng.random(len(person)) < 0.8))


PANEL = make_panel()


def offsets_of(table: pa.Table, **types: str) -> list[Relation]:
    relations = detect_relations(table, {**TYPES, **types})
    return [relation for relation in relations if relation.kind == "offset"]


def is_of_person(row: dict[str, Any]) -> bool:
    return bool(row["year"] - row["age"] == BIRTH_YEARS[row["person"] - 1_000])


def test_a_difference_that_each_key_has_is_found() -> None:
    (relation,) = offsets_of(PANEL)
    assert relation.name == NAME
    assert relation.to_dict()["columns"] == ["person", "year", "age"]
    assert relation.holds(PANEL).all()
    assert Relation.unpack(relation.pack()) == relation


def test_a_sum_that_each_key_has_is_found() -> None:
    """Loans whose amount, which is not a column, is the sum of what is paid and what is open."""
    person = np.repeat(np.arange(PERSONS), YEARS)
    paid = np.tile(np.arange(YEARS), PERSONS) * 10.5
    loan = np.random.default_rng(2).integers(100, 9_000, PERSONS)[person]
    table = make_panel(paid=paid, open=loan - paid)
    found = {
        relation.name: relation for relation in offsets_of(table, paid="number", open="number")
    }
    assert found["offset(person) - paid = open"].holds(table).all()


def test_a_sum_of_numbers_that_hardly_repeat_is_found() -> None:
    rng = np.random.default_rng(2)
    loans = np.repeat(np.arange(40), 5)
    paid, amounts = rng.integers(0, 10**6, 200), rng.integers(10**6, 10**7, 40)
    table = pa.table({"loan": loans, "paid": paid, "open": amounts[loans] - paid})
    (relation,) = detect_relations(table, dict.fromkeys(table.column_names, "integer"))
    assert relation.name in ("offset(loan) - paid = open", "offset(loan) - open = paid")


def test_one_row_with_another_difference_breaks_it() -> None:
    age = PANEL["age"].to_numpy().copy()
    age[100] += 1
    assert offsets_of(PANEL.set_column(1, "age", pa.array(age))) == []


def test_a_difference_of_all_rows_is_no_offset() -> None:
    table = make_panel(age=np.tile(np.arange(30, 30 + YEARS), PERSONS))
    assert offsets_of(table) == []


def test_numbers_that_no_row_has_together_have_no_offset() -> None:
    is_even = np.tile(np.arange(YEARS) % 2 == 0, PERSONS)
    rng = np.random.default_rng(3)
    first, second = (rng.integers(0, 40, len(is_even)) for _ in range(2))
    table = make_panel(first=pa.array(first, mask=is_even), second=pa.array(second, mask=~is_even))
    assert [each.name for each in offsets_of(table, first="integer", second="integer")] == [NAME]


def test_a_column_with_the_amount_makes_it_a_sum() -> None:
    table = PANEL.append_column("born", pa.compute.subtract(PANEL["year"], PANEL["age"]))
    rows = LabeledRows.split(
        table,
        (*SCHEMA, ColumnSchema("born", "integer")),
        target_column=None,
        holdout_fraction=0.1,
        seed=1,
    )
    names = {r.name for r in plan_relations(rows, make_settings(table)).coding.relations}
    assert "age + born = year" in names


def test_rare_values_are_protected() -> None:
    assert detect_relations(PANEL, TYPES, min_value_count=2) == []


@pytest.fixture(scope="module", params=[None, "age", "year"], ids=["no label", "age", "year"])
def sampler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> TableSampler:
    folder = tmp_path_factory.mktemp("model")
    return train_sampler(
        PANEL, SCHEMA, folder, label=request.param, steps=20, critic_budget_fraction=0.0
    )


def test_samples_have_the_differences_of_their_keys(sampler: TableSampler) -> None:
    assert NAME in [relation.name for relation in sampler.tokenizer.coding.relations]
    rows = sampler.sample(1, np.arange(500)).rows
    assert all(map(is_of_person, rows.to_pylist()))
    assert set(rows["person"].to_pylist()) <= set(PANEL["person"].to_pylist())


def test_partial_rows_keep_the_differences(sampler: TableSampler) -> None:
    age = 2_003 - int(BIRTH_YEARS[7])
    given = [
        {"person": 1_007},
        {"person": 1_007, "year": 2_003},
        {"person": 1_007, "age": age},
        {"age": 40},
        {"age": 41, "year": 2_004},
    ]
    partial_rows = PartialRows.parse(sampler.tokenizer, given)
    rows = complete_rows(sampler, 1, np.arange(len(given)), partial_rows).rows.to_pylist()
    for row, each in zip(rows, given, strict=True):
        assert row.items() >= each.items()
        assert is_of_person(row)
    assert rows[1]["age"] == age


def test_an_offset_can_be_switched_off(tmp_path: Path) -> None:
    sampler = train_sampler(PANEL, SCHEMA, tmp_path, steps=5, relations=[NAME])
    assert sampler.tokenizer.coding.relations == ()
