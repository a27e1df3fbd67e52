"""Audit log: who changed or downloaded what. A change and its entry are one transaction.

There is no function that changes or deletes an entry, and triggers of the database reject both.
Only the erasure of a tenant deletes its entries (core.tenants).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from core.ids import new_id
from core.tables import AuditEntry


@dataclass(frozen=True)
class Actor:
    """The key of a request, and the request."""

    tenant_id: str
    key_id: str
    request_id: str | None


def record(session: Session, actor: Actor, action: str, resource: str) -> None:
    """Add an entry: `actor` requested `action`, such as `dataset.delete`, to `resource`."""
    entry = {
        "id": new_id("aud"),
        "tenant_id": actor.tenant_id,
        "key_id": actor.key_id,
        "action": action,
        "resource": resource,
        "request_id": actor.request_id,
    }
    session.execute(insert(AuditEntry), entry)


def page(
    session: Session,
    tenant_id: str,
    *,
    limit: int,
    after: str | None = None,
    key: str | None = None,
    resource: str | None = None,
    action: str | None = None,
) -> Sequence[AuditEntry]:
    """Return entries, newest first; `after` is the last id of the previous page."""
    query = select(AuditEntry).where(AuditEntry.tenant_id == tenant_id)
    filters = {"key_id": key, "resource": resource, "action": action}
    for name, value in filters.items():
        if value is not None:
            query = query.where(getattr(AuditEntry, name) == value)
    if after is not None:
        query = query.where(AuditEntry.id < after)
    return session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit)).all()
