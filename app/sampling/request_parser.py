"""Conversion of a samples request into a sampling plan, or into an error.

This module does not import torch.
"""

from collections.abc import Sequence
from dataclasses import replace

from app.sampling import labels
from app.schemas.samples import ConditionRequest, SampleSelection
from core.errors import FieldError, ValidationFailed
from core.tables import Model
from modalities.tabular.encode import parse_sample_columns
from modalities.tabular.request_values import plain_conditions
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
        error = FieldError("/conditions", "not_allowed", "Applies only to table rows.")
        raise ValidationFailed(
            "`conditions` apply only to table rows. Use `labels` for images.", field_errors=[error]
        )
    model_labels = model.manifest["labels"]
    label_weights = tuple(float(label["count"]) for label in model_labels)
    if request.labels is None:
        assert request.count is not None  # noqa: S101 - one of the two is given
        return plan_by_count(
            request.count,
            seed=seed,
            offset=request.offset,
            label_weights=label_weights,
            balance_labels=request.balance_labels,
        )
    index = {label["name"]: i for i, label in enumerate(model_labels)}
    counts = {index[name]: n for name, n in labels.count_labels(model, request.labels).items()}
    return plan_by_label(counts, seed=seed, offset=request.offset, label_weights=label_weights)


def parse_row_request(model: Model, request: SampleSelection, seed: int) -> RowSamplingPlan:
    """Return the plan of a request. Values in conditions may be written as samples show them."""
    plan, columns = _plan_rows(model, request, seed), parse_sample_columns(model.manifest)
    ranges = tuple(
        replace(part, conditions=tuple(plain_conditions(columns, w) for w in part.conditions))
        for part in plan.ranges
    )
    return replace(plan, ranges=ranges)


def _plan_rows(model: Model, request: SampleSelection, seed: int) -> RowSamplingPlan:
    if request.min_label_confidence is not None:
        error = FieldError(
            "/min_label_confidence",
            "not_allowed",
            "Applies only to images; rows are generated with the requested label.",
        )
        raise ValidationFailed(
            "`min_label_confidence` applies only to images.", field_errors=[error]
        )
    offset = request.offset
    if request.labels is not None:
        counts = labels.count_labels(model, request.labels)
        conditions = _label_conditions(model)
        return plan_per_condition(
            [(conditions[name], n) for name, n in counts.items()], seed=seed, offset=offset
        )
    if request.conditions is not None:
        return plan_per_condition(
            _condition_counts(request.conditions, request.count), seed=seed, offset=offset
        )
    assert request.count is not None  # noqa: S101 - one of the three is given
    where_clauses: Sequence[Where] = [{}]  # unconditional
    if request.balance_labels:
        bins = [
            {model.manifest["target_column"]: value_range}
            for value_range in model.manifest.get("bins", ())
        ]
        where_clauses = list(_label_conditions(model).values()) or bins
        if not where_clauses:
            error = FieldError("/balance_labels", "no_labels", "The model has no labels.")
            raise ValidationFailed(
                "`balance_labels` requires a model with labels.", field_errors=[error]
            )
    return plan_total(request.count, where_clauses, seed=seed, offset=offset)


def _label_conditions(model: Model) -> dict[str, Where]:
    column = model.manifest["target_column"]
    return {label["name"]: {column: label["value"]} for label in model.manifest["labels"]}


def _condition_counts(
    conditions: Sequence[ConditionRequest], count: int | None
) -> list[tuple[Where, int]]:
    """Return each condition with its number of rows.

    If the fractions add up to less than 1, the last entry is the rest of `count`, without a
    condition.

    Raises:
        ValidationFailed: Counts and fractions are missing or mixed.
    """
    where_clauses: list[Where] = [condition.where for condition in conditions]
    counts = [condition.count for condition in conditions]
    fractions = [condition.fraction for condition in conditions]
    if count is None:
        if None in counts or any(fraction is not None for fraction in fractions):
            raise _inconsistent(
                "If the request has no `count`, each condition needs a `count` and no `fraction`."
            )
        return [(where, n or 0) for where, n in zip(where_clauses, counts, strict=True)]
    if any(n is not None for n in counts):
        raise _inconsistent(
            "A condition cannot have a `count` if the request has one. Use `fraction`."
        )
    if all(fraction is None for fraction in fractions):
        fractions = [1 / len(where_clauses)] * len(where_clauses)
    if None in fractions or sum(fraction or 0 for fraction in fractions) > 1 + 1e-9:
        raise _inconsistent(
            "Either all or no conditions may have a `fraction`, and the sum must be at most 1."
        )
    row_counts = apportion(count, [fraction or 0 for fraction in fractions])
    return list(zip([*where_clauses, {}], row_counts, strict=True))


def _inconsistent(message: str) -> ValidationFailed:
    return ValidationFailed(message, field_errors=[FieldError("/conditions", "conflict", message)])


def condition_error(request: SampleSelection, error: InvalidCondition) -> ValidationFailed:
    prefix = next(
        (
            f"/conditions/{i}/where/"
            for i, condition in enumerate(request.conditions or [])
            if error.column in condition.where
        ),
        "/conditions/",
    )
    pointer = prefix + error.column.replace("~", "~0").replace("/", "~1")
    field_error = FieldError(pointer, "invalid_condition", str(error))
    return ValidationFailed(
        f"Column {error.column!r}: {error}", code="invalid_condition", field_errors=[field_error]
    )


def partial_row_error(error: InvalidPartialRow) -> ValidationFailed:
    column = error.column.replace("~", "~0").replace("/", "~1")
    field_error = FieldError(f"/partial_rows/{error.row}/{column}", "invalid_value", str(error))
    return ValidationFailed(
        f"Column {error.column!r}: {error}", code="invalid_partial_row", field_errors=[field_error]
    )


def acceptance_error(error: AcceptanceRateTooLow) -> ValidationFailed:
    return ValidationFailed(
        f"Only {error.accepted} of the first {error.requested} samples could be generated, because "
        f"only {error.acceptance_rate:.2%} of the model's candidates meet the request. Relax the "
        "conditions or lower `min_label_confidence`.",
        code="acceptance_rate_too_low",
        generated=error.accepted,
        requested=error.requested,
        acceptance_rate=error.acceptance_rate,
    )


def scores_unavailable_error(pointer: str) -> ValidationFailed:
    error = FieldError(
        pointer,
        "not_available",
        "The model has neither a critic (discriminator) nor a label classifier.",
    )
    return ValidationFailed(error.message, code="scores_unavailable", field_errors=[error])
