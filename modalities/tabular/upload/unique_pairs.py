"""Pairs of columns that no two rows share, such as a person and a year."""

from itertools import combinations

import numpy as np
import pyarrow as pa

from core.datasets.data_quality import MAX_STORED_EXAMPLES, Issue
from modalities.tabular.schema import Schema
from modalities.tabular.typed_parquet import TypedParquet
from models.tabular.relations.lookups.discrete import Codes, encode_column

MAX_ROWS = 50_000  # the first ones, which are compared
FIRST_ROWS = 1_000  # rule out most pairs
MAX_COLUMNS = 20
MIN_ROWS = 100
MIN_EXPECTED_REPEATS = 20.0  # if the columns were independent
COMPARED_TYPES = ("integer", "category", "boolean", "datetime")


def unique_pairs_issue(rows: TypedParquet, schema: Schema) -> Issue | None:
    """Report pairs of columns that are unique in the rows, but may repeat in samples."""
    columns = [c for c in schema.columns if c.type in COMPARED_TYPES and not c.exclude]
    columns = columns[:MAX_COLUMNS]
    if rows.rows < MIN_ROWS or len(columns) < 2:
        return None
    first = pa.table(rows.slice(tuple(columns), 0, MAX_ROWS))
    codes = {c.name: encoded for c in columns if (encoded := encode_column(first, c.name))}
    complete = {name: each for name, each in codes.items() if each[0].all()}
    pairs = [
        f"{a}, {b}" for a, b in combinations(complete, 2) if _are_unique(complete[a], complete[b])
    ]
    if not pairs:
        return None
    hint = (
        "No two rows have the same values in both of these columns, but samples may. If they must "
        'not, add `{"kind": "unique", "columns": ["first", "second"]}` with their names to '
        "`constraints` of the training, and request far fewer rows than there are pairs."
    )
    return Issue("unique_pairs", "info", len(pairs), tuple(pairs[:MAX_STORED_EXAMPLES]), hint)


def _are_unique(a: Codes, b: Codes) -> bool:
    """Return True if no pair of (N,) codes repeats, although independent columns would repeat."""
    (first, _), (second, size) = a, b
    pairs = first * size + second
    if any(len(np.unique(part)) < len(part) for part in (pairs[:FIRST_ROWS], pairs)):
        return False
    shares = [float(((np.bincount(codes) / len(codes)) ** 2).sum()) for codes in (first, second)]
    return len(pairs) ** 2 / 2 * shares[0] * shares[1] >= MIN_EXPECTED_REPEATS
