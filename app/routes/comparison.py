"""`/v1/comparison`: models side by side."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from app import comparison, comparison_page, negotiation
from app.authentication import Reader
from app.routes.model_records import CARDS, SEALED
from app.schemas.comparison import Comparison
from app.strict import StrictRoute
from core import registry
from core.database import read
from core.errors import Fault, Invalid
from core.storage import get_storage

router = APIRouter(prefix="/v1/comparison", tags=["models"], route_class=StrictRoute)

MOST = 12


@router.get("", response_model=Comparison, responses={200: {"content": {"text/html": {}}}})
def compare(
    caller: Reader,
    models: Annotated[
        str, Query(description=f"2 to {MOST} of `name`, `name:3`, `name@alias`, `mdl_…`, by comma")
    ],
    format: Annotated[str | None, Query(description="json or html; overrides `Accept`")] = None,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """What the reports of several models say, what training them has cost, the checkpoints that
    their jobs have kept, and which model is the best by each score. A checkpoint that was promoted
    is a model, too."""
    chosen = negotiation.choose(CARDS, format=format, accept=accept, default="json")
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not 2 <= len(names) <= MOST:
        fault = Fault("/models", "count", f"from 2 to {MOST}")
        raise Invalid(f"name 2 to {MOST} models, divided by commas", faults=[fault])
    with read() as session:
        rows = [registry.get(session, caller.tenant_id, name) for name in names]
        known = [comparison.find(session, model) for model in rows]
    answer = comparison.compared(known, get_storage())
    headers = {"Vary": "Accept"}
    if chosen == "html":
        page = comparison_page.page_of(answer)
        return Response(page, headers=headers | SEALED, media_type=CARDS["html"])
    return Response(answer.model_dump_json(), headers=headers, media_type=CARDS["json"])
