"""The Idempotency-Key header (after the httpapi draft): a POST that is sent twice creates once."""

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
        description="the same key and body give the first answer again, for 24 hours",
    ),
]
# Called inside the transaction that creates, with the status and the body of the answer.
SaveResponse = Callable[[Session, int, BaseModel], None]


def run_idempotently(
    caller: Caller,
    key: str | None,
    request: Any,
    create: Callable[[SaveResponse], Response],
) -> Response:
    """What `create` answers, or what it answered to the same key and request before.

    `request` is anything that JSON can hold: what makes this request this one.
    """
    if key is None:
        return create(lambda _session, _status, _body: None)
    if not (1 <= len(key) <= 255 and key.isprintable() and key.isascii()):
        raise BadRequest("an Idempotency-Key has 1 to 255 printable characters", code="key_invalid")
    text = json.dumps(jsonable_encoder(request), sort_keys=True)
    reserved = idempotency.reserve(caller.tenant_id, key, hashlib.sha256(text.encode()).hexdigest())
    if isinstance(reserved, SavedResponse):
        return _answer(reserved.status, reserved.body, {"Idempotency-Replayed": "true"})
    return _create(reserved, create)


def created_response(status: int, view: BaseModel) -> Response:
    """The answer to a POST that has created what `view` shows."""
    return _answer(status, view.model_dump(mode="json"), {})


def _answer(status: int, body: dict[str, Any], headers: dict[str, str]) -> Response:
    location = {"Location": body["links"]["self"]} if "links" in body else {}
    return JSONResponse(body, status, headers | location)


def _create(reserved: Reservation, create: Callable[[SaveResponse], Response]) -> Response:
    def remember(session: Session, status: int, body: BaseModel) -> None:
        idempotency.complete(session, reserved, status, body.model_dump(mode="json"))

    try:
        return create(remember)
    except BaseException:
        idempotency.release(reserved)
        raise
