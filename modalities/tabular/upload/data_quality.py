"""Data quality issues of a table that can still be used for training."""

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.datasets.data_quality import MAX_STORED_EXAMPLES, Issue, Severity
from modalities.tabular.schema import PERSONAL_KINDS, Schema
from modalities.tabular.typed_parquet import TypedParquet
from modalities.tabular.upload.profile import ColumnProfile
from modalities.tabular.upload.target_leakage import find_leaking_columns
from modalities.tabular.upload.types.code_columns import is_public_code
from modalities.tabular.upload.types.identifier_kinds import is_nearly_unique, kind_of_texts
from modalities.tabular.upload.types.mixed_identifiers import mixed_identifiers_issue
from modalities.tabular.upload.types.ordered_categories import are_groups, are_symbols
from modalities.tabular.upload.types.public_rows import names_public_rows
from modalities.tabular.upload.types.text_exceptions import text_exceptions_issue
from modalities.tabular.upload.types.type_inference import InferredColumn
from modalities.tabular.upload.unique_pairs import unique_pairs_issue
from models.tabular.identifiers.public_words import MAX_LISTED, are_listed
from models.tabular.relations.joined_texts import JoinedText

RARE_VALUE_COUNT = 10  # rows; values in fewer may identify somebody
MIN_RARE_VALUES = 5
MIN_ROWS = 100
MIN_LABEL_ROWS = 10
HIGH_CARDINALITY = 100
HIGH_MISSING_FRACTION = 0.5
_MISSING = 0x5D1B8F3A9C27E460  # instead of the bits of a value
DUPLICATE_WARNING_FRACTION = 0.01  # of the rows; with fewer duplicates, the issue is an info

# Issues that only the uploaded file shows; all others are recomputed when the schema changes.
READING_ISSUE_CODES = frozenset(
    {
        "mixed_types",
        "odd_values",
        "changed_times",
        "unread_numbers",
        "non_finite",
        "missing_value_markers",
        "merged_values",
        "mixed_date_formats",
    }
    | {"mixed_offsets", "ambiguous_date_format", "ambiguous_number_format"}
    | {"title_lines", "comment_lines", "footer_lines", "column_renamed", "empty_columns"}
    | {"empty_rows", "files_ignored", "sheets_ignored", "error_cells", "merged_cells", "transposed"}
    | {"missing_words", "missing_words_unused", "dropped_nanoseconds"}
    | {"header_rows", "repeated_headers", "total_rows", "nested_objects", "lists"}
    | {"stripped_blanks", "stripped_names", "guessed_encoding"}
    | {"group_headings", "subtotal_rows", "side_tables", "stacked_tables", "rulers", "short_rows"}
)


