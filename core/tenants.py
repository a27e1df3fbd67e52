"""Tenants: create, list, suspend and erase them.

The keys of a suspended tenant are not valid, and its jobs do not start.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from core import api_keys, jobs, own_quotas, server_secret
from core.database import clock, cutoff, read, write
from core.errors import Conflict, NotFound
from core.ids import new_id
from core.own_quotas import TenantQuota
from core.settings import get_settings
from core.storage import Storage, key_of
from core.tables import Base, ErasedTenant, Job, JobKind, JobState, Tenant


@dataclass(frozen=True)
class Erasure:
    """Proof that a tenant was erased: what was deleted, and what remained afterwards."""

    tenant: str
    erased_at: str  # ISO 8601, UTC
    rows: dict[str, int]  # deleted rows by table
    objects: int  # deleted objects
    remaining_rows: int
    remaining_objects: int
    signature: str  # by the server, of all other fields

    def is_signed(self) -> bool:
        return server_secret.is_signature(_signed_text(self), self.signature)


def create(session: Session, name: str) -> tuple[Tenant, str]:
    """Create a tenant and its first key, with all scopes; return both."""
    tenant = Tenant(id=new_id("tnt"), name=name)
    session.add(tenant)
    session.flush()
    session.refresh(tenant)  # the database sets the time
    text, _ = api_keys.create(session, tenant.id, name="admin", scopes=api_keys.SCOPES)
    return tenant, text


def page(session: Session, *, limit: int, after: str | None = None) -> Sequence[Tenant]:
    """Return one page of tenants, in the order of their ids."""
    query = select(Tenant) if after is None else select(Tenant).where(Tenant.id > after)
    return session.scalars(query.order_by(Tenant.id).limit(limit)).all()


def get(session: Session, tenant_id: str, *, for_update: bool = False) -> Tenant:
    """Return a tenant, with a lock if it will be changed. Raises NotFound."""
    tenant = session.get(Tenant, tenant_id, with_for_update=for_update or None)
    if tenant is None:
        raise NotFound(f"Tenant {tenant_id[:100]} does not exist.")
    return tenant


def change_quotas(
    session: Session, tenant_id: str, changes: Mapping[TenantQuota, int | None]
) -> Tenant:
    """Set quotas of a tenant; None restores the service's. Raises NotFound."""
    tenant = get(session, tenant_id, for_update=True)
    tenant.quotas = own_quotas.changed(tenant.quotas, changes)
    session.flush()
    return tenant


def suspend(session: Session, tenant_id: str) -> Tenant:
    """Make the tenant's keys invalid, and stop its running jobs.

    Raises:
        NotFound: There is no such tenant.
        Conflict: It is the default tenant, whose keys manage all others.
    """
    tenant = get(session, tenant_id)
    if tenant.id == api_keys.DEFAULT_TENANT:
        raise Conflict("The default tenant cannot be suspended.", code="default_tenant")
    tenant.suspended_at = clock()
    session.flush()
    session.refresh(tenant)
    _stop_jobs(session, tenant_id, JobState.RUNNING)
    return tenant


def resume(session: Session, tenant_id: str) -> Tenant:
    """End the suspension. Raises NotFound."""
    tenant = get(session, tenant_id)
    tenant.suspended_at = None
    session.flush()
    return tenant


def erase(storage: Storage, tenant_id: str) -> Erasure:
    """Delete all rows and objects of a suspended tenant; return a signed proof.

    Raises:
        NotFound: There is no such tenant.
        Conflict: The tenant is not suspended, or its jobs have not stopped yet.
    """
    with write() as session:
        if get(session, tenant_id).suspended_at is None:
            raise Conflict("Suspend the tenant first.", code="tenant_not_suspended")
        running = select(func.count()).where(
            Job.tenant_id == tenant_id, Job.state == JobState.RUNNING
        )
        if count := session.scalar(running):
            raise Conflict(
                f"{count} jobs of the tenant are still stopping. Retry later.",
                code="tenant_has_running_jobs",
                headers={"Retry-After": "10"},
            )
        session.add(ErasedTenant(id=tenant_id))
        session.flush()  # the database deletes audit entries only of such a tenant
        rows = {}
        for table in reversed(Base.metadata.sorted_tables):
            column = table.c.id if table.name == "tenants" else table.c.get("tenant_id")
            if column is not None:
                # A result of DML has the number of rows.
                deleted = session.execute(delete(table).where(column == tenant_id))
                rows[table.name] = deleted.rowcount  # type: ignore[attr-defined]
    prefix = key_of(tenant_id)
    keys = list(storage.keys(prefix))
    storage.delete(keys)
    return _prove(storage, tenant_id, rows, len(keys))


def remove_late_objects(storage: Storage) -> int:
    """Delete what was stored for tenants after their erasure; return the number of objects.

    A process that was stopped, and has lost its job, may store a file before it notices. Workers
    with a lost claim have ended after `orphan_retention_seconds`.
    """
    removed = 0
    with read() as session:
        latest = cutoff(session, get_settings().orphan_retention_seconds)
        erased = select(ErasedTenant.id).where(ErasedTenant.erased_at < latest)
        tenant_ids = session.scalars(erased).all()
    for tenant_id in tenant_ids:
        keys = list(storage.keys(key_of(tenant_id)))
        storage.delete(keys)
        removed += len(keys)
    if tenant_ids:
        with write() as session:
            session.execute(delete(ErasedTenant).where(ErasedTenant.id.in_(tenant_ids)))
    return removed


def _prove(storage: Storage, tenant_id: str, rows: dict[str, int], objects: int) -> Erasure:
    remaining = 0
    with write() as session:
        for table in Base.metadata.sorted_tables:
            if "tenant_id" in table.c:
                count = select(func.count()).where(table.c.tenant_id == tenant_id)
                remaining += session.scalar(count) or 0
    unsigned = Erasure(
        tenant=tenant_id,
        erased_at=datetime.now(UTC).isoformat(timespec="seconds"),
        rows={name: count for name, count in rows.items() if count},
        objects=objects,
        remaining_rows=remaining,
        remaining_objects=len(list(storage.keys(key_of(tenant_id)))),
        signature="",
    )
    return Erasure(**vars(unsigned) | {"signature": server_secret.sign(_signed_text(unsigned))})


def _signed_text(erasure: Erasure) -> str:
    return "erasure " + json.dumps(vars(erasure) | {"signature": ""}, sort_keys=True)


def _stop_jobs(session: Session, tenant_id: str, *states: JobState) -> None:
    while jobs.cancel_many(session, tenant_id, kinds=list(JobKind), states=states, limit=500):
        pass
