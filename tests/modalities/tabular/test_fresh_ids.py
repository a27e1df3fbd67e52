"""New identifiers of augmented datasets."""

from itertools import combinations

import pyarrow as pa
import pytest

from core.errors import JobError
from modalities.tabular.augment import FreshIds
from modalities.tabular.schema import Column


def test_ends_of_addresses_may_repeat_in_new_rows() -> None:
    column = Column("mail", "id", format="email_end")
    ends = pa.array(["@a.com", "@b.org"] * 60)
    new_values = FreshIds(column, ends, 3, may_repeat=True).take(200).to_pylist()
    assert set(new_values) == {"@a.com", "@b.org"}


def test_identifiers_of_new_rows_are_new() -> None:
    values = pa.array([f"C-{i:04}" for i in range(100)])
    new_values = FreshIds(Column("id", "id"), values, 3).take(300).to_pylist()
    assert len({*new_values, *values.to_pylist()}) == 400


def test_lists_repeat_once_all_are_used() -> None:
    items = ("drama", "music", "sport", "war")
    lists = [", ".join(each) for n in (1, 2, 3, 4) for each in combinations(items, n)]
    fresh_ids = FreshIds(Column("genres", "id"), pa.array(lists * 9), 3)
    for _ in range(3):
        assert set(fresh_ids.take(50).to_pylist()) <= {*lists}


def test_unique_quantities_that_are_all_used_are_reported() -> None:
    values = pa.array([f"{i} kg" for i in range(1, 61)])
    fresh_ids = FreshIds(Column("size", "id", format="quantity"), values, 3)
    with pytest.raises(JobError, match="no more values") as error:
        fresh_ids.take(30)
    assert error.value.code == "identifiers_exhausted"


def test_unique_quantities_of_new_rows_are_new() -> None:
    values = pa.array([f"{i * 37 % 9_973} x {i * 53 % 997} mm" for i in range(1, 201)])
    fresh_ids = FreshIds(Column("size", "id", format="quantity"), values, 3)
    new_values = [*fresh_ids.take(300).to_pylist(), *fresh_ids.take(300).to_pylist()]
    assert len({*new_values, *values.to_pylist()}) == 800


def test_new_codes_grow_where_all_short_ones_are_used() -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    codes = [a + b for a in letters for b in letters]
    fresh_ids = FreshIds(Column("code", "id"), pa.array(codes), 3)
    new_values = [code for _ in range(3) for code in fresh_ids.take(2).to_pylist()]
    assert len({*new_values, *codes}) == len(codes) + 6


def test_identifiers_of_new_rows_are_missing_as_in_the_table() -> None:
    values = pa.array([f"C-{i:04}" if i % 2 else None for i in range(100)])
    new_values = FreshIds(Column("id", "id", nullable=True), values, 3).take(400)
    assert 120 < new_values.null_count < 280


def test_words_among_identifiers_stay_in_new_rows() -> None:
    values = pa.array([f"C-{i * 7919 % 90_000:05}" if i % 4 else "manual" for i in range(200)])
    new_values = FreshIds(Column("code", "id"), values, 3).take(400).to_pylist()
    assert 60 < new_values.count("manual") < 140
    assert set(new_values) & {*values.to_pylist()} == {"manual"}
