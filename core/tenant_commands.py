"""Commands of `semblance-server tenants`, as lines of text."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from sqlalchemy.orm import Session

from core import api_keys, audit, tenants
from core.audit import Actor
from core.database import read, write
from core.own_quotas import check_of_tenant
from core.storage import get_storage
from core.tables import Tenant

PAGE_SIZE = 1_000
COMMAND_LINE = "command-line"  # takes the place of a key in the audit log


def run(action: str, tenant: str, quotas: Mapping[str, int | None]) -> Iterator[str]:
    """Run a command; yield the lines to print. Raises SemblanceError."""
    if action == "list":
        yield from _list()
    elif action == "create":
        with write() as session:
            created, key = tenants.create(session, tenant)
            _record(session, action, created.id)
        yield f"{created.id} {key}"
    elif action == "quotas":
        with write() as session:
            changed = tenants.change_quotas(session, tenant, check_of_tenant(quotas))
            if quotas:
                _record(session, action, tenant)
            yield " ".join([tenant, *_assignments(changed)])
    elif action == "erase":
        erasure = tenants.erase(get_storage(), tenant)
        with write() as session:
            _record(session, action, tenant)
        yield json.dumps(asdict(erasure))
    else:
        change = tenants.suspend if action == "suspend" else tenants.resume
        with write() as session:
            change(session, tenant)
            _record(session, action, tenant)
        yield f"{tenant} {'suspended' if action == 'suspend' else 'active'}"


def _assignments(tenant: Tenant) -> list[str]:
    return [f"{name}={limit}" for name, limit in sorted(tenant.quotas.items())]


def _record(session: Session, action: str, tenant_id: str) -> None:
    """Add an entry to the audit log of the tenant whose administrators manage all others."""
    actor = Actor(api_keys.DEFAULT_TENANT, COMMAND_LINE, request_id=None)
    audit.record(session, actor, f"tenant.{action}", tenant_id)


def _list() -> Iterator[str]:
    after = None
    while True:
        with read() as session:
            page = tenants.page(session, limit=PAGE_SIZE, after=after)
        for tenant in page:
            state = "active" if tenant.suspended_at is None else "suspended"
            yield " ".join([tenant.id, state, tenant.name, *_assignments(tenant)])
        if len(page) < PAGE_SIZE:
            return
        after = page[-1].id
