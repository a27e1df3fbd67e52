"""Numbers that are about the sum or difference of several others."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.categorical_columns import Floats
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.data import LabeledRows
from models.tabular.prepare import plan_relations
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.near.sums import find_near_sums
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import decode_shuffled, make_settings, train_sampler

PARTS = ("sand", "lime", "soda", "ash")


def make_glass(count: int = 200) -> pa.Table:
    """Return parts of melts in percent. Traces of others are left out, so they are about 100."""
    rng = np.random.default_rng(0)
    parts = 100 * rng.dirichlet((30, 12, 6, 2), count)
    return pa.table(
        {n: np.round(parts[:, i] + rng.normal(0, 0.05, count), 2) for i, n in enumerate(PARTS)}
    )


def make_stocks(count: int = 400) -> pa.Table:
    """Return stocks at the end of a month, of which a little is lost in each one."""
    rng = np.random.default_rng(1)
    before, bought = rng.integers(500, 5_000, count), rng.integers(0, 2_000, count)
    sold = rng.integers(0, 2_000, count)
    stock = before + bought - sold - rng.poisson(8, count)
    return pa.table({"before": before, "bought": bought, "sold": sold, "stock": stock})


def plan(table: pa.Table, relations: bool | list[str] = True) -> RelationCoding:
    schema = tuple(ColumnSchema(name, "number") for name in table.column_names)
    rows = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.1, seed=1)
    return plan_relations(rows, make_settings(table, relations=relations)).coding


def totals(rows: pa.Table | pa.RecordBatch) -> Floats:
    return np.asarray(np.sum([np.asarray(rows.column(name)) for name in PARTS], 0))


def test_parts_of_few_rows_add_up_to_about_a_constant() -> None:
    table = make_glass()
    coding = plan(table)
    (relation,) = coding.with_exceptions
    assert (set(relation.columns), relation.offset) == (set(PARTS), 100)
    assert relation.name.startswith("100 - ")
    assert RelationCoding.unpack(coding.pack()) == coding
    coded = coding.encode(table).combine_chunks().to_batches()[0]
    assert pa.Table.from_batches([coding.decode(coded, table.schema)]).equals(table)
    assert totals(decode_shuffled(coding, table)).std() == pytest.approx(
        totals(table).std(), rel=0.01
    )


def test_a_stock_is_about_the_one_before_and_what_came_and_went() -> None:
    table = make_stocks()
    (relation,) = plan(table).with_exceptions
    signs = dict(zip(relation.columns, (*relation.term_signs, -1), strict=True))
    assert {name: sign * signs["before"] for name, sign in signs.items()} == {
        "before": 1,
        "bought": 1,
        "sold": -1,
        "stock": -1,
    }
    assert plan(table, relations=[relation.name]).with_exceptions != (relation,)
    assert not plan(table, relations=False).with_exceptions


def test_an_exact_sum_is_no_near_one_of_its_terms() -> None:
    table = make_stocks()
    columns = {name: table[name].to_numpy() for name in table.column_names}
    exact = columns["before"] + columns["bought"] - columns["sold"]
    table = table.set_column(3, "stock", pa.array(exact))
    assert plan(table).relations
    assert not plan(table).with_exceptions


def test_related_numbers_without_such_a_sum_are_not_coded() -> None:
    rng = np.random.default_rng(3)
    size = rng.lognormal(4, 0.5, 500)
    table = pa.table({n: np.round(size * rng.lognormal(0, 0.2, 500), 1) for n in "abcd"})
    assert not find_near_sums(table, dict.fromkeys("abcd", "number"), ())
    glass = make_glass().take(pa.array(range(90)))  # too few rows
    assert not find_near_sums(glass, dict.fromkeys(PARTS, "number"), ())
    assert not find_near_sums(make_glass(), dict.fromkeys(PARTS, "number"), PARTS)


def test_rows_with_a_given_total_leave_as_much_as_others(tmp_path: Path) -> None:
    table = make_stocks()
    schema = tuple(ColumnSchema(name, "integer") for name in table.column_names)
    sampler = train_sampler(table, schema, tmp_path, steps=3)
    given = {"before": 2_000, "bought": 900, "stock": 2_400}
    partial = PartialRows.parse(sampler.tokenizer, [given] * 40)
    rows = complete_rows(sampler, 1, np.arange(40), partial).rows
    assert rows.column("stock").to_pylist() == [2_400] * 40
    lost = 500 - rows.column("sold").to_numpy()
    assert lost.mean() == pytest.approx(8, abs=1.5)
    assert 1.5 < lost.std() < 5
