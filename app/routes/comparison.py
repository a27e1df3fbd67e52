"""`/v1/models/compare`: comparison of several models."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app import comparison, content_negotiation
from app.authentication import ReadScope
from app.content_negotiation import AcceptHeader
from app.fairness.route import FairRoute
from app.openapi_responses import responses
from app.pages import comparison_page
from app.routes.model_details import CARD_TYPES, CSP_NO_RESOURCES
from app.schemas.comparison import Comparison
from core import model_registry
from core.database import read
from core.errors import FieldError, ValidationFailed
from core.storage import get_storage

router = APIRouter(prefix="/v1/models/compare", tags=["models"], route_class=FairRoute)

MAX_MODELS = 12


@router.get("", response_model=Comparison, responses=responses("text/html"))
def compare_models(
    caller: ReadScope,
    models: Annotated[
        str,
        Query(
            description=f"2 to {MAX_MODELS} models, separated by commas: `name`, `name:version`, "
            "`name@alias` or `mdl_…`."
        ),
    ],
    format: Annotated[
        str | None, Query(description="`json` or `html`; overrides `Accept`.")
    ] = None,
    accept: AcceptHeader = None,
) -> Response:
    """Compare models: their evaluation reports, training cost and checkpoints.

    The response names the best model for each score. To include a checkpoint, promote it first.
    """
    output_format = content_negotiation.negotiate(
        CARD_TYPES, format=format, accept=accept, default="json"
    )
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not 2 <= len(names) <= MAX_MODELS:
        error = FieldError("/models", "count", f"Must have 2 to {MAX_MODELS} models.")
        raise ValidationFailed(
            f"`models` must have 2 to {MAX_MODELS} models, separated by commas.",
            field_errors=[error],
        )
    with read() as session:
        rows = [model_registry.get(session, caller.tenant_id, name) for name in names]
        records = [comparison.load_record(session, model) for model in rows]
    result = comparison.compare(records, get_storage())
    headers = {"Vary": "Accept"}
    if output_format == "html":
        page = comparison_page.render_page(result)
        return Response(page, headers=headers | CSP_NO_RESOURCES, media_type=CARD_TYPES["html"])
    return Response(result.model_dump_json(), headers=headers, media_type=CARD_TYPES["json"])
