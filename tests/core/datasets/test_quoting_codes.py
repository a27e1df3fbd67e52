"""Issues whose examples quote cells or lines are listed, so that only some keys see these."""

import ast
from collections.abc import Iterator
from pathlib import Path

from core.datasets.data_quality import QUOTING_CODES

ROOT = Path(__file__).parents[3]
SEVERITIES = {"info", "warning", "error"}
# Issues whose examples name columns, files, labels or rows, or that have no examples.
NAMING_CODES = frozenset(
    {"absent_class", "ambiguous_date_format", "ambiguous_number_format", "changed_times"}
    | {"annotations_not_read", "mixed_identifiers", "rulers", "short_rows"}
    | {"column_renamed", "conflicting_labels", "constant_column", "constant_images"}
    | {"contradictory_label", "dropped_nanoseconds", "duplicate", "empty_columns", "empty_rows"}
    | {"error_cells", "few_rows", "files_ignored", "free_text", "garbled_label", "header_rows"}
    | {"high_cardinality", "id_like_column", "imbalance", "label_missing", "labels_in_file_names"}
    | {"labels_not_read", "leaked_duplicate", "listed_image_missing", "lists", "merged_cells"}
    | {"missing", "missing_value_markers", "missing_words_unused", "mixed_date_formats"}
    | {"mixed_offsets", "mixed_types", "near_duplicate", "nested_objects", "no_labels"}
    | {"non_finite", "odd_values", "one_class", "personal_values", "repeated_headers"}
    | {"sheets_ignored", "similar_labels", "stripped_blanks", "stripped_names", "target_leakage"}
    | {
        "relation_exceptions",
        "text_exceptions",
        "tiny_class",
        "tiny_range",
        "transposed",
        "unread_numbers",
    }
    | {"unique_pairs", "unreadable_image"}
)


def test_each_issue_either_names_things_or_quotes_the_file() -> None:
    codes = {code for path in (ROOT / "modalities").rglob("*.py") for code in _codes(path)}
    assert {"comment_lines", "total_rows", "odd_values", "tiny_class"} <= codes
    unlisted = codes - NAMING_CODES - QUOTING_CODES
    assert not unlisted, f"List {unlisted} in QUOTING_CODES if the examples quote cells or lines."
    assert codes >= NAMING_CODES | QUOTING_CODES
    assert not NAMING_CODES & QUOTING_CODES


def _codes(path: Path) -> Iterator[str]:
    """Yield the first arguments of calls that create issues, and codes next to a severity."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(ast.Name(name), [ast.Constant(str(code)), *_]) if name.endswith("ssue"):
                yield code
            case ast.Tuple([ast.Constant(str(code)), ast.Constant(level), *_]):
                if level in SEVERITIES and code not in SEVERITIES:
                    yield code
