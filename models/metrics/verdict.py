"""What the scores come to, in words: is it to be used? Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.metrics.scores import Score

VerdictName = Literal["good", "poor", "collapsed", "memorized"]

MAX_EXCESS_COPY_RATE = 0.05  # of the samples, over what chance makes
MAX_DCR_SHARE = 0.6  # to training rows than to held-out ones
MIN_PRECISION_RATIO = 0.8  # of the ceiling's precision
MIN_COVERAGE_RATIO = 0.3  # of the ceiling's coverage or different rows
MIN_UTILITY_RATIO = 0.9  # of the ceiling's utility
CLEAR_RATIO = 1.5  # times the ceiling's distance
MAX_POSITION = 0.5  # of the way from the ceiling to the naive baseline
SMALL_HOLDOUT = 100  # held-out items; of fewer, intervals are so wide that little can be found


@dataclass(frozen=True)
class Verdict:
    """`reasons` has what speaks against the model, or, for a good one, for it."""

    verdict: VerdictName
    reasons: tuple[str, ...]

    @property
    def quality(self) -> Literal["good", "poor"]:
        return "good" if self.verdict == "good" else "poor"


def verdict_of(scores: Sequence[Score], holdout_items: int | None = None) -> Verdict:
    """The gravest finding; all its reasons come before those of lighter ones. `held_out`: real
    items that samples were measured with."""
    by_name = {score.name: score for score in scores}
    found: dict[VerdictName, list[str]] = {
        "memorized": _memorization_reasons(by_name),
        "collapsed": _collapse_reasons(by_name),
        "poor": _poor_reasons(by_name),
    }
    for finding, reasons in found.items():
        if reasons:
            lighter = [r for other, more in found.items() if other != finding for r in more]
            return Verdict(finding, (*reasons, *lighter))
    reasons = ["no measure speaks against it"]
    if holdout_items is not None and holdout_items < SMALL_HOLDOUT:
        reasons.append(f"{holdout_items} unseen real items are few: only gross faults would show")
    return Verdict("good", tuple(reasons))


Scores = dict[str, Score]


def _memorization_reasons(scores: Scores) -> list[str]:
    copies = [scores[name] for name in ("memorization_rate", "exact_match_rate") if name in scores]
    reasons = [
        f"{score.value:.0%} of the samples repeat an item that it was trained on; "
        f"{score.real_reference or 0:.1%} would by chance"
        for score in copies
        if score.ci95[0] > (score.real_reference or 0) + MAX_EXCESS_COPY_RATE
    ]
    if (score := scores.get("dcr_share")) and score.ci95[0] > MAX_DCR_SHARE:
        reasons.append(
            f"{score.value:.0%} of the samples lie nearer to a training row than to any of as many "
            "unseen ones; 50% would by chance"
        )
    if (score := scores.get("membership_inference_tpr_at_1pct_fpr")) and score.ci95[0] > (
        score.real_reference or 0
    ) + MAX_EXCESS_COPY_RATE:
        reasons.append(
            f"{score.value:.0%} of the training items can be told from unseen ones by how near "
            f"samples come to them; {score.real_reference:.1%} would by chance"
        )
    return reasons


def _collapse_reasons(scores: Scores) -> list[str]:
    reasons = []
    covered, precise = scores.get("coverage"), scores.get("precision")
    looks_real = precise is not None and precise.value > MIN_PRECISION_RATIO * _reference_of(
        precise
    )
    if (
        covered is not None
        and looks_real
        and covered.value < MIN_COVERAGE_RATIO * _reference_of(covered)
    ):
        reasons.append(
            f"the samples look real but cover {covered.value:.0%} of the real images; real ones "
            f"cover {_reference_of(covered):.0%}"
        )
    if (score := scores.get("unique_rate")) and score.value < MIN_COVERAGE_RATIO * _reference_of(
        score
    ):
        reasons.append(
            f"{score.value:.0%} of the rows are different from each other; of real rows "
            f"{_reference_of(score):.0%} are"
        )
    return reasons


def _poor_reasons(scores: Scores) -> list[str]:
    useful = [scores[name] for name in ("tstr_score", "label_accuracy") if name in scores]
    reasons = [
        f"{score.name} is {score.value:.2f}; that of real items {_reference_of(score):.2f}"
        for score in useful
        if score.ci95[1] < MIN_UTILITY_RATIO * _reference_of(score)
    ]
    distances = [
        scores[name]
        for name in ("frechet_distance", "pairwise_tvd", "marginal_tvd")
        if name in scores
    ]
    # Of rows alone: a network finds something in images that look right to people, too.
    telling = (
        [scores["detection_auc"]] if {"detection_auc", "pairwise_tvd"} <= scores.keys() else []
    )
    reasons += [
        f"{score.name} is {score.value:.3g}, nearer to naive samples ({score.naive_baseline:.3g}) than "
        f"to real ones ({score.real_reference:.3g})"
        for score in (*distances, *telling)
        if _is_naive(score)
    ]
    reasons += [
        f"{score.name} is {score.value:.3g}; that of real items {score.real_reference:.3g}, and of naive "
        f"samples {score.naive_baseline:.3g}"
        for score in distances
        if _is_worse_than_naive(score)
    ]
    if (score := scores.get("coverage")) and score.ci95[1] < 0.5 * _reference_of(score):
        reasons.append(
            f"the samples cover {score.value:.0%} of the real images; real ones cover "
            f"{_reference_of(score):.0%}"
        )
    return reasons


def _is_naive(score: Score) -> bool:
    """Nearer to the baseline than to the ceiling, where these are clear of each other."""
    ceiling, baseline = score.real_reference, score.naive_baseline
    if ceiling is None or baseline is None or baseline < CLEAR_RATIO * ceiling:
        return False
    return score.ci95[0] > ceiling + MAX_POSITION * (baseline - ceiling)


def _is_worse_than_naive(score: Score) -> bool:
    """By far, where the baseline and the ceiling are not clear of each other."""
    ceiling, baseline = score.real_reference, score.naive_baseline
    if ceiling is None or baseline is None or baseline >= CLEAR_RATIO * ceiling:
        return False
    return score.ci95[0] > CLEAR_RATIO * max(ceiling, baseline)


def _reference_of(score: Score) -> float:
    return 1.0 if score.real_reference is None else score.real_reference
