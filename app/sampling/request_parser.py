"""What a request names: an order of images or of rows, or why there is none. Free of torch."""

from collections.abc import Sequence

from app.sampling import labels
from app.schemas.samples import ConditionRequest, SampleSelection
from core.errors import FieldError, ValidationFailed
from core.tables import Model
from models.errors import AcceptanceRateTooLow
from models.images.sampling_plan import ImageSamplingPlan, plan_by_count, plan_by_label
from models.tabular.conditions import InvalidCondition, InvalidPartialRow
from models.tabular.sampling_plan import (
    RowSamplingPlan,
    Where,
    apportion,
    plan_per_condition,
    plan_total,
)


def parse_image_request(model: Model, request: SampleSelection, seed: int) -> ImageSamplingPlan:
    if request.conditions is not None:
        fault = FieldError("/conditions", "not_allowed", "images are asked for by label")
        raise ValidationFailed(
            "`conditions` are for table rows; use `labels`", field_errors=[fault]
        )
    learned = model.manifest["labels"]
    shares = tuple(float(label["count"]) for label in learned)
    if request.labels is None:
        assert request.count is not None  # noqa: S101 - one of the two is given
        return plan_by_count(
            request.count,
            seed=seed,
            offset=request.offset,
            label_weights=shares,
            balance_labels=request.balance_labels,
        )
    index = {label["name"]: i for i, label in enumerate(learned)}
    counts = {index[name]: n for name, n in labels.count_labels(model, request.labels).items()}
    return plan_by_label(counts, seed=seed, offset=request.offset, label_weights=shares)


def parse_row_request(model: Model, request: SampleSelection, seed: int) -> RowSamplingPlan:
    if request.min_label_confidence is not None:
        fault = FieldError(
            "/min_label_confidence", "not_allowed", "a row that is asked for by label has it"
        )
        raise ValidationFailed("`min_label_confidence` is for images", field_errors=[fault])
    offset = request.offset
    if request.labels is not None:
        counts = labels.count_labels(model, request.labels)
        where = _where_of_labels(model)
        return plan_per_condition(
            [(where[name], n) for name, n in counts.items()], seed=seed, offset=offset
        )
    if request.conditions is not None:
        return plan_per_condition(
            _parts(request.conditions, request.count), seed=seed, offset=offset
        )
    assert request.count is not None  # noqa: S101 - one of the three is given
    wheres: Sequence[Where] = [{}]
    if request.balance_labels:
        bins = [{model.manifest["target_column"]: bin} for bin in model.manifest.get("bins", ())]
        wheres = list(_where_of_labels(model).values()) or bins
        if not wheres:
            fault = FieldError("/balance_labels", "no_labels", "the model has no label")
            raise ValidationFailed("the model has no labels to balance", field_errors=[fault])
    return plan_total(request.count, wheres, seed=seed, offset=offset)


def _where_of_labels(model: Model) -> dict[str, Where]:
    column = model.manifest["target_column"]
    return {label["name"]: {column: label["value"]} for label in model.manifest["labels"]}


def _parts(conditions: Sequence[ConditionRequest], count: int | None) -> list[tuple[Where, int]]:
    """Counts as they are given, or shares of `count`; what shares leave over is free."""
    wheres: list[Where] = [condition.where for condition in conditions]
    counts = [condition.count for condition in conditions]
    shares = [condition.fraction for condition in conditions]
    if count is None:
        if None in counts or any(share is not None for share in shares):
            raise _mixed("give each condition a `count`, or one `count` in all and the `fraction` of each condition")
        return [(where, n or 0) for where, n in zip(wheres, counts, strict=True)]
    if any(n is not None for n in counts):
        raise _mixed("a condition's own `count` goes without the request's")
    if all(share is None for share in shares):
        shares = [1 / len(wheres)] * len(wheres)
    if None in shares or sum(share or 0 for share in shares) > 1 + 1e-9:
        raise _mixed("give every condition a `fraction`, at most 1 in all, or none")
    numbers = apportion(count, [share or 0 for share in shares])
    return list(zip([*wheres, {}], numbers, strict=True))


def _mixed(message: str) -> ValidationFailed:
    return ValidationFailed(message, field_errors=[FieldError("/conditions", "conflict", message)])


def condition_error(request: SampleSelection, error: InvalidCondition) -> ValidationFailed:
    at = next(
        (
            f"/conditions/{i}/where/"
            for i, condition in enumerate(request.conditions or [])
            if error.column in condition.where
        ),
        "/conditions/",
    )
    pointer = at + error.column.replace("~", "~0").replace("/", "~1")
    fault = FieldError(pointer, "invalid_condition", str(error))
    return ValidationFailed(
        f"column {error.column!r} {error}", code="invalid_condition", field_errors=[fault]
    )


def partial_row_error(error: InvalidPartialRow) -> ValidationFailed:
    column = error.column.replace("~", "~0").replace("/", "~1")
    fault = FieldError(f"/partial_rows/{error.row}/{column}", "invalid_value", str(error))
    return ValidationFailed(
        f"column {error.column!r} {error}", code="invalid_partial_row", field_errors=[fault]
    )


def acceptance_error(error: AcceptanceRateTooLow) -> ValidationFailed:
    return ValidationFailed(
        f"{error.accepted} of the first {error.requested} items could be made: {error.acceptance_rate:.2%} of "
        "those that the model draws are as asked for",
        code="acceptance_rate_too_low",
        generated=error.accepted,
        requested=error.requested,
        acceptance_rate=error.acceptance_rate,
    )


def scores_unavailable_error(pointer: str) -> ValidationFailed:
    fault = FieldError(
        pointer, "not_available", "this model has no critic and no classifier of labels"
    )
    return ValidationFailed(fault.message, code="scores_unavailable", field_errors=[fault])
