"""Categories of intervals of a number, such as grades of scores."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.relations.detection import detect_relations
from models.tabular.schema import ColumnSchema, ColumnType
from tests.models.tabular.tiny_tables import train_sampler

RNG = np.random.default_rng(0)
N = 1_500
SCORE = np.round(RNG.uniform(0, 100, N), 1)
GRADE = np.array(list("FDCBA"))[np.searchsorted([50, 60, 70, 85], SCORE, side="right")]
DAY = np.datetime64("2023-01-01T00:00:00") + RNG.integers(0, 365 * 86_400, N)
SEASON = np.array(["dry", "wet", "dry"])[
    np.searchsorted(np.array(["2023-04-10", "2023-09-20"], "M8[s]"), DAY, side="right")
]
TYPES: dict[str, ColumnType] = {
    "score": "number",
    "grade": "category",
    "day": "datetime",
    "season": "category",
}
TABLE = pa.table({"score": SCORE, "grade": GRADE, "day": DAY.astype("M8[s]"), "season": SEASON})
SCHEMA = tuple(ColumnSchema(name, type) for name, type in TYPES.items())


def intervals_of(table: pa.Table, types: dict[str, ColumnType] = TYPES) -> set[str]:
    return {r.name for r in detect_relations(table, types) if r.kind == "interval"}


def grades_of(rows: pa.RecordBatch) -> list[str]:
    index = np.searchsorted([50, 60, 70, 85], rows["score"].to_numpy(), side="right")
    return [*np.array(list("FDCBA"))[index]]


def test_categories_of_intervals_are_found() -> None:
    assert intervals_of(TABLE) == {"score -> grade", "day -> season"}


def test_a_single_exception_or_an_interval_by_chance_is_no_relation() -> None:
    grades = GRADE.copy()
    grades[SCORE.argmax()] = "F"
    grades[SCORE.argmax() - 1 if SCORE.argmax() else 1] = "A"
    assert "score -> grade" not in intervals_of(TABLE.set_column(1, "grade", pa.array(grades)))
    shuffled = pa.array(RNG.permutation(GRADE))
    assert "score -> grade" not in intervals_of(TABLE.set_column(1, "grade", shuffled))


def test_rows_of_one_person_are_evidence_once() -> None:
    """Thirty persons have a weight and a sex each, in fifty rows."""
    weights, sexes = RNG.uniform(40, 120, 30), RNG.choice(["f", "m"], 30)
    persons = np.repeat(np.arange(30), 50)
    table = pa.table({"weight": weights[persons], "sex": sexes[persons]})
    assert intervals_of(table, {"weight": "number", "sex": "category"}) == set()


@pytest.mark.parametrize("target", [None, "grade"])
def test_samples_have_the_category_of_their_interval(target: str | None, tmp_path: Path) -> None:
    sampler = train_sampler(TABLE, SCHEMA, tmp_path, label=target, steps=60)
    rows = sampler.sample(1, np.arange(500)).rows
    assert rows["grade"].to_pylist() == grades_of(rows)
    assert len(set(rows["grade"].to_pylist())) == 5
    of_grade = sampler.sample(1, np.arange(50), {"grade": "B", "season": "wet"}).rows
    assert set(of_grade["grade"].to_pylist()) == {"B"} == set(grades_of(of_grade))
    assert set(of_grade["season"].to_pylist()) == {"wet"}
    given = PartialRows.parse(sampler.tokenizer, [{"grade": "D"}, {"score": 84.5}] * 20)
    completed = complete_rows(sampler, 1, np.arange(40), given).rows
    assert completed["grade"].to_pylist() == ["D", "B"] * 20 == grades_of(completed)


def test_a_missing_number_has_no_category_that_follows(tmp_path: Path) -> None:
    is_missing = RNG.random(N) < 0.2
    table = TABLE.set_column(0, "score", pa.array(SCORE, mask=is_missing))
    table = table.set_column(1, "grade", pa.array(np.where(is_missing, "none", GRADE)))
    sampler = train_sampler(table, SCHEMA, tmp_path, steps=60)
    rows = sampler.sample(1, np.arange(500)).rows
    has_score = rows["score"].is_valid().to_numpy(zero_copy_only=False)
    graded = rows.filter(pa.array(has_score))
    assert graded["grade"].to_pylist() == grades_of(graded)
    assert set(rows.filter(pa.array(~has_score))["grade"].to_pylist()) == {"none"}


def test_a_given_category_of_no_interval_is_rejected_with_similar_ones(tmp_path: Path) -> None:
    sampler = train_sampler(TABLE, SCHEMA, tmp_path, steps=1)
    for row, message in (
        ({"season": "Wet"}, "no such value in the training data; .* text, such as 'wet', 'dry'"),
        ({"grade": "E", "score": 45.0}, "no such value in the training data"),
    ):
        with pytest.raises(InvalidPartialRow, match=message):
            PartialRows.parse(sampler.tokenizer, [{}, row])
    PartialRows.parse(sampler.tokenizer, [{"season": "wet"}, {"grade": "F"}])
