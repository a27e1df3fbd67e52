"""Protection of rare values: a model stores nothing that few training rows have."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.checkpoint import unpack
from models.tabular.categorical_columns import CategoricalColumn
from models.tabular.data import LabeledRows
from models.tabular.identifiers.columns import IdColumn
from models.tabular.identifiers.templates import Counter
from models.tabular.numbers.columns import NumericColumn
from models.tabular.preview import REAL
from models.tabular.sampling import RowHashesMissing, TableSampler
from models.tabular.schema import ColumnSchema, UnsupportedColumn
from models.tabular.training import train
from tests.models.tabular.tiny_tables import RecordingCallbacks, make_settings, train_sampler

SCHEMA = (
    ColumnSchema("city", "category"),
    ColumnSchema("age", "integer"),
    ColumnSchema("income", "number"),
    ColumnSchema("since", "datetime"),
)


def make_residents(count: int = 500) -> pa.Table:
    """Return residents with two rare cities and, for most rows, a unique income or date."""
    rng = np.random.default_rng(2)
    city = rng.choice(["Köln", "東京"], count).astype(object)
    city[:3], city[3] = "Atlantis", "Hermit"
    days = np.datetime64("2020-01-01", "s") + rng.integers(0, 9_000, count) * np.timedelta64(1, "D")
    income = np.round(rng.lognormal(8, 1, count), 2)
    income[4] = 10**9
    return pa.table(
        {"city": city, "age": rng.integers(18, 90, count), "income": income, "since": days}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def protected(folder: Path) -> TableSampler:
    return train_sampler(make_residents(), SCHEMA, folder, steps=10, min_value_count=5)


def test_rare_values_are_neither_sampled_nor_stored(protected: TableSampler, folder: Path) -> None:
    rows = protected.sample(1, np.arange(3_000)).rows
    assert set(rows.column("city").to_pylist()) == {"Köln", "東京"}
    assert max(rows.column("income").to_pylist()) < 10**9 / 4
    model_bytes = (folder / "model").read_bytes()
    assert "東京" in unpack(folder / "model")[1]["tokenizer"]["columns"][0]["categories"]
    assert b"Atlantis" not in model_bytes
    assert b"Hermit" not in model_bytes


def test_rare_numbers_are_stored_as_means_of_neighbors() -> None:
    distinct = np.round(np.random.default_rng(2).lognormal(8, 1, 500), 2)  # every value occurs once
    values = pa.array(np.concatenate([distinct, [0.0] * 40, [10.0**9]]))
    column = NumericColumn.fit("x", values.type, values, min_value_count=5)
    assert column.exact_values.tolist() == [0.0]
    assert len(column.quantiles.lows) == 100
    assert len(set(np.round(column.quantiles.lows, 2)) & set(distinct)) < 5
    assert column.quantiles.lows[-1] < 10.0**9 / 4
    assert column.quantiles.lows.mean() == pytest.approx(np.append(distinct, 1e9).mean(), rel=0.01)
    years = pa.array([1990] * 30 + [1991] * 4 + [2001, 2002, 2003, 2004, 2004])
    year_column = NumericColumn.fit("x", years.type, years, min_value_count=5)
    stored_years = year_column.scale.from_scaled(
        year_column.exact_values, np.zeros(len(year_column.exact_values), bool)
    ).to_pylist()
    assert stored_years == [1990]
    assert year_column.quantiles.lows.tolist() == [1998]  # the mean of the nine others


def test_rare_categories_are_replaced_by_common_ones_in_proportion() -> None:
    values = pa.array(["a"] * 600 + ["b"] * 300 + [f"r{k}" for k in range(300)] + [None] * 9)
    column = CategoricalColumn.fit("x", values.type, values, min_value_count=5)
    tokens = column.encode(values, np.random.default_rng(0))[0]
    counts = np.bincount(tokens)
    assert counts[0] == pytest.approx(800, abs=40)
    assert counts[1] == pytest.approx(400, abs=40)
    assert counts[2] == 9  # missing stays missing


@pytest.mark.parametrize(
    ("values", "kind"), [([f"n{k}" for k in range(50)], "category"), ([1.5, 2.5, 3.5], "number")]
)
def test_a_column_of_only_rare_values_is_rejected_by_name(
    tmp_path: Path, values: list[object], kind: str
) -> None:
    table = pa.table({"x": values})
    with pytest.raises(UnsupportedColumn, match="'x'"):
        train_sampler(table, (ColumnSchema("x", kind),), tmp_path, steps=2, min_value_count=5)  # type: ignore[arg-type]


def test_excluding_training_rows_samples_no_copies(tmp_path: Path) -> None:
    """Train on 12 of 16 possible rows, each with its own identifier."""
    bits = np.array([[k >> b & 1 for b in range(4)] for k in range(12)] * 20)
    table = pa.table({f"b{i}": bits[:, i] for i in range(4)})
    table = table.append_column("id", pa.array([f"N{k:04}" for k in range(len(table))]))
    schema = (*(ColumnSchema(f"b{i}", "integer") for i in range(4)), ColumnSchema("id", "id"))
    sampler = train_sampler(table, schema, tmp_path, steps=5, store_row_hashes=True)
    training_rows = {tuple(row) for row in bits.tolist()}

    def count_copies(exclude: bool) -> int:
        samples = sampler.sample(1, np.arange(200), exclude_training_rows=exclude)
        assert samples.acceptance_rate < 0.5 if exclude else samples.acceptance_rate == 1.0
        return sum(
            tuple(row[f"b{i}"] for i in range(4)) in training_rows
            for row in samples.rows.to_pylist()
        )

    assert count_copies(exclude=False) > 100
    assert count_copies(exclude=True) == 0
    without_hashes = train_sampler(table, schema, tmp_path, steps=2)
    with pytest.raises(RowHashesMissing):
        without_hashes.sample(1, np.arange(2), exclude_training_rows=True)


def test_training_rows_of_every_column_type_are_recognized(tmp_path: Path) -> None:
    table = make_residents(60)
    sampler = train_sampler(table, SCHEMA, tmp_path, steps=2, store_row_hashes=True)
    (batch,) = table.to_batches()
    assert sampler.tokenizer.is_training_row(batch).all()
    assert sampler.tokenizer.hashes is not None
    assert len(sampler.tokenizer.hashes) == 60
    changed = batch.set_column(1, "age", pa.array([999] * 60))
    assert not sampler.tokenizer.is_training_row(changed).any()


def test_previews_hide_real_rows_when_rare_values_are_protected() -> None:
    table = pa.table({"x": [0.0] * 399 + [100.0], "y": np.arange(400.0)})
    schema = (ColumnSchema("x", "number"), ColumnSchema("y", "number"))
    rows = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.0, seed=1)
    shows_real_rows = {}
    for min_value_count in (0, 5):
        callbacks = RecordingCallbacks(2)
        train(rows, make_settings(table, min_value_count=min_value_count), callbacks, seed=1)
        shows_real_rows[min_value_count] = [
            (preview == REAL).all(2).any() for preview in callbacks.previews
        ]
    assert shows_real_rows == {0: [True, True], 5: [False, False]}


def test_ids_reveal_nothing_about_rare_rows() -> None:
    numbers = pa.array([*range(1_000, 1_400), 7_654_321])
    assert IdColumn.fit("n", numbers.type, numbers).source == Counter(7_654_322)
    protected = IdColumn.fit("n", numbers.type, numbers, min_value_count=5)
    assert protected.source == Counter(10_000)
    texts = pa.array([f"N{k:03}" for k in range(400)] + ["Z999"])
    for min_value_count in (0, 5):
        fresh = IdColumn.fit("t", texts.type, texts, min_value_count).values(1, np.arange(500))
        assert all(text.startswith("N") for text in fresh.to_pylist())
        assert not set(fresh.to_pylist()) & set(texts.to_pylist())


def test_rare_combinations_are_not_stored(tmp_path: Path) -> None:
    city = ["Köln"] * 100 + ["東京"] * 100 + ["Köln"] * 2
    table = pa.table({"city": city, "country": ["DE"] * 100 + ["JP"] * 102})
    schema = (ColumnSchema("city", "category"), ColumnSchema("country", "category"))
    constraints = [{"kind": "fixed_combinations", "columns": ["city", "country"]}]
    unprotected = train_sampler(table, schema, tmp_path, steps=2, constraints=constraints)
    assert unprotected.tokenizer.fixed_combinations[0].shape == (2, 3)
    protected = train_sampler(
        table, schema, tmp_path, steps=2, constraints=constraints, min_value_count=5
    )
    assert protected.tokenizer.fixed_combinations[0].shape == (2, 2)
    rare_pairs = pa.table({"a": list("vwxyz") * 5, "b": sorted("vwxyz" * 5)})
    schema = (ColumnSchema("a", "category"), ColumnSchema("b", "category"))
    constraints = [{"kind": "fixed_combinations", "columns": ["a", "b"]}]
    with pytest.raises(UnsupportedColumn, match="'a'"):
        train_sampler(
            rare_pairs, schema, tmp_path, steps=2, constraints=constraints, min_value_count=3
        )
