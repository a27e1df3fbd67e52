"""`POST /v1/login`: exchange the code of a one-time link for a temporary API key."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse

from app.fairness.route import FairRoute
from app.routes.keys import CreatedKey, KeyView
from core import audit, login_codes
from core.audit import Actor
from core.database import write
from core.request_fields import RequestModel

router = APIRouter(prefix="/v1/login", tags=["service"], route_class=FairRoute)


class Login(RequestModel):
    code: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        description="Code of the link that the server prints when it starts."
    )


@router.post("", status_code=201, response_model=CreatedKey)
def log_in(request: Login, http_request: Request) -> JSONResponse:
    """Exchange a one-time code for an API key that expires after twelve hours.

    The route needs no API key. Idempotency-Key is not supported: storing the response would store
    the key.
    """
    with write() as session:
        key_text, key = login_codes.redeem(session, request.code)
        actor = Actor(key.tenant_id, key.id, http_request.scope.get("request_id"))
        audit.record(session, actor, "key.login", key.id)
        view = CreatedKey(**KeyView.of(key).model_dump(), key=key_text)
    return JSONResponse(view.model_dump(mode="json"), 201)
