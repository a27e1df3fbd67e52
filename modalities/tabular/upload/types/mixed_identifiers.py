"""Identifier columns in which some rows have texts of another kind, such as names of hosts."""

from collections.abc import Sequence

from core.datasets.data_quality import MAX_STORED_EXAMPLES, Issue
from core.datasets.errors import printable
from modalities.tabular.upload.profile import ColumnProfile
from models.tabular.identifiers.other_texts import MIN_REST, find_other_texts

_HINT = (
    "Some rows of these columns have no identifier of the kind of the others, such as a name of a "
    "host among IP addresses or a firm among people. Samples have as many of them, in rows that do "
    "not depend on other columns: words that many rows share stay, and all others become new texts "
    "of the same form. "
    f"If fewer than {MIN_REST} differ, they become identifiers of the kind of the others. If words "
    "stand for missing values, list them in `read.missing`; otherwise correct these rows, or set "
    "`identifier` in the schema to `keep` or `drop`."
)


def mixed_identifiers_issue(profiles: Sequence[ColumnProfile]) -> Issue | None:
    """Return a warning that names the columns, or None if there are none."""
    examples = [example for profile in profiles for example in _examples(profile)]
    shown = tuple(examples[:MAX_STORED_EXAMPLES])
    return Issue("mixed_identifiers", "warning", len(examples), shown, _HINT) if examples else None


def _examples(profile: ColumnProfile) -> list[str]:
    """Return what becomes of the other texts, and in how many rows; none if there are none."""
    column, values = profile.column, profile.counts.values
    if column.type != "id" or not all(isinstance(value, str) for value in values):
        return []
    counts = find_other_texts({str(text): n for text, n in values.items()}, column.format)
    label = printable(column.name) + (f" ({column.format})" if column.format else "")
    rest = "have new texts" if counts.keeps_form else "become identifiers of the usual kind"
    # Of very many different values, only some were counted.
    least = "at least " if profile.counts.overflowed else ""
    return [
        f"{label}: {least}{sum(texts.values()):,} of {profile.count:,} rows {outcome}"
        for texts, outcome in ((counts.words, "have words that stay"), (counts.rest, rest))
        if texts
    ]
