"""Rules that find a fault of a model in one of its scores. Free of numpy, like score types."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from models.metrics.scores import Score

Fault = Literal["memorized", "collapsed", "poor"]  # the most serious one first
Scores = Mapping[str, "Score"]  # all scores of an evaluation, by name

# The reference of a score is its value for real items (Score.real_reference).
MAX_EXCESS_COPY_RATE = 0.05  # share of copied samples above the reference
MAX_DCR_SHARE = 0.6  # share of samples closer to training rows than to holdout rows
MAX_VIOLATION_RATE = 0.01  # share of samples that break a relation of all training rows
MAX_EXCESS_UNSEEN_PAIRS = 0.05  # share of samples with an unseen pair above the reference
MAX_EXCESS_DETECTION = 0.15  # area under the ROC curve above the reference
MIN_PRECISION_RATIO = 0.8  # relative to the reference
MIN_COVERAGE_RATIO = 0.3  # of coverage or unique rows, relative to the reference
MIN_UTILITY_RATIO = 0.9  # relative to the reference
CLEAR_RATIO = 1.5  # a baseline of this multiple of the reference is clearly worse
MAX_POSITION = 0.5  # between the reference (0) and the naive baseline (1)


@dataclass(frozen=True)
class Rule:
    """A fault of a model, or a caveat about a good one, and the values of a score that show it.

    A rule without a fault gives a reason, but does not change the verdict.
    `is_broken` takes the score, its reference and all scores of the evaluation. `reason` is a
    template with the fields `name`, `value` and `reference`, and with `value_text`,
    `reference_text` and `baseline_text`, which have three significant digits. `worst` is the first
    label of `Score.per_label`.
    """

    fault: Fault | None
    is_broken: Callable[["Score", float, Scores], bool]
    reason: str
    default_reference: float = 1.0  # if the score has none

    def check(self, score: "Score", scores: Scores) -> str | None:
        """Return the reason why the model has the fault, or None."""
        reference = score.real_reference
        if reference is None:
            reference = self.default_reference
        if not self.is_broken(score, reference, scores):
            return None
        return self.reason.format(
            name=score.name,
            value=score.value,
            value_text=format_score(score.value),
            reference=reference,
            reference_text=format_score(reference),
            baseline_text=format_score(score.naive_baseline or 0.0),
            worst=next(iter(score.per_label), ""),
        )


def format_score(value: float) -> str:
    """Return the score with at least three significant digits, and without an exponent if large."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def copies(reason: str) -> Rule:
    """Return the rule that clearly more samples are copies than by chance, with its reason."""
    return Rule(
        "memorized",
        lambda score, reference, _: score.ci95[0] > reference + MAX_EXCESS_COPY_RATE,
        reason,
        default_reference=0.0,
    )


def _is_naive(score: "Score", _reference: float, _scores: Scores) -> bool:
    """Return True if the score is closer to the baseline than to the reference.

    The comparison requires that the baseline is clearly worse than the reference.
    """
    reference, baseline = score.real_reference, score.naive_baseline
    if reference is None or baseline is None or baseline < CLEAR_RATIO * reference:
        return False
    return score.ci95[0] > reference + MAX_POSITION * (baseline - reference)


def _is_worse_than_naive(score: "Score", _reference: float, _scores: Scores) -> bool:
    """Return True if the score is much worse than both the baseline and the reference.

    This applies if the baseline is not clearly worse than the reference.
    """
    reference, baseline = score.real_reference, score.naive_baseline
    if reference is None or baseline is None or baseline >= CLEAR_RATIO * reference:
        return False
    return score.ci95[0] > CLEAR_RATIO * max(reference, baseline)


def _looks_real_but_rarely_covers(score: "Score", reference: float, scores: Scores) -> bool:
    precision = scores.get("precision")
    if precision is None or score.value >= MIN_COVERAGE_RATIO * reference:
        return False
    real = 1.0 if precision.real_reference is None else precision.real_reference
    return precision.value > MIN_PRECISION_RATIO * real


REPEATED_ITEMS = copies(
    "{value:.0%} of the samples repeat a training item; {reference:.1%} would by chance"
)
RECOGNIZED_ITEMS = copies(
    "{value:.0%} of the training items can be recognized because samples are close to them; "
    "{reference:.1%} would be by chance"
)
CLOSE_ROWS = Rule(
    "memorized",
    lambda score, _, __: score.ci95[0] > MAX_DCR_SHARE,
    "{value:.0%} of the samples are closer to a training row than to any of as many holdout rows; "
    "50% would be by chance",
)
CLOSER_TO_TRAINING_ROWS = Rule(
    None,
    lambda score, reference, _: reference < score.ci95[0] <= MAX_DCR_SHARE,
    CLOSE_ROWS.reason,
    default_reference=0.5,
)
RECOGNIZABLE_ITEMS = Rule(
    None,
    lambda score, reference, _: score.ci95[0] > max(reference, score.naive_baseline or 0.0),
    "samples help to guess which items were used for training: membership_inference_auc is "
    "{value:.2f}; 0.50 would be by chance",
    default_reference=0.5,
)
COLLAPSED_COVERAGE = Rule(
    "collapsed",
    _looks_real_but_rarely_covers,
    "the samples look real but cover {value:.0%} of the real images; real ones cover "
    "{reference:.0%}",
)
REPEATED_ROWS = Rule(
    "collapsed",
    lambda score, reference, _: score.value < MIN_COVERAGE_RATIO * reference,
    "{value:.0%} of the synthetic rows are unique; of the real rows, {reference:.0%} are",
)
LOW_UTILITY = Rule(
    "poor",
    lambda score, reference, _: score.ci95[1] < MIN_UTILITY_RATIO * reference,
    "{name} is {value:.2f}; real items reach {reference:.2f}",
)
BROKEN_RELATION = Rule(
    "poor",
    lambda score, _, __: score.value > MAX_VIOLATION_RATE,
    "{value:.1%} of the samples break a relation between columns that training rows satisfy",
)
UNSEEN_PAIRS = Rule(
    "poor",
    lambda score, reference, _: score.ci95[0] > reference + MAX_EXCESS_UNSEEN_PAIRS,
    "{value:.0%} of the samples have a pair of values that no training row has, most often of "
    "{worst}; {reference:.1%} of unseen real rows have one",
    default_reference=0.0,
)
CLOSER_TO_NAIVE = Rule(
    "poor",
    _is_naive,
    "{name} is {value_text}, closer to naive samples ({baseline_text}) than to real items "
    "({reference_text})",
)
WORSE_THAN_NAIVE = Rule(
    "poor",
    _is_worse_than_naive,
    "{name} is {value_text}; real items have {reference_text} and naive samples {baseline_text}",
)
# For tables only: a network detects synthetic images even if they look right to people.
DETECTED_ROWS = Rule(
    "poor",
    lambda score, reference, scores: (
        "pairwise_tvd" in scores and _is_naive(score, reference, scores)
    ),
    CLOSER_TO_NAIVE.reason,
)
DETECTABLE_ROWS = Rule(
    None,
    lambda score, reference, scores: (
        "pairwise_tvd" in scores
        and score.ci95[0] > reference + MAX_EXCESS_DETECTION
        and not _is_naive(score, reference, scores)
    ),
    "a classifier can often distinguish the samples from real rows: {name} is {value_text}, with "
    "{reference_text} for real rows and {baseline_text} for naive samples",
    default_reference=0.5,
)
LOW_COVERAGE = Rule(
    "poor",
    lambda score, reference, _: score.ci95[1] < 0.5 * reference,
    "the samples cover {value:.0%} of the real images; real ones cover {reference:.0%}",
)
