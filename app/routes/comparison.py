"""`/v1/comparison`: models side by side."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from app import comparison, comparison_page, content_negotiation
from app.authentication import ReadScope
from app.request_body import StrictJsonRoute
from app.routes.model_details import CARD_TYPES, CSP_NO_RESOURCES
from app.schemas.comparison import Comparison
from core import model_registry
from core.database import read
from core.errors import FieldError, ValidationFailed
from core.storage import get_storage

router = APIRouter(prefix="/v1/comparison", tags=["models"], route_class=StrictJsonRoute)

MAX_MODELS = 12


@router.get("", response_model=Comparison, responses={200: {"content": {"text/html": {}}}})
def compare_models(
    caller: ReadScope,
    models: Annotated[
        str,
        Query(
            description=f"2 to {MAX_MODELS} of `name`, `name:3`, `name@alias`, `mdl_…`, by comma"
        ),
    ],
    format: Annotated[str | None, Query(description="json or html; overrides `Accept`")] = None,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """What the reports of several models say, what training them has cost, the checkpoints that
    their jobs have kept, and which model is the best by each score. A checkpoint that was promoted
    is a model, too."""
    chosen = content_negotiation.negotiate(CARD_TYPES, format=format, accept=accept, default="json")
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not 2 <= len(names) <= MAX_MODELS:
        fault = FieldError("/models", "count", f"from 2 to {MAX_MODELS}")
        raise ValidationFailed(
            f"name 2 to {MAX_MODELS} models, divided by commas", field_errors=[fault]
        )
    with read() as session:
        rows = [model_registry.get(session, caller.tenant_id, name) for name in names]
        known = [comparison.load_record(session, model) for model in rows]
    answer = comparison.compare(known, get_storage())
    headers = {"Vary": "Accept"}
    if chosen == "html":
        page = comparison_page.render_page(answer)
        return Response(page, headers=headers | CSP_NO_RESOURCES, media_type=CARD_TYPES["html"])
    return Response(answer.model_dump_json(), headers=headers, media_type=CARD_TYPES["json"])
