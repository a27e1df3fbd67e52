"""What is odd about a table that can be learned from all the same."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.datasets.data_quality import Issue, Severity
from core.datasets.tabular.profile import ColumnProfile
from core.datasets.tabular.schema import Schema
from core.datasets.tabular.target_leakage import find_leaking_columns
from core.datasets.tabular.type_inference import InferredColumn
from core.datasets.tabular.typed_parquet import TypedParquet

MAX_EXAMPLES = 5
MIN_ROWS = 100
HIGH_CARDINALITY = 100
HIGH_MISSING_FRACTION = 0.5
DUPLICATE_WARNING_FRACTION = 0.01  # above it, duplicates are worth a warning

# Found while reading; the others are looked for again whenever the schema changes.
READING_ISSUE_CODES = frozenset(
    {"mixed_types", "non_finite", "missing_value_markers", "ambiguous_date_format"}
)


def find_reading_issues(inferred: Sequence[InferredColumn]) -> list[Issue]:
    mixed = [finding for finding in inferred if finding.mixed]
    infinite = [finding for finding in inferred if finding.non_finite]
    found = [
        _of_rows(
            "mixed_types",
            [(f.column.name, f.mixed, f.mixed_rows) for f in mixed],
            "Mostly numbers, and some words, so that all of it is taken as words; correct these "
            "rows, or leave them empty.",
        ),
        _of_rows(
            "non_finite",
            [(f.column.name, f.non_finite, f.non_finite_rows) for f in infinite],
            "NaN and infinite numbers cannot be learned and were taken as missing.",
        ),
        _issue(
            "missing_value_markers",
            "info",
            [
                f"{f.column.name}: {f.missing_markers:,} rows"
                for f in inferred
                if f.missing_markers
                and not f.mixed
                and f.column.type in {"integer", "number", "datetime", "id"}
            ],
            "Words such as NA among numbers or times were taken as missing.",
        ),
        _issue(
            "ambiguous_date_format",
            "warning",
            [f"{f.column.name}: {f.column.format}" for f in inferred if f.ambiguous_date_format],
            "The dates can be read in more than one way; give the column's `format` in the schema.",
        ),
    ]
    return [issue for issue in found if issue is not None]


def find_schema_issues(
    rows: TypedParquet, schema: Schema, profiles: Sequence[ColumnProfile]
) -> list[Issue]:
    shown = [profile for profile in profiles if not profile.column.exclude]
    found = [
        _few_rows(rows.rows),
        _duplicates(rows),
        *_of_types(profiles),
        *_of_values(shown),
        _issue(
            "target_leakage",
            "warning",
            find_leaking_columns(rows, schema),
            "Whoever knows this column knows the target; drop it if it is a copy of it.",
        ),
    ]
    return [issue for issue in found if issue is not None]


def _of_types(profiles: Sequence[ColumnProfile]) -> list[Issue | None]:
    def named(kind: str) -> list[str]:
        return [profile.column.name for profile in profiles if profile.column.type == kind]

    return [
        _issue(
            "free_text",
            "warning",
            named("text"),
            "Text without end cannot be learned: these columns are dropped and will be absent from "
            "samples. Give another type in the schema where that is wrong.",
        ),
        _issue(
            "id_like_column",
            "info",
            [p.column.name for p in profiles if p.column.type == "id" and not p.column.exclude],
            "Values that only tell rows apart are not learned. Drop these columns, or give another "
            "type in the schema where that is wrong.",
        ),
    ]


def _of_values(profiles: Sequence[ColumnProfile]) -> list[Issue | None]:
    constant = [p.column.name for p in profiles if p.distinct == 1 and not p.missing]
    many = [
        f"{p.column.name}: {p.counts.distinct:,} values"
        for p in profiles
        if p.column.type == "category" and p.counts.distinct > HIGH_CARDINALITY
    ]
    missing = [p for p in profiles if p.missing]
    mostly = any(p.missing > HIGH_MISSING_FRACTION * p.count for p in missing)
    return [
        _issue(
            "constant_column",
            "info",
            constant,
            "One value in all rows: there is nothing to learn in it.",
        ),
        _issue(
            "high_cardinality",
            "warning",
            many,
            "Rare values are learned badly, or not at all; group them, or drop the column.",
        ),
        _issue(
            "missing",
            "warning" if mostly else "info",
            [f"{p.column.name}: {p.missing:,} of {p.count:,} rows" for p in missing],
            "Missing values are learned as such, and samples have them too.",
        ),
    ]


def _few_rows(rows: int) -> Issue | None:
    if rows >= MIN_ROWS:
        return None
    hint = f"Fewer than {MIN_ROWS} rows: samples will hardly be more than copies of them."
    return Issue("few_rows", "warning", rows, (), hint)


def _duplicates(rows: TypedParquet) -> Issue | None:
    """Rows that stand earlier already, told by a hash of 64 bits."""
    hashes = [_hashes(batch) for batch in rows.spool.batches()]
    if not hashes:
        return None
    whole = np.concatenate(hashes)
    copies = np.ones(len(whole), bool)
    copies[np.unique(whole, return_index=True)[1]] = False
    places = np.flatnonzero(copies)
    severity: Severity = (
        "warning" if len(places) > DUPLICATE_WARNING_FRACTION * len(whole) else "info"
    )
    hint = "The same row more than once; remove the copies unless they are meant as weights."
    examples = tuple(f"row {int(place) + 1:,}" for place in places[:MAX_EXAMPLES])
    return Issue("duplicate", severity, len(places), examples, hint) if len(places) else None


def _hashes(batch: pa.RecordBatch) -> np.ndarray:
    texts = [column.cast(pa.string()) for column in batch.columns]
    joined = pc.binary_join_element_wise(
        *texts, "\x1f", null_handling="replace", null_replacement="\x00"
    )
    return np.fromiter(map(hash, joined.to_pylist()), np.int64, len(joined))


def _of_rows(code: str, found: Sequence[tuple[str, int, list[int]]], hint: str) -> Issue | None:
    examples = [f"{name}: row {row:,}" for name, _, rows in found for row in rows]
    count = sum(count for _, count, _ in found)
    return Issue(code, "warning", count, tuple(examples[:MAX_EXAMPLES]), hint) if found else None


def _issue(code: str, severity: Severity, columns: Sequence[str], hint: str) -> Issue | None:
    if not columns:
        return None
    return Issue(code, severity, len(columns), tuple(columns[:MAX_EXAMPLES]), hint)
