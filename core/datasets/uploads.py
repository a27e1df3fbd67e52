"""Resumable multi-part uploads.

Each part is a separate stored object. Its SHA-256 is verified before the part is added; uploading
a part again replaces it. A completed upload becomes a source of a dataset.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core import quotas
from core.database import clock, cutoff, write
from core.errors import Conflict, FieldError, NotFound, ValidationFailed
from core.ids import new_id
from core.storage import Storage, StoredObject, key_of
from core.tables import Upload, UploadPart, UploadState

BATCH = 100  # uploads that are deleted in one transaction


def create(
    session: Session, tenant_id: str, *, filename: str, size: int | None, sha256: str | None
) -> Upload:
    """Begin an upload, and reserve its declared size. Raises QuotaExceeded or StorageFull."""
    quotas.check_new_upload(session, tenant_id, size)
    upload = Upload(
        id=new_id("upl"), tenant_id=tenant_id, filename=filename, bytes=size, sha256=sha256
    )
    session.add(upload)
    session.flush()
    session.refresh(upload)  # load the timestamps that the database has set
    return upload


def page(session: Session, tenant_id: str, *, limit: int, after: str | None = None) -> list[Upload]:
    """Return one page of uploads that are not datasets yet, newest first."""
    query = select(Upload).where(Upload.tenant_id == tenant_id)
    if after is not None:
        query = query.where(Upload.id < after)
    return list(session.scalars(query.order_by(Upload.id.desc()).limit(limit)))


def get(session: Session, tenant_id: str, upload_id: str) -> Upload:
    upload = session.get(Upload, upload_id)
    if upload is None or upload.tenant_id != tenant_id:
        raise NotFound(f"Upload {upload_id} does not exist.")
    return upload


def get_pending(session: Session, tenant_id: str, upload_id: str) -> Upload:
    upload = get(session, tenant_id, upload_id)
    if upload.state is not UploadState.PENDING:
        message = f"Upload {upload_id} is in state `{upload.state.value}`, not `pending`."
        raise Conflict(message, code="upload_not_pending")
    return upload


def list_parts(session: Session, upload: Upload) -> list[UploadPart]:
    query = select(UploadPart).where(
        UploadPart.upload_id == upload.id, UploadPart.tenant_id == upload.tenant_id
    )
    return list(session.scalars(query.order_by(UploadPart.number)))


def part_key(upload: Upload, number: int) -> str:
    """Return a new, unique key: a repeated upload of a part must not overwrite the stored one."""
    return key_of(upload.tenant_id, "uploads", upload.id, str(number), new_id("part"))


def add_part(session: Session, upload: Upload, number: int, stored: StoredObject) -> str | None:
    """Record a stored part. Returns the key of the part that it replaces, if any.

    Raises:
        QuotaExceeded: The tenant has too many bytes in uploads; the part must be deleted.
        StorageFull: The disk has no room for what was not declared; the part must be deleted.
    """
    quotas.check_part(session, upload, stored.bytes)
    part = session.get(UploadPart, (upload.id, number))
    replaced_key = part.key if part is not None else None
    part = part or UploadPart(upload_id=upload.id, number=number, tenant_id=upload.tenant_id)
    part.bytes, part.sha256, part.key = stored.bytes, stored.sha256, stored.key
    session.add(part)
    upload.updated_at = clock()
    return replaced_key


def complete(session: Session, upload: Upload) -> Upload:
    """Mark the upload as completed; no more parts are accepted.

    The SHA-256 of the whole file is verified later, when the dataset is validated. Raises
    ValidationFailed if a part is missing or the total size is not the declared one.
    """
    numbers = [part.number for part in list_parts(session, upload)]
    missing = sorted(set(range(1, (numbers[-1] if numbers else 1) + 1)) - set(numbers))
    if missing:
        errors = [
            FieldError(f"/parts/{n}", "missing", f"Part {n} was not uploaded.") for n in missing
        ]
        raise ValidationFailed(
            f"{len(missing):,} parts are missing. Upload them, then complete the upload again.",
            code="upload_incomplete",
            field_errors=errors[:20],
        )
    size = sum(part.bytes for part in list_parts(session, upload))
    if upload.bytes is not None and size != upload.bytes:
        raise ValidationFailed(
            f"The parts hold {size:,} bytes, but the upload declared {upload.bytes:,}. "
            "Upload the missing or wrong parts again.",
            code="upload_incomplete",
        )
    upload.bytes, upload.state = size, UploadState.COMPLETED
    return upload


def consume(session: Session, tenant_id: str, upload_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Convert completed uploads to the `sources` of a dataset and delete the uploads' rows."""
    sources = []
    for upload_id in upload_ids:
        upload = get(session, tenant_id, upload_id)
        if upload.state is not UploadState.COMPLETED:
            message = f"Upload {upload_id} is not completed. Complete it first."
            raise Conflict(message, code="upload_not_completed")
        parts = [StoredObject.of(part).to_dict() for part in list_parts(session, upload)]
        sources.append({"name": upload.filename, "parts": parts, "sha256": upload.sha256})
        remove(session, upload)
    return sources


def remove_unused(storage: Storage, retention_s: float) -> int:
    """Delete uploads without a new part for `retention_s`; return the number of deleted files."""
    with write() as session:
        unused = select(Upload).where(Upload.updated_at < cutoff(session, retention_s))
        keys = [
            key
            for upload in session.scalars(unused.order_by(Upload.id).limit(BATCH))
            for key in remove(session, upload)
        ]
    storage.delete(keys)
    return len(keys)


def remove(session: Session, upload: Upload) -> list[str]:
    """Delete the rows of an upload. Returns the keys of the parts, whose objects remain."""
    keys = [part.key for part in list_parts(session, upload)]
    session.execute(delete(UploadPart).where(UploadPart.upload_id == upload.id))
    session.execute(delete(Upload).where(Upload.id == upload.id))
    return keys
