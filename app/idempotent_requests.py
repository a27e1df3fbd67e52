"""Support for the Idempotency-Key header: a POST that is sent twice creates one resource.

The header follows draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header, Response
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from app.authentication import Caller
from core import idempotency
from core.errors import BadRequest
from core.idempotency import Reservation, SavedResponse

IdempotencyKeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Repeating a request with the same key and body within 24 hours returns the "
        "first response again.",
    ),
]
# Called inside the transaction that creates the resource, with the response's status and body.
SaveResponse = Callable[[Session, int, BaseModel], None]


def run_idempotently(
    caller: Caller,
    key: str | None,
    request: Any,
    create: Callable[[SaveResponse], Response],
) -> Response:
    """Run `create` once per idempotency key; replay the stored response on later calls.

    `request` is a JSON-serializable description of the request. Reusing a key for a different
    request is an error.
    """
    if key is None:
        return create(lambda _session, _status, _body: None)
    if not (1 <= len(key) <= 255 and key.isprintable() and key.isascii()):
        raise BadRequest(
            "`Idempotency-Key` must have 1 to 255 printable ASCII characters.", code="key_invalid"
        )
    text = json.dumps(jsonable_encoder(request), sort_keys=True)
    reservation = idempotency.reserve(
        caller.tenant_id, key, hashlib.sha256(text.encode()).hexdigest()
    )
    if isinstance(reservation, SavedResponse):
        return _response(reservation.status, reservation.body, {"Idempotency-Replayed": "true"})
    return _create(reservation, create)


def created_response(status: int, view: BaseModel) -> Response:
    """Return the response to a POST that has created the resource `view`."""
    return _response(status, view.model_dump(mode="json"), {})


def _response(status: int, body: dict[str, Any], headers: dict[str, str]) -> Response:
    location = {"Location": body["links"]["self"]} if "links" in body else {}
    return JSONResponse(body, status, headers | location)


def _create(reservation: Reservation, create: Callable[[SaveResponse], Response]) -> Response:
    def save(session: Session, status: int, body: BaseModel) -> None:
        idempotency.complete(session, reservation, status, body.model_dump(mode="json"))

    try:
        return create(save)
    except BaseException:
        idempotency.release(reservation)
        raise
