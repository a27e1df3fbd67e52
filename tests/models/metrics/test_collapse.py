"""One and the same row, again and again."""

import pyarrow as pa

from models.metrics.collapse import is_collapsed


def test_the_same_row_again_and_again_is_a_collapse_whatever_its_identifiers() -> None:
    real = pa.table({"a": list(range(20)), "b": ["x", None] * 10})
    same = pa.record_batch({"id": ["1", "2"], "a": [3, 3], "b": [None, None]})
    assert is_collapsed(same, real)
    assert not is_collapsed(pa.record_batch({"a": [3, 4], "b": ["x", "x"]}), real)
    assert not is_collapsed(same, pa.table({"b": ["x", None] * 10}))  # two kinds of rows are few
