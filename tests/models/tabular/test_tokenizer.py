"""Tokenizer: tables are encoded as tokens and decoded."""

import math
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.schema import ColumnSchema, UnsupportedColumn
from models.tabular.tokenizer import Tokenizer
from models.tabular.tokenizer_tensors import from_tensors, to_tensors
from tests.models.tabular.tiny_tables import make_people


def round_trip(values: pa.Array, kind: str) -> pa.Array:
    table = pa.table({"x": values})
    schema = (ColumnSchema("x", kind),)  # type: ignore[arg-type] # literals of this test
    tokenizer = Tokenizer.fit(table, schema, target_column=None, seed=1)
    tokens = tokenizer.encode(table, 1)
    assert (tokens >= 0).all()
    assert (tokens < np.array(tokenizer.step_sizes)[:, None]).all()
    restored = from_tensors(*to_tensors(tokenizer))
    u = np.random.default_rng(1).random((tokenizer.num_decode_uniforms, len(values)))
    return restored.decode(tokens, u).column("x")


rng = np.random.default_rng(3)
EXACT_COLUMNS: list[tuple[str, pa.Array, str]] = [
    ("text", pa.array(["a", "ß", "", "日本", None, "a"]), "category"),
    ("dictionary", pa.array(["b", "a", "b", None]).dictionary_encode(), "category"),
    ("integer categories", pa.array([3, 1, 1, None]), "category"),
    ("large text", pa.array(["a", "b"], pa.large_string()), "category"),
    ("booleans", pa.array([True, False, None, True]), "boolean"),
    ("one boolean", pa.array([True, True]), "boolean"),
    ("bytes", pa.array([0, 255, None], pa.uint8()), "integer"),
    ("constant integers", pa.array([7, 7, 7]), "integer"),
    ("constant floats", pa.array([0.1] * 5), "number"),
    ("ten to the sixteenth", pa.array([10**16 + 1, 10**16, -(10**16), 10**16 + 1]), "integer"),
    ("64-bit integers", pa.array([2**63 - 1, 2**63 - 2, 2**63 - 2]), "integer"),
    ("single precision", pa.array([0.1, 0.2, 1e30, None], pa.float32()), "number"),
    ("infinities", pa.array([math.inf, 1.5, -math.inf, None, 1.5]), "number"),
    ("decimals", pa.array([Decimal("1.25"), None], pa.decimal128(9, 2)), "number"),
    ("days", pa.array([date(2020, 2, 29), None, date(1900, 1, 1)]), "datetime"),
    ("times", pa.array([10**15 + 1, None], pa.timestamp("us")), "datetime"),
    (
        "times with a time zone",
        pa.array([0, 10**18], pa.timestamp("ns", "Europe/Paris")),
        "datetime",
    ),
    ("all missing", pa.nulls(4, pa.float64()), "number"),
    ("all missing categories", pa.nulls(4, pa.string()), "category"),
    ("all missing, untyped", pa.nulls(4), "category"),
    ("one row", pa.array([5.25]), "number"),
    ("10,000 categories", pa.array([f"n{k}" for k in range(10_000)]), "category"),
    ("70,000 categories, one missing", pa.array([*map(str, range(70_000)), None]), "category"),
]


@pytest.mark.parametrize(
    ("values", "kind"), [row[1:] for row in EXACT_COLUMNS], ids=[row[0] for row in EXACT_COLUMNS]
)
def test_exactly_stored_values_survive_a_round_trip(values: pa.Array, kind: str) -> None:
    assert round_trip(values, kind).equals(values)


