"""Summary of an image dataset: size, labels, splits, issues and checksums."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from core.datasets.data_quality import Issue


@dataclass(frozen=True)
class Label:
    """A label of an image dataset and the number of its images."""

    name: str
    count: int  # in the training split
    test_count: int  # in the published test split


@dataclass(frozen=True)
class ImageSummary:
    """Summary of an image dataset, stored as JSON in `Dataset.summary`."""

    height: int
    width: int
    channels: int
    labels: tuple[Label, ...]  # in the order of the indices in y.npy; empty if `unlabeled`
    unlabeled: bool
    n_train: int
    n_test: int
    format: str
    issues: tuple[Issue, ...]
    notes: tuple[str, ...]
    layout: Mapping[str, Any] | None  # the fields of modalities.image.options.ImageLayout
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
