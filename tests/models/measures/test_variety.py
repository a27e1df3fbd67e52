"""One and the same item, again and again."""

import numpy as np
import pyarrow as pa

from models.measures.variety import one_picture, one_row

RNG = np.random.default_rng(0)
REAL = RNG.integers(0, 255, (50, 8, 8), np.uint8)


def test_the_same_picture_again_and_again_is_a_collapse() -> None:
    made = np.repeat(REAL[:1], 64, axis=0)
    assert one_picture(made, REAL)
    made[3, 0, 0] += 3  # a trace of noise
    assert one_picture(made, REAL)
    assert not one_picture(REAL, REAL)
    assert not one_picture((REAL // 20 + 100).astype(np.uint8), REAL)  # faint, but not the same


def test_data_that_is_all_the_same_asks_for_no_more() -> None:
    assert not one_picture(np.zeros((64, 8, 8), np.uint8), np.zeros((9, 8, 8), np.uint8))


def test_the_same_row_again_and_again_is_a_collapse_whatever_its_identifiers() -> None:
    real = pa.table({"a": list(range(20)), "b": ["x", None] * 10})
    same = pa.record_batch({"id": ["1", "2"], "a": [3, 3], "b": [None, None]})
    assert one_row(same, real)
    assert not one_row(pa.record_batch({"a": [3, 4], "b": ["x", "x"]}), real)
    assert not one_row(same, pa.table({"b": ["x", None] * 10}))  # two kinds of rows are few
