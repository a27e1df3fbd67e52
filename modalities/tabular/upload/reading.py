"""Conversion of an uploaded file to rows.parquet, profile.json and a summary."""

import errno
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from core.datasets.source import SourceFile
from core.errors import FieldError, StorageFull, ValidationFailed
from core.limits import Limits
from modalities.tabular.formatting import format_values
from modalities.tabular.forms.number_inference import has_thousands_comma
from modalities.tabular.schema import LABEL_TYPES, Column, Schema
from modalities.tabular.type_casting import arrow_type, cast
from modalities.tabular.typed_parquet import TypedParquet, arrow_schema
from modalities.tabular.upload.data_quality import find_schema_issues
from modalities.tabular.upload.files import spool
from modalities.tabular.upload.files.csv_text import MAX_STRIPPED_TEXTS
from modalities.tabular.upload.files.open_table import EXTRACTED, open_table
from modalities.tabular.upload.files.spool import ParquetSpool
from modalities.tabular.upload.layout.numbered_columns import give_one_type
from modalities.tabular.upload.layout.repeated_row_numbers import identify_repeated_numbers
from modalities.tabular.upload.profile import ColumnProfile, profile_column
from modalities.tabular.upload.raw_table import MAX_EXAMPLES, RawTable, table_error
from modalities.tabular.upload.read_options import INFER_ALL, ReadOptions
from modalities.tabular.upload.reading_issues import READING_ISSUE_CODES, find_reading_issues
from modalities.tabular.upload.relations import find_relations, search_joined_texts
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from modalities.tabular.upload.schema_validation import apply_overrides
from modalities.tabular.upload.summary import TableSummary
from modalities.tabular.upload.types.candidate_search import find_candidates
from modalities.tabular.upload.types.column_stats import (
    TextColumnStats,
    TypedColumnStats,
    sample_texts,
)
from modalities.tabular.upload.types.date_orders import give_one_order
from modalities.tabular.upload.types.form_candidates import FormCandidate
from modalities.tabular.upload.types.public_rows import (
    are_codes,
    names_public_rows,
    show_codes_of_public_rows,
)
from modalities.tabular.upload.types.type_inference import InferredColumn, infer_text, infer_typed

_MAX_MISSING_WORD = 64  # characters
ROWS_FILE = "rows.parquet"
PROFILE_FILE = "profile.json"

# The column that each raw type is cast from.
_RAW_COLUMNS = {
    pa.string(): Column("", "category"),
    pa.int64(): Column("", "integer", decimals=0),
    pa.float64(): Column("", "number"),
    pa.bool_(): Column("", "boolean", format="false|true"),
    pa.timestamp("us"): Column("", "datetime", format="%Y-%m-%dT%H:%M:%S"),
    pa.time64("us"): Column("", "time", format="%H:%M:%S"),
    pa.duration("us"): Column("", "duration"),
}


def read_table(
    files: Sequence[SourceFile],
    overrides: SchemaOverrides,
    limits: Limits,
    out: Path,
    options: ReadOptions = INFER_ALL,
) -> TableSummary:
    """Write rows.parquet and profile.json into the folder `out`.

    The caller must clear `out` after an error.

    Raises:
        DatasetUnreadable: The file cannot be used.
        ValidationFailed: The overrides do not fit the file.
        StorageFull: The disk is full.
    """
    if len(files) != 1:
        raise table_error(
            "unsupported_file_combination",
            "A table must be one file; join the parts and send them as one.",
        )
    with _disk_full_as_storage_full():
        table = open_table(files[0], limits, overrides.excluded, options, out)
        raw_path = out / "raw.parquet"
        rows = spool.write_parquet(table.batches, table.schema, raw_path, limits, temporary=True)
        (out / EXTRACTED).unlink(missing_ok=True)
        if rows < limits.rows_min:
            message = (
                f"{printable(files[0].name)} has {f'{rows:,}' if rows else 'no'} rows; at least "
                f"{limits.rows_min:,} are needed."
            )
            if 0 < rows < len(table.schema) and table.read.get("transpose") is False:
                message += " If its rows are the columns of the table, set `read.transpose`."
            raise table_error("table_empty" if rows == 0 else "too_few_rows", message)
        inferred = _infer_columns(ParquetSpool(raw_path), table, limits)
        inferred = _without_empty_columns(inferred, ParquetSpool(raw_path), table)
        columns = tuple(each.column for each in inferred)
        spool.write_parquet(
            _typed_batches(ParquetSpool(raw_path), inferred),
            arrow_schema(columns),
            out / ROWS_FILE,
            limits,
        )
        raw_path.unlink()
        summary = TableSummary(
            rows=rows,
            schema=Schema(columns),
            labels=(),
            format=table.format,
            issues=(*table.issues, *find_reading_issues(inferred)),
            notes=tuple(table.notes),
            read=table.read,
            sha256=_sha256(out / ROWS_FILE),
        )
        return _apply_schema(
            out / ROWS_FILE, summary, overrides.without(table.skipped), limits, out
        )


