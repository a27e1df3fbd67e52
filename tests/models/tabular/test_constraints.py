"""Constraints that every synthetic row satisfies."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.errors import AcceptanceRateTooLow
from models.settings import InvalidSettings
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.constraints.declarations import parse_constraints
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema, UnsupportedColumn
from models.tabular.training import train
from tests.models.tabular.tiny_tables import RecordingCallbacks, make_settings, train_sampler

CONSTRAINTS: list[dict[str, Any]] = [
    {"kind": "inequality", "columns": ["begun", "ended"]},
    {"kind": "fixed_combinations", "columns": ["city", "land"]},
    {"kind": "sum", "columns": ["net", "tax"], "total": "gross"},
    {"kind": "unique", "columns": ["city", "desk"]},
]
TYPES = {
    "begun": "integer",
    "ended": "integer",
    "city": "category",
    "land": "category",
    "net": "number",
    "tax": "number",
    "gross": "number",
    "desk": "integer",
}
SCHEMA = tuple(ColumnSchema(name, kind) for name, kind in TYPES.items())  # type: ignore[arg-type]


def make_offices(count: int = 400, *, invalid: int = 0) -> pa.Table:
    """Return rows that satisfy all constraints, except the first `invalid` rows."""
    rng = np.random.default_rng(1)
    begun, city = rng.integers(1950, 2000, count), rng.integers(0, 6, count)
    net, tax = np.round(rng.lognormal(5, 1, count), 2), np.round(rng.random(count) * 9, 2)
    ended = begun + rng.integers(0, 20, count)
    ended[:invalid] = begun[:invalid] - 1
    return pa.table(
        {
            "begun": begun,
            "ended": ended,
            "city": np.array(list("abcdef"))[city],
            "land": np.array(["x", "y"])[city % 2],
            "net": net,
            "tax": tax,
            "gross": np.round(net + tax, 2),
            "desk": rng.integers(0, 100, count),
        }
    )


def find_violations(rows: pa.RecordBatch) -> list[str]:
    violations = []
    for row in rows.to_pylist():
        if row["begun"] > row["ended"]:
            violations.append("inequality")
        if (ord(row["city"]) - ord("a")) % 2 != "xy".index(row["land"]):
            violations.append("fixed_combinations")
        if round(row["net"] + row["tax"], 2) != row["gross"]:
            violations.append("sum")
    pairs = list(zip(*(rows.column(name).to_pylist() for name in ("city", "desk")), strict=True))
    return violations + ["unique"] * (len(pairs) - len(set(pairs)))


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    """Return a sampler of a run that is too short to learn any constraint."""
    return train_sampler(
        make_offices(), SCHEMA, tmp_path_factory.mktemp("model"), steps=5, constraints=CONSTRAINTS
    )


def test_samples_satisfy_the_declared_constraints(sampler: TableSampler, tmp_path: Path) -> None:
    rows = sampler.sample(1, np.arange(150)).rows
    assert rows.schema.names == list(TYPES)
    assert find_violations(rows) == []
    unconstrained = train_sampler(make_offices(), SCHEMA, tmp_path, steps=5, relations=False)
    assert set(find_violations(unconstrained.sample(1, np.arange(150)).rows)) == {
        "inequality",
        "fixed_combinations",
        "sum",
        "unique",
    }


def test_gan_samples_satisfy_the_declared_constraints(tmp_path: Path) -> None:
    gan = train_sampler(
        make_offices(), SCHEMA, tmp_path, steps=5, constraints=CONSTRAINTS[:3], architecture="gan"
    )
    assert set(find_violations(gan.sample(1, np.arange(50)).rows)) <= {"unique"}


@pytest.mark.slow
def test_rows_are_unique_across_all_batches_of_a_response(sampler: TableSampler) -> None:
    previous_rows: set[Any] = set()
    batches = [
        sampler.sample(1, np.arange(50 * i, 50 * i + 50), None, previous_rows).rows
        for i in range(3)
    ]
    response_rows = pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
    assert find_violations(response_rows) == []
    with pytest.raises(AcceptanceRateTooLow):
        sampler.sample(1, np.arange(200), {"city": "a", "desk": {"lt": 5}})


def test_completed_rows_satisfy_the_constraints(sampler: TableSampler) -> None:
    partial_rows = PartialRows.parse(sampler.tokenizer, [{"city": "a", "ended": 1980}] * 40)
    rows = complete_rows(sampler, 1, np.arange(40), partial_rows).rows
    assert set(find_violations(rows)) <= {"unique"}
    with pytest.raises(InvalidPartialRow, match="begun <= ended"):
        PartialRows.parse(sampler.tokenizer, [{"begun": 1990, "ended": 1980}])
    with pytest.raises(InvalidPartialRow):
        PartialRows.parse(sampler.tokenizer, [{"gross": 3.0}])


def test_rows_that_violate_a_constraint_are_left_out_with_a_warning() -> None:
    table = make_offices(invalid=30)
    rows = LabeledRows.split(table, SCHEMA, target_column=None, holdout_fraction=0.1, seed=1)
    callbacks = RecordingCallbacks(3)
    train(rows, make_settings(table, constraints=CONSTRAINTS[:1]), callbacks, seed=1)
    assert callbacks.warnings == [
        "30 of 400 rows violate a constraint and are not used for training."
    ]
    table = make_offices(40, invalid=40)
    rows = LabeledRows.split(table, SCHEMA, target_column=None, holdout_fraction=0.1, seed=1)
    with pytest.raises(UnsupportedColumn, match="no row satisfies the declared constraints"):
        train(
            rows, make_settings(table, constraints=CONSTRAINTS[:1]), RecordingCallbacks(3), seed=1
        )


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({"kind": "inequality"}, "columns"),
        ({"kind": "less", "columns": ["begun", "ended"]}, "`kind` must be one of inequality, "),
        ({"kind": "inequality", "columns": ["begun", "end"]}, "'end' is not a column"),
        ({"kind": "inequality", "columns": ["begun", "begun"]}, "different"),
        ({"kind": "inequality", "columns": ["begun", "city"]}, "order"),
        ({"kind": "inequality", "columns": ["begun"]}, "at least two"),
        ({"kind": "inequality", "columns": ["begun", "ended"], "strict": True}, "'strict'"),
        ({"kind": "fixed_combinations", "columns": ["city", "net"]}, "combinations"),
        ({"kind": "sum", "columns": ["net", "tax"]}, "total"),
        ({"kind": "sum", "columns": ["net", "city"], "total": "gross"}, "sum"),
        ({"kind": "sum", "columns": ["net", "tax"], "total": "desk"}, "not an integer"),
        ({"kind": "sum", "columns": ["begun", "desk"], "total": "ended"}, "target column"),
        ({"kind": "unique", "columns": "desk"}, "list"),
        ("begun <= ended", "kind"),
    ],
)
def test_an_invalid_constraint_is_rejected_by_its_index(constraint: Any, message: str) -> None:
    with pytest.raises(InvalidSettings, match=message) as error:
        parse_constraints([CONSTRAINTS[0], constraint], TYPES, "ended")
    assert error.value.field == "constraints/1"


def test_a_total_cannot_be_a_summand_of_another_constraint() -> None:
    other_sum = {"kind": "sum", "columns": ["begun", "gross"], "total": "tax"}
    with pytest.raises(InvalidSettings, match="total"):
        parse_constraints([{**CONSTRAINTS[2]}, other_sum], TYPES, None)
