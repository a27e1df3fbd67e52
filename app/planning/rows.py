"""Of table rows: the rules lie in models.tables.settings."""

from sqlalchemy.orm import Session

from app.planning.choice import Choice
from app.schemas.config import TableConfig, explicit
from app.schemas.jobs import TrainingRequest
from core.datasets.rows import Schema
from core.errors import Fault, Invalid
from core.tables import Dataset
from core.training import Budget
from models.settings import InvalidSettings
from models.tables import rules
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
    try:
        settings = resolve(data, wanted.preset, explicit(TableConfig, wanted.config))
        kept = {c.name: c.type for c in schema.columns if c.learned or c.type == "id"}
        rules.parse(settings.rules, kept, label)
    except InvalidSettings as error:
        fault = Fault(f"/config/{error.field}", "not_allowed", str(error))
        raise Invalid(str(error), faults=[fault]) from error
    needed = cost(settings, data)
    return Choice(
        label=label,
        config=settings.to_dict(),
        budget=given or Budget.model_validate(budget(data, settings, wanted.preset)),
        items=data.rows,
        batch=settings.batch,
        holdout=min(0.1, 10_000 / data.rows),
        gflop_per_step=needed.gflop_per_step,
        memory_bytes=needed.memory_bytes,
    )


def _only_for_images(wanted: TrainingRequest) -> None:
    for name, default in (("early_stop", "auto"), ("warm_start", None)):
        if getattr(wanted, name) != default:
            fault = Fault(f"/{name}", "not_allowed", "is for images alone")
            raise Invalid(f"`{name}` is for images: tables have `patience`", faults=[fault])


def _label(schema: Schema, learned: list[str], wanted: str | None) -> str | None:
    if wanted is None:
        return None
    if wanted == "auto":
        return schema.target if schema.target in learned else None
    if wanted not in learned:
        fault = Fault("/label", "unknown_column", "no column that is learned", tuple(learned[:50]))
        raise Invalid("`label` names no column that is learned", faults=[fault])
    return wanted
