"""Verdict on a model, derived from its scores. This module does not import torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from models.metrics.scores import Score

VerdictName = Literal["good", "poor", "collapsed", "memorized"]

# The reference of a score is its value for real items (Score.real_reference).
MAX_EXCESS_COPY_RATE = 0.05  # share of copied samples above the reference
MAX_DCR_SHARE = 0.6  # share of samples closer to training rows than to holdout rows
MAX_VIOLATION_RATE = 0.01  # share of samples that break a relation of all training rows
MIN_PRECISION_RATIO = 0.8  # relative to the reference
MIN_COVERAGE_RATIO = 0.3  # of coverage or unique rows, relative to the reference
MIN_UTILITY_RATIO = 0.9  # relative to the reference
CLEAR_RATIO = 1.5  # a baseline of this multiple of the reference is clearly worse
MAX_POSITION = 0.5  # between the reference (0) and the naive baseline (1)
SMALL_HOLDOUT = 100  # with fewer holdout items, intervals are too wide to detect small faults


@dataclass(frozen=True)
class Verdict:
    """Verdict with its reasons: the problems of the model, or a remark on a good one."""

    verdict: VerdictName
    reasons: tuple[str, ...]

    @property
    def quality(self) -> Literal["good", "poor"]:
        return "good" if self.verdict == "good" else "poor"


def verdict_of(scores: Sequence[Score], holdout_items: int | None = None) -> Verdict:
    """Return the most serious finding, with its reasons before those of less serious ones.

    `holdout_items` is the number of real items that the samples were compared with.
    """
    by_name = {score.name: score for score in scores}
    findings: dict[VerdictName, list[str]] = {
        "memorized": _memorization_reasons(by_name),
        "collapsed": _collapse_reasons(by_name),
        "poor": _poor_reasons(by_name),
    }
    for name, reasons in findings.items():
        if reasons:
            less_serious = [
                reason
                for other_name, other_reasons in findings.items()
                if other_name != name
                for reason in other_reasons
            ]
            return Verdict(name, (*reasons, *less_serious))
    reasons = ["no score indicates a problem"]
    if holdout_items is not None and holdout_items < SMALL_HOLDOUT:
        reasons.append(
            f"the holdout has only {holdout_items} items: smaller problems may not be detected"
        )
    return Verdict("good", tuple(reasons))


Scores = dict[str, Score]


def _memorization_reasons(scores: Scores) -> list[str]:
    copies = [scores[name] for name in ("memorization_rate", "exact_match_rate") if name in scores]
    reasons = [
        f"{score.value:.0%} of the samples repeat a training item; "
        f"{score.real_reference or 0:.1%} would by chance"
        for score in copies
        if score.ci95[0] > (score.real_reference or 0) + MAX_EXCESS_COPY_RATE
    ]
    if (score := scores.get("dcr_share")) and score.ci95[0] > MAX_DCR_SHARE:
        reasons.append(
            f"{score.value:.0%} of the samples are closer to a training row than to any of as many "
            "holdout rows; 50% would be by chance"
        )
    if (score := scores.get("membership_inference_tpr_at_1pct_fpr")) and score.ci95[0] > (
        score.real_reference or 0
    ) + MAX_EXCESS_COPY_RATE:
        reasons.append(
            f"{score.value:.0%} of the training items can be recognized because samples are close "
            f"to them; {score.real_reference:.1%} would be by chance"
        )
    return reasons


def _collapse_reasons(scores: Scores) -> list[str]:
    reasons = []
    coverage, precision = scores.get("coverage"), scores.get("precision")
    looks_real = precision is not None and precision.value > MIN_PRECISION_RATIO * _reference_of(
        precision
    )
    if (
        coverage is not None
        and looks_real
        and coverage.value < MIN_COVERAGE_RATIO * _reference_of(coverage)
    ):
        reasons.append(
            f"the samples look real but cover {coverage.value:.0%} of the real images; real ones "
            f"cover {_reference_of(coverage):.0%}"
        )
    if (score := scores.get("unique_rate")) and score.value < MIN_COVERAGE_RATIO * _reference_of(
        score
    ):
        reasons.append(
            f"{score.value:.0%} of the synthetic rows are unique; of the real rows, "
            f"{_reference_of(score):.0%} are"
        )
    return reasons


def _poor_reasons(scores: Scores) -> list[str]:
    utilities = [scores[name] for name in ("tstr_score", "label_accuracy") if name in scores]
    reasons = [
        f"{score.name} is {score.value:.2f}; real items reach {_reference_of(score):.2f}"
        for score in utilities
        if score.ci95[1] < MIN_UTILITY_RATIO * _reference_of(score)
    ]
    if (score := scores.get("relation_violation_rate")) and score.value > MAX_VIOLATION_RATE:
        reasons.append(
            f"{score.value:.1%} of the samples break a relation between columns that holds in all "
            "training rows"
        )
    distances = [
        scores[name]
        for name in ("frechet_distance", "pairwise_tvd", "marginal_tvd")
        if name in scores
    ]
    # For tables only: a network detects synthetic images even if they look right to people.
    detection = (
        [scores["detection_auc"]] if {"detection_auc", "pairwise_tvd"} <= scores.keys() else []
    )
    reasons += [
        f"{score.name} is {score.value:.3g}, closer to naive samples ({score.naive_baseline:.3g}) "
        f"than to real items ({score.real_reference:.3g})"
        for score in (*distances, *detection)
        if _is_naive(score)
    ]
    reasons += [
        f"{score.name} is {score.value:.3g}; real items have {score.real_reference:.3g} and naive "
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
    """Return True if the score is closer to the baseline than to the reference.

    The comparison requires that the baseline is clearly worse than the reference.
    """
    reference, baseline = score.real_reference, score.naive_baseline
    if reference is None or baseline is None or baseline < CLEAR_RATIO * reference:
        return False
    return score.ci95[0] > reference + MAX_POSITION * (baseline - reference)


def _is_worse_than_naive(score: Score) -> bool:
    """Return True if the score is much worse than both the baseline and the reference.

    This applies if the baseline is not clearly worse than the reference.
    """
    reference, baseline = score.real_reference, score.naive_baseline
    if reference is None or baseline is None or baseline >= CLEAR_RATIO * reference:
        return False
    return score.ci95[0] > CLEAR_RATIO * max(reference, baseline)


def _reference_of(score: Score) -> float:
    return 1.0 if score.real_reference is None else score.real_reference
