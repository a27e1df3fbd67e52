"""`accept` of a training job: what no model could ever be is refused before one is trained."""

from collections.abc import Iterator

from app.schemas.jobs import TrainingRequest
from core import evaluation
from core.errors import Conflict, Fault, Invalid
from core.tables import Dataset
from core.training import Accept, Bound
from models.measures.scores import OF_LABELS, RANGES, UPWARD


def check(dataset: Dataset, wanted: TrainingRequest, *, label: str | None, holdout: float) -> None:
    """Raises Invalid for what cannot be asked; Conflict where too little is there to measure."""
    if wanted.accept is None:
        return
    if wanted.evaluate is False:
        fault = Fault("/evaluate", "conflict", "`accept` takes an evaluation")
        raise Invalid("`accept` takes an evaluation: leave `evaluate` out", faults=[fault])
    faults = list(_faults(wanted.accept, dataset.kind, label))
    if faults:
        raise Invalid(f"{faults[0].pointer}: {faults[0].message}", faults=faults)
    if evaluation.held_out(holdout, dataset) < evaluation.ENOUGH:
        detail = f"`accept` cannot be met: {evaluation.too_few(holdout, dataset)}"
        raise Conflict(detail, code="too_few_held_out")


def _faults(accept: Accept, kind: str, label: str | None) -> Iterator[Fault]:
    known = evaluation.SCORES[kind]
    for name, bound in accept.scores.items():
        pointer = f"/accept/scores/{name}"
        if name not in known:
            message = f"scores of {kind} are {', '.join(known)}"
            yield Fault(pointer, "unknown_score", message, known)
        elif name in OF_LABELS and label is None:
            yield Fault(pointer, "not_allowed", "is not measured of a model without labels")
        else:
            yield from _unreachable(name, bound, pointer)


def _unreachable(name: str, bound: Bound, pointer: str) -> Iterator[Fault]:
    least, most = RANGES[name]
    for side in ("at_least", "at_most"):
        value = getattr(bound, side)
        if value is not None and not least <= value <= most:
            message = f"it is never {'below' if value < least else 'above'} "
            message += f"{least if value < least else most:g}"
            yield Fault(f"{pointer}/{side}", "out_of_range", message)
    low, high = bound.at_least, bound.at_most
    if low is not None and high is not None and low > high:
        yield Fault(pointer, "conflict", "at_least is above at_most")
    if bound.of_ceiling is not None and name not in UPWARD:
        message = "is for scores of which more is better; give at_most"
        yield Fault(f"{pointer}/of_ceiling", "not_allowed", message)
