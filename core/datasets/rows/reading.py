"""From an uploaded file to rows.parquet, profile.json and a summary."""

import errno
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from core.datasets.faults import shown
from core.datasets.issue import Issue
from core.datasets.rows import spool
from core.datasets.rows.casting import ARROW, cast
from core.datasets.rows.evidence import TextEvidence, TypedEvidence
from core.datasets.rows.inference import Finding, infer_text, infer_typed
from core.datasets.rows.issues import OF_READING, issues_of_reading, issues_of_schema
from core.datasets.rows.opening import open_table
from core.datasets.rows.profile import ColumnProfile, profile_column
from core.datasets.rows.raw import RawTable, table_error
from core.datasets.rows.revision import revised
from core.datasets.rows.schema import LABELS, Column, Schema
from core.datasets.rows.spool import Spool
from core.datasets.rows.summary import RowSummary
from core.datasets.rows.typed import TypedRows, arrow_schema
from core.datasets.rows.wanted import Wanted
from core.datasets.source import SourceFile
from core.errors import Fault, Invalid, StorageFull
from core.settings import Limits

ROWS_FILE = "rows.parquet"
PROFILE_FILE = "profile.json"

_RAW = {
    pa.string(): Column("", "category"),
    pa.int64(): Column("", "integer", decimals=0),
    pa.float64(): Column("", "number"),
    pa.bool_(): Column("", "boolean", format="false|true"),
    pa.timestamp("us"): Column("", "datetime", format="%Y-%m-%dT%H:%M:%S"),
}


def read_rows(files: Sequence[SourceFile], wanted: Wanted, limits: Limits, out: Path) -> RowSummary:
    """Write rows.parquet and profile.json into the folder `out`.

    Raises UnreadableDataset for the file, Invalid for what is wanted of its columns, or
    StorageFull; `out` is then the caller's to clear.
    """
    if len(files) != 1:
        raise table_error("one_of", "a table is one file; join the parts and send them as one")
    with _room():
        table = open_table(files[0], limits, wanted.dropped)
        raw = out / "raw.parquet"
        rows = spool.write(table.batches, table.schema, raw, limits)
        if rows < limits.rows_min:
            found = f"{rows:,} rows" if rows else "no rows"
            message = f"{shown(files[0].name)} has {found}; at least {limits.rows_min:,} are needed"
            raise table_error("table_empty" if rows == 0 else "too_few_rows", message)
        findings = _findings(Spool(raw), table, limits)
        columns = tuple(finding.column for finding in findings)
        spool.write(_typed(Spool(raw), columns), arrow_schema(columns), out / ROWS_FILE, limits)
        raw.unlink()
        summary = RowSummary(
            rows=rows,
            schema=Schema(columns),
            labels=(),
            format=table.format,
            issues=tuple(issues_of_reading(findings)),
            notes=tuple(table.notes),
            sha256=_sha256(out / ROWS_FILE),
        )
        return _reviewed(out / ROWS_FILE, summary, wanted.without(table.skipped), limits, out)


def revise_rows(
    path: Path, summary: RowSummary, wanted: Wanted, limits: Limits, out: Path
) -> RowSummary:
    """The summary of rows.parquet with another schema; writes profile.json into `out`."""
    with _room():
        return _reviewed(path, summary, wanted, limits, out)


def _reviewed(
    path: Path, summary: RowSummary, wanted: Wanted, limits: Limits, out: Path
) -> RowSummary:
    rows = TypedRows(path)
    schema = revised(rows, summary.schema, wanted, limits)
    profiles = [profile_column(column, rows.column(column)) for column in schema.columns]
    labels = _labels(schema, profiles, wanted, limits)
    issues = [issue for issue in summary.issues if issue.code in OF_READING]
    issues += issues_of_schema(rows, schema, profiles)
    text = json.dumps({"columns": [profile.to_dict() for profile in profiles]}, allow_nan=False)
    (out / PROFILE_FILE).write_text(text, encoding="utf-8")
    return RowSummary(
        rows=summary.rows,
        schema=schema,
        labels=labels,
        format=summary.format,
        issues=tuple(_in_order(issues)),
        notes=summary.notes,
        sha256=summary.sha256,
    )


def _labels(
    schema: Schema, profiles: Sequence[ColumnProfile], wanted: Wanted, limits: Limits
) -> tuple[dict[str, object], ...]:
    if schema.target is None or schema[schema.target].type not in LABELS:
        return ()
    profile = next(p for p in profiles if p.column.name == schema.target)
    if profile.counts.distinct > limits.classes_max:
        message = (
            f"the target {shown(schema.target)} has {profile.counts.distinct:,} values; at most "
            f"{limits.classes_max:,} can be labels"
        )
        fault = Fault(f"{wanted.base}/target", "too_many_labels", message)
        raise Invalid(message, code="too_many_labels", faults=[fault])
    return tuple(profile.labels())


def _in_order(issues: Sequence[Issue]) -> list[Issue]:
    order = ("error", "warning", "info")
    return sorted(issues, key=lambda issue: order.index(issue.severity))


def _findings(raw: Spool, table: RawTable, limits: Limits) -> list[Finding]:
    findings = []
    for field in raw.schema:
        if field.name in table.loose:
            texts = TextEvidence()
            for values in raw.column(field.name):
                texts.add(values)
            finding = infer_text(
                field.name,
                texts,
                decimal_comma=table.decimal_comma,
                categories_max=limits.categories_max,
            )
        else:
            seen = TypedEvidence()
            for values in raw.column(field.name):
                seen.add(values)
            hint = table.hints.get(field.name, Column(field.name, "category"))
            finding = infer_typed(
                field.name, str(field.type), seen, hint, categories_max=limits.categories_max
            )
        findings.append(finding)
    return findings


def _typed(raw: Spool, columns: tuple[Column, ...]) -> Iterator[pa.RecordBatch]:
    schema = arrow_schema(columns)
    for batch in raw.batches():
        arrays = [
            cast(values, column if values.type == ARROW[column.type] else _RAW[values.type], column)
            for values, column in zip(batch.columns, columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull("there is no room left to read the table") from error
        raise
