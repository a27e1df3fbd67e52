"""Issues of a table that only its file shows, such as values of another form and their rows."""

from collections.abc import Sequence

from core.datasets.data_quality import MAX_STORED_EXAMPLES, Issue, Severity
from modalities.tabular.upload.types.type_inference import InferredColumn

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
        column_issue(
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
        column_issue(
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
        column_issue(
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
        column_issue(
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
        column_issue(
            "mixed_offsets",
            "warning",
            [f"{c.column.name}: {', '.join(c.offsets[:5])}" for c in inferred if c.offsets],
            "The times have different offsets. All are converted to the most common one, which "
            "samples have. If the hour of the day there matters, add a column of local times.",
        ),
        column_issue(
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
    return column_issue(
        code,
        "warning",
        [
            f"{c.column.name}: {c.column.format}, not {' or '.join(c.other_formats)}"
            for c in columns
        ],
        f"The values fit more than one format, and the first one is used. If it is wrong, "
        f"{remedy}.",
    )


def _row_issue(code: str, columns: Sequence[tuple[str, int, list[int]]], hint: str) -> Issue | None:
    """Create a warning from (column name, number of affected rows, example rows) triples."""
    examples = [f"{name}: row {row:,}" for name, _, rows in columns for row in rows]
    count = sum(count for _, count, _ in columns)
    return (
        Issue(code, "warning", count, tuple(examples[:MAX_STORED_EXAMPLES]), hint)
        if columns
        else None
    )


def column_issue(code: str, severity: Severity, columns: Sequence[str], hint: str) -> Issue | None:
    """Create an issue with an example for each column, or none if there is no such column."""
    if not columns:
        return None
    return Issue(code, severity, len(columns), tuple(columns[:MAX_STORED_EXAMPLES]), hint)
