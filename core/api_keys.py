"""API keys: `sem_` followed by 256 random bits.

Only the SHA-256 digest is stored. A slow password hash is not needed, because the secret cannot be
guessed.
"""

import hashlib
import os
import secrets
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import and_, bindparam, or_, select, update
from sqlalchemy.orm import Session

from core import own_quotas
from core.database import clock
from core.errors import Conflict, NotFound
from core.ids import new_id
from core.own_quotas import KeyQuota
from core.tables import ApiKey, Tenant

PREFIX = "sem_"
SCOPES = ("read", "data:read", "data", "train", "sample", "webhooks", "admin")
DEFAULT_TENANT = "default"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_suspended = select(Tenant.id).where(
    Tenant.id == ApiKey.tenant_id, Tenant.suspended_at.is_not(None)
)
_IS_VALID = and_(
    ApiKey.revoked_at.is_(None),
    ~_suspended.exists(),
    or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > clock()),
)
# Every request executes this statement. Building it takes as long as executing it.
_FIND = select(ApiKey).where(ApiKey.digest == bindparam("digest"), _IS_VALID)


def find(session: Session, text: str) -> ApiKey | None:
    """Return the key with this text, unless it was revoked or has expired."""
    return session.scalar(_FIND, {"digest": digest(text)})


def get(session: Session, key_id: str) -> ApiKey | None:
    """Return the key with this id, even if it was revoked or has expired."""
    return session.get(ApiKey, key_id)


def get_valid(session: Session, key_id: str) -> ApiKey | None:
    """Return the key with this id, unless it was revoked or has expired."""
    return session.scalar(select(ApiKey).where(ApiKey.id == key_id, _IS_VALID))


def valid_ids(session: Session, key_ids: Collection[str]) -> set[str]:
    """Return which of the keys were neither revoked nor have expired."""
    return set(session.scalars(select(ApiKey.id).where(ApiKey.id.in_(key_ids), _IS_VALID)))


def record_use(session: Session, key_id: str) -> None:
    """Set the time of the last use to now."""
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=clock()))


def add(
    session: Session,
    tenant_id: str,
    text: str,
    *,
    name: str,
    scopes: tuple[str, ...],
    lifetime: timedelta | None = None,
    quotas: Mapping[Any, int] | None = None,
) -> ApiKey:
    key = ApiKey(
        id=new_id("key"),
        tenant_id=tenant_id,
        name=name,
        digest=digest(text),
        scopes=list(scopes),
        expires_at=None if lifetime is None else clock(lifetime.total_seconds()),
        quotas=dict(quotas or {}),
    )
    session.add(key)
    return key


def create(
    session: Session,
    tenant_id: str,
    *,
    name: str,
    scopes: tuple[str, ...],
    lifetime: timedelta | None = None,
    quotas: Mapping[Any, int] | None = None,
) -> tuple[str, ApiKey]:
    """Create a key; return its text, which is not stored, and its row."""
    text = PREFIX + secrets.token_urlsafe(32)
    key = add(session, tenant_id, text, name=name, scopes=scopes, lifetime=lifetime, quotas=quotas)
    session.flush()
    session.refresh(key)  # the database sets the time
    return text, key


def page(
    session: Session,
    tenant_id: str,
    *,
    limit: int,
    after: str | None = None,
    include_expired: bool = False,
) -> list[ApiKey]:
    """Return one page of keys, newest first."""
    query = select(ApiKey).where(ApiKey.tenant_id == tenant_id)
    if not include_expired:
        query = query.where(or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > clock()))
    if after is not None:
        query = query.where(ApiKey.id < after)
    return list(session.scalars(query.order_by(ApiKey.id.desc()).limit(limit)))


