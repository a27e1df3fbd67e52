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
    create: Callable[[SaveResponse], tuple[int, BaseModel]],
) -> Response:
    """Run `create` once per idempotency key; replay the stored response on later calls.

    `create` returns the status and the body of the response. `request` is a JSON-serializable
    description of the request. Reusing a key for a different request is an error.
    """
    reservation = None if key is None else _reserve(caller, key, request)

    def save(session: Session, status: int, view: BaseModel) -> None:
        if isinstance(reservation, Reservation):
            idempotency.complete(session, reservation, status, view.model_dump(mode="json"))

    headers = {}
    if isinstance(reservation, SavedResponse):
        status, body = reservation.status, reservation.body
        headers["Idempotency-Replayed"] = "true"
    else:
        try:
            status, view = create(save)
        except BaseException:
            if reservation is not None:
                idempotency.release(reservation)
            raise
        body = view.model_dump(mode="json")
    if "links" in body:
        headers["Location"] = body["links"]["self"]
    return JSONResponse(body, status, headers)


def _reserve(caller: Caller, key: str, request: Any) -> Reservation | SavedResponse:
    if not (1 <= len(key) <= 255 and key.isprintable() and key.isascii()):
        raise BadRequest(
            "`Idempotency-Key` must have 1 to 255 printable ASCII characters.", code="key_invalid"
        )
    text = json.dumps(jsonable_encoder(request), sort_keys=True)
    return idempotency.reserve(caller.tenant_id, key, hashlib.sha256(text.encode()).hexdigest())
