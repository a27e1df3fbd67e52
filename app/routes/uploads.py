"""`/v1/uploads`: resumable uploads of large files in parts."""

import base64
import hashlib
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi import Path as PathParameter

from app.authentication import Caller, DataScope
from app.fairness.route import FairRoute
from app.fairness.turns import FairThreads
from app.idempotent_requests import (
    IdempotencyKeyHeader,
    SaveResponse,
    run_idempotently,
)
from app.schemas.datasets import NewUpload, UploadPartView, UploadView
from app.schemas.pagination import After, Limit, Page, build_page, check_cursor, page_size
from core import audit, quotas
from core.database import read, write
from core.datasets import uploads
from core.errors import BadRequest, TooLarge, ValidationFailed
from core.settings import get_settings
from core.storage import get_storage
from modalities.ingestion import working_folder

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=FairRoute)

# Parts are hashed and written here as their bytes arrive, so that a slow client holds no thread.
_threads = FairThreads(8, per_owner=4)
BLOCK_BYTES = 2**18  # collected in memory before they are written

_DIGEST = re.compile(r"sha-256=:(?P<hash>[A-Za-z0-9+/]{43}=):")  # RFC 9530


@router.post("", status_code=201, response_model=UploadView)
def create_upload(
    body: NewUpload, caller: DataScope, idempotency_key: IdempotencyKeyHeader = None
) -> Response:
    """Start an upload.

    Then PUT the parts, POST `complete`, and create a dataset with `{"uploads": [id]}`.
    """
    limit = get_settings().limits.upload_bytes
    if body.bytes is not None and body.bytes > limit:
        raise TooLarge(f"An upload may have at most {limit} bytes.", limit=limit)

    def create(save: SaveResponse) -> tuple[int, UploadView]:
        with write() as session:
            upload = uploads.create(
                session,
                caller.tenant_id,
                filename=body.filename,
                size=body.bytes,
                sha256=body.sha256,
            )
            audit.record(session, caller, "upload.create", upload.id)
            view = UploadView.of(upload, [])
            save(session, 201, view)
        return 201, view

    return run_idempotently(caller, idempotency_key, ["POST /v1/uploads", body], create)


@router.get("", response_model=Page[UploadView])
def list_uploads(caller: DataScope, limit: Limit = 50, after: After = None) -> Page[UploadView]:
    """List the uploads that are not datasets yet, newest first.

    An upload without a new part for a week, unless the operator has set another time, is deleted.
    """
    limit = page_size(limit)
    with read() as session:
        rows = uploads.page(
            session, caller.tenant_id, limit=limit + 1, after=check_cursor(after, "upl")
        )
        parts = {upload.id: uploads.list_parts(session, upload) for upload in rows}
    return build_page(rows, limit, lambda upload: UploadView.of(upload, parts[upload.id]))


@router.get("/{upload_id}", response_model=UploadView)
def read_upload(upload_id: str, caller: DataScope) -> UploadView:
    """Return an upload and the parts that were received."""
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
    number: Annotated[int, PathParameter(ge=1, description="Number of the part, from 1.")],
    request: Request,
    caller: DataScope,
    content_digest: Annotated[
        str, Header(description="SHA-256 of the part (RFC 9530): `sha-256=:<base64>:`.")
    ],
) -> UploadPartView:
    """Upload one part, with its SHA-256.

    Parts may be sent in any order. A part that is sent again replaces the previous one.
    """
    digest = _DIGEST.fullmatch(content_digest)
    if digest is None:
        raise BadRequest(
            "Content-Digest must have the form sha-256=:<base64>:.", code="digest_invalid"
        )
    limits = get_settings().limits
    if number > limits.upload_parts:
        raise ValidationFailed(
            f"An upload may have at most {limits.upload_parts} parts.", limit=limits.upload_parts
        )
    file = _PartFile(base64.b64decode(digest["hash"]))
    try:
        block = bytearray()
        async for chunk in request.stream():
            block += chunk
            if file.size + len(block) > limits.upload_part_bytes:
                raise TooLarge(
                    f"A part may have at most {limits.upload_part_bytes} bytes.",
                    limit=limits.upload_part_bytes,
                )
            if len(block) >= BLOCK_BYTES:
                await _threads.run(caller.tenant_id, file.write, bytes(block))
                block.clear()
        return await _threads.run(
            caller.tenant_id, file.store, bytes(block), caller, upload_id, number
        )
    except BaseException:
        await _threads.run(caller.tenant_id, file.remove)
        raise


class _PartFile:
    """A part that is being received, in a new folder. Its methods run in threads."""

    def __init__(self, sha256: bytes) -> None:
        self._sha256, self._received = sha256, hashlib.sha256()
        self._folder = ExitStack()
        self._path: Path | None = None
        self.size = 0

    def write(self, data: bytes) -> Path:
        """Append data; return the path of the file."""
        if self._path is None:
            self._path = self._folder.enter_context(working_folder()) / "part"
        with self._path.open("ab") as out:
            out.write(data)
        self._received.update(data)
        self.size += len(data)
        return self._path

    def store(self, rest: bytes, caller: Caller, upload_id: str, number: int) -> UploadPartView:
        """Append the rest, store the part, and remove the file."""
        with self._folder:
            path = self.write(rest)
            if self._received.digest() != self._sha256:
                raise ValidationFailed(
                    "The part does not match its Content-Digest. Send it again.",
                    code="digest_mismatch",
                )
            return _store_part(caller, upload_id, number, path)

    def remove(self) -> None:
        self._folder.close()


def _store_part(caller: Caller, upload_id: str, number: int, path: Path) -> UploadPartView:
    storage, limit = get_storage(), get_settings().limits.upload_bytes
    with read() as session:
        upload = uploads.get_pending(session, caller.tenant_id, upload_id)
        other_bytes = sum(
            p.bytes for p in uploads.list_parts(session, upload) if p.number != number
        )
        quotas.check_part(session, upload, path.stat().st_size)
    if other_bytes + path.stat().st_size > limit:
        raise TooLarge(f"An upload may have at most {limit} bytes.", limit=limit)
    stored = storage.put_file(uploads.part_key(upload, number), path)
    try:
        with write() as session:
            upload = uploads.get_pending(session, caller.tenant_id, upload_id)
            replaced_key = uploads.add_part(session, upload, number, stored)
            audit.record(session, caller, "upload.part", f"{upload.id}/parts/{number}")
    except BaseException:
        storage.delete([stored.key])
        raise
    if replaced_key is not None:
        storage.delete([replaced_key])
    return UploadPartView(number=number, bytes=stored.bytes, sha256=stored.sha256)


@router.post("/{upload_id}/complete", response_model=UploadView)
def complete_upload(upload_id: str, caller: DataScope) -> UploadView:
    """Complete an upload.

    The request is rejected if a part is missing or if the size differs from the announced one.
    """
    with write() as session:
        upload = uploads.get_pending(session, caller.tenant_id, upload_id)
        uploads.complete(session, upload)
        audit.record(session, caller, "upload.complete", upload.id)
        return UploadView.of(upload, uploads.list_parts(session, upload))


@router.delete("/{upload_id}", status_code=204)
def delete_upload(upload_id: str, caller: DataScope) -> None:
    """Cancel an upload and delete its parts."""
    with write() as session:
        upload = uploads.get(session, caller.tenant_id, upload_id)
        audit.record(session, caller, "upload.delete", upload.id)
        keys = uploads.remove(session, upload)
    get_storage().delete(keys)
