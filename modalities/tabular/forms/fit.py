"""Fit of a form to the sampled texts of a column."""

import pyarrow as pa
import pyarrow.compute as pc

MIN_FIT_FRACTION = 0.9  # of the sampled texts; the exact fraction is checked on all rows


def count_equal(written: pa.StringArray, texts: pa.StringArray) -> int:
    """Return the number of texts that a form writes as they came."""
    return pc.sum(pc.equal(written, texts)).as_py() or 0
