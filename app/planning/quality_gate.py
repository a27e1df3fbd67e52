"""`quality_gate` of a training job: what no model could ever be is refused before one is trained."""

from collections.abc import Iterator

from app.schemas.jobs import TrainingRequest
from core import evaluation
from core.errors import Conflict, FieldError, ValidationFailed
from core.tables import Dataset
from core.training import QualityGate, ScoreBound
from models.metrics.scores import HIGHER_IS_BETTER, RANGES, REQUIRES_LABELS


def check(
    dataset: Dataset,
    request: TrainingRequest,
    *,
    target_column: str | None,
    holdout_fraction: float,
) -> None:
    """Raises ValidationFailed for what cannot be asked; Conflict where too little is there to measure."""
    if request.quality_gate is None:
        return
    if request.evaluate is False:
        fault = FieldError("/evaluate", "conflict", "`quality_gate` takes an evaluation")
        raise ValidationFailed(
            "`quality_gate` takes an evaluation: leave `evaluate` out", field_errors=[fault]
        )
    faults = list(_faults(request.quality_gate, dataset.modality, target_column))
    if faults:
        raise ValidationFailed(f"{faults[0].pointer}: {faults[0].message}", field_errors=faults)
    if evaluation.holdout_size(holdout_fraction, dataset) < evaluation.MIN_HOLDOUT_ITEMS:
        detail = f"`quality_gate` cannot be met: {evaluation.not_enough_holdout_message(holdout_fraction, dataset)}"
        raise Conflict(detail, code="too_few_holdout_items")


def _faults(accept: QualityGate, kind: str, label: str | None) -> Iterator[FieldError]:
    known = evaluation.SCORES[kind]
    for name, bound in accept.scores.items():
        pointer = f"/quality_gate/scores/{name}"
        if name not in known:
            message = f"scores of {kind} are {', '.join(known)}"
            yield FieldError(pointer, "unknown_score", message, known)
        elif name in REQUIRES_LABELS and label is None:
            yield FieldError(pointer, "not_allowed", "is not measured of a model without labels")
        else:
            yield from _unreachable(name, bound, pointer)


def _unreachable(name: str, bound: ScoreBound, pointer: str) -> Iterator[FieldError]:
    least, most = RANGES[name]
    for side in ("min", "max"):
        value = getattr(bound, side)
        if value is not None and not least <= value <= most:
            message = f"it is never {'below' if value < least else 'above'} "
            message += f"{least if value < least else most:g}"
            yield FieldError(f"{pointer}/{side}", "out_of_range", message)
    low, high = bound.min, bound.max
    if low is not None and high is not None and low > high:
        yield FieldError(pointer, "conflict", "min is above max")
    if bound.min_fraction_of_reference is not None and name not in HIGHER_IS_BETTER:
        message = "is for scores of which more is better; give max"
        yield FieldError(f"{pointer}/min_fraction_of_reference", "not_allowed", message)
