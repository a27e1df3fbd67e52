"""`/v1/links`: addresses that need no key."""

import time
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app import links
from app.authentication import Reader
from app.strict import Strict, StrictRoute
from core import keys
from core.database import read
from core.errors import Fault, Invalid
from core.settings import get_settings

router = APIRouter(prefix="/v1/links", tags=["service"], route_class=StrictRoute)


class LinkRequest(Strict):
    path: Annotated[str, Field(min_length=4, max_length=2_048)] = Field(
        description="with its query, percent-encoded: `/v1/models/shoes/samples?label=bag`"
    )
    expires_s: Annotated[int, Field(ge=1, le=links.LONGEST_S)] = 600


class LinkView(BaseModel):
    url: str = Field(description="as it is: what is added or changed makes it invalid")
    expires_at: datetime


@router.post("", response_model=LinkView)
def create_link(wanted: LinkRequest, caller: Reader) -> LinkView:
    """An address of a picture or a download that anybody can GET until it expires, with no more
    rights than the key that asks for it. Nothing is stored: revoking the key ends its links."""
    _check(wanted.path)
    expires = int(time.time()) + wanted.expires_s
    with read() as session:
        key = keys.get(session, caller.key_id)
    assert key is not None  # noqa: S101 - it has just been authenticated
    return LinkView(
        url=get_settings().base_url + links.sign(key, wanted.path, expires),
        expires_at=datetime.fromtimestamp(expires, UTC),
    )


def _check(path: str) -> None:
    try:
        parts = urlsplit(path)
        plain = path.isascii() and path.isprintable() and " " not in path
        fine = plain and not (parts.scheme or parts.netloc or parts.fragment)
    except ValueError:
        fine = False
    if not fine or not path.startswith("/v1/") or "link=" in path:
        fault = Fault("/path", "invalid", "must be a path of this service, from /v1/ on")
        raise Invalid(f"`path` {fault.message}, percent-encoded", faults=[fault])