BINNED_COLUMNS: list[tuple[str, pa.Array, str]] = [
    ("floats", pa.array(rng.normal(size=3_000)), "number"),
    ("cents", pa.array(np.round(rng.lognormal(4, 2, 3_000), 2)), "number"),
    ("multiples of 100", pa.array(rng.integers(-10_000, 10_000, 3_000) * 100), "integer"),
    ("small integers", pa.array(rng.integers(0, 30_000, 3_000).astype(np.uint16)), "integer"),
    ("integers up to ten to the sixteenth", pa.array(rng.integers(0, 10**16, 3_000)), "integer"),
    ("days", pa.array(rng.integers(0, 9_000, 3_000), pa.int32()).cast(pa.date32()), "datetime"),
    ("times", pa.array(rng.integers(0, 2**60, 3_000), pa.timestamp("ns")), "datetime"),
    (
        "repeated prices",
        pa.array(rng.choice(np.round(rng.lognormal(3, 1, 300), 2), 3_000)),
        "number",
    ),
]


@pytest.mark.parametrize(
    ("values", "kind"), [row[1:] for row in BINNED_COLUMNS], ids=[row[0] for row in BINNED_COLUMNS]
)
def test_binned_numbers_keep_type_and_distribution(values: pa.Array, kind: str) -> None:
    decoded = round_trip(values, kind)
    assert decoded.type == values.type
    before, after = (np.sort(to_float_array(column)) for column in (values, decoded))
    assert before[0] <= after[0]
    assert after[-1] <= before[-1]
    spread = before[-30] - before[30]
    assert np.abs(np.quantile(after, QUARTERS) - np.quantile(before, QUARTERS)).max() < spread / 25


QUARTERS = (0.25, 0.5, 0.75)


def to_float_array(column: pa.Array) -> Any:
    if pa.types.is_date32(column.type):
        return np.asarray(column.cast(pa.int32()), np.float64)
    if pa.types.is_timestamp(column.type):
        return np.asarray(column.cast(pa.int64()), np.float64)
    return np.asarray(column, np.float64)


def test_numbers_keep_their_decimals_and_multiples() -> None:
    cents = np.asarray(round_trip(BINNED_COLUMNS[1][1], "number"))
    assert np.array_equal(np.round(cents, 2), cents)
    assert not (np.asarray(round_trip(BINNED_COLUMNS[2][1], "integer")) % 100).any()


def test_few_of_the_new_numbers_have_more_decimals_than_usual() -> None:
    generator = np.random.default_rng(5)
    places = generator.normal(52, 1, 5_000)
    is_computed = generator.random(5_000) < 0.05
    values = np.where(is_computed, places, np.round(places, 6))
    decoded = round_trip(pa.array(values), "number").to_numpy()
    new = decoded[~np.isin(decoded, values)]
    assert len(new) > 1_000
    assert 0.02 < (np.round(new, 6) != new).mean() < 0.08


def test_repeated_numbers_keep_the_decimals_that_few_have() -> None:
    """Rows of estimated areas: most are whole, but some decimals repeat, and so do others."""
    generator = np.random.default_rng(5)
    whole = np.floor(generator.gamma(2, 20, 2_000))
    halves = np.repeat(np.arange(60) + 0.5, 5)
    measured = np.round(generator.gamma(2, 20, 60), 9) + 1e-12 * generator.random(60)
    values = np.concatenate([whole, halves, measured])
    decoded = round_trip(pa.array(values), "number").to_numpy()
    assert (decoded % 1 == 0.5).sum() == pytest.approx(300, abs=30)
    assert (decoded % 0.5 != 0).sum() == pytest.approx(60, abs=20)


def test_new_numbers_have_as_many_significant_digits_as_those_of_the_column() -> None:
    generator = np.random.default_rng(5)
    rounded = np.array([float(f"{value:.5g}") for value in generator.lognormal(5, 2, 3_000)])
    decoded = round_trip(pa.array(rounded), "number").to_numpy()
    new = decoded[~np.isin(decoded, rounded)]
    assert len(new) > 1_000
    assert all(float(f"{value:.5g}") == value for value in new)


def test_repeated_numbers_decode_only_to_values_of_the_table() -> None:
    prices = BINNED_COLUMNS[7][1]
    assert set(round_trip(prices, "number").to_pylist()) <= set(prices.to_pylist())


