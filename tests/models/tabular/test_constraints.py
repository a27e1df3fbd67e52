"""Rules that every row keeps to."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.errors import AcceptanceRateTooLow
from models.settings import InvalidSettings
from models.tabular.conditions import InvalidPartialRow
from models.tabular.constraint_checks import detect_constraints
from models.tabular.constraints import parse_constraints
from models.tabular.data import LabeledRows
from models.tabular.partial_rows import PartialRows
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema, UnsupportedColumn
from models.tabular.training import train
from tests.models.tabular.tiny_tables import RecordingCallbacks, make_settings, train_sampler

RULES: list[dict[str, Any]] = [
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


def offices(n: int = 400, *, dirty: int = 0) -> pa.Table:
    """All rules hold, but for the first of the `dirty` rows."""
    rng = np.random.default_rng(1)
    begun, city = rng.integers(1950, 2000, n), rng.integers(0, 6, n)
    net, tax = np.round(rng.lognormal(5, 1, n), 2), np.round(rng.random(n) * 9, 2)
    ended = begun + rng.integers(0, 20, n)
    ended[:dirty] = begun[:dirty] - 1
    return pa.table(
        {
            "begun": begun,
            "ended": ended,
            "city": np.array(list("abcdef"))[city],
            "land": np.array(["x", "y"])[city % 2],
            "net": net,
            "tax": tax,
            "gross": np.round(net + tax, 2),
            "desk": rng.integers(0, 100, n),
        }
    )


def broken(rows: pa.RecordBatch) -> list[str]:
    found = []
    for row in rows.to_pylist():
        if row["begun"] > row["ended"]:
            found.append("inequality")
        if (ord(row["city"]) - ord("a")) % 2 != "xy".index(row["land"]):
            found.append("fixed_combinations")
        if round(row["net"] + row["tax"], 2) != row["gross"]:
            found.append("sum")
    pairs = list(zip(*(rows.column(name).to_pylist() for name in ("city", "desk")), strict=True))
    return found + ["unique"] * (len(pairs) - len(set(pairs)))


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    """Of a run that is far too short to learn any rule."""
    return train_sampler(
        offices(), SCHEMA, tmp_path_factory.mktemp("model"), steps=5, constraints=RULES
    )


def test_no_row_breaks_a_rule_that_was_declared(sampler: TableSampler, tmp_path: Path) -> None:
    rows = sampler.sample(1, np.arange(150)).rows
    assert rows.schema.names == list(TYPES)
    assert broken(rows) == []
    bare = train_sampler(offices(), SCHEMA, tmp_path, steps=5)
    assert set(broken(bare.sample(1, np.arange(150)).rows)) == {
        "inequality",
        "fixed_combinations",
        "sum",
        "unique",
    }


def test_no_row_of_a_conditional_gan_breaks_one_either(tmp_path: Path) -> None:
    mlp = train_sampler(
        offices(), SCHEMA, tmp_path, steps=5, constraints=RULES[:3], architecture="gan"
    )
    assert set(broken(mlp.sample(1, np.arange(50)).rows)) <= {"unique"}


def test_rows_are_unique_over_all_that_one_answer_holds(sampler: TableSampler) -> None:
    seen: set[Any] = set()
    parts = [sampler.sample(1, np.arange(50 * i, 50 * i + 50), None, seen).rows for i in range(3)]
    whole = pa.Table.from_batches(parts).combine_chunks().to_batches()[0]
    assert broken(whole) == []
    with pytest.raises(AcceptanceRateTooLow):
        sampler.sample(1, np.arange(200), {"city": "a", "desk": {"lt": 5}})


def test_completed_rows_keep_to_the_rules(sampler: TableSampler) -> None:
    known = PartialRows.parse(sampler.tokenizer, [{"city": "a", "ended": 1980}] * 40)
    rows = sampler.complete(1, np.arange(40), known).rows
    assert set(broken(rows)) <= {"unique"}
    broken_row = PartialRows.parse(sampler.tokenizer, [{"begun": 1990, "ended": 1980}])
    with pytest.raises(AcceptanceRateTooLow):
        sampler.complete(1, np.arange(1), broken_row)
    with pytest.raises(InvalidPartialRow):
        PartialRows.parse(sampler.tokenizer, [{"gross": 3.0}])


def test_rows_that_break_a_rule_are_not_learned_from_and_that_is_told() -> None:
    table = offices(dirty=30)
    rows = LabeledRows.split(table, SCHEMA, target_column=None, holdout_fraction=0.1, seed=1)
    run = RecordingCallbacks(3)
    train(rows, make_settings(table, constraints=RULES[:1]), run, seed=1)
    assert run.warnings == ["30 of 400 rows violate a constraint and are not used for training."]
    table = offices(40, dirty=40)
    rows = LabeledRows.split(table, SCHEMA, target_column=None, holdout_fraction=0.1, seed=1)
    with pytest.raises(UnsupportedColumn, match="no row satisfies the declared constraints"):
        train(rows, make_settings(table, constraints=RULES[:1]), RecordingCallbacks(3), seed=1)


def test_rules_that_all_rows_keep_to_are_found() -> None:
    found = [rule.to_dict() for rule in detect_constraints(offices(), TYPES)]
    assert found[:2] == [RULES[0], {"kind": "inequality", "columns": ["net", "gross"]}]
    assert all(rule in found for rule in RULES[:3])
    assert all(rule["kind"] != "unique" for rule in found)
    # One row that breaks a rule, behind those that are looked at first, is enough.
    table = pa.concat_tables([offices(6_000), offices(60, dirty=1)])
    assert RULES[0] not in [rule.to_dict() for rule in detect_constraints(table, TYPES)]
    assert detect_constraints(offices(20), TYPES) == []


@pytest.mark.parametrize(
    ("rule", "words"),
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
def test_a_rule_that_cannot_be_kept_is_refused_by_its_number(rule: Any, words: str) -> None:
    with pytest.raises(InvalidSettings, match=words) as caught:
        parse_constraints([RULES[0], rule], TYPES, "ended")
    assert caught.value.field == "constraints/1"


def test_a_total_is_the_sum_of_learned_columns_and_of_one_rule() -> None:
    again = {"kind": "sum", "columns": ["begun", "gross"], "total": "tax"}
    with pytest.raises(InvalidSettings, match="total"):
        parse_constraints([{**RULES[2]}, again], TYPES, None)