def find_reading_issues(inferred: Sequence[InferredColumn]) -> list[Issue]:
    issues = [
        _row_issue(
            "mixed_types",
            [
                (f"{c.column.name} ({c.mixed_form})", c.mixed, c.mixed_rows)
                for c in inferred
                if c.mixed
            ],
            "These columns hold mostly numbers or dates of the form in brackets, but too many "
            "other values, so all values are read as text. Correct these rows, or leave them "
            "empty; if the values are words for missing values, list them in `missing`.",
        ),
        _row_issue(
            "odd_values",
            [
                (f"{c.column.name} ({', '.join(c.odd_classes)})", c.odd, c.odd_rows)
                for c in inferred
                if c.odd
            ],
            "These values do not have the form of their column and are treated as missing. The "
            "brackets show their characters, with digits as 9. If there is only one such word, CSV "
            "samples have it, too. Correct them, or list them in `missing` if they stand for "
            "missing values.",
        ),
        _row_issue(
            "non_finite",
            [(c.column.name, c.non_finite, c.non_finite_rows) for c in inferred if c.non_finite],
            "NaN and infinite numbers cannot be learned; they are treated as missing.",
        ),
        _row_issue(
            "changed_times",
            [(c.column.name, c.changed, c.changed_rows) for c in inferred if c.changed],
            "Samples write such times otherwise: 24:00 is 00:00 of the next day, digits beyond "
            "microseconds are dropped, and where some dates have no day, the first day of a month "
            "is the month. If 24:00 is meant, write all midnights as 24:00; if the "
            "digits matter, split them off as a column of their own.",
        ),
        _issue(
            "unread_numbers",
            "warning",
            [
                f"{c.column.name} ({c.quantity_class})"
                + (": values of the same sizes" if c.column.type == "id" else ": categories")
                for c in inferred
                if c.quantity_class
            ],
            "These texts contain numbers, but not one plain number each, so their order and size "
            "are not learned. Where most rows have a value of their own, samples have other ones, "
            "which do not depend on the other columns. To learn them, write plain numbers of one "
            "unit, in several columns if necessary.",
        ),
        _issue(
            "missing_value_markers",
            "info",
            [
                f"{c.column.name}: {c.missing_markers:,} rows"
                + "".join(f", first row {row:,}" for row in c.marker_rows[:1])
                for c in inferred
                if c.missing_markers
            ],
            "Words such as NA among numbers, times or identifiers are treated as missing.",
        ),
        _issue(
            "merged_values",
            "info",
            [
                f"{c.column.name}: {text} in {count:,} of its rows"
                for c in inferred
                for text, count in c.merged.items()
            ],
            "Some rows have blanks before or after these values in the file. They were stripped, "
            "so that all of these rows have the same category. To keep blanks, enclose values in "
            "quotation marks.",
        ),
        *_format_issues(inferred),
    ]
    return [issue for issue in issues if issue is not None]


def _format_issues(inferred: Sequence[InferredColumn]) -> list[Issue | None]:
    ambiguous = [c for c in inferred if c.other_formats and not c.order_from]
    return [
        _issue(
            "mixed_date_formats",
            "warning",
            [
                f"{c.column.name}: {', '.join(str(reader.format) for reader in c.readers)}"
                for c in inferred
                if len(c.readers) > 1 and c.column.type in ("datetime", "time") and not c.offsets
            ],
            "The dates or times of these columns have several forms. All are read, and samples "
            "have the first form.",
        ),
        _issue(
            "mixed_offsets",
            "warning",
            [f"{c.column.name}: {', '.join(c.offsets[:5])}" for c in inferred if c.offsets],
            "The times have different offsets. All are converted to the most common one, which "
            "samples have. If the hour of the day there matters, add a column of local times.",
        ),
        _issue(
            "ambiguous_date_format",
            "info",
            [
                f"{c.column.name}: {c.column.format}, as in {c.order_from}"
                for c in inferred
                if c.order_from
            ],
            "The values fit more than one format. The one of another column of dates is used. If "
            "it is wrong, set the column's `format` in the schema.",
        ),
        _ambiguous_issue(
            "ambiguous_date_format",
            [c for c in ambiguous if c.column.type not in ("integer", "number")],
            "set the column's `format` in the schema",
        ),
        _ambiguous_issue(
            "ambiguous_number_format",
            [c for c in ambiguous if c.column.type in ("integer", "number")],
            "upload the file again with the thousands mark as `read.thousands`, or the decimal "
            "mark as `read.decimal`",
        ),
    ]


def _ambiguous_issue(code: str, columns: Sequence[InferredColumn], remedy: str) -> Issue | None:
    return _issue(
        code,
        "warning",
        [
            f"{c.column.name}: {c.column.format}, not {' or '.join(c.other_formats)}"
            for c in columns
        ],
        f"The values fit more than one format, and the first one is used. If it is wrong, "
        f"{remedy}.",
    )


def find_schema_issues(
    rows: TypedParquet,
    schema: Schema,
    profiles: Sequence[ColumnProfile],
    joined_texts: Sequence[JoinedText],
) -> list[Issue]:
    included = [profile for profile in profiles if not profile.column.exclude]
    issues = [
        _few_rows(rows.rows),
        _tiny_classes(schema, included),
        _duplicates(rows),
        unique_pairs_issue(rows, schema),
        *_type_issues(profiles),
        *_value_issues(included),
        text_exceptions_issue(rows, schema, joined_texts),
        mixed_identifiers_issue(included),
        _issue(
            "target_leakage",
            "warning",
            find_leaking_columns(rows, schema),
            "These columns determine the target; exclude each one that is a copy of it.",
        ),
    ]
    return [issue for issue in issues if issue is not None]


