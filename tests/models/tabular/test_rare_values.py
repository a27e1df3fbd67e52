"""What a model keeps of the rows that it was learned from."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.checkpoint import unpack
from models.tabular.categorical_columns import CategoricalColumn
from models.tabular.data import LabeledRows
from models.tabular.id_columns import IdColumn
from models.tabular.numeric_columns import NumericColumn
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


def residents(n: int = 500) -> pa.Table:
    """Two names are rare; each income and many a day is one person's own."""
    rng = np.random.default_rng(2)
    city = rng.choice(["Köln", "東京"], n).astype(object)
    city[:3], city[3] = "Atlantis", "Hermit"
    days = np.datetime64("2020-01-01", "s") + rng.integers(0, 9_000, n) * np.timedelta64(1, "D")
    income = np.round(rng.lognormal(8, 1, n), 2)
    income[4] = 10**9
    return pa.table({"city": city, "age": rng.integers(18, 90, n), "income": income, "since": days})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def protected(folder: Path) -> TableSampler:
    return train_sampler(residents(), SCHEMA, folder, steps=10, min_value_count=5)


def test_rare_values_are_neither_drawn_nor_in_the_models_file(
    protected: TableSampler, folder: Path
) -> None:
    rows = protected.sample(1, np.arange(3_000)).rows
    assert set(rows.column("city").to_pylist()) == {"Köln", "東京"}
    assert max(rows.column("income").to_pylist()) < 10**9 / 4
    file = (folder / "model").read_bytes()
    assert "東京" in unpack(folder / "model")[1]["tokenizer"]["columns"][0]["categories"]
    assert b"Atlantis" not in file
    assert b"Hermit" not in file


def test_numbers_are_kept_as_means_of_neighbours_unless_enough_rows_have_them() -> None:
    own = np.round(np.random.default_rng(2).lognormal(8, 1, 500), 2)  # nobody shares theirs
    values = pa.array(np.concatenate([own, [0.0] * 40, [10.0**9]]))
    column = NumericColumn.fit("x", values.type, values, min_value_count=5)
    assert column.exact_values.tolist() == [0.0]
    assert len(column.quantiles.values) == 100
    assert len(set(np.round(column.quantiles.values, 2)) & set(own)) < 5
    assert column.quantiles.values[-1] < 10.0**9 / 4
    assert column.quantiles.values.mean() == pytest.approx(np.append(own, 1e9).mean(), rel=0.01)
    years = pa.array([1990] * 30 + [1991] * 4 + [2001, 2002, 2003, 2004, 2004])
    few = NumericColumn.fit("x", years.type, years, min_value_count=5)
    kept = few.scale.from_scaled(
        few.exact_values, np.zeros(len(few.exact_values), bool)
    ).to_pylist()
    assert kept == [1990]
    assert few.quantiles.values.tolist() == [1998]  # of the nine others


def test_rows_with_a_rare_name_become_common_ones_in_their_shares() -> None:
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
def test_a_column_of_rare_values_alone_is_refused_by_name(
    tmp_path: Path, values: list[object], kind: str
) -> None:
    table = pa.table({"x": values})
    with pytest.raises(UnsupportedColumn, match="'x'"):
        train_sampler(table, (ColumnSchema("x", kind),), tmp_path, steps=2, min_value_count=5)  # type: ignore[arg-type]


