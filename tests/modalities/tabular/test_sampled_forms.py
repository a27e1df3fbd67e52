"""Rows that a model generates have the forms of the columns that it learned from."""

import csv
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from modalities.tabular import encode
from modalities.tabular.type_casting import arrow_type, parse_texts
from modalities.tabular.typed_parquet import typed_batches
from models.tabular.schema import ColumnSchema
from models.tabular.tokenizer import Tokenizer
from models.tabular.tokenizer_tensors import from_tensors, to_tensors
from tests.modalities.tabular.conftest import Read, Table

CASES = Path(__file__).parent / "cases"
COLUMNS = {
    "usdate": "when", "us12h": "when", "2digit": "when", "yyyymmdd": "when", "month": "when",
    "timeonly": "when", "tz": "when", "quarter": "when", "24h": "at", "usd": "price",
    "thousands": "pop", "percent": "rate", "eurthousand": "betrag", "sci": "pval", "plus": "delta",
}  # fmt: skip


def generate_rows(table: Table, count: int) -> pa.RecordBatch:
    """Return rows of random tokens: any row that the tokenizer can decode may be sampled."""
    columns = table.summary.schema.columns
    rows = pa.Table.from_batches(list(typed_batches(table.path, columns)))
    schema = [ColumnSchema.from_dict(column.to_dict()) for column in columns]
    tokenizer = Tokenizer.fit(rows, schema, target_column=None, seed=0)
    rng = np.random.default_rng(0)
    tokens = np.stack([rng.integers(0, size, count) for size in tokenizer.step_sizes])
    uniforms = rng.random((tokenizer.num_decode_uniforms, count))
    return tokenizer.decode(tokens, uniforms)


def generate(table: Table, count: int) -> list[dict[str, str]]:
    columns, batch = table.summary.schema.columns, generate_rows(table, count)
    text = b"".join(encode.encode("csv", iter([batch]), columns, {})).decode()
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("name", COLUMNS)
def test_every_generated_value_has_the_form_of_the_column(name: str, read: Read) -> None:
    table = read(CASES / f"{name}.csv", f"{name}.csv")
    column = table[COLUMNS[name]]
    texts = pa.array([row[column.name] for row in generate(table, 500)])
    values = parse_texts(texts, column)
    assert values.null_count == 0
    assert values.type == arrow_type(column)
    low, high = min(table.values(column.name)), max(table.values(column.name))
    assert all(low <= value <= high for value in values.to_pylist())


def test_generated_months_are_the_beginnings_of_months(read: Read) -> None:
    months = [f"{2000 + i // 12}-{1 + i % 12:02}" for i in range(300)]
    rows = "month,v\n" + "".join(f"{month},{i % 7}\n" for i, month in enumerate(months))
    table = read(rows)
    generated = {row["month"] for row in generate(table, 500)}
    assert generated <= set(months)
    assert len(generated) > 100
    columns = table.summary.schema.columns
    values = pa.Table.from_batches(list(typed_batches(table.path, columns)))
    schema = [ColumnSchema.from_dict(column.to_dict()) for column in columns]
    tokenizer = Tokenizer.fit(values, schema, target_column=None, seed=0)
    unpacked = from_tensors(*to_tensors(tokenizer))
    tokens = np.zeros((len(tokenizer.step_sizes), 50), np.int64)
    uniforms = np.tile(np.linspace(0, 0.99, 50), (tokenizer.num_decode_uniforms, 1))
    decoded = unpacked.decode(tokens, uniforms).column("month")
    assert {value.day for value in decoded.to_pylist()} == {1}