def _type_issues(profiles: Sequence[ColumnProfile]) -> list[Issue | None]:
    return [
        _issue(
            "free_text",
            "warning",
            [p.column.name for p in profiles if p.column.type == "text"],
            "Free text cannot be learned: these columns are excluded and absent from samples. To "
            "have them in samples, set `identifier` in the schema: `regenerate` for new values, or "
            "`keep` for those of the data.",
        ),
        _issue(
            "id_like_column",
            "info",
            [
                p.column.name + (f" ({p.column.format})" if p.column.format else "")
                for p in profiles
                if p.column.type == "id" and not p.column.exclude
            ],
            "Identifiers and nearly unique texts are not learned: samples have values that are "
            "built from the form of the column. Most kinds are not compared with the values of the "
            "table: where the form leaves few values, some equal a real one by chance. In names of "
            "things, only words that at least 3 rows share and public words "
            "stay. To change that, set `identifier` in the schema: `drop` leaves the column out, "
            "`keep` learns the values of the data.",
        ),
    ]


def _value_issues(profiles: Sequence[ColumnProfile]) -> list[Issue | None]:
    constant = [p.column.name for p in profiles if p.distinct == 1 and not p.missing]
    high_cardinality = [
        f"{p.column.name}: {p.counts.distinct:,} values"
        for p in profiles
        if p.column.type == "category" and p.counts.distinct > HIGH_CARDINALITY
    ]
    missing = [p for p in profiles if p.missing]
    are_public = any(map(_names_public_rows, profiles))
    names = [profile.column.name for profile in profiles]
    mostly_missing = any(p.missing > HIGH_MISSING_FRACTION * p.count for p in missing)
    return [
        _issue(
            "personal_values",
            "error",
            [each for p in profiles if (each := _personal_values(p, names, are_public=are_public))],
            "Samples would show rare values of the data in these columns, which can identify "
            "people. Before training, set `identifier` in the schema: `regenerate` for new values, "
            "or `drop`.",
        ),
        _issue(
            "constant_column",
            "info",
            constant,
            "All rows have the same value, so there is nothing to learn.",
        ),
        _issue(
            "high_cardinality",
            "warning",
            high_cardinality,
            "Rare values are learned badly or not at all; group them, or exclude the column.",
        ),
        _issue(
            "missing",
            "warning" if mostly_missing else "info",
            [f"{p.column.name}: {p.missing:,} of {p.count:,} rows" for p in missing],
            "Missing values are learned like other values, so samples contain them too.",
        ),
    ]


def _names_public_rows(profile: ColumnProfile) -> bool:
    """Return True if each row has another entry of a public list, such as a country."""
    counts, valid = profile.counts, profile.count - profile.missing
    return profile.column.type == "category" and names_public_rows(counts, valid)


def _personal_values(
    profile: ColumnProfile, others: Collection[str], *, are_public: bool
) -> str | None:
    """Return the column's name and kind if it holds rare values of people, or hardly others.

    `others` are the names of the columns. `are_public`: the rows are entries of a public list, and
    so are their codes and names.
    """
    if profile.column.type != "category":
        return None
    counts = profile.counts.values
    rare = [str(value) for value, count in counts.items() if count < RARE_VALUE_COUNT]
    if len(rare) < MIN_RARE_VALUES:
        return None
    texts = [str(value) for value in counts]
    is_public = are_listed(texts[:MAX_LISTED]) or is_public_code(profile.column.name, texts)
    if is_public or are_symbols(texts) or are_groups(texts):
        return None
    kind = kind_of_texts(profile.column.name, rare, others)
    is_unique = is_nearly_unique(len(counts), profile.count - profile.missing)
    if kind not in PERSONAL_KINDS and (are_public or not is_unique):
        return None
    name = profile.column.name if kind is None else f"{profile.column.name} ({kind})"
    return f"{name}: {len(rare):,} values in fewer than {RARE_VALUE_COUNT} rows each"


