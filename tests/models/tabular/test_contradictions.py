"""Conditions and given values that no row has together are refused before rows are sampled."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.errors import AcceptanceRateTooLow
from models.tabular import batched_sampling, sampling
from models.tabular.completion import row_completion
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.conditions.condition import (
    Alternatives,
    InvalidCondition,
    InvalidPartialRow,
)
from models.tabular.conditions.explanation import Contradiction
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import train_sampler

ROWS = 3_000
TYPES = {
    "low": "number",
    "middle": "number",
    "high": "number",
    "quantity": "integer",
    "price": "number",
    "total": "number",
    "score": "integer",
    "grade": "category",
    "service": "category",
    "channels": "category",
    "day": "datetime",
    "year": "integer",
    "fee": "number",
    "offer": "number",
    "connection": "category",
}


def make_table() -> pa.Table:
    rng = np.random.default_rng(0)
    low = rng.integers(0, 100, ROWS)
    middle = low + rng.integers(0, 20, ROWS)
    quantity, price = rng.integers(1, 10, ROWS), rng.integers(100, 900, ROWS) / 100
    score, service = rng.integers(0, 100, ROWS), rng.integers(0, 3, ROWS)
    channels = np.where(service == 0, 0, rng.integers(1, 3, ROWS))
    day = np.datetime64("2020-01-01") + rng.integers(0, 1_400, ROWS)
    fee = pa.array(rng.integers(1, 50, ROWS).astype(float), mask=service == 0)
    high = (middle + rng.integers(0, 20, ROWS)).astype(float)
    offer = np.round(price * rng.uniform(0.95, 1.05, ROWS), 2)
    return pa.table(
        {
            "low": low.astype(float),
            "middle": middle.astype(float),
            "high": pa.array(high, mask=np.arange(ROWS) % 30 == 0),
            "quantity": quantity,
            "price": price,
            "total": np.round(quantity * price, 2),
            "score": score,
            "grade": pa.array(["D", "C", "B", "A"]).take(pa.array(score // 25)),
            "service": pa.array(["none", "cable", "fiber"]).take(pa.array(service)),
            "channels": pa.array(["no service", "few", "many"]).take(pa.array(channels)),
            "day": pa.array(day.astype("M8[us]")),
            "year": day.astype("M8[Y]").astype(int) + 1970,
            "fee": fee,
            "offer": offer,
            "connection": pa.array(["no", "yes", "yes"]).take(pa.array(service)),
        }
    )


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    schema: Any = tuple(ColumnSchema(name, type) for name, type in TYPES.items())
    folder = Path(tmp_path_factory.mktemp("relations"))
    return train_sampler(make_table(), schema, folder, steps=5)


@pytest.fixture(autouse=True)
def no_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests fail if rows are sampled before a request is refused."""
    monkeypatch.setattr(sampling, "MAX_ATTEMPTS", 0)
    monkeypatch.setattr(row_completion, "MAX_PARTICLES", 0)


@pytest.mark.parametrize(
    ("condition", "column", "message"),
    [
        ({"year": 2019}, "year", "its values are from 2020 to 2023"),
        ({"total": {"gt": 90}}, "total", "its values are from"),
        ({"offer": {"gt": 20}}, "offer", "its values are from 0.9"),
        (
            {"low": {"gte": 80}, "high": {"lt": 50}},
            "high",
            "contradicts `low`, because `low <= middle` and `middle <= high`. With this value, it "
            "is from 80.0 to",
        ),
        (
            {"quantity": 2, "total": {"gte": 40}},
            "total",
            "contradicts `quantity`, because `quantity * price = total`. With this value, it is "
            "from 2.0",
        ),
        (
            {"grade": "A", "score": {"lt": 60}},
            "score",
            "contradicts `grade`, because `score -> grade`. With this value, it is from 75 to 99",
        ),
        (
            {"grade": ["A", "B"], "score": [3, 4]},
            "score",
            "contradicts `grade`, because `score -> grade`. With this value, it is from 50 to 99",
        ),
        (
            {"service": "none", "channels": "many"},
            "channels",
            "contradicts `service`: no training row has both. With this value, it may be "
            "'no service'",
        ),
        (
            {"day": {"gte": "2022-03-01"}, "year": [2020, 2021]},
            "year",
            "contradicts `day`, because `year(day) = year`. With this value, it is from 2022 to "
            "2023",
        ),
        ({"day": {"gte": "2031-01-01"}}, "day", "its values are from 2020-01-0"),
        ({"quantity": None}, "quantity", "never missing"),
        ({"fee": None, "service": "fiber"}, "service", "contradicts `fee`"),
    ],
)
def test_an_impossible_condition_is_refused_with_what_is_possible(
    sampler: TableSampler, condition: dict[str, Any], column: str, message: str
) -> None:
    with pytest.raises(InvalidCondition) as caught:
        batched_sampling.generate_batch(sampler, 0, np.arange(3), (condition,))
    assert caught.value.column == column
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        ({"low": 80.0, "high": 50.0}, "high", "because `low <= middle` and `middle <= high`"),
        ({"quantity": 2, "total": 60.0}, "total", "because `quantity * price = total`"),
        ({"service": "none", "channels": "many"}, "channels", "it may be 'no service'"),
        ({"year": 2031}, "year", "its values are from 2020 to 2023"),
        ({"connection": "yes", "fee": None}, "connection", "contradicts `fee`"),
        ({"connection": "no", "fee": 3.0}, "connection", "contradicts `fee`"),
        ({"connection": "no", "channels": "many"}, "connection", "contradicts `channels`"),
    ],
)
def test_an_impossible_partial_row_is_refused_with_what_is_possible(
    sampler: TableSampler, row: dict[str, Any], column: str, message: str
) -> None:
    possible = {"low": 3.0, "service": "none"}
    with pytest.raises(InvalidPartialRow) as caught:
        PartialRows.parse(sampler.tokenizer, [possible, row, possible])
    assert (caught.value.row, caught.value.column) == (1, column)
    assert message in str(caught.value)


def test_training_rows_are_no_contradictions(sampler: TableSampler) -> None:
    rows = make_table().slice(0, 400).to_pylist()
    for row in rows:
        row["day"] = row["day"].isoformat()
    PartialRows.parse(sampler.tokenizer, rows)
    for row in rows[:20]:
        with pytest.raises(AcceptanceRateTooLow):  # not refused, but sampling is switched off
            sampler.sample(0, np.arange(1), row)


@pytest.mark.parametrize(
    ("others", "because", "message"),
    [
        (
            ["a"],
            [],
            "contradicts `a`: no training row has both. With this value, it is from 1 to 4",
        ),
        (
            ["a", "b"],
            ["a + b = c"],
            "contradicts `a` and `b`, because `a + b = c`. With these values, it is from 1 to 4",
        ),
        ([], ["a * a = c"], "is impossible, because `a * a = c`. It may be from 1 to 4"),
    ],
)
def test_a_message_names_the_columns_the_relations_and_what_is_possible(
    others: list[str], because: list[str], message: str
) -> None:
    ends = Alternatives(pa.array([1, 4]), "range")
    contradiction = Contradiction("c", others, because, ends)
    assert str(InvalidPartialRow(0, "c", contradiction.reason, ends)) == message