def update_table_schema(
    path: Path, summary: TableSummary, overrides: SchemaOverrides, limits: Limits, out: Path
) -> TableSummary:
    """Apply overrides to the schema: write profile.json into `out` and return the new summary."""
    with _disk_full_as_storage_full():
        return _apply_schema(path, summary, overrides, limits, out)


def _apply_schema(
    path: Path, summary: TableSummary, overrides: SchemaOverrides, limits: Limits, out: Path
) -> TableSummary:
    rows = TypedParquet(path)
    schema = apply_overrides(rows, summary.schema, overrides, limits)
    profiles = [profile_column(column, rows.column(column)) for column in schema.columns]
    labels = _labels(schema, profiles, overrides, limits)
    issues = [issue for issue in summary.issues if issue.code in READING_ISSUE_CODES]
    joined_texts = search_joined_texts(rows, schema)
    issues += find_schema_issues(rows, schema, profiles, joined_texts)
    relations, odd_rows_issues = find_relations(rows, schema, joined_texts)
    issues += odd_rows_issues
    profile = {
        "columns": [profile.to_dict() for profile in profiles],
        "relations": relations,
    }
    text = json.dumps(profile, allow_nan=False)
    (out / PROFILE_FILE).write_text(text, encoding="utf-8")
    return TableSummary(
        rows=summary.rows,
        schema=schema,
        labels=labels,
        format=summary.format,
        issues=tuple(_by_severity(issues)),
        notes=summary.notes,
        read=summary.read,
        sha256=summary.sha256,
    )


def _labels(
    schema: Schema, profiles: Sequence[ColumnProfile], overrides: SchemaOverrides, limits: Limits
) -> tuple[dict[str, object], ...]:
    if schema.target is None or schema[schema.target].type not in LABEL_TYPES:
        return ()
    profile = next(p for p in profiles if p.column.name == schema.target)
    if profile.counts.distinct > limits.classes_max:
        message = (
            f"The target {printable(schema.target)} has {profile.counts.distinct:,} different "
            f"values; a target may have at most {limits.classes_max:,} labels."
        )
        error = FieldError(f"{overrides.pointer_prefix}/target", "too_many_labels", message)
        raise ValidationFailed(message, code="too_many_labels", field_errors=[error])
    return tuple(profile.labels())


def _by_severity(issues: Sequence[Issue]) -> list[Issue]:
    order = ("error", "warning", "info")
    return sorted(issues, key=lambda issue: order.index(issue.severity))


def _infer_columns(raw: ParquetSpool, table: RawTable, limits: Limits) -> list[InferredColumn]:
    if table.decimal_comma and not table.has_stated_marks:
        names = [field.name for field in raw.schema if field.type == pa.string()]
        samples = (sample_texts(raw, name) for name in names)
        table = replace(table, decimal_comma=not any(map(has_thousands_comma, samples)))
    columns = [_infer_column(raw, field, table, limits) for field in raw.schema]
    if any(column.names_rows for column in columns):
        show_codes_of_public_rows(columns)
    give_one_type(columns, raw, limits.categories_max)
    identify_repeated_numbers(columns, raw)
    give_one_order(columns, raw)
    return columns


def _without_empty_columns(
    inferred: list[InferredColumn], raw: ParquetSpool, table: RawTable
) -> list[InferredColumn]:
    """Leave out columns without a name and without a value, such as after a last delimiter."""
    empty = {
        name
        for name in table.unnamed
        if all(values.null_count == len(values) for values in raw.column(name))
    }
    if not empty or len(empty) == len(inferred):
        return inferred
    numbers = [f"column {i}" for i, c in enumerate(inferred, start=1) if c.column.name in empty]
    hint = "These columns have neither a name nor a value, and were left out."
    table.issues.append(
        Issue("empty_columns", "info", len(empty), tuple(numbers[:MAX_EXAMPLES]), hint)
    )
    return [column for column in inferred if column.column.name not in empty]


