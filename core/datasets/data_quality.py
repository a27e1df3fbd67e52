"""Data quality issues of datasets that can still be used for training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Severity = Literal["info", "warning", "error"]

MAX_STORED_EXAMPLES = 100  # of an issue
SHOWN_EXAMPLES = 5  # by default
# Issues whose examples quote cells or lines of the file. Only keys that may read data see them.
QUOTING_CODES = frozenset(
    {
        *("title_lines", "comment_lines", "footer_lines", "group_headings", "subtotal_rows"),
        *("total_rows", "side_tables", "stacked_tables", "missing_words", "merged_values"),
        "guessed_encoding",
    }
)


@dataclass(frozen=True)
class Issue:
    """One data quality issue, which does not prevent training."""

    code: str
    severity: Severity
    count: int  # affected images, rows, labels or columns
    examples: tuple[str, ...]
    hint: str  # what the client can do about it

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"examples": list(self.examples)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        return cls(**{**fields, "examples": tuple(fields["examples"])})


def describe(issue: Mapping[str, Any]) -> str:
    """Return the hint of a stored issue, with the columns or files that it is about.

    Keys that may not read data see the warnings of jobs and the verdicts on models, so these do
    not quote cells.
    """
    shown = [] if issue["code"] in QUOTING_CODES else issue["examples"][:SHOWN_EXAMPLES]
    more = ["…"] if len(shown) < issue["count"] else []
    return f"{issue['hint']} ({'; '.join([*shown, *more])})" if shown else str(issue["hint"])