def test_no_copy_of_a_row_is_drawn_when_none_is_wanted(tmp_path: Path) -> None:
    """Sixteen rows there are; twelve of them were learned from, with an identifier each."""
    bits = np.array([[k >> b & 1 for b in range(4)] for k in range(12)] * 20)
    table = pa.table({f"b{i}": bits[:, i] for i in range(4)})
    table = table.append_column("id", pa.array([f"N{k:04}" for k in range(len(table))]))
    schema = (*(ColumnSchema(f"b{i}", "integer") for i in range(4)), ColumnSchema("id", "id"))
    sampler = train_sampler(table, schema, tmp_path, steps=5, store_row_hashes=True)
    known = {tuple(row) for row in bits.tolist()}

    def copies(refuse: bool) -> int:
        drawn = sampler.sample(1, np.arange(200), exclude_training_rows=refuse)
        assert drawn.acceptance_rate < 0.5 if refuse else drawn.acceptance_rate == 1.0
        return sum(tuple(row[f"b{i}"] for i in range(4)) in known for row in drawn.rows.to_pylist())

    assert copies(refuse=False) > 100
    assert copies(refuse=True) == 0
    bare = train_sampler(table, schema, tmp_path, steps=2)
    with pytest.raises(RowHashesMissing):
        bare.sample(1, np.arange(2), exclude_training_rows=True)


def test_every_kind_of_value_is_a_copy_of_itself_alone(tmp_path: Path) -> None:
    table = residents(60)
    sampler = train_sampler(table, SCHEMA, tmp_path, steps=2, store_row_hashes=True)
    (batch,) = table.to_batches()
    assert sampler.tokenizer.is_training_row(batch).all()
    assert sampler.tokenizer.hashes is not None
    assert len(sampler.tokenizer.hashes) == 60
    other = batch.set_column(1, "age", pa.array([999] * 60))
    assert not sampler.tokenizer.is_training_row(other).any()


def test_pictures_of_a_run_show_no_real_row_where_rare_values_are_protected() -> None:
    table = pa.table({"x": [0.0] * 399 + [100.0], "y": np.arange(400.0)})
    schema = (ColumnSchema("x", "number"), ColumnSchema("y", "number"))
    rows = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.0, seed=1)
    shown = {}
    for min_value_count in (0, 5):
        run = RecordingCallbacks(2)
        train(rows, make_settings(table, min_value_count=min_value_count), run, seed=1)
        shown[min_value_count] = [(picture == REAL).all(2).any() for picture in run.previews]
    assert shown == {0: [True, True], 5: [False, False]}


def test_identifiers_tell_nothing_of_a_few_rows() -> None:
    numbers = pa.array([*range(1_000, 1_400), 7_654_321])
    assert IdColumn.fit("n", numbers.type, numbers).next_integer == 7_654_322
    assert IdColumn.fit("n", numbers.type, numbers, min_value_count=5).next_integer == 10_000
    texts = pa.array([f"N{k:03}" for k in range(400)] + ["Z999"])
    assert IdColumn.fit("t", texts.type, texts).alphabets[0] not in ("N", "")
    assert IdColumn.fit("t", texts.type, texts, min_value_count=5).alphabets[0] == "N"


def test_combinations_that_few_rows_have_are_not_kept(tmp_path: Path) -> None:
    city = ["Köln"] * 100 + ["東京"] * 100 + ["Köln"] * 2
    table = pa.table({"city": city, "country": ["DE"] * 100 + ["JP"] * 102})
    schema = (ColumnSchema("city", "category"), ColumnSchema("country", "category"))
    constraints = [{"kind": "fixed_combinations", "columns": ["city", "country"]}]
    every = train_sampler(table, schema, tmp_path, steps=2, constraints=constraints)
    assert every.tokenizer.fixed_combinations[0].shape == (2, 3)
    common = train_sampler(
        table, schema, tmp_path, steps=2, constraints=constraints, min_value_count=5
    )
    assert common.tokenizer.fixed_combinations[0].shape == (2, 2)
    apart = pa.table({"a": list("vwxyz") * 5, "b": sorted("vwxyz" * 5)})
    schema = (ColumnSchema("a", "category"), ColumnSchema("b", "category"))
    constraints = [{"kind": "fixed_combinations", "columns": ["a", "b"]}]
    with pytest.raises(UnsupportedColumn, match="'a'"):
        train_sampler(apart, schema, tmp_path, steps=2, constraints=constraints, min_value_count=3)
