"""`/v1/uploads`: large files in parts; an interrupted upload goes on where it stopped."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool

from app.authentication import Caller, DataScope
from app.idempotency import IdempotencyKeyHeader, SaveResponse, created_response, run_idempotently
from app.request_body import StrictJsonRoute
from app.schemas.datasets import NewUpload, UploadPartView, UploadView
from core.database import read, write
from core.datasets import uploads
from core.datasets.ingestion import working_folder
from core.errors import BadRequest, TooLarge, ValidationFailed
from core.settings import get_settings
from core.storage import get_storage

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=StrictJsonRoute)

_DIGEST = re.compile(r"sha-256=:(?P<hash>[A-Za-z0-9+/]{43}=):")  # RFC 9530


@router.post("", status_code=201, response_model=UploadView)
def create_upload(
    body: NewUpload, caller: DataScope, idempotency_key: IdempotencyKeyHeader = None
) -> Response:
    """Begin. Then put the parts, complete, and make a dataset of `{"uploads": [id]}`."""
    limit = get_settings().limits.upload_bytes
    if body.bytes is not None and body.bytes > limit:
        raise TooLarge(f"an upload may have {limit} bytes", limit=limit)

    def create(remember: SaveResponse) -> Response:
        with write() as session:
            upload = uploads.create(
                session,
                caller.tenant_id,
                filename=body.filename,
                size=body.bytes,
                sha256=body.sha256,
            )
            view = UploadView.of(upload, [])
            remember(session, 201, view)
        return created_response(201, view)

    return run_idempotently(caller, idempotency_key, ["POST /v1/uploads", body], create)


@router.get("/{upload_id}", response_model=UploadView)
def read_upload(upload_id: str, caller: DataScope) -> UploadView:
    """Which parts have arrived."""
    with read() as session:
        upload = uploads.get(session, caller.tenant_id, upload_id)
        return UploadView.of(upload, uploads.list_parts(session, upload))


@router.put(
    "/{upload_id}/parts/{number}",
    response_model=UploadPartView,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
async def put_part(
    upload_id: str,
    number: Annotated[int, PathParameter(ge=1)],
    request: Request,
    caller: DataScope,
    content_digest: Annotated[
        str, Header(description="of the part, after RFC 9530: `sha-256=:<base64>:`")
    ],
) -> UploadPartView:
    """Send one part, with its sha256. Parts may come in any order, and again."""
    digest = _DIGEST.fullmatch(content_digest)
    if digest is None:
        raise BadRequest("Content-Digest must be sha-256=:<base64>:", code="digest_invalid")
    limits = get_settings().limits
    if number > limits.upload_parts:
        raise ValidationFailed(
            f"an upload may have {limits.upload_parts} parts", limit=limits.upload_parts
        )
    with working_folder() as folder:
        path = folder / "part"
        size, received = 0, hashlib.sha256()
        with path.open("wb") as out:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.upload_part_bytes:
                    raise TooLarge(
                        f"a part may have {limits.upload_part_bytes} bytes",
                        limit=limits.upload_part_bytes,
                    )
                received.update(chunk)
                out.write(chunk)
        if received.digest() != base64.b64decode(digest["hash"]):
            raise ValidationFailed(
                "the bytes do not have this sha256; send it again", code="digest_mismatch"
            )
        return await run_in_threadpool(_keep_part, caller, upload_id, number, path)


def _keep_part(caller: Caller, upload_id: str, number: int, path: Path) -> UploadPartView:
    storage, limit = get_storage(), get_settings().limits.upload_bytes
    with read() as session:
        upload = uploads.get_pending(session, caller.tenant_id, upload_id)
        others = sum(p.bytes for p in uploads.list_parts(session, upload) if p.number != number)
    if others + path.stat().st_size > limit:
        raise TooLarge(f"an upload may have {limit} bytes", limit=limit)
    stored = storage.put_file(uploads.part_key(upload, number), path)
    with write() as session:
        upload = uploads.get_pending(session, caller.tenant_id, upload_id)
        replaced = uploads.add_part(session, upload, number, stored)
    if replaced is not None:
        storage.delete([replaced])
    return UploadPartView(number=number, bytes=stored.bytes, sha256=stored.sha256)


@router.post("/{upload_id}/complete", response_model=UploadView)
def complete_upload(upload_id: str, caller: DataScope) -> UploadView:
    """No more parts will come: refused if one is missing or the size is not the announced one."""
    with write() as session:
        upload = uploads.get_pending(session, caller.tenant_id, upload_id)
        uploads.complete(session, upload)
        return UploadView.of(upload, uploads.list_parts(session, upload))


@router.delete("/{upload_id}", status_code=204)
def delete_upload(upload_id: str, caller: DataScope) -> None:
    """Give up, and forget the parts."""
    with write() as session:
        upload = uploads.get(session, caller.tenant_id, upload_id)
        keys = uploads.remove(session, upload)
    get_storage().delete(keys)
