"""`/v1/models`: what was trained."""

from typing import Any

from fastapi import APIRouter

from app.authentication import Reader
from app.schemas.models import ColumnCondition, Conditions, LabelCondition, ModelView
from app.schemas.pages import After, Limit, Page, check_cursor, page_of, page_size
from core import registry
from core.database import read
from core.settings import get_settings

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", response_model=Page[ModelView])
def list_models(caller: Reader, limit: Limit = 50, after: After = None) -> Page[ModelView]:
    """All versions, newest first."""
    limit = page_size(limit)
    with read() as session:
        rows = registry.page(
            session, caller.tenant_id, limit=limit + 1, after=check_cursor(after, "mdl")
        )
    return page_of(rows, limit, ModelView.of)


@router.get("/{reference}", response_model=ModelView)
def read_model(reference: str, caller: Reader) -> ModelView:
    """One model, by `name` (its newest version), `name:version` or `mdl_…`."""
    with read() as session:
        return ModelView.of(registry.get(session, caller.tenant_id, reference))


@router.get("/{reference}/conditions", response_model=Conditions)
def read_conditions(reference: str, caller: Reader) -> Conditions:
    """The labels that can be asked for and how often each was learned from; of a table, the values
    or the range of each column, too."""
    with read() as session:
        model = registry.get(session, caller.tenant_id, reference)
    labels = model.manifest["labels"]
    total = sum(label["count"] for label in labels) or 1
    return Conditions(
        labels=[
            LabelCondition(name=label["name"], share=label["count"] / total) for label in labels
        ],
        columns=_columns(model.manifest.get("columns")),
        rules=model.manifest["config"]["config"].get("rules"),
        found_rules=model.manifest.get("found_rules"),
        seed={"min": 0, "max": 2**63 - 1},
        count={"min": 1, "max": get_settings().limits.samples},
    )


def _columns(columns: list[dict[str, Any]] | None) -> list[ColumnCondition] | None:
    if columns is None:
        return None
    return [
        ColumnCondition(
            name=column["name"],
            type=column["type"],
            nullable=column["nullable"],
            **{k: v for k, v in column["known"].items() if k != "more"},
        )
        for column in columns
        if column["known"] is not None
    ]
