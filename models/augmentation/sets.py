"""The sets that a classifier learns from in turn, as places in one pool of items: the real ones,
then classical ones label by label, then samples label by label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.augmentation.lift import Arm, Places

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Made:
    """Of one label: how many items the plan makes of each source, and of which there can be any."""

    classical: int
    gan: int
    can_classical: bool
    can_gan: bool

    @property
    def all(self) -> int:
        return self.classical + self.gan


@dataclass(frozen=True)
class Pool:
    """`classical` and `gan`: how many of each label are in it. Each source alone makes as many as
    both do together, so that sets are of one size."""

    labels: Labels
    classical: list[int]
    gan: list[int]
    sets: dict[Arm, Places]

    @classmethod
    def of(cls, real: Labels, made: Sequence[Made]) -> "Pool":
        """`real`: the labels of the real items."""
        classical = [one.all if one.can_classical else 0 for one in made]
        gan = [one.all if one.can_gan else 0 for one in made]
        each = np.arange(len(made))
        labels = np.concatenate([real, np.repeat(each, classical), np.repeat(each, gan)])
        n, middle = len(real), len(real) + sum(classical)
        everyone = np.arange(n)
        sets: dict[Arm, Places] = {"real": everyone}
        repeated = [np.resize(np.flatnonzero(real == k), made[k].all) for k in np.unique(real)]
        sets["repeated"] = np.concatenate([everyone, *repeated])
        if sum(classical):
            sets["classical"] = np.arange(middle)
        if sum(gan):
            sets["gan"] = np.concatenate([everyone, np.arange(middle, len(labels))])
        if any(one.classical for one in made) and any(one.gan for one in made):
            first = [_first(n, classical, [one.classical for one in made])]
            first += [_first(middle, gan, [one.gan for one in made])]
            sets["both"] = np.concatenate([everyone, *first])
        return cls(labels, classical, gan, sets)

    @property
    def largest(self) -> int:
        return max(len(places) for places in self.sets.values())


def _first(start: int, counts: Sequence[int], wanted: Sequence[int]) -> Places:
    """The first wanted ones of each label, whose items lie one label after the other."""
    starts = start + np.cumsum([0, *counts[:-1]])
    return np.concatenate([s + np.arange(n) for s, n in zip(starts, wanted, strict=True)])
