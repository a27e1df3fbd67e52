"""What is known of a set of images once it has been read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from core.datasets.data_quality import Issue


@dataclass(frozen=True)
class Label:
    """`count` images to train on and `test_count` in the published test split."""

    name: str
    count: int
    test_count: int


@dataclass(frozen=True)
class ImageSummary:
    """`labels` in the order of the indices in y.npy; empty when the set is `unlabeled`."""

    height: int
    width: int
    channels: int
    labels: tuple[Label, ...]
    unlabeled: bool
    n_train: int
    n_test: int
    format: str
    issues: tuple[Issue, ...]
    notes: tuple[str, ...]
    x_sha256: str
    y_sha256: str

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "labels": [asdict(label) for label in self.labels],
            "issues": [issue.to_dict() for issue in self.issues],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        return cls(
            **{
                **fields,
                "labels": tuple(Label(**label) for label in fields["labels"]),
                "issues": tuple(Issue.from_dict(issue) for issue in fields["issues"]),
                "notes": tuple(fields["notes"]),
            }
        )
