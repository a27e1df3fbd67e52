"""Verdict on a model, derived from its scores. This module does not import torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from models.metrics.score_types import SCORE_TYPES, ScoreType
from models.metrics.scores import Score
from models.metrics.verdict_rules import Fault

VerdictName = Literal["good", "poor", "collapsed", "memorized"]

SMALL_HOLDOUT = 100  # with fewer holdout items, intervals are too wide to detect small faults


@dataclass(frozen=True)
class Verdict:
    """Verdict with its reasons: the problems of the model, or a remark on a good one."""

    verdict: VerdictName
    reasons: tuple[str, ...]

    @property
    def quality(self) -> Literal["good", "poor"]:
        return "good" if self.verdict == "good" else "poor"


def verdict_of(
    scores: Sequence[Score],
    holdout_items: int | None = None,
    score_types: Mapping[str, ScoreType] = SCORE_TYPES,
) -> Verdict:
    """Return the most serious fault, with its reasons before those of less serious ones.

    Caveats follow the faults. Those of a good model are its reasons.
    `holdout_items` is the number of real items that the samples were compared with. `score_types`
    has the rules of each score.
    """
    by_name = {score.name: score for score in scores}
    broken = [
        (rule, reason)
        for name, score_type in score_types.items()
        if name in by_name
        for rule in score_type.rules
        if (reason := rule.check(by_name[name], by_name)) is not None
    ]
    caveats = [reason for rule, reason in broken if rule.fault is None]
    faults = [(rule.fault, reason) for rule, reason in broken if rule.fault is not None]
    if faults:
        faults.sort(key=lambda fault: get_args(Fault).index(fault[0]))
        return Verdict(faults[0][0], (*(reason for _, reason in faults), *caveats))
    reasons = caveats or ["no score indicates a problem"]
    if holdout_items is not None and holdout_items < SMALL_HOLDOUT:
        reasons.append(
            f"the holdout has only {holdout_items} items: smaller problems may not be detected"
        )
    return Verdict("good", tuple(reasons))
