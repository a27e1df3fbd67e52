"""Generated identifiers that follow the pattern of the table."""

import re

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.id_columns import IdColumn


@pytest.mark.parametrize(
    ("table_ids", "pattern"),
    [
        (["7590-VHVEG", "5575-GNVDE", "0012-AAZQB"], r"\d{4}-[A-Z]{5}"),
        (["C-00017", "C-99102"], r"C-\d{5}"),
        (["0af3", "99bc", "12de"], r"[0-9a-f]{4}"),
        ([], r"\d{8}"),
    ],
)
def test_text_ids_follow_the_pattern_of_the_table_without_repeats(
    table_ids: list[str], pattern: str
) -> None:
    id_column = IdColumn.fit("id", pa.string(), pa.array(table_ids, pa.string()))
    ids = id_column.values(3, np.arange(9_000)).to_pylist()
    assert len(set(ids)) == 9_000
    assert all(re.fullmatch(pattern, text) for text in ids)


def test_an_exhausted_pattern_is_extended() -> None:
    id_column = IdColumn.fit("id", pa.string(), pa.array(["a1", "a2", "a7"]))
    ids = id_column.values(3, np.arange(25)).to_pylist()
    assert len(set(ids)) == 25
    assert all(re.fullmatch(r"a\d{1,2}", text) for text in ids)


def test_integer_ids_continue_above_the_largest() -> None:
    id_column = IdColumn.fit("id", pa.int32(), pa.array([5, 900, 7], pa.int32()))
    ids = id_column.values(3, np.array([0, 4]))
    assert ids.equals(pa.array([901, 905], pa.int32()))
