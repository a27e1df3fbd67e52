"""The training sets of a lift experiment, as indices into one pool of items.

The pool holds the real items, then the transformed ones by label, then the samples of the model by
label.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.augmentation.lift import Indices, Variant

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class LabelCounts:
    """The planned synthetic items of one label, by source.

    `can_transform` and `can_sample` are False if the source cannot generate items of the label.
    """

    transforms: int
    model: int
    can_transform: bool
    can_sample: bool

    @property
    def total(self) -> int:
        return self.transforms + self.model


@dataclass(frozen=True)
class TrainingPool:
    """The pool and the sets.

    The pool has `transform_counts` and `model_counts` items of each label. Each source alone
    provides as many items as both together in `combined`, so that all sets have the same size.
    """

    labels: Labels
    transform_counts: list[int]
    model_counts: list[int]
    sets: dict[Variant, Indices]

    @classmethod
    def build(cls, real: Labels, label_counts: Sequence[LabelCounts]) -> "TrainingPool":
        """Build the sets from the labels of the `real` items and the plan of each label."""
        transform_counts = [counts.total if counts.can_transform else 0 for counts in label_counts]
        model_counts = [counts.total if counts.can_sample else 0 for counts in label_counts]
        label_codes = np.arange(len(label_counts))
        labels = np.concatenate(
            [real, np.repeat(label_codes, transform_counts), np.repeat(label_codes, model_counts)]
        )
        num_real, model_start = len(real), len(real) + sum(transform_counts)
        real_indices = np.arange(num_real)
        sets: dict[Variant, Indices] = {"real": real_indices}
        oversampled = [
            np.resize(np.flatnonzero(real == label), label_counts[label].total)
            for label in np.unique(real)
        ]
        sets["oversampled"] = np.concatenate([real_indices, *oversampled])
        if sum(transform_counts):
            sets["transforms"] = np.arange(model_start)
        if sum(model_counts):
            sets["model"] = np.concatenate([real_indices, np.arange(model_start, len(labels))])
        if any(counts.transforms for counts in label_counts) and any(
            counts.model for counts in label_counts
        ):
            parts = [
                _first_of_each_label(
                    num_real, transform_counts, [counts.transforms for counts in label_counts]
                ),
                _first_of_each_label(
                    model_start, model_counts, [counts.model for counts in label_counts]
                ),
            ]
            sets["combined"] = np.concatenate([real_indices, *parts])
        return cls(labels, transform_counts, model_counts, sets)

    @property
    def max_size(self) -> int:
        return max(len(indices) for indices in self.sets.values())


def _first_of_each_label(start: int, counts: Sequence[int], first_counts: Sequence[int]) -> Indices:
    """Return the indices of the first `first_counts` items of each label.

    The pool holds `counts` items of each label, one label after the other, from `start`.
    """
    starts = start + np.cumsum([0, *counts[:-1]])
    return np.concatenate(
        [
            label_start + np.arange(first_count)
            for label_start, first_count in zip(starts, first_counts, strict=True)
        ]
    )
