"""Columns that repeat the numbers of the rows in another column."""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from modalities.tabular.upload.files.spool import ParquetSpool
from modalities.tabular.upload.types.type_inference import InferredColumn


def identify_repeated_numbers(columns: Sequence[InferredColumn], raw: ParquetSpool) -> None:
    """Make identifiers of the integers that equal those of the first column, if it numbers rows."""
    first, *others = columns
    if first.column.type != "id" or first.column.arrow is None:
        return
    for inferred in others:
        column = inferred.column
        if column.type == "integer" and _are_equal(first.column.name, column.name, raw):
            arrow = column.arrow or (None if column.decimals else "int64")
            inferred.column = replace(column, type="id", decimals=None, format=None, arrow=arrow)
            inferred.readers = (inferred.column,)


def _are_equal(a: str, b: str, raw: ParquetSpool) -> bool:
    pairs = zip(raw.column(a), raw.column(b), strict=True)
    return all(one.cast(pa.string()).equals(other.cast(pa.string())) for one, other in pairs)
