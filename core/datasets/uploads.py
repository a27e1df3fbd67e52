"""Files that arrive in parts and survive a broken connection.

Each part is an object of its own, with its sha256 checked before it counts; putting a part again
replaces it. A completed upload becomes a source of a dataset.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.errors import Conflict, FieldError, NotFound, ValidationFailed
from core.ids import new_id
from core.storage import StoredObject, key_of
from core.tables import Upload, UploadPart, UploadState


def create(
    session: Session, tenant_id: str, *, filename: str, size: int | None, sha256: str | None
) -> Upload:
    upload = Upload(
        id=new_id("upl"), tenant_id=tenant_id, filename=filename, bytes=size, sha256=sha256
    )
    session.add(upload)
    session.flush()
    session.refresh(upload)  # the times are the database's
    return upload


def get(session: Session, tenant_id: str, upload_id: str) -> Upload:
    upload = session.get(Upload, upload_id)
    if upload is None or upload.tenant_id != tenant_id:
        raise NotFound(f"there is no upload {upload_id}")
    return upload


def get_pending(session: Session, tenant_id: str, upload_id: str) -> Upload:
    upload = get(session, tenant_id, upload_id)
    if upload.state is not UploadState.PENDING:
        raise Conflict(f"upload {upload_id} is {upload.state.value}", code="upload_not_pending")
    return upload


def list_parts(session: Session, upload: Upload) -> list[UploadPart]:
    query = select(UploadPart).where(
        UploadPart.upload_id == upload.id, UploadPart.tenant_id == upload.tenant_id
    )
    return list(session.scalars(query.order_by(UploadPart.number)))


def part_key(upload: Upload, number: int) -> str:
    """A new key each time: a part that is put again must not touch the one that counts."""
    return key_of(upload.tenant_id, "uploads", upload.id, str(number), new_id("part"))


def add_part(session: Session, upload: Upload, number: int, stored: StoredObject) -> str | None:
    """Count the stored part; returns the key of the part that it replaces, if any."""
    part = session.get(UploadPart, (upload.id, number))
    replaced = part.key if part is not None else None
    part = part or UploadPart(upload_id=upload.id, number=number, tenant_id=upload.tenant_id)
    part.bytes, part.sha256, part.key = stored.bytes, stored.sha256, stored.key
    session.add(part)
    return replaced


def complete(session: Session, upload: Upload) -> Upload:
    """No more parts: checks that none is missing and that the size is the announced one.

    The sha256 of the whole is checked when the parts are put together.
    """
    numbers = [part.number for part in list_parts(session, upload)]
    missing = sorted(set(range(1, (numbers[-1] if numbers else 1) + 1)) - set(numbers))
    if missing:
        faults = [
            FieldError(f"/parts/{n}", "missing", f"part {n} was not uploaded") for n in missing
        ]
        raise ValidationFailed(
            "parts are missing", code="upload_incomplete", field_errors=faults[:20]
        )
    size = sum(part.bytes for part in list_parts(session, upload))
    if upload.bytes is not None and size != upload.bytes:
        raise ValidationFailed(
            f"the parts hold {size} bytes, {upload.bytes} were announced", code="upload_incomplete"
        )
    upload.bytes, upload.state = size, UploadState.COMPLETED
    return upload


def consume(session: Session, tenant_id: str, upload_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Turn completed uploads into a dataset's sources; the uploads' rows end here."""
    sources = []
    for upload_id in upload_ids:
        upload = get(session, tenant_id, upload_id)
        if upload.state is not UploadState.COMPLETED:
            raise Conflict(f"upload {upload_id} is not completed", code="upload_not_completed")
        parts = [
            StoredObject(p.key, p.bytes, p.sha256).to_dict() for p in list_parts(session, upload)
        ]
        sources.append({"name": upload.filename, "parts": parts, "sha256": upload.sha256})
        remove(session, upload)
    return sources


def remove(session: Session, upload: Upload) -> list[str]:
    """Delete the rows; returns the keys of the parts."""
    keys = [part.key for part in list_parts(session, upload)]
    session.execute(delete(UploadPart).where(UploadPart.upload_id == upload.id))
    session.execute(delete(Upload).where(Upload.id == upload.id))
    return keys
