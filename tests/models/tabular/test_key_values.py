"""Given values of columns that a key determines agree with one of its values."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import train_sampler

PRODUCTS, ROWS = 100, 3_000
OTHER_NAME = "name x"  # of the first ten products, in half of their rows


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    """Return a model of products with a name and a shelf; some of them have no number."""
    rng = np.random.default_rng(0)
    product = rng.integers(0, PRODUCTS, ROWS)
    has_other_name = (product < 10) & (rng.random(ROWS) < 0.5)
    names = np.where(has_other_name, OTHER_NAME, np.char.add("name ", (product // 2).astype(str)))
    numbers: list[str | None] = [f"p{k}" if k < PRODUCTS - 1 else None for k in product]
    table = pa.table(
        {
            "product": pa.array(numbers),
            "name": pa.array(names.tolist()),
            "shelf": pa.array([f"shelf {k}" for k in product % 7]),
            "amount": rng.random(ROWS).round(2),
        }
    )
    schema = tuple(
        ColumnSchema(name, "number" if name == "amount" else "category", nullable=True)
        for name in table.column_names
    )
    folder = Path(tmp_path_factory.mktemp("products"))
    model = train_sampler(table, schema, folder, label=None, steps=5)
    assert model.tokenizer.coding.exceptions_of_keys == {"product": ["name"]}
    return model


def complete(sampler: TableSampler, row: dict[str, Any], count: int) -> set[tuple[str, ...]]:
    partial_rows = PartialRows.parse(sampler.tokenizer, [row] * count)
    rows = complete_rows(sampler, 1, np.arange(count), partial_rows).rows
    return {tuple(each.values()) for each in rows.drop_columns(["amount"]).to_pylist()}


def test_a_given_name_gets_a_product_that_has_it(sampler: TableSampler) -> None:
    assert complete(sampler, {"name": "name 20"}, 50) == {
        ("p40", "name 20", "shelf 5"),
        ("p41", "name 20", "shelf 6"),
    }
    products = complete(sampler, {"name": OTHER_NAME}, 100)
    assert products <= {(f"p{k}", OTHER_NAME, f"shelf {k % 7}") for k in range(10)}
    assert len(products) > 3


def test_a_name_of_a_missing_number_is_known(sampler: TableSampler) -> None:
    (row,) = complete(sampler, {"name": "name 49", "shelf": "shelf 1"}, 5)
    assert row == (None, "name 49", "shelf 1")


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        (
            {"name": "name 20", "shelf": "shelf 1"},
            "shelf",
            "contradicts `name`: no training row has these values together",
        ),
        (
            {"product": "p3", "name": "name 20"},
            "name",
            "contradicts `product`: no training row has these values together",
        ),
        ({"name": "name 200"}, "name", "has no such value in the training data; its values are"),
    ],
)
def test_values_that_no_product_has_are_refused_at_once(
    row: dict[str, Any], column: str, message: str, sampler: TableSampler
) -> None:
    with pytest.raises(InvalidPartialRow, match=message) as caught:
        PartialRows.parse(sampler.tokenizer, [{"shelf": "shelf 1"}, row])
    assert (caught.value.row, caught.value.column) == (1, column)