def _few_rows(rows: int) -> Issue | None:
    if rows >= MIN_ROWS:
        return None
    hint = f"There are fewer than {MIN_ROWS} rows; samples will be little more than copies of them."
    return Issue("few_rows", "warning", rows, (), hint)


def _tiny_classes(schema: Schema, profiles: Sequence[ColumnProfile]) -> Issue | None:
    """Report the labels of few rows, the rarest first, unless the target column has numbers."""
    target = next((each for each in profiles if each.column.name == schema.target), None)
    if target is None or target.column.type not in ("category", "boolean"):
        return None
    rows = sorted((count, str(label)) for label, count in target.counts.values.items())
    return _issue(
        "tiny_class",
        "warning",
        [f"{label}: {count}" for count, label in rows if count < MIN_LABEL_ROWS],
        f"These labels have fewer than {MIN_LABEL_ROWS} rows each, from which little can be "
        "learned: samples of them are close to these rows, or like those of other labels. Add "
        "rows, merge them with other labels, or request none of them.",
    )


def _duplicates(rows: TypedParquet) -> Issue | None:
    """Report rows that repeat an earlier row, compared by a 64-bit hash."""
    hashes = [_hashes(batch) for batch in rows.spool.batches()]
    if not hashes:
        return None
    all_hashes = np.concatenate(hashes)
    is_copy = np.ones(len(all_hashes), bool)
    is_copy[np.unique(all_hashes, return_index=True)[1]] = False
    copies = np.flatnonzero(is_copy)
    severity: Severity = (
        "warning" if len(copies) > DUPLICATE_WARNING_FRACTION * len(all_hashes) else "info"
    )
    hint = "These rows repeat earlier rows; remove them unless they are meant as weights."
    examples = tuple(f"row {int(index) + 1:,}" for index in copies[:MAX_STORED_EXAMPLES])
    return Issue("duplicate", severity, len(copies), examples, hint) if len(copies) else None


def _hashes(batch: pa.RecordBatch) -> NDArray[np.uint64]:
    """Return a hash of each row (N,): the values of its columns, mixed one after another."""
    hashes = np.zeros(len(batch), np.uint64)
    for column in batch.columns:
        hashes = _mixed(hashes ^ _column_hashes(column))
    return hashes


def _column_hashes(values: pa.Array) -> NDArray[np.uint64]:
    if values.type == pa.string():
        encoded = values.dictionary_encode()
        distinct = np.array([*map(hash, encoded.dictionary.to_pylist()), _MISSING], np.int64)
        codes = encoded.indices.fill_null(-1).to_numpy()
        return np.asarray(distinct[codes].view(np.uint64))
    if values.type == pa.float64():
        bits = values.fill_null(0).to_numpy().view(np.uint64)
    else:
        bits = values.cast(pa.int64()).fill_null(0).to_numpy().view(np.uint64)
    is_missing = values.is_null().to_numpy(zero_copy_only=False)
    return np.where(is_missing, np.uint64(_MISSING), bits)


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the numbers with their bits mixed (SplitMix64; Steele, Lea and Flood, 2014)."""
    hashes = hashes + np.uint64(0x9E3779B97F4A7C15)
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def _row_issue(code: str, columns: Sequence[tuple[str, int, list[int]]], hint: str) -> Issue | None:
    """Create a warning from (column name, number of affected rows, example rows) triples."""
    examples = [f"{name}: row {row:,}" for name, _, rows in columns for row in rows]
    count = sum(count for _, count, _ in columns)
    return (
        Issue(code, "warning", count, tuple(examples[:MAX_STORED_EXAMPLES]), hint)
        if columns
        else None
    )


def _issue(code: str, severity: Severity, columns: Sequence[str], hint: str) -> Issue | None:
    if not columns:
        return None
    return Issue(code, severity, len(columns), tuple(columns[:MAX_STORED_EXAMPLES]), hint)
