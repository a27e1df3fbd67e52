"""Summary of a table, created when it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from core.datasets.data_quality import Issue
from modalities.tabular.schema import Schema


@dataclass(frozen=True)
class TableSummary:
    """Size, schema, labels and issues of a table.

    `labels` are the target's values if it is a category or boolean: {name, count, test_count}. The
    column profiles are stored separately, in profile.json, because they can be large. `read` shows
    the reading options that were used, as far as they apply to the format.
    """

    rows: int
    schema: Schema
    labels: tuple[Mapping[str, Any], ...]
    format: str
    issues: tuple[Issue, ...]
    notes: tuple[str, ...]
    sha256: str
    read: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "columns": len(self.schema.columns),
            **self.schema.to_dict(),
            "labels": [dict(label) for label in self.labels],
            "unlabeled": not self.labels,
            "n_train": self.rows,
            "n_test": 0,
            "format": self.format,
            "issues": [issue.to_dict() for issue in self.issues],
            "notes": list(self.notes),
            "sha256": self.sha256,
            "read": dict(self.read),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        return cls(
            rows=fields["rows"],
            schema=Schema.from_dict(fields),
            labels=tuple(fields["labels"]),
            format=fields["format"],
            issues=tuple(Issue.from_dict(issue) for issue in fields["issues"]),
            notes=tuple(fields["notes"]),
            sha256=fields["sha256"],
            read=fields["read"],
        )
