"""What more items are worth to a classifier that is asked about held-out real ones.

In each round a classifier learns anew from each of several sets, and from parts of the real items.
Shapes: `R` rounds, `M` held-out items, `K` labels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
CorrectMask = NDArray[np.bool_]
Floats = NDArray[np.float64]

Variant = Literal["real", "oversampled", "transforms", "model", "combined"]
SYNTHETIC_VARIANTS: tuple[Variant, ...] = ("transforms", "model", "combined")
SUBSET_VARIANT = "real_subset"
SUBSET_FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 3 / 4)  # of the real items; with all of them, five sizes
METRIC = "balanced_accuracy"  # the mean, over the labels, of the share that is told right
MIN_ROUNDS, MAX_ROUNDS = 3, 5
# Student's t, 97.5 %, by degrees of freedom.
T975 = {2: 4.303, 3: 3.182, 4: 2.776}

TrainClassifier = Callable[[Indices, int], CorrectMask]
"""From items by their places, with a seed: which held-out items the classifier then tells right."""


@dataclass(frozen=True)
class TrainingResult:
    """One training. `variant`: one of the sets, or a part of the real items."""

    variant: str
    round: int
    items: int
    correct: CorrectMask  # (M,)

    def to_dict(self) -> dict[str, Any]:
        packed = np.packbits(self.correct).tobytes().hex()
        return {
            "variant": self.variant,
            "round": self.round,
            "items": self.items,
            "correct": packed,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], holdout_items: int) -> Self:
        bits = np.frombuffer(bytes.fromhex(fields["correct"]), np.uint8)
        right = np.unpackbits(bits, count=holdout_items).astype(bool)
        return cls(fields["variant"], fields["round"], fields["items"], right)


def run_trainings(
    sets: Mapping[Variant, Indices],
    labels: NDArray[np.int64],
    train_classifier: TrainClassifier,
    *,
    seed: int,
    done: Sequence[TrainingResult],
    has_time: Callable[[], bool],
    save: Callable[[Sequence[TrainingResult]], None],
) -> list[TrainingResult]:
    """Trainings in their order, after those that are done, while there is time. `sets` are places
    among `labels`; `real` is one of them. `save` is called after each training."""
    found = list(done)
    for arm, number, places in list(_trainings(sets, labels, seed))[len(found) :]:
        if not has_time():
            break
        right = train_classifier(places, int(np.random.default_rng((seed, number)).integers(2**31)))
        found.append(TrainingResult(arm, number, len(places), right))
        save(found)
    return found


def count_complete_rounds(done: Sequence[TrainingResult], num_sets: int) -> tuple[int, int]:
    """Whole ones: of the sets, and of the sets and the parts."""
    parts = sum(one.variant == SUBSET_VARIANT for one in done)
    whole = (len(done) - parts) // num_sets
    return whole, min(whole, parts // len(SUBSET_FRACTIONS))


def _trainings(
    sets: Mapping[Variant, Indices], labels: NDArray[np.int64], seed: int
) -> Iterator[tuple[str, int, Indices]]:
    """What the lift needs at the least, then what the worth does besides, then one more round at a
    time: where time is short, there is the lift at least."""
    for rounds in (range(MIN_ROUNDS), *([one] for one in range(MIN_ROUNDS, MAX_ROUNDS))):
        for number in rounds:
            for arm, places in sets.items():
                yield arm, number, places
        for number in rounds:
            for i, share in enumerate(SUBSET_FRACTIONS):
                rng = np.random.default_rng((seed, number, i))
                yield SUBSET_VARIANT, number, stratified_subset(sets["real"], labels, share, rng)


def stratified_subset(
    indices: Indices, labels: NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> Indices:
    """A share of each label, at least one item of it."""
    kept = []
    for label in np.unique(labels[indices]):
        mine = indices[labels[indices] == label]
        kept.append(rng.permutation(mine)[: max(1, round(fraction * len(mine)))])
    return np.sort(np.concatenate(kept))


def balanced_accuracy(correct: NDArray[Any], truth: NDArray[np.int64]) -> Floats:
    """(…, M) to (…): the mean over labels of the mean over their items."""
    each = [correct[..., truth == label].mean(-1) for label in np.unique(truth)]
    return np.asarray(np.mean(each, axis=0), np.float64)


@dataclass(frozen=True)
class Interval:
    value: float
    ci95: tuple[float, float]

    @classmethod
    def from_rounds(cls, values: NDArray[Any], truth: NDArray[np.int64]) -> Self:
        """Of (R, M) hits, or of their differences. The variances of another training and of other
        held-out items are added, and the width is Student's t of R - 1 degrees of freedom: wide, as
        rounds are few."""
        rounds = balanced_accuracy(values, truth)
        spread = rounds.var(ddof=1) / len(rounds) + _item_variance(values.mean(0), truth)
        value, half = float(rounds.mean()), T975[len(rounds) - 1] * float(spread) ** 0.5
        return cls(value, (value - half, value + half))


def _item_variance(values: Floats, truth: NDArray[np.int64]) -> float:
    """The variance of a balanced mean by the chance of which items were held out."""
    groups = [values[truth == label] for label in np.unique(truth)]
    each = [group.var(ddof=1) / len(group) for group in groups if len(group) > 1]
    return float(np.sum(each)) / len(groups) ** 2


@dataclass(frozen=True)
class Lift:
    """Of whole rounds. `hits` (R, M) by set."""

    correct: dict[str, CorrectMask]
    items: dict[str, int]
    truth: NDArray[np.int64]

    @classmethod
    def from_results(
        cls, done: Sequence[TrainingResult], rounds: int, truth: NDArray[np.int64]
    ) -> Self:
        """Raises ValueError for fewer than LEAST_ROUNDS."""
        if rounds < MIN_ROUNDS:
            raise ValueError("too few rounds for an interval")
        mine = [one for one in done if one.round < rounds and one.variant != SUBSET_VARIANT]
        arms = list(dict.fromkeys(one.variant for one in mine))
        hits = {arm: np.stack([one.correct for one in mine if one.variant == arm]) for arm in arms}
        return cls(hits, {one.variant: one.items for one in mine}, truth)

    def value(self, variant: str) -> Interval:
        return Interval.from_rounds(self.correct[variant], self.truth)

    def gain(self, variant: str, baseline: str = "real") -> Interval:
        """Round by round, with the same seeds and the same held-out items."""
        return Interval.from_rounds(
            self.correct[variant].astype(float) - self.correct[baseline], self.truth
        )

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        values = {arm: self.value(arm) for arm in self.correct}
        gains = {arm: self.gain(arm) for arm in self.correct if arm != "real"}
        return {
            "metric": METRIC,
            **dict.fromkeys(SYNTHETIC_VARIANTS),
            **{name: found.value for name, found in values.items()},
            "ci95": {name: list(found.ci95) for name, found in values.items()},
            "gain": {a: {"value": g.value, "ci95": list(g.ci95)} for a, g in gains.items()},
            "items": dict(self.items),
            "per_label": {arm: self._by_label(arm, names) for arm in self.correct},
            "rounds": len(self.correct["real"]),
            "holdout_items": len(self.truth),
        }

    def _by_label(self, variant: str, names: Sequence[str]) -> dict[str, float]:
        hits = self.correct[variant]
        return {names[k]: float(hits[:, self.truth == k].mean()) for k in np.unique(self.truth)}


@dataclass(frozen=True)
class Recommendation:
    """`use`: what to train on beside the real items; None: nothing."""

    use: str | None
    reason: str


def recommend(lift: Lift) -> Recommendation:
    """What the measurement says, also where that is to leave it."""
    gains = {arm: lift.gain(arm) for arm in lift.correct if arm != "real"}
    made = [arm for arm in SYNTHETIC_VARIANTS if arm in gains]
    best = max(made, key=lambda arm: gains[arm].value)
    if gains[best].ci95[0] <= 0:
        worse = gains[best].ci95[1] < 0
        found = "makes the classifier worse" if worse else "makes no difference that was measured"
        return Recommendation(None, f"{best}, the best of them, {found}: {_describe(gains[best])}")
    if "oversampled" in gains and gains["oversampled"].ci95[0] > 0:
        over = lift.gain(best, "oversampled")
        if over.ci95[0] <= 0:
            return Recommendation(
                "oversampled",
                f"{best} gains {_describe(gains[best])}, and repeating the real items to the same "
                f"counts {_describe(gains['oversampled'])}, which is as much",
            )
    return Recommendation(best, f"{best} gains {_describe(gains[best])}")


def _describe(gain: Interval) -> str:
    low, high = gain.ci95
    return f"{gain.value:+.3f} of {METRIC} ({low:+.3f} to {high:+.3f})"
