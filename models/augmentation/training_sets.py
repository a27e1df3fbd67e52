"""The sets that a classifier learns from in turn, as places in one pool of items: the real ones,
then classical ones label by label, then samples label by label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.augmentation.lift import Indices, Variant

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class LabelCounts:
    """Of one label: how many items the plan makes of each source, and of which there can be any."""

    transforms: int
    model: int
    can_transform: bool
    can_sample: bool

    @property
    def total(self) -> int:
        return self.transforms + self.model


@dataclass(frozen=True)
class TrainingPool:
    """`classical` and `gan`: how many of each label are in it. Each source alone makes as many as
    both do together, so that sets are of one size."""

    labels: Labels
    transform_counts: list[int]
    model_counts: list[int]
    sets: dict[Variant, Indices]

    @classmethod
    def build(cls, real: Labels, label_counts: Sequence[LabelCounts]) -> "TrainingPool":
        """`real`: the labels of the real items."""
        classical = [one.total if one.can_transform else 0 for one in label_counts]
        gan = [one.total if one.can_sample else 0 for one in label_counts]
        each = np.arange(len(label_counts))
        labels = np.concatenate([real, np.repeat(each, classical), np.repeat(each, gan)])
        n, middle = len(real), len(real) + sum(classical)
        everyone = np.arange(n)
        sets: dict[Variant, Indices] = {"real": everyone}
        repeated = [
            np.resize(np.flatnonzero(real == k), label_counts[k].total) for k in np.unique(real)
        ]
        sets["oversampled"] = np.concatenate([everyone, *repeated])
        if sum(classical):
            sets["transforms"] = np.arange(middle)
        if sum(gan):
            sets["model"] = np.concatenate([everyone, np.arange(middle, len(labels))])
        if any(one.transforms for one in label_counts) and any(one.model for one in label_counts):
            first = [_first(n, classical, [one.transforms for one in label_counts])]
            first += [_first(middle, gan, [one.model for one in label_counts])]
            sets["combined"] = np.concatenate([everyone, *first])
        return cls(labels, classical, gan, sets)

    @property
    def max_size(self) -> int:
        return max(len(places) for places in self.sets.values())


def _first(start: int, counts: Sequence[int], first_counts: Sequence[int]) -> Indices:
    """The first wanted ones of each label, whose items lie one label after the other."""
    starts = start + np.cumsum([0, *counts[:-1]])
    return np.concatenate([s + np.arange(n) for s, n in zip(starts, first_counts, strict=True)])
