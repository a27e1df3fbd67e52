"""`/v1/links`: addresses that need no key."""

import time
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app import signed_urls
from app.authentication import ReadScope
from app.request_body import RequestModel, StrictJsonRoute
from core import api_keys
from core.database import read
from core.errors import FieldError, ValidationFailed
from core.settings import get_settings

router = APIRouter(prefix="/v1/links", tags=["service"], route_class=StrictJsonRoute)


class LinkRequest(RequestModel):
    path: Annotated[str, Field(min_length=4, max_length=2_048)] = Field(
        description="with its query, percent-encoded: `/v1/models/shoes/samples?label=bag`"
    )
    expires_s: Annotated[int, Field(ge=1, le=signed_urls.MAX_LIFETIME_S)] = 600


class LinkView(BaseModel):
    url: str = Field(description="as it is: what is added or changed makes it invalid")
    expires_at: datetime


@router.post("", response_model=LinkView)
def create_link(request: LinkRequest, caller: ReadScope) -> LinkView:
    """An address of a picture or a download that anybody can GET until it expires, with no more
    rights than the key that asks for it. Nothing is stored: revoking the key ends its links."""
    _check(request.path)
    expires = int(time.time()) + request.expires_s
    with read() as session:
        key = api_keys.get(session, caller.key_id)
    assert key is not None  # noqa: S101 - it has just been authenticated
    return LinkView(
        url=get_settings().base_url + signed_urls.sign_url(key, request.path, expires),
        expires_at=datetime.fromtimestamp(expires, UTC),
    )


def _check(path: str) -> None:
    try:
        parts = urlsplit(path)
        plain = path.isascii() and path.isprintable() and " " not in path
        fine = plain and not (parts.scheme or parts.netloc or parts.fragment)
    except ValueError:
        fine = False
    if not fine or not path.startswith("/v1/") or "signature=" in path:
        fault = FieldError("/path", "invalid", "must be a path of this service, from /v1/ on")
        raise ValidationFailed(f"`path` {fault.message}, percent-encoded", field_errors=[fault])
