"""API keys: `sem_` and 256 random bits. Only a hash is kept; nothing slower is needed for a
secret that cannot be guessed."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.database import clock
from core.errors import Conflict, NotFound
from core.ids import new_id
from core.tables import ApiKey, Tenant

PREFIX = "sem_"
SCOPES = ("read", "data", "train", "sample", "admin")
DEFAULT_TENANT = "default"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def find(session: Session, text: str) -> ApiKey | None:
    """The live key with this text."""
    return session.scalar(
        select(ApiKey).where(ApiKey.digest == digest(text), ApiKey.revoked_at.is_(None))
    )


def get(session: Session, key_id: str) -> ApiKey | None:
    """Also one that was revoked."""
    return session.get(ApiKey, key_id)


def sign(key: ApiKey, text: str) -> str:
    """Made with the key's hash, which the service and whoever has the key know, and nobody else: a
    link or sample manifest that this key has made can be recognised without keeping it."""
    return hmac.digest(bytes.fromhex(key.digest), text.encode(), "sha256").hex()


def add(
    session: Session, tenant_id: str, text: str, *, name: str, scopes: tuple[str, ...]
) -> ApiKey:
    key = ApiKey(
        id=new_id("key"), tenant_id=tenant_id, name=name, digest=digest(text), scopes=list(scopes)
    )
    session.add(key)
    return key


def create(
    session: Session, tenant_id: str, *, name: str, scopes: tuple[str, ...]
) -> tuple[str, ApiKey]:
    """A new key and its text, which is not kept."""
    text = PREFIX + secrets.token_urlsafe(32)
    key = add(session, tenant_id, text, name=name, scopes=scopes)
    session.flush()
    session.refresh(key)  # the time is the database's
    return text, key


def page(session: Session, tenant_id: str, *, limit: int, after: str | None = None) -> list[ApiKey]:
    """Newest first."""
    query = select(ApiKey).where(ApiKey.tenant_id == tenant_id)
    if after is not None:
        query = query.where(ApiKey.id < after)
    return list(session.scalars(query.order_by(ApiKey.id.desc()).limit(limit)))


def revoke(session: Session, tenant_id: str, key_id: str) -> None:
    """Revoking again changes nothing. Raises Conflict for the last key that may make others."""
    # All of them, locked: two that are revoked at once must not both be taken for the last but one.
    live = session.scalars(
        select(ApiKey)
        .where(ApiKey.tenant_id == tenant_id, ApiKey.revoked_at.is_(None))
        .with_for_update()
    ).all()
    key = get(session, key_id)
    if key is None or key.tenant_id != tenant_id:
        raise NotFound(f"there is no key {key_id}"[:128])
    if key not in live:
        return
    if not any("admin" in other.scopes for other in live if other is not key):
        raise Conflict("this is the last key that may make others", code="last_admin_key")
    key.revoked_at = clock()


def ensure_admin_key(
    session: Session, configured_key: str = "", file: Path | None = None
) -> str | None:
    """Make the first key when there is none; returns its text if it was made now.

    `given` (from the settings) or the text that `file` holds already is taken before a new one;
    `file` is then written, readable by its owner alone.
    """
    if session.get(Tenant, DEFAULT_TENANT) is None:
        session.add(Tenant(id=DEFAULT_TENANT, name=DEFAULT_TENANT))
        session.flush()
    kept = file.read_text().strip() if file is not None and file.exists() else ""
    text = configured_key or kept or PREFIX + secrets.token_urlsafe(32)
    if find(session, text) is not None:
        return None
    if not configured_key and not kept and session.scalar(select(ApiKey.id).limit(1)) is not None:
        return None
    add(session, DEFAULT_TENANT, text, name="admin", scopes=SCOPES)
    if file is not None and text != kept:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(text + "\n")
    return text
