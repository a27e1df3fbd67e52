"""The lift of synthetic items: how much they improve a classifier on held-out real items.

In each round, a classifier is trained from scratch on each of several sets, and on subsets of the
real items. Shapes: R rounds, M held-out items.
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
SUBSET_FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 3 / 4)  # of the real items; the full set is the fifth size
METRIC = "balanced_accuracy"  # the mean over labels of the recall
MIN_ROUNDS, MAX_ROUNDS = 3, 5
# 97.5 % quantiles of Student's t by degrees of freedom.
T975 = {2: 4.303, 3: 3.182, 4: 2.776}

# Trains on the items with these indices and a seed; returns which held-out items are classified
# correctly.
TrainClassifier = Callable[[Indices, int], CorrectMask]


@dataclass(frozen=True)
class TrainingResult:
    """Result of one training run on `variant`: one of the sets, or a subset of the real items."""

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
        correct = np.unpackbits(bits, count=holdout_items).astype(bool)
        return cls(fields["variant"], fields["round"], fields["items"], correct)


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
    """Run trainings in a fixed order, after those in `done`, while `has_time()`.

    `sets` are indices into `labels`; one of them is `real`. `save` is called with all results after
    each training run.
    """
    results = list(done)
    for variant, round_index, indices in list(_trainings(sets, labels, seed))[len(results) :]:
        if not has_time():
            break
        correct = train_classifier(
            indices, int(np.random.default_rng((seed, round_index)).integers(2**31))
        )
        results.append(TrainingResult(variant, round_index, len(indices), correct))
        save(results)
    return results


def count_complete_rounds(done: Sequence[TrainingResult], num_sets: int) -> tuple[int, int]:
    """Return the number of complete rounds of all sets, and of all sets and subsets."""
    num_subsets = sum(result.variant == SUBSET_VARIANT for result in done)
    complete = (len(done) - num_subsets) // num_sets
    return complete, min(complete, num_subsets // len(SUBSET_FRACTIONS))


def _trainings(
    sets: Mapping[Variant, Indices], labels: NDArray[np.int64], seed: int
) -> Iterator[tuple[str, int, Indices]]:
    """Yield variant, round and indices of each training run.

    The runs that the lift needs come first, then the subsets for the learning curve, then
    additional rounds of both, one at a time. So a lift is available even if time is short.
    """
    for rounds in (range(MIN_ROUNDS), *([extra] for extra in range(MIN_ROUNDS, MAX_ROUNDS))):
        for round_index in rounds:
            for variant, indices in sets.items():
                yield variant, round_index, indices
        for round_index in rounds:
            for i, fraction in enumerate(SUBSET_FRACTIONS):
                rng = np.random.default_rng((seed, round_index, i))
                yield (
                    SUBSET_VARIANT,
                    round_index,
                    stratified_subset(sets["real"], labels, fraction, rng),
                )


def stratified_subset(
    indices: Indices, labels: NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> Indices:
    """Return a random subset with `fraction` of each label, at least one item per label."""
    parts = []
    for label in np.unique(labels[indices]):
        label_indices = indices[labels[indices] == label]
        parts.append(rng.permutation(label_indices)[: max(1, round(fraction * len(label_indices)))])
    return np.sort(np.concatenate(parts))


def balanced_accuracy(correct: NDArray[Any], truth: NDArray[np.int64]) -> Floats:
    """Map (…, M) correctness to (…): the mean over labels of the mean over their items."""
    per_label = [correct[..., truth == label].mean(-1) for label in np.unique(truth)]
    return np.asarray(np.mean(per_label, axis=0), np.float64)


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % confidence interval."""

    value: float
    ci95: tuple[float, float]

    @classmethod
    def from_rounds(cls, values: NDArray[Any], truth: NDArray[np.int64]) -> Self:
        """Return the interval of the balanced mean of (R, M) correctness values or differences.

        Adds the variance over training runs and the variance over held-out items. The width uses
        Student's t with R - 1 degrees of freedom, because there are few rounds.
        """
        rounds = balanced_accuracy(values, truth)
        variance = rounds.var(ddof=1) / len(rounds) + _item_variance(values.mean(0), truth)
        value, half_width = float(rounds.mean()), T975[len(rounds) - 1] * float(variance) ** 0.5
        return cls(value, (value - half_width, value + half_width))


