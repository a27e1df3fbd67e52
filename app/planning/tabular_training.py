"""Of table rows: the rules lie in models.tabular.settings."""

from collections.abc import Mapping
from importlib.util import find_spec

from sqlalchemy.orm import Session

from app.planning.training_plan import ResolvedTraining
from app.schemas.hyperparameters import TabularHyperparameters, explicit_values
from app.schemas.jobs import TrainingRequest
from core.datasets.tabular import Schema
from core.errors import FieldError, Unavailable, ValidationFailed
from core.tables import Dataset
from core.training import Budget
from models.settings import InvalidSettings
from models.tabular import constraints, dp_domains
from models.tabular.settings import TableData, budget, cost, resolve


def resolve_training(
    _session: Session, dataset: Dataset, request: TrainingRequest
) -> ResolvedTraining:
    """Raises ValidationFailed when the request does not fit the table."""
    _only_for_images(request)
    summary = dataset.summary
    schema = Schema.from_dict(summary)
    learned = [column.name for column in schema.columns if column.learned]
    if not learned:
        raise ValidationFailed("no column of the dataset is left to learn from; see its schema")
    given = request.budget
    data = TableData(
        rows=summary["n_train"],
        columns=len(learned),
        categorical_columns=sum(
            c.learned and c.type in ("category", "boolean") for c in schema.columns
        ),
    )
    label = _label(schema, learned, request.target_column)
    private = request.differential_privacy is not None
    kept = {c.name: c.type for c in schema.columns if not c.exclude and c.type != "text"}
    _check_private(request, kept, data.rows)
    try:
        chosen = explicit_values(TabularHyperparameters, request.hyperparameters)
        settings = resolve(data, request.preset, chosen, differential_privacy=private)
        constraints.parse_constraints(settings.constraints, kept, label)
    except InvalidSettings as error:
        fault = FieldError(f"/hyperparameters/{error.field}", "not_allowed", str(error))
        raise ValidationFailed(str(error), field_errors=[fault]) from error
    if private and find_spec("opacus") is None:
        raise Unavailable("what adds up epsilon is not installed here: the extra `dp`")
    needed = cost(settings, data, differential_privacy=private)
    return ResolvedTraining(
        target_column=label,
        hyperparameters=settings.to_dict(),
        budget=given
        or Budget.model_validate(
            budget(data, settings, request.preset, differential_privacy=private)
        ),
        train_items=data.rows,
        batch_size=settings.batch_size,
        holdout_fraction=0.0 if private else min(0.1, 10_000 / data.rows),
        gflop_per_step=needed.gflop_per_step,
        memory_bytes=needed.memory_bytes,
    )


def _only_for_images(wanted: TrainingRequest) -> None:
    for name, default in (("early_stopping", "auto"), ("init_from", None)):
        if getattr(wanted, name) != default:
            fault = FieldError(f"/{name}", "not_allowed", "is for images alone")
            raise ValidationFailed(
                f"`{name}` is for images: tables have `patience`", field_errors=[fault]
            )


def _check_private(wanted: TrainingRequest, types: Mapping[str, str], rows: int) -> None:
    """Raises ValidationFailed where epsilon would not cover all that is read of the rows."""
    if wanted.differential_privacy is None:
        return
    refused = [
        ("/evaluate", wanted.evaluate, "an evaluation reads rows that epsilon does not cover"),
        ("/quality_gate", wanted.quality_gate is not None, "what it asks for takes an evaluation"),
        (
            "/budget",
            wanted.budget is not None and wanted.budget.steps is None,
            "epsilon is that of so many steps: give `steps`",
        ),
        (
            "/differential_privacy/delta",
            wanted.differential_privacy.delta >= 1 / rows,
            f"whole rows may be told with a chance of delta: less than 1/{rows} is needed",
        ),
    ]
    for pointer, is_so, message in refused:
        if is_so:
            raise ValidationFailed(
                message, field_errors=[FieldError(pointer, "not_allowed", message)]
            )
    try:
        dp_domains.parse_domains(wanted.differential_privacy.column_domains, types)
    except InvalidSettings as error:
        fault = FieldError(
            f"/differential_privacy/{error.field}", "column_domain_missing", str(error)
        )
        raise ValidationFailed(str(error), field_errors=[fault]) from error


def _label(schema: Schema, learned: list[str], wanted: str | None) -> str | None:
    if wanted is None:
        return None
    if wanted == "auto":
        return schema.target if schema.target in learned else None
    if wanted not in learned:
        fault = FieldError(
            "/target_column", "unknown_column", "no column that is learned", tuple(learned[:50])
        )
        raise ValidationFailed(
            "`target_column` names no column that is learned", field_errors=[fault]
        )
    return wanted