def test_common_numbers_keep_their_share() -> None:
    values = rng.normal(size=4_000)
    values[:1_000], values[1_000:1_400] = 0.0, 99_999.0
    decoded = np.asarray(round_trip(pa.array(values), "number"))
    assert (decoded == 0).sum() == 1_000
    assert (decoded == 99_999).sum() == 400


def test_nan_counts_as_missing() -> None:
    decoded = round_trip(pa.array([1.0, math.nan, None]), "number")
    assert decoded.to_pylist() == [1.0, None, None]


def test_columns_that_depend_on_each_other_get_sub_bins() -> None:
    x = rng.normal(size=3_000)
    table = pa.table({"x": x, "y": x + rng.normal(size=3_000) * 1e-3, "z": rng.normal(size=3_000)})
    schema = [ColumnSchema(name, "number") for name in table.column_names]
    tokenizer = Tokenizer.fit(table, schema, target_column=None, seed=1)
    assert [len(column.layout.step_sizes) for column in tokenizer.columns] == [2, 2, 1]
    decoded = tokenizer.decode(tokenizer.encode(table, 1), np.full((3, 3_000), 0.5))
    assert np.abs(np.asarray(decoded.column("x")) - x).max() < 1.0
    assert np.median(np.abs(np.asarray(decoded.column("x")) - x)) < 0.002


def test_the_label_is_tokenized_first_and_columns_are_decoded_in_table_order() -> None:
    table, schema = make_people()
    tokenizer = Tokenizer.fit(table, schema, target_column="label", seed=1)
    assert tokenizer.columns[0].name == "label"
    tokens = tokenizer.encode(table, 1)
    rows = tokenizer.decode(tokens, np.full((tokenizer.num_decode_uniforms, len(table)), 0.5))
    assert rows.schema.names == [name for name in table.column_names if name != "id"]
    for name in ("city", "member", "7", "label"):
        assert rows.column(name).equals(table.column(name).combine_chunks())


def test_a_numeric_label_comes_last_in_small_tables() -> None:
    for count, position in ((500, -1), (6_000, 0)):
        table = pa.table({"x": rng.integers(0, 9, count), "y": rng.normal(size=count)})
        schema = (ColumnSchema("x", "integer"), ColumnSchema("y", "number"))
        tokenizer = Tokenizer.fit(table, schema, target_column="y", seed=1)
        assert tokenizer.columns[position].name == "y"


def test_excluded_and_text_columns_are_left_out() -> None:
    table = pa.table({"a": [1, 2], "b": ["long text", "another"], "c": [1, 2]})
    schema = (
        ColumnSchema("a", "integer"),
        ColumnSchema("b", "text"),
        ColumnSchema("c", "integer", exclude=True),
    )
    tokenizer = Tokenizer.fit(table, schema, target_column=None, seed=1)
    assert [column.name for column in tokenizer.columns] == ["a"]


@pytest.mark.parametrize(
    ("table", "schema", "label", "column_name"),
    [
        (pa.table({"a": [1]}), (ColumnSchema("b", "integer"),), None, "'b'"),
        (pa.table({"a": ["x"]}), (ColumnSchema("a", "number"),), None, "'a'"),
        (
            pa.table({"a": pa.array([2**64 - 1], pa.uint64())}),
            (ColumnSchema("a", "integer"),),
            None,
            "'a'",
        ),
        (pa.table({"a": [[1]]}), (ColumnSchema("a", "category"),), None, "'a'"),
        (pa.table({"a": [1]}), (ColumnSchema("a", "integer"),), "c", "'c'"),
        (pa.table({"a": [1]}), (ColumnSchema("a", "id"),), None, "'a'"),
        (
            pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]),
            (ColumnSchema("a", "integer"),),
            None,
            "'a'",
        ),
    ],
)
def test_unsupported_columns_are_rejected_by_name(
    table: pa.Table, schema: tuple[ColumnSchema, ...], label: str | None, column_name: str
) -> None:
    with pytest.raises(UnsupportedColumn, match=column_name):
        Tokenizer.fit(table, schema, target_column=label, seed=1)