def revoke(session: Session, tenant_id: str, key_id: str) -> None:
    """Revoke the key; do nothing if it was revoked before.

    Raises:
        NotFound: The tenant has no such key.
        Conflict: It is the tenant's last key with the `admin` scope that does not expire.
    """
    # Lock all active keys: otherwise two concurrent calls could revoke the last two admin keys.
    active = session.scalars(
        select(ApiKey)
        .where(ApiKey.tenant_id == tenant_id, ApiKey.revoked_at.is_(None))
        .with_for_update()
    ).all()
    key = get(session, key_id)
    if key is None or key.tenant_id != tenant_id:
        raise _unknown(key_id)
    if key not in active:
        return
    if key.expires_at is None and not any(
        "admin" in other.scopes for other in active if other is not key and other.expires_at is None
    ):
        raise Conflict(
            "This is the last key with the `admin` scope. Create another admin key first.",
            code="last_admin_key",
        )
    key.revoked_at = clock()


def rotate(session: Session, tenant_id: str, key_id: str, overlap: timedelta) -> tuple[str, ApiKey]:
    """Create a key like this one, which expires after `overlap`; return its text and its row.

    The new key has the lifetime and the quotas of the old one.

    Raises:
        NotFound: The tenant has no such key.
        Conflict: The key was revoked or has expired.
    """
    old = _lock_valid(session, tenant_id, key_id)
    lifetime = None if old.expires_at is None else old.expires_at - old.created_at
    rotated = create(
        session,
        tenant_id,
        name=old.name,
        scopes=tuple(old.scopes),
        lifetime=lifetime,
        quotas=old.quotas,
    )
    ends_at = clock(overlap.total_seconds())
    earlier = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > ends_at)
    session.execute(update(ApiKey).where(ApiKey.id == key_id, earlier).values(expires_at=ends_at))
    return rotated


def change_quotas(
    session: Session, tenant_id: str, key_id: str, changes: Mapping[KeyQuota, int | None]
) -> ApiKey:
    """Set quotas of a key; None restores the service's.

    Raises:
        NotFound: The tenant has no such key.
        Conflict: The key was revoked or has expired.
    """
    key = _lock_valid(session, tenant_id, key_id)
    key.quotas = own_quotas.changed(key.quotas, changes)
    session.flush()
    return key


def _lock_valid(session: Session, tenant_id: str, key_id: str) -> ApiKey:
    key = get(session, key_id)
    if key is None or key.tenant_id != tenant_id:
        raise _unknown(key_id)
    locked = select(ApiKey).where(ApiKey.id == key_id, _IS_VALID).with_for_update()
    # The key may have changed since it was read above, while this transaction waited for the lock.
    valid = session.scalar(locked.execution_options(populate_existing=True))
    if valid is None:
        raise Conflict(
            "The key was revoked or has expired. Create a new one.", code="key_not_valid"
        )
    return valid


def _unknown(key_id: str) -> NotFound:
    return NotFound(f"API key {key_id[:100]} does not exist.")


def ensure_admin_key(
    session: Session, configured_key: str = "", file: Path | None = None
) -> str | None:
    """Create the first key if no key exists; return its text if it was created now.

    `configured_key` (from the settings) takes precedence over the text in `file`, and both take
    precedence over a new random key. The text is written to `file`, readable by its owner only.
    A key that was revoked, or has expired, remains so.
    """
    if session.get(Tenant, DEFAULT_TENANT) is None:
        session.add(Tenant(id=DEFAULT_TENANT, name=DEFAULT_TENANT))
        session.flush()
    file_key = file.read_text().strip() if file is not None and file.exists() else ""
    text = configured_key or file_key or PREFIX + secrets.token_urlsafe(32)
    if session.scalar(select(ApiKey.id).where(ApiKey.digest == digest(text))) is not None:
        return None
    has_keys = session.scalar(select(ApiKey.id).limit(1)) is not None
    if not configured_key and not file_key and has_keys:
        return None
    add(session, DEFAULT_TENANT, text, name="admin", scopes=SCOPES)
    if file is not None and text != file_key:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as output:
            output.write(text + "\n")
    return text
