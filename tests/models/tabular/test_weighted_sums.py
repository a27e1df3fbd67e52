"""Numbers that are weighted sums of others, such as averages."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.relations.detection import detect_relations
from models.tabular.schema import ColumnSchema, ColumnType
from tests.models.tabular.tiny_tables import train_sampler

RNG = np.random.default_rng(0)
N = 1_000
MATH, READING, WRITING = (RNG.integers(0, 101, N) for _ in range(3))
AVERAGE = np.round((MATH + READING + WRITING) / 3, 2)
SCORES = {"math": MATH, "reading": READING, "writing": WRITING}
MEAN = "(math + reading + writing) / 3 = average"


def schema_of(table: pa.Table) -> tuple[ColumnSchema, ...]:
    types: dict[str, ColumnType] = {"int64": "integer", "double": "number", "string": "category"}
    return tuple(ColumnSchema(item.name, types[str(item.type)]) for item in table.schema)


def weighted_sums_of(**columns: object) -> list[str]:
    table = pa.table(columns)
    types = {column.name: column.type for column in schema_of(table)}
    return [r.name for r in detect_relations(table, types) if r.kind == "weighted_sum"]


@pytest.mark.parametrize("average", [AVERAGE, (MATH + READING + WRITING) / 3])
def test_averages_are_found(average: object) -> None:
    noise = RNG.normal(size=N)
    assert weighted_sums_of(**SCORES, average=average, noise=noise) == [MEAN]
    assert MEAN in weighted_sums_of(**SCORES, total=MATH + READING + WRITING, average=average)


def test_averages_of_many_answers_on_a_scale_are_found() -> None:
    answers = {f"q{i}": RNG.integers(1, 6, N) for i in range(8)}
    score = np.round(np.mean([*answers.values()], axis=0), 2)
    expected = f"({' + '.join(answers)}) / 8 = score"
    assert weighted_sums_of(**answers, score=score) == [expected]


def test_weights_and_an_offset_are_round() -> None:
    final = np.round(0.5 * MATH + 0.3 * READING + 0.2 * WRITING - 5, 1)
    assert weighted_sums_of(**SCORES, final=final) == [
        "0.5 * math + 0.3 * reading + 0.2 * writing - 5 = final"
    ]


def test_one_exception_or_a_missing_term_is_no_weighted_sum() -> None:
    odd = AVERAGE.copy()
    odd[7] += 0.5
    assert weighted_sums_of(**SCORES, average=odd) == []
    assert weighted_sums_of(math=MATH, reading=READING, average=AVERAGE) == []


def test_samples_and_partial_rows_keep_averages(tmp_path: Path) -> None:
    is_missing = RNG.random(N) < 0.1
    table = pa.table(
        {
            **SCORES,
            "reading": pa.array(READING, mask=is_missing),
            "average": pa.array(AVERAGE, mask=is_missing),
        }
    )
    sampler = train_sampler(table, schema_of(table), tmp_path, steps=60)
    assert MEAN in {relation.name for relation in sampler.tokenizer.coding.relations}
    given = PartialRows.parse(sampler.tokenizer, [{"average": 61.33}] * 30)
    completed = complete_rows(sampler, 1, np.arange(30), given).rows
    assert completed["average"].to_pylist() == [61.33] * 30
    assert len(set(completed["math"].to_pylist())) > 5
    for rows in (sampler.sample(1, np.arange(300)).rows, completed):
        whole = rows.filter(rows["reading"].is_valid()).to_pydict()
        sums = np.sum([whole[name] for name in SCORES], axis=0)
        np.testing.assert_allclose(whole["average"], np.round(sums / 3, 2), atol=0.0051)


def test_a_column_of_few_values_does_not_hide_an_average() -> None:
    rare = pa.array(RNG.normal(size=N), mask=RNG.random(N) < 0.95)
    assert weighted_sums_of(**SCORES, average=AVERAGE, rare=rare) == [MEAN]
