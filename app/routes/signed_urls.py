"""`/v1/links`: signed URLs that work without a key."""

import time
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app import signed_urls
from app.authentication import ReadOrSampleScope
from app.fairness.route import FairRoute
from core import api_keys, audit
from core.database import write
from core.errors import FieldError, ValidationFailed
from core.request_fields import RequestModel
from core.settings import get_settings

router = APIRouter(prefix="/v1/links", tags=["service"], route_class=FairRoute)


class LinkRequest(RequestModel):
    path: Annotated[str, Field(min_length=4, max_length=2_048)] = Field(
        description="Path of this service with its query, percent-encoded: "
        "`/v1/models/shoes/samples?label=bag`."
    )
    expires_s: Annotated[int, Field(ge=1, le=signed_urls.MAX_LIFETIME_S)] = Field(
        600, description="Lifetime of the URL in seconds. Default: 600."
    )


class LinkView(BaseModel):
    url: str = Field(description="Signed URL. Any change to it makes it invalid.")
    expires_at: datetime = Field(description="Time after which the URL is invalid.")


@router.post("", response_model=LinkView)
def create_link(request: LinkRequest, http_request: Request, caller: ReadOrSampleScope) -> LinkView:
    """Create a signed URL of an image or a download: anybody can GET it until it expires.

    It has no more rights than the key that requests it. The service does not store it; revoking
    the key invalidates its URLs.
    """
    _check(request.path)
    expires = int(time.time()) + request.expires_s
    with write() as session:
        key = api_keys.get(session, caller.key_id)
        audit.record(session, caller, "link.create", request.path)
    assert key is not None  # noqa: S101 - the caller is authenticated
    return LinkView(
        url=_base_url(http_request) + signed_urls.sign_url(key, request.path, expires),
        expires_at=datetime.fromtimestamp(expires, UTC),
    )


def _base_url(request: Request) -> str:
    """Return the configured address, or behind a trusted proxy the one that the client used."""
    settings = get_settings()
    return str(request.base_url).rstrip("/") if settings.trusted_proxies else settings.base_url


def _check(path: str) -> None:
    try:
        parts = urlsplit(path)
        encoded = path.isascii() and path.isprintable() and " " not in path
        valid = encoded and not (parts.scheme or parts.netloc or parts.fragment)
    except ValueError:
        valid = False
    if not valid or not path.startswith("/v1/") or "signature=" in path:
        error = FieldError(
            "/path",
            "invalid",
            "Must be a percent-encoded path of this service that starts with /v1/.",
        )
        raise ValidationFailed(
            "`path` must be a percent-encoded path of this service that starts with /v1/.",
            field_errors=[error],
        )
