"""Fresh identifiers of a known form."""

import re

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.id_columns import IdColumn


@pytest.mark.parametrize(
    ("seen", "form"),
    [
        (["7590-VHVEG", "5575-GNVDE", "0012-AAZQB"], r"\d{4}-[A-Z]{5}"),
        (["C-00017", "C-99102"], r"C-\d{5}"),
        (["0af3", "99bc", "12de"], r"[0-9a-f]{4}"),
        ([], r"\d{8}"),
    ],
)
def test_texts_have_the_form_that_was_seen_and_none_comes_twice(seen: list[str], form: str) -> None:
    identifier = IdColumn.fit("id", pa.string(), pa.array(seen, pa.string()))
    made = identifier.values(3, np.arange(9_000)).to_pylist()
    assert len(set(made)) == 9_000
    assert all(re.fullmatch(form, text) for text in made)


def test_a_form_without_room_is_made_longer() -> None:
    identifier = IdColumn.fit("id", pa.string(), pa.array(["a1", "a2", "a7"]))
    made = identifier.values(3, np.arange(25)).to_pylist()
    assert len(set(made)) == 25
    assert all(re.fullmatch(r"a\d(-\d)?", text) for text in made)


def test_integers_go_on_above_the_largest() -> None:
    identifier = IdColumn.fit("id", pa.int32(), pa.array([5, 900, 7], pa.int32()))
    made = identifier.values(3, np.array([0, 4]))
    assert made.equals(pa.array([901, 905], pa.int32()))
