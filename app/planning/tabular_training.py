"""Planning of tabular training jobs.

The defaults and limits of the settings are in `models.tabular.settings`.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from sqlalchemy.orm import Session

import modalities
from app.planning.training_plan import ResolvedTraining
from app.schemas.hyperparameters import TabularHyperparameters, explicit_values
from app.schemas.jobs import TrainingRequest
from core.errors import FieldError, Unavailable, ValidationFailed
from core.storage import get_storage
from core.tables import Dataset
from core.training import Budget
from modalities.tabular.schema import Schema
from models.settings import InvalidSettings
from models.tabular import constraints, dp_domains
from models.tabular.settings import TableData, TableSettings, budget, cost, resolve


def resolve_training(
    _session: Session, dataset: Dataset, request: TrainingRequest
) -> ResolvedTraining:
    """Resolve the settings of a tabular training job.

    Raises:
        ValidationFailed: The request does not fit the table.
        Unavailable: Differential privacy is requested, but its package is not installed.
    """
    _reject_image_fields(request)
    summary = dataset.summary
    schema = Schema.from_dict(summary)
    learned = [column.name for column in schema.columns if column.learned]
    if not learned:
        raise ValidationFailed(
            "The dataset has no column to learn from. Change the schema so that it has one."
        )
    data = TableData(
        rows=summary["n_train"],
        columns=len(learned),
        categorical_columns=sum(
            c.learned and c.type in ("category", "boolean") for c in schema.columns
        ),
    )
    target_column = _target_column(schema, learned, request)
    private = request.differential_privacy is not None
    types = {c.name: c.type for c in schema.columns if not c.exclude and c.type != "text"}
    _check_privacy(request, types, data.rows)
    try:
        hyperparameters = explicit_values(TabularHyperparameters, request.hyperparameters)
        settings = resolve(data, request.preset, hyperparameters, differential_privacy=private)
        declared = constraints.parse_constraints(settings.constraints, types, target_column)
        if not private:  # epsilon does not cover what these checks would show
            _check_values(dataset, schema, settings, declared)
    except InvalidSettings as error:
        field_error = FieldError(f"/hyperparameters/{error.field}", "not_allowed", str(error))
        raise ValidationFailed(str(error), field_errors=[field_error]) from error
    if private and find_spec("opacus") is None:
        raise Unavailable(
            "Differential privacy requires the `dp` extra on the server: "
            'pip install "semblance-server[dp]".'
        )
    training_cost = cost(settings, data, differential_privacy=private)
    return ResolvedTraining(
        conditional=target_column is not None,
        target_column=target_column,
        hyperparameters=settings.to_dict(),
        budget=request.budget
        or Budget.model_validate(
            budget(data, settings, request.preset, differential_privacy=private)
        ),
        train_items=data.rows,
        batch_size=settings.batch_size,
        holdout_fraction=0.0 if private else min(0.1, 10_000 / data.rows),
        gflop_per_step=training_cost.gflop_per_step,
        memory_bytes=training_cost.memory_bytes,
    )


def _check_values(
    dataset: Dataset,
    schema: Schema,
    settings: TableSettings,
    declared: Sequence[constraints.Constraint],
) -> None:
    """Raise InvalidSettings for settings that leave out all values or most rows."""
    from modalities.tabular import training_checks  # pyarrow is slow to import

    storage = get_storage()
    training_checks.check_constraints(dataset, storage, declared)
    if settings.min_value_count:
        profile = modalities.get(dataset.modality).profile(dataset, storage)
        training_checks.check_min_value_count(profile, schema, settings.min_value_count)


def _reject_image_fields(request: TrainingRequest) -> None:
    hints = {
        "early_stopping": "Use the hyperparameter `patience` for tables.",
        "init_from": "Leave it out for tables.",
    }
    for name, default in (("early_stopping", "auto"), ("init_from", None)):
        if getattr(request, name) != default:
            message = f"`{name}` is only for images. {hints[name]}"
            field_error = FieldError(f"/{name}", "not_allowed", message)
            raise ValidationFailed(message, field_errors=[field_error])


def _check_privacy(request: TrainingRequest, types: Mapping[str, str], rows: int) -> None:
    """Raise ValidationFailed for settings that differential privacy does not allow.

    Every read of the training rows must be covered by epsilon, the number of steps must be fixed,
    and each column needs a declared domain. `types` are the column types by name.
    """
    privacy = request.differential_privacy
    if privacy is None:
        return
    checks = [
        (
            "/evaluate",
            request.evaluate,
            "`evaluate` must not be true with `differential_privacy`: an evaluation reads rows "
            "that epsilon does not cover.",
        ),
        (
            "/quality_gate",
            request.quality_gate is not None,
            "`quality_gate` cannot be combined with `differential_privacy`, because it needs an "
            "evaluation.",
        ),
        (
            "/budget",
            request.budget is not None and request.budget.steps is None,
            "`budget` must have `steps` with `differential_privacy`, because epsilon depends on "
            "the number of steps.",
        ),
        # With delta >= 1/N, publishing a random row satisfies the definition (Dwork and Roth 2014,
        # section 2.3).
        (
            "/differential_privacy/delta",
            privacy.delta >= 1 / rows,
            f"`delta` must be below 1/{rows} (the number of training rows).",
        ),
    ]
    for pointer, violated, message in checks:
        if violated:
            raise ValidationFailed(
                message, field_errors=[FieldError(pointer, "not_allowed", message)]
            )
    try:
        dp_domains.parse_domains(privacy.column_domains, types)
    except InvalidSettings as error:
        field_error = FieldError(
            f"/differential_privacy/{error.field}", "column_domain_missing", str(error)
        )
        raise ValidationFailed(str(error), field_errors=[field_error]) from error


def _target_column(schema: Schema, learned: list[str], request: TrainingRequest) -> str | None:
    """Return the column with the labels, or None for a model without labels."""
    requested = request.target_column
    if requested is not None and requested not in learned:
        message = "`target_column` must name a learned column of the dataset."
        field_error = FieldError("/target_column", "unknown_column", message, tuple(learned[:50]))
        raise ValidationFailed(message, field_errors=[field_error])
    if request.conditional is False:
        if requested is not None:
            message = "`target_column` must be left out when `conditional` is false."
            field_error = FieldError("/target_column", "conflict", message)
            raise ValidationFailed(message, field_errors=[field_error])
        return None
    target_column = requested or (schema.target if schema.target in learned else None)
    if request.conditional and target_column is None:
        message = (
            "`conditional` must not be true, because the dataset has no target column that the "
            "model learns. Name a column in `target_column`."
        )
        field_error = FieldError("/conditional", "no_labels", message)
        raise ValidationFailed(message, field_errors=[field_error])
    return target_column
