"""Rulers: lines of hyphens or equals signs that printed lists have between the rows."""

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

MIN_CELLS = 2  # of a row between values; a single text of hyphens may be a value
_CELL = r"[-=:+| ]*[-=]{3}[-=:+| ]*"  # for Arrow, whose patterns take linear time
# Python's patterns do so only if they first look for the hyphens, and then for other characters.
_RULER = re.compile(r"(?=[+:| ]*[-=])[-+=:| ]+")
_LONG = re.compile(r"(?=.*[-=]{3})[-+=:| ]+")


def ruler_lines(delimiter: str) -> str:
    """Return a pattern of rulers in a printed list with this delimiter between all fields."""
    return rf"(?=[^\r\n]*[-=]{{3}})[-+=:{delimiter} \t]+"


def is_ruler(row: Sequence[str]) -> bool:
    """Return True for a line of hyphens, which database programs write below the names."""
    return all(not field.strip() or _RULER.fullmatch(field) for field in row) and any(row)


def is_ruler_above_names(row: Sequence[str]) -> bool:
    """Return True for a line of hyphens in which a value could not be missing, as in `-`."""
    return is_ruler(row) and any(map(_LONG.fullmatch, row))


def without_rulers(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int]:
    """Return the rows with values, and how many others consist of rulers in all cells."""
    if any(column.type != pa.string() for column in batch.columns) or not batch.num_columns:
        return batch, 0
    first = next((c for c in batch.columns if c.null_count < len(c)), batch.column(0))
    if not pc.any(pc.match_substring_regex(first, r"^[-=]{3}")).as_py():
        return batch, 0
    texts = [pc.match_substring_regex(column, f"^{_CELL}$") for column in batch.columns]
    cells = sum(matches.fill_null(False).cast(pa.int64()).to_numpy() for matches in texts)
    filled = sum(column.is_valid().cast(pa.int64()).to_numpy() for column in batch.columns)
    are_rulers = (cells == filled) & (cells >= MIN_CELLS)
    return batch.filter(pa.array(~are_rulers)), int(are_rulers.sum())
