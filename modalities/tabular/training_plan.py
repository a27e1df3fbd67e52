"""Planning of tabular training jobs.

The defaults and limits of the settings are in `models.tabular.settings`.
"""

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec

from sqlalchemy.orm import Session

from core.errors import Unavailable, ValidationFailed
from core.tables import Dataset
from core.training import Budget
from modalities.tabular.schema import Schema
from modalities.tabular.training_options import DifferentialPrivacy, TableTrainingOptions
from modalities.training import Preset, PresetSummary, ResolvedTraining, TrainingChoices
from models.settings import InvalidSettings
from models.tabular.budget import budget, cost
from models.tabular.constraints import declarations as constraints
from models.tabular.differential_privacy import domains as dp_domains
from models.tabular.settings import PRESETS, TableData, resolve


def plan_training(
    session: Session,  # noqa: ARG001 - a part of the interface
    dataset: Dataset,
    choices: TrainingChoices,
    options: TableTrainingOptions,
) -> ResolvedTraining:
    """Resolve the settings of a tabular training job.

    Raises:
        ValidationFailed: The request does not fit the table.
        InvalidSettings: A hyperparameter has a value that is not allowed.
        Unavailable: Differential privacy is requested, but its package is not installed.
    """
    summary = dataset.summary
    schema = Schema.from_dict(summary)
    learned = [column.name for column in schema.columns if column.learned]
    if not any(column.in_samples for column in schema.columns):
        raise ValidationFailed(
            "The dataset has no column for samples. Change the schema so that it has one."
        )
    if not learned and options.differential_privacy is not None:
        raise ValidationFailed(
            "The dataset has identifiers only, from which nothing is learned. Train without "
            "`differential_privacy`."
        )
    target_column = _target_column(schema, learned, choices.conditional, options.target_column)
    classes = {c.name for c in schema.columns if c.learned and c.type in ("category", "boolean")}
    data = TableData(
        rows=summary["n_train"],
        columns=max(1, len(learned)),  # at least the constant one of `LabeledRows.split`
        categorical_columns=len(classes),
        has_classes=target_column in classes,
        device=choices.device,
    )
    private = options.differential_privacy is not None
    types = {c.name: c.type for c in schema.columns if not c.exclude and c.type != "text"}
    if options.differential_privacy is not None:
        _check_privacy(options.differential_privacy, choices.budget, types, data.rows)
    settings = resolve(data, choices.preset, choices.hyperparameters, differential_privacy=private)
    declared = constraints.parse_constraints(settings.constraints, types, target_column)
    # Epsilon does not cover what these checks would show.
    if not private and (declared or settings.min_value_count):
        from modalities.tabular import training_checks  # pyarrow is slow to import

        training_checks.check_constraints(dataset, declared)
        training_checks.check_min_value_count(dataset, settings.min_value_count)
    if private and find_spec("opacus") is None:
        raise Unavailable(
            "Differential privacy requires the `dp` extra on the server: "
            'pip install "semblance-server[dp]".'
        )
    return ResolvedTraining(
        conditional=target_column is not None,
        budget=choices.budget
        or Budget.model_validate(
            budget(data, settings, choices.preset, differential_privacy=private)
        ),
        hyperparameters=settings.to_dict(),
        batch_size=settings.batch_size,
        # Of identifiers alone there is nothing to evaluate.
        holdout_fraction=0.0 if private or not learned else min(0.1, 10_000 / data.rows),
        cost=partial(cost, settings, data, differential_privacy=private),
        spec_fields={
            "target_column": target_column,
            "differential_privacy": options.differential_privacy,
        },
    )


def _check_privacy(
    privacy: DifferentialPrivacy,
    requested_budget: Budget | None,
    types: Mapping[str, str],
    rows: int,
) -> None:
    """Raise ValidationFailed for settings that differential privacy does not allow.

    The number of steps must be fixed, and each column needs a declared domain. `types` are the
    column types by name.
    """
    if requested_budget is not None and requested_budget.steps is None:
        message = (
            "`budget` must have `steps` with `differential_privacy`, because epsilon depends on "
            "the number of steps."
        )
        raise ValidationFailed.of_field("/budget", "not_allowed", message)
    # With delta >= 1/N, publishing a random row satisfies the definition (Dwork and Roth 2014,
    # section 2.3).
    if privacy.delta >= 1 / rows:
        message = f"`delta` must be below 1/{rows} (the number of training rows)."
        raise ValidationFailed.of_field("/differential_privacy/delta", "not_allowed", message)
    try:
        dp_domains.parse_domains(privacy.column_domains, types)
    except InvalidSettings as error:
        raise ValidationFailed.of_field(
            f"/differential_privacy/{error.field}", "column_domain_missing", str(error)
        ) from error


def _target_column(
    schema: Schema, learned: list[str], conditional: bool | None, requested: str | None
) -> str | None:
    """Return the column with the labels, or None for a model without labels."""
    if requested is not None and requested not in learned:
        message = "`target_column` must name a learned column of the dataset."
        raise ValidationFailed.of_field(
            "/target_column", "unknown_column", message, tuple(learned[:50])
        )
    if conditional is False:
        if requested is not None:
            message = "`target_column` must be left out when `conditional` is false."
            raise ValidationFailed.of_field("/target_column", "conflict", message)
        return None
    target_column = requested or (schema.target if schema.target in learned else None)
    if conditional and target_column is None:
        message = (
            "`conditional` must not be true, because the dataset has no target column that the "
            "model learns. Name a column in `target_column`."
        )
        raise ValidationFailed.of_field("/conditional", "no_labels", message)
    return target_column


def presets() -> list[PresetSummary]:
    """Return the presets of tables, whose budgets depend on the number of rows."""
    return [
        PresetSummary(
            name, f"{text} At most {PRESETS['cpu'][name].max_epochs} passes over the rows.", None
        )
        for name, text in _PRESET_TEXTS.items()
    ]


_PRESET_TEXTS: dict[Preset, str] = {
    "fast": "Small networks, for a first look: single columns are right.",
    "balanced": "Networks of one and a half times the width; for most tables.",
    "quality": "The widest networks, for relations between many columns.",
}
