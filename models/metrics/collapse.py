"""Whether a generator of rows makes one and the same row whatever the noise. Only that is looked
for: how good and how varied samples are is for an evaluation to say."""

from typing import Any

import pyarrow as pa

MIN_DISTINCT_ROWS = 10  # different rows


def is_collapsed(synthetic: pa.RecordBatch, real: pa.Table) -> bool:
    """Whether all rows are the same in the columns of `real`, whose rows differ."""
    return (
        len(_different(synthetic.select(real.column_names))) == 1
        and len(_different(real)) >= MIN_DISTINCT_ROWS
    )


def _different(rows: pa.Table | pa.RecordBatch) -> set[tuple[Any, ...]]:
    return set(zip(*(column.to_pylist() for column in rows.columns), strict=True))