def _item_variance(values: Floats, truth: NDArray[np.int64]) -> float:
    """Return the variance of a balanced mean due to the choice of held-out items."""
    groups = [values[truth == label] for label in np.unique(truth)]
    per_label = [group.var(ddof=1) / len(group) for group in groups if len(group) > 1]
    return float(np.sum(per_label)) / len(groups) ** 2


@dataclass(frozen=True)
class Lift:
    """Results of the complete rounds.

    `correct` has the (R, M) correctness by variant, `items` the size of each variant's set.
    """

    correct: dict[str, CorrectMask]
    items: dict[str, int]
    truth: NDArray[np.int64]

    @classmethod
    def from_results(
        cls, done: Sequence[TrainingResult], rounds: int, truth: NDArray[np.int64]
    ) -> Self:
        """Collect the first `rounds` rounds. Raises ValueError for fewer than MIN_ROUNDS."""
        if rounds < MIN_ROUNDS:
            raise ValueError(
                f"A confidence interval needs at least {MIN_ROUNDS} rounds, not {rounds}."
            )
        results = [
            result for result in done if result.round < rounds and result.variant != SUBSET_VARIANT
        ]
        variants = list(dict.fromkeys(result.variant for result in results))
        correct = {
            variant: np.stack([result.correct for result in results if result.variant == variant])
            for variant in variants
        }
        return cls(correct, {result.variant: result.items for result in results}, truth)

    def value(self, variant: str) -> Interval:
        return Interval.from_rounds(self.correct[variant], self.truth)

    def gain(self, variant: str, baseline: str = "real") -> Interval:
        """Return the difference to `baseline`, paired by round, seed and held-out item."""
        return Interval.from_rounds(
            self.correct[variant].astype(float) - self.correct[baseline], self.truth
        )

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        values = {variant: self.value(variant) for variant in self.correct}
        gains = {variant: self.gain(variant) for variant in self.correct if variant != "real"}
        return {
            "metric": METRIC,
            **dict.fromkeys(SYNTHETIC_VARIANTS),
            **{name: interval.value for name, interval in values.items()},
            "ci95": {name: list(interval.ci95) for name, interval in values.items()},
            "gain": {
                variant: {"value": gain.value, "ci95": list(gain.ci95)}
                for variant, gain in gains.items()
            },
            "items": dict(self.items),
            "per_label": {variant: self._by_label(variant, names) for variant in self.correct},
            "rounds": len(self.correct["real"]),
            "holdout_items": len(self.truth),
        }

    def _by_label(self, variant: str, names: Sequence[str]) -> dict[str, float]:
        correct = self.correct[variant]
        return {
            names[label]: float(correct[:, self.truth == label].mean())
            for label in np.unique(self.truth)
        }


@dataclass(frozen=True)
class Recommendation:
    """The variant to train on in addition to the real items (None: none), and the reason."""

    use: str | None
    reason: str


def recommend(lift: Lift) -> Recommendation:
    """Recommend the variant with a significant gain, or none."""
    gains = {variant: lift.gain(variant) for variant in lift.correct if variant != "real"}
    variants = [variant for variant in SYNTHETIC_VARIANTS if variant in gains]
    best = max(variants, key=lambda variant: gains[variant].value)
    if gains[best].ci95[0] <= 0:
        worse = gains[best].ci95[1] < 0
        effect = (
            "makes the classifier worse" if worse else "makes no difference that can be measured"
        )
        return Recommendation(None, f"The best set, `{best}`, {effect}: {_describe(gains[best])}.")
    if "oversampled" in gains and gains["oversampled"].ci95[0] > 0:
        gain_over_oversampling = lift.gain(best, "oversampled")
        if gain_over_oversampling.ci95[0] <= 0:
            return Recommendation(
                "oversampled",
                f"With `{best}`, {_describe(gains[best])}. Repeating real items to the same "
                f"counts is not significantly worse: {_describe(gains['oversampled'])}.",
            )
    return Recommendation(best, f"With `{best}`, {_describe(gains[best])}.")


def _describe(gain: Interval) -> str:
    low, high = gain.ci95
    return f"{METRIC} changes by {gain.value:+.3f} (95 % interval {low:+.3f} to {high:+.3f})"