def _infer_column(
    raw: ParquetSpool, field: pa.Field, table: RawTable, limits: Limits
) -> InferredColumn:
    hint = table.type_hints.get(field.name, Column(field.name, "category"))
    # A single column without a name holds the names or numbers of the rows.
    name = "" if table.unnamed == {field.name} else field.name
    numbers_are_texts = table.format in ("json", "ndjson") and not any(
        pa.types.is_integer(each.type) or pa.types.is_floating(each.type) for each in raw.schema
    )
    candidates: list[FormCandidate] = []
    text_stats, typed_stats = TextColumnStats(), None
    if field.type in {pa.string(), pa.int64()}:
        candidates = find_candidates(
            name,
            sample_texts(raw, field.name),
            decimal_comma=table.decimal_comma,
            stated_marks=table.has_stated_marks,
            typed_text=not (field.name in table.untyped or numbers_are_texts),
        )
    if field.type == pa.string() or candidates:
        text_stats = TextColumnStats(candidates)
        for values in raw.column(field.name):
            text_stats.add(values.cast(pa.string()))
        inferred = infer_text(
            name, text_stats, categories_max=limits.categories_max, others=raw.schema.names
        )
    if field.type != pa.string() and (not candidates or inferred.column.type != "datetime"):
        typed_stats = TypedColumnStats()
        for values in raw.column(field.name):
            typed_stats.add(values)
        inferred = infer_typed(
            name,
            str(field.type),
            typed_stats,
            hint,
            categories_max=limits.categories_max,
            others=raw.schema.names,
        )
    if numbers_are_texts and field.name not in table.untyped:
        inferred.column = _as_json_texts(inferred.column)
    stats = text_stats if field.name in table.untyped or not typed_stats else typed_stats
    is_category = inferred.column.type == "category"
    inferred.names_rows = is_category and names_public_rows(stats.counts, stats.valid)
    inferred.are_codes = are_codes(stats.counts)
    if is_category and table.stripped.total() < MAX_STRIPPED_TEXTS:
        counts = stats.counts.values
        merged = {text: n for text, n in table.stripped.items() if n < counts.get(text, 0)}
        inferred.merged.update(merged)
    arrow = hint.arrow or inferred.column.arrow
    missing = None
    if field.name in table.untyped:
        replaced = table.missing_words.get(field.name, Counter())
        missing = _missing_word(inferred.markers + replaced, text_stats.missing - replaced.total())
    inferred.column = replace(inferred.column, name=field.name, arrow=arrow, missing=missing)
    return inferred


def _as_json_texts(column: Column) -> Column:
    """Return the column of numbers that a JSON file without numbers has as texts."""
    if column.type in ("integer", "number"):
        return replace(column, arrow="string")
    if column.type == "id":
        return replace(column, arrow=None)
    is_code = column.type == "category" and column.format == "integer"
    return replace(column, format=None) if is_code else column


def _missing_word(words: Counter[str], empty: int) -> str | None:
    """Return the most common word for missing values, if no more fields are empty."""
    (word, count), *_ = words.most_common(1) or [("", 0)]
    return word if count > empty and len(word) <= _MAX_MISSING_WORD else None


def _typed_batches(
    raw: ParquetSpool, inferred: Sequence[InferredColumn]
) -> Iterator[pa.RecordBatch]:
    schema = arrow_schema(tuple(each.column for each in inferred))
    for batch in raw.batches([each.column.name for each in inferred]):
        arrays = [_cast(*pair) for pair in zip(batch.columns, inferred, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cast(values: pa.Array, inferred: InferredColumn) -> pa.Array:
    column = inferred.column
    if inferred.codes is not None:
        return format_values(_cast_numbers(values, inferred.codes), inferred.codes)
    if inferred.null_words:
        is_missing = pc.is_in(values, pa.array(inferred.null_words)).fill_null(False)
        values = pc.if_else(is_missing, pa.scalar(None, pa.string()), values)
    if values.type == arrow_type(column):
        return cast(values, column, column)
    if values.type == pa.int64() and column.type == "datetime":
        values = values.cast(pa.string())
    stored = _RAW_COLUMNS[values.type]
    typed = cast(values, stored, column)
    for reader in inferred.readers[1:]:
        typed = pc.coalesce(typed, cast(values, stored, reader))
    return typed


def _cast_numbers(values: pa.Array, column: Column) -> pa.Array:
    return cast(values, _RAW_COLUMNS[values.type], column)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _disk_full_as_storage_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull("The disk is too full to read the table; try again later.") from error
        raise
