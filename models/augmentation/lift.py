"""What more items are worth to a classifier that is asked about held-out real ones.

In each round a classifier learns anew from each of several sets, and from parts of the real items.
Shapes: `R` rounds, `M` held-out items, `K` labels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
Hits = NDArray[np.bool_]
Floats = NDArray[np.float64]

Arm = Literal["real", "repeated", "classical", "gan", "both"]
MADE: tuple[Arm, ...] = ("classical", "gan", "both")
CURVE = "part"
PARTS = (1 / 8, 1 / 4, 1 / 2, 3 / 4)  # of the real items; with all of them, five sizes
METRIC = "balanced_accuracy"  # the mean, over the labels, of the share that is told right
LEAST_ROUNDS, ROUNDS = 3, 5
# Student's t, 97.5 %, by degrees of freedom.
T975 = {2: 4.303, 3: 3.182, 4: 2.776}

Learn = Callable[[Places, int], Hits]
"""From items by their places, with a seed: which held-out items the classifier then tells right."""


@dataclass(frozen=True)
class Trained:
    """One training. `arm`: one of the sets, or a part of the real items."""

    arm: str
    round: int
    items: int
    right: Hits  # (M,)

    def to_dict(self) -> dict[str, Any]:
        packed = np.packbits(self.right).tobytes().hex()
        return {"arm": self.arm, "round": self.round, "items": self.items, "right": packed}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], held_out: int) -> Self:
        bits = np.frombuffer(bytes.fromhex(fields["right"]), np.uint8)
        right = np.unpackbits(bits, count=held_out).astype(bool)
        return cls(fields["arm"], fields["round"], fields["items"], right)


def run(
    sets: Mapping[Arm, Places],
    labels: NDArray[np.int64],
    learn: Learn,
    *,
    seed: int,
    done: Sequence[Trained],
    has_time: Callable[[], bool],
    save: Callable[[Sequence[Trained]], None],
) -> list[Trained]:
    """Trainings in their order, after those that are done, while there is time. `sets` are places
    among `labels`; `real` is one of them. `save` is called after each training."""
    found = list(done)
    for arm, number, places in list(_trainings(sets, labels, seed))[len(found) :]:
        if not has_time():
            break
        right = learn(places, int(np.random.default_rng((seed, number)).integers(2**31)))
        found.append(Trained(arm, number, len(places), right))
        save(found)
    return found


def rounds_of(done: Sequence[Trained], sets: int) -> tuple[int, int]:
    """Whole ones: of the sets, and of the sets and the parts."""
    parts = sum(one.arm == CURVE for one in done)
    whole = (len(done) - parts) // sets
    return whole, min(whole, parts // len(PARTS))


def _trainings(
    sets: Mapping[Arm, Places], labels: NDArray[np.int64], seed: int
) -> Iterator[tuple[str, int, Places]]:
    """What the lift needs at the least, then what the worth does besides, then one more round at a
    time: where time is short, there is the lift at least."""
    for rounds in (range(LEAST_ROUNDS), *([one] for one in range(LEAST_ROUNDS, ROUNDS))):
        for number in rounds:
            for arm, places in sets.items():
                yield arm, number, places
        for number in rounds:
            for i, share in enumerate(PARTS):
                rng = np.random.default_rng((seed, number, i))
                yield CURVE, number, part_of(sets["real"], labels, share, rng)


def part_of(
    places: Places, labels: NDArray[np.int64], share: float, rng: np.random.Generator
) -> Places:
    """A share of each label, at least one item of it."""
    kept = []
    for label in np.unique(labels[places]):
        mine = places[labels[places] == label]
        kept.append(rng.permutation(mine)[: max(1, round(share * len(mine)))])
    return np.sort(np.concatenate(kept))


def balanced(right: NDArray[Any], truth: NDArray[np.int64]) -> Floats:
    """(…, M) to (…): the mean over labels of the mean over their items."""
    each = [right[..., truth == label].mean(-1) for label in np.unique(truth)]
    return np.asarray(np.mean(each, axis=0), np.float64)


@dataclass(frozen=True)
class Interval:
    value: float
    ci95: tuple[float, float]

    @classmethod
    def of(cls, values: NDArray[Any], truth: NDArray[np.int64]) -> Self:
        """Of (R, M) hits, or of their differences. The variances of another training and of other
        held-out items are added, and the width is Student's t of R - 1 degrees of freedom: wide, as
        rounds are few."""
        rounds = balanced(values, truth)
        spread = rounds.var(ddof=1) / len(rounds) + _of_items(values.mean(0), truth)
        value, half = float(rounds.mean()), T975[len(rounds) - 1] * float(spread) ** 0.5
        return cls(value, (value - half, value + half))


def _of_items(values: Floats, truth: NDArray[np.int64]) -> float:
    """The variance of a balanced mean by the chance of which items were held out."""
    groups = [values[truth == label] for label in np.unique(truth)]
    each = [group.var(ddof=1) / len(group) for group in groups if len(group) > 1]
    return float(np.sum(each)) / len(groups) ** 2


@dataclass(frozen=True)
class Lift:
    """Of whole rounds. `hits` (R, M) by set."""

    hits: dict[str, Hits]
    items: dict[str, int]
    truth: NDArray[np.int64]

    @classmethod
    def of(cls, done: Sequence[Trained], rounds: int, truth: NDArray[np.int64]) -> Self:
        """Raises ValueError for fewer than LEAST_ROUNDS."""
        if rounds < LEAST_ROUNDS:
            raise ValueError("too few rounds for an interval")
        mine = [one for one in done if one.round < rounds and one.arm != CURVE]
        arms = list(dict.fromkeys(one.arm for one in mine))
        hits = {arm: np.stack([one.right for one in mine if one.arm == arm]) for arm in arms}
        return cls(hits, {one.arm: one.items for one in mine}, truth)

    def value(self, arm: str) -> Interval:
        return Interval.of(self.hits[arm], self.truth)

    def gain(self, arm: str, over: str = "real") -> Interval:
        """Round by round, with the same seeds and the same held-out items."""
        return Interval.of(self.hits[arm].astype(float) - self.hits[over], self.truth)

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        values = {_named(arm): self.value(arm) for arm in self.hits}
        gains = {arm: self.gain(arm) for arm in self.hits if arm != "real"}
        return {
            "metric": METRIC,
            **dict.fromkeys(MADE),
            **{name: found.value for name, found in values.items()},
            "ci95": {name: list(found.ci95) for name, found in values.items()},
            "gain": {a: {"value": g.value, "ci95": list(g.ci95)} for a, g in gains.items()},
            "items": {_named(arm): n for arm, n in self.items.items()},
            "per_label": {_named(arm): self._by_label(arm, names) for arm in self.hits},
            "rounds": len(self.hits["real"]),
            "held_out": len(self.truth),
        }

    def _by_label(self, arm: str, names: Sequence[str]) -> dict[str, float]:
        hits = self.hits[arm]
        return {names[k]: float(hits[:, self.truth == k].mean()) for k in np.unique(self.truth)}


def _named(arm: str) -> str:
    return "real_only" if arm == "real" else arm


@dataclass(frozen=True)
class Recommendation:
    """`use`: what to train on beside the real items; None: nothing."""

    use: str | None
    reason: str


def recommended(lift: Lift) -> Recommendation:
    """What the measurement says, also where that is to leave it."""
    gains = {arm: lift.gain(arm) for arm in lift.hits if arm != "real"}
    made = [arm for arm in MADE if arm in gains]
    best = max(made, key=lambda arm: gains[arm].value)
    if gains[best].ci95[0] <= 0:
        worse = gains[best].ci95[1] < 0
        found = "makes the classifier worse" if worse else "makes no difference that was measured"
        return Recommendation(None, f"{best}, the best of them, {found}: {_words(gains[best])}")
    if "repeated" in gains and gains["repeated"].ci95[0] > 0:
        over = lift.gain(best, "repeated")
        if over.ci95[0] <= 0:
            return Recommendation(
                "repeated",
                f"{best} gains {_words(gains[best])}, and repeating the real items to the same "
                f"counts {_words(gains['repeated'])}, which is as much",
            )
    return Recommendation(best, f"{best} gains {_words(gains[best])}")


def _words(found: Interval) -> str:
    low, high = found.ci95
    return f"{found.value:+.3f} of {METRIC} ({low:+.3f} to {high:+.3f})"
