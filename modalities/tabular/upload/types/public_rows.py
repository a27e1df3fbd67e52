"""Tables of which each row is an entry of a public list, such as countries or states.

Codes in such a table belong to the entries of the list and identify nobody, so that they are
learned and shown, although each row has its own. Words may be names of people, and are not shown.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from modalities.tabular.upload.types.column_stats import ValueCounts
from modalities.tabular.upload.types.identifier_kinds import MIN_ID_ROWS
from modalities.tabular.upload.types.integer_identifiers import are_consecutive
from modalities.tabular.upload.types.type_inference import InferredColumn
from models.tabular.identifiers.words.public_words import MAX_LISTED, are_listed

_WORD = re.compile(r"[^\W\d_]{4}|[^\W\d_] [^\W\d_]")
MIN_DISTINCT = 0.9  # share of different entries among the rows


def names_public_rows(counts: ValueCounts, valid: int) -> bool:
    """Return True if the values of a category are another entry of a public list in each row."""
    if not MIN_ID_ROWS <= counts.distinct <= MAX_LISTED or counts.distinct < MIN_DISTINCT * valid:
        return False
    return are_listed(list(map(str, counts.values)))


def are_codes(counts: ValueCounts) -> bool:
    """Return True for numbers that do not count up, and for codes without longer words."""
    if counts.overflowed or are_consecutive(counts):
        return False
    return not any(_WORD.search(str(value)) for value in counts.values)


def show_codes_of_public_rows(columns: Sequence[InferredColumn]) -> None:
    """Make categories of the identifiers that are codes."""
    for inferred in columns:
        column = inferred.column
        if column.type != "id" or column.format is not None or not inferred.are_codes:
            continue
        format = "integer" if column.arrow in ("int64", "int32") else None
        arrow = None if column.arrow == "int64" else column.arrow
        inferred.column = replace(column, type="category", format=format, arrow=arrow)
        inferred.readers = (inferred.column,)
