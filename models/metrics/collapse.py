"""Collapse check of a table generator.

The check detects only that all rows are equal, whatever the noise. The quality and the diversity of
samples are measured by an evaluation.
"""

from typing import Any

import pyarrow as pa

MIN_DISTINCT_ROWS = 10  # real tables with fewer distinct rows are not checked


def is_collapsed(synthetic: pa.RecordBatch, real: pa.Table) -> bool:
    """Return True if all synthetic rows are equal although the real rows differ.

    Only the columns of `real` are compared.
    """
    return (
        len(_distinct_rows(synthetic.select(real.column_names))) == 1
        and len(_distinct_rows(real)) >= MIN_DISTINCT_ROWS
    )


def _distinct_rows(rows: pa.Table | pa.RecordBatch) -> set[tuple[Any, ...]]:
    return set(zip(*(column.to_pylist() for column in rows.columns), strict=True))
