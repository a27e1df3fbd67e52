"""Turns of tenants: whose job a worker takes next."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, TextClause, func, select, update
from sqlalchemy.orm import Session

from core.database import clock
from core.jobs.state_machine import IS_LIVE
from core.settings import get_settings
from core.tables import Job, JobState, Tenant

_RUNNING = (IS_LIVE, Job.state == JobState.RUNNING)


def may_start() -> ColumnElement[bool]:
    """Select jobs of tenants that may have another running job, and are not suspended."""
    quota = get_settings().quotas.running_jobs
    suspended = select(Tenant.id).where(Tenant.suspended_at.is_not(None))
    is_active = Job.tenant_id.not_in(suspended)
    if quota is None:
        return is_active
    full = select(Job.tenant_id).where(*_RUNNING).group_by(Job.tenant_id)
    return is_active & Job.tenant_id.not_in(full.having(func.count() >= quota))


def tenants_in_turn(
    session: Session, is_due: Sequence[ColumnElement[bool] | TextClause]
) -> Sequence[str]:
    """Return the tenants that have due jobs, the next one first.

    First is the tenant with the fewest running jobs; of several, the one whose last turn was
    longest ago. However many jobs one tenant has, the others do not wait for all of them.
    """
    running = select(func.count()).where(*_RUNNING, Job.tenant_id == Tenant.id).scalar_subquery()
    has_due_job = select(Job.id).where(Job.tenant_id == Tenant.id, *is_due).exists()
    order = (running, Tenant.claimed_at.asc().nulls_first(), Tenant.id)
    return session.scalars(select(Tenant.id).where(has_due_job).order_by(*order)).all()


def record_turn(session: Session, tenant_id: str) -> None:
    """Put the tenant at the end of the order."""
    session.execute(update(Tenant).where(Tenant.id == tenant_id).values(claimed_at=clock()))
