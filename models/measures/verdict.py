"""What the scores come to, in words: is it to be used? Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.measures.scores import Score

Finding = Literal["good", "poor", "collapsed", "memorised"]

COPIES = 0.05  # of the samples, over what chance makes
NEARER = 0.6  # to training rows than to held-out ones
LOOKS_REAL = 0.8  # of the ceiling's precision
FEW = 0.3  # of the ceiling's coverage or different rows
USE = 0.9  # of the ceiling's utility
CLEAR = 1.5  # times the ceiling's distance
LIKE = 0.5  # of the way from the ceiling to the naive baseline
HARDLY = 100  # held-out items; of fewer, intervals are so wide that little can be found


@dataclass(frozen=True)
class Verdict:
    """`reasons` has what speaks against the model, or, for a good one, for it."""

    finding: Finding
    reasons: tuple[str, ...]

    @property
    def quality(self) -> Literal["good", "poor"]:
        return "good" if self.finding == "good" else "poor"


def verdict(scores: Sequence[Score], held_out: int | None = None) -> Verdict:
    """The gravest finding; all its reasons come before those of lighter ones. `held_out`: real
    items that samples were measured with."""
    by_name = {score.name: score for score in scores}
    found: dict[Finding, list[str]] = {
        "memorised": _memorised(by_name),
        "collapsed": _collapsed(by_name),
        "poor": _poor(by_name),
    }
    for finding, reasons in found.items():
        if reasons:
            lighter = [r for other, more in found.items() if other != finding for r in more]
            return Verdict(finding, (*reasons, *lighter))
    reasons = ["no measure speaks against it"]
    if held_out is not None and held_out < HARDLY:
        reasons.append(f"{held_out} unseen real items are few: only gross faults would show")
    return Verdict("good", tuple(reasons))


Scores = dict[str, Score]


def _memorised(scores: Scores) -> list[str]:
    copies = [scores[name] for name in ("replayed", "exact_copies") if name in scores]
    reasons = [
        f"{score.value:.0%} of the samples repeat an item that it was trained on; "
        f"{score.ceiling or 0:.1%} would by chance"
        for score in copies
        if score.ci95[0] > (score.ceiling or 0) + COPIES
    ]
    if (score := scores.get("dcr_share")) and score.ci95[0] > NEARER:
        reasons.append(
            f"{score.value:.0%} of the samples lie nearer to a training row than to any of as many "
            "unseen ones; 50% would by chance"
        )
    if (score := scores.get("exposed")) and score.ci95[0] > (score.ceiling or 0) + COPIES:
        reasons.append(
            f"{score.value:.0%} of the training items can be told from unseen ones by how near "
            f"samples come to them; {score.ceiling:.1%} would by chance"
        )
    return reasons


def _collapsed(scores: Scores) -> list[str]:
    reasons = []
    covered, precise = scores.get("coverage"), scores.get("precision")
    looks_real = precise is not None and precise.value > LOOKS_REAL * _best(precise)
    if covered is not None and looks_real and covered.value < FEW * _best(covered):
        reasons.append(
            f"the samples look real but cover {covered.value:.0%} of the real images; real ones "
            f"cover {_best(covered):.0%}"
        )
    if (score := scores.get("different")) and score.value < FEW * _best(score):
        reasons.append(
            f"{score.value:.0%} of the rows are different from each other; of real rows "
            f"{_best(score):.0%} are"
        )
    return reasons


def _poor(scores: Scores) -> list[str]:
    useful = [scores[name] for name in ("utility", "label_fidelity") if name in scores]
    reasons = [
        f"{score.name} is {score.value:.2f}; that of real items {_best(score):.2f}"
        for score in useful
        if score.ci95[1] < USE * _best(score)
    ]
    distances = [scores[name] for name in ("frechet", "pairs", "marginals") if name in scores]
    # Of rows alone: a network finds something in images that look right to people, too.
    telling = [scores["told_apart"]] if {"told_apart", "pairs"} <= scores.keys() else []
    reasons += [
        f"{score.name} is {score.value:.3g}, nearer to naive samples ({score.baseline:.3g}) than "
        f"to real ones ({score.ceiling:.3g})"
        for score in (*distances, *telling)
        if _is_naive(score)
    ]
    reasons += [
        f"{score.name} is {score.value:.3g}; that of real items {score.ceiling:.3g}, and of naive "
        f"samples {score.baseline:.3g}"
        for score in distances
        if _is_worse_than_naive(score)
    ]
    if (score := scores.get("coverage")) and score.ci95[1] < 0.5 * _best(score):
        reasons.append(
            f"the samples cover {score.value:.0%} of the real images; real ones cover "
            f"{_best(score):.0%}"
        )
    return reasons


def _is_naive(score: Score) -> bool:
    """Nearer to the baseline than to the ceiling, where these are clear of each other."""
    ceiling, baseline = score.ceiling, score.baseline
    if ceiling is None or baseline is None or baseline < CLEAR * ceiling:
        return False
    return score.ci95[0] > ceiling + LIKE * (baseline - ceiling)


def _is_worse_than_naive(score: Score) -> bool:
    """By far, where the baseline and the ceiling are not clear of each other."""
    ceiling, baseline = score.ceiling, score.baseline
    if ceiling is None or baseline is None or baseline >= CLEAR * ceiling:
        return False
    return score.ci95[0] > CLEAR * max(ceiling, baseline)


def _best(score: Score) -> float:
    return 1.0 if score.ceiling is None else score.ceiling
