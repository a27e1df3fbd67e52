"""Validation of `quality_gate`: criteria that no model can meet are rejected before training."""

from collections.abc import Iterator

from core.errors import Conflict, FieldError, ValidationFailed
from core.tables import Dataset
from core.training import QualityGate, ScoreBound, TrainingSpec
from job_kinds.evaluation.plan import check_possible
from job_kinds.training.request import TrainingRequest
from modalities import registry
from models.metrics.score_types import ScoreType


def check(dataset: Dataset, request: TrainingRequest, spec: TrainingSpec) -> None:
    """Check the quality gate of a training request.

    Raises:
        ValidationFailed: The gate has unknown scores or unreachable bounds, or `evaluate` is false.
        Conflict: The model cannot be evaluated, for example because of too few holdout items.
    """
    gate = spec.quality_gate
    assert gate is not None  # noqa: S101 - the caller checks it
    if request.evaluate is False:
        message = "`evaluate` must not be false with a `quality_gate`, which needs an evaluation."
        raise ValidationFailed.of_field("/evaluate", "conflict", message)
    errors = list(_field_errors(gate, dataset.modality, conditional=spec.conditional))
    if errors:
        raise ValidationFailed(f"{errors[0].pointer}: {errors[0].message}", field_errors=errors)
    try:
        check_possible(spec, dataset)
    except Conflict as error:
        message = f"`quality_gate` cannot be checked: {error.detail}"
        raise Conflict(message, code=error.code) from error


def _field_errors(gate: QualityGate, modality: str, *, conditional: bool) -> Iterator[FieldError]:
    score_types = registry.evaluation_of(modality).score_types
    for name, bound in gate.scores.items():
        pointer = f"/quality_gate/scores/{name}"
        score_type = score_types.get(name)
        if score_type is None:
            message = (
                f"Unknown score. The scores of {modality} models are {', '.join(score_types)}."
            )
            yield FieldError(pointer, "unknown_score", message, tuple(score_types))
        elif score_type.requires_labels and not conditional:
            message = "This score is not available for a model without labels."
            yield FieldError(pointer, "not_allowed", message)
        else:
            yield from _unreachable_bounds(name, score_type, bound, pointer)


def _unreachable_bounds(
    name: str, score_type: ScoreType, bound: ScoreBound, pointer: str
) -> Iterator[FieldError]:
    minimum, maximum = score_type.minimum, score_type.maximum
    for side in ("min", "max"):
        value = getattr(bound, side)
        if value is not None and not minimum <= value <= maximum:
            limit = f"below {minimum:g}" if value < minimum else f"above {maximum:g}"
            message = f"`{name}` is never {limit}."
            yield FieldError(f"{pointer}/{side}", "out_of_range", message)
    low, high = bound.min, bound.max
    if low is not None and high is not None and low > high:
        yield FieldError(pointer, "conflict", "`min` is greater than `max`.")
    if bound.min_fraction_of_reference is not None and score_type.direction != "higher":
        message = (
            "`min_fraction_of_reference` is only for scores for which higher is better. Use `max`."
        )
        yield FieldError(f"{pointer}/min_fraction_of_reference", "not_allowed", message)
