"""Entries of the audit log, for the routes that change something."""

from sqlalchemy.orm import Session

from app.authentication import Caller
from core import audit


def record(session: Session, caller: Caller, action: str, resource: str) -> None:
    """Add an entry in the transaction of the change."""
    audit.record(
        session,
        caller.tenant_id,
        caller.key_id,
        action,
        resource,
        caller.request_id,
    )
