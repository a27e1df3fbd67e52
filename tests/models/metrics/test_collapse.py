"""Detection of collapsed tabular models."""

import pyarrow as pa

from models.metrics.collapse import is_collapsed


def test_repeated_rows_are_collapsed_even_with_distinct_ids() -> None:
    real = pa.table({"a": list(range(20)), "b": ["x", None] * 10})
    repeated = pa.record_batch({"id": ["1", "2"], "a": [3, 3], "b": [None, None]})
    assert is_collapsed(repeated, real)
    assert not is_collapsed(pa.record_batch({"a": [3, 4], "b": ["x", "x"]}), real)
    # These real rows have only two distinct values.
    assert not is_collapsed(repeated, pa.table({"b": ["x", None] * 10}))
