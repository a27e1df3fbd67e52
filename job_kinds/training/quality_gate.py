"""Validation of `quality_gate`: criteria that no model can meet are rejected before training."""

from collections.abc import Iterator

from core import evaluation
from core.errors import Conflict, FieldError, ValidationFailed
from core.tables import Dataset
from core.training import QualityGate, ScoreBound
from job_kinds.training.request import TrainingRequest
from models.metrics.scores import HIGHER_IS_BETTER, RANGES, REQUIRES_LABELS


def check(
    dataset: Dataset,
    request: TrainingRequest,
    *,
    conditional: bool,
    holdout_fraction: float,
) -> None:
    """Check the quality gate of a training request.

    Raises:
        ValidationFailed: The gate has unknown scores or unreachable bounds, or `evaluate` is false.
        Conflict: There are too few holdout items for an evaluation.
    """
    if request.quality_gate is None:
        return
    if request.evaluate is False:
        message = "`evaluate` must not be false with a `quality_gate`, which needs an evaluation."
        raise ValidationFailed(message, field_errors=[FieldError("/evaluate", "conflict", message)])
    errors = list(_field_errors(request.quality_gate, dataset.modality, conditional=conditional))
    if errors:
        raise ValidationFailed(f"{errors[0].pointer}: {errors[0].message}", field_errors=errors)
    if evaluation.holdout_size(holdout_fraction, dataset) < evaluation.MIN_HOLDOUT_ITEMS:
        reason = evaluation.not_enough_holdout_message(holdout_fraction, dataset)
        raise Conflict(f"`quality_gate` cannot be checked: {reason}", code="too_few_holdout_items")


def _field_errors(gate: QualityGate, modality: str, *, conditional: bool) -> Iterator[FieldError]:
    score_names = evaluation.SCORES[modality]
    for name, bound in gate.scores.items():
        pointer = f"/quality_gate/scores/{name}"
        if name not in score_names:
            message = (
                f"Unknown score. The scores of {modality} models are {', '.join(score_names)}."
            )
            yield FieldError(pointer, "unknown_score", message, score_names)
        elif name in REQUIRES_LABELS and not conditional:
            message = "This score is not available for a model without labels."
            yield FieldError(pointer, "not_allowed", message)
        else:
            yield from _unreachable_bounds(name, bound, pointer)


def _unreachable_bounds(name: str, bound: ScoreBound, pointer: str) -> Iterator[FieldError]:
    minimum, maximum = RANGES[name]
    for side in ("min", "max"):
        value = getattr(bound, side)
        if value is not None and not minimum <= value <= maximum:
            limit = f"below {minimum:g}" if value < minimum else f"above {maximum:g}"
            message = f"`{name}` is never {limit}."
            yield FieldError(f"{pointer}/{side}", "out_of_range", message)
    low, high = bound.min, bound.max
    if low is not None and high is not None and low > high:
        yield FieldError(pointer, "conflict", "`min` is greater than `max`.")
    if bound.min_fraction_of_reference is not None and name not in HIGHER_IS_BETTER:
        message = (
            "`min_fraction_of_reference` is only for scores for which higher is better. Use `max`."
        )
        yield FieldError(f"{pointer}/min_fraction_of_reference", "not_allowed", message)
