"""Of table rows: the rules lie in models.tables.settings."""

from collections.abc import Mapping
from importlib.util import find_spec

from sqlalchemy.orm import Session

from app.planning.choice import Choice
from app.schemas.config import TableConfig, explicit
from app.schemas.jobs import TrainingRequest
from core.datasets.rows import Schema
from core.errors import Fault, Invalid, Unavailable
from core.tables import Dataset
from core.training import Budget
from models.settings import InvalidSettings
from models.tables import domain, rules
from models.tables.settings import TableData, budget, cost, resolve


def choose(_session: Session, dataset: Dataset, wanted: TrainingRequest) -> Choice:
    """Raises Invalid when the request does not fit the table."""
    _only_for_images(wanted)
    summary = dataset.summary
    schema = Schema.from_dict(summary)
    learned = [column.name for column in schema.columns if column.learned]
    if not learned:
        raise Invalid("no column of the dataset is left to learn from; see its schema")
    given = wanted.budget
    data = TableData(
        rows=summary["n_train"],
        columns=len(learned),
        names=sum(c.learned and c.type in ("category", "boolean") for c in schema.columns),
    )
    label = _label(schema, learned, wanted.label)
    private = wanted.privacy is not None
    kept = {c.name: c.type for c in schema.columns if not c.drop and c.type != "text"}
    _check_private(wanted, kept, data.rows)
    try:
        chosen = explicit(TableConfig, wanted.config)
        settings = resolve(data, wanted.preset, chosen, private=private)
        rules.parse(settings.rules, kept, label)
    except InvalidSettings as error:
        fault = Fault(f"/config/{error.field}", "not_allowed", str(error))
        raise Invalid(str(error), faults=[fault]) from error
    if private and find_spec("opacus") is None:
        raise Unavailable("what adds up epsilon is not installed here: the extra `dp`")
    needed = cost(settings, data, private=private)
    return Choice(
        label=label,
        config=settings.to_dict(),
        budget=given
        or Budget.model_validate(budget(data, settings, wanted.preset, private=private)),
        items=data.rows,
        batch=settings.batch,
        holdout=0.0 if private else min(0.1, 10_000 / data.rows),
        gflop_per_step=needed.gflop_per_step,
        memory_bytes=needed.memory_bytes,
    )


def _only_for_images(wanted: TrainingRequest) -> None:
    for name, default in (("early_stop", "auto"), ("warm_start", None)):
        if getattr(wanted, name) != default:
            fault = Fault(f"/{name}", "not_allowed", "is for images alone")
            raise Invalid(f"`{name}` is for images: tables have `patience`", faults=[fault])


def _check_private(wanted: TrainingRequest, types: Mapping[str, str], rows: int) -> None:
    """Raises Invalid where epsilon would not cover all that is read of the rows."""
    if wanted.privacy is None:
        return
    refused = [
        ("/evaluate", wanted.evaluate, "an evaluation reads rows that epsilon does not cover"),
        ("/accept", wanted.accept is not None, "what it asks for takes an evaluation"),
        (
            "/budget",
            wanted.budget is not None and wanted.budget.steps is None,
            "epsilon is that of so many steps: give `steps`",
        ),
        (
            "/privacy/delta",
            wanted.privacy.delta >= 1 / rows,
            f"whole rows may be told with a chance of delta: less than 1/{rows} is needed",
        ),
    ]
    for pointer, is_so, message in refused:
        if is_so:
            raise Invalid(message, faults=[Fault(pointer, "not_allowed", message)])
    try:
        domain.parse(wanted.privacy.columns, types)
    except InvalidSettings as error:
        fault = Fault(f"/privacy/{error.field}", "undeclared", str(error))
        raise Invalid(str(error), faults=[fault]) from error


def _label(schema: Schema, learned: list[str], wanted: str | None) -> str | None:
    if wanted is None:
        return None
    if wanted == "auto":
        return schema.target if schema.target in learned else None
    if wanted not in learned:
        fault = Fault("/label", "unknown_column", "no column that is learned", tuple(learned[:50]))
        raise Invalid("`label` names no column that is learned", faults=[fault])
    return wanted
